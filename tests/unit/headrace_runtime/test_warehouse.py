"""What a driver's error asks the caller to do."""

import psycopg
import pytest
from psycopg import errors as pg

from headrace_core.errors import BadData, Bug, ConfigurationError, HeadraceError, Unavailable
from headrace_runtime.warehouse import CommitUnknown, check_dsn, translate


@pytest.mark.parametrize(
    ("error", "reaction"),
    [
        (pg.SerializationFailure("x"), Unavailable),
        (pg.DeadlockDetected("x"), Unavailable),
        (pg.LockNotAvailable("x"), Unavailable),
        (pg.QueryCanceled("x"), Unavailable),
        (pg.AdminShutdown("x"), Unavailable),
        (pg.TooManyConnections("x"), Unavailable),
        (pg.UniqueViolation("x"), Unavailable),
        (psycopg.OperationalError("server closed the connection"), Unavailable),
        (TimeoutError(), Unavailable),
        (ConnectionResetError(), Unavailable),
        (pg.NumericValueOutOfRange("x"), BadData),
        (pg.UntranslatableCharacter("x"), BadData),
        (pg.InvalidTextRepresentation("x"), BadData),
        (pg.NotNullViolation("x"), BadData),
        (pg.CheckViolation("x"), BadData),
        (pg.ProgramLimitExceeded("x"), BadData),
        (pg.InsufficientPrivilege("x"), ConfigurationError),
        (pg.UndefinedTable("x"), ConfigurationError),
        (pg.InvalidCatalogName("x"), ConfigurationError),
        (pg.InvalidPassword("x"), ConfigurationError),
        (pg.DiskFull("x"), ConfigurationError),
        (pg.SyntaxError("x"), Bug),
        (ValueError("x"), Bug),
    ],
)
def test_errors_become_reactions(error: Exception, reaction: type[HeadraceError]) -> None:
    translated = translate(error)
    assert type(translated) is reaction
    assert translated.why


def test_an_unknown_commit_is_tried_again_like_any_outage() -> None:
    assert issubclass(CommitUnknown, Unavailable)


@pytest.mark.parametrize("dsn", ["", "postgresql://u:p@localhost:5432/d", "host=localhost dbname=d"])
def test_connection_strings_pass(dsn: str) -> None:
    check_dsn(dsn)


@pytest.mark.parametrize("dsn", ["secret", "postgresql://u:secret@[::1/d", "host=a secret"])
def test_a_wrong_connection_string_is_told_without_quoting_it(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_dsn(dsn)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
