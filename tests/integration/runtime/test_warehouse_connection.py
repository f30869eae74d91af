"""The PostgreSQL connection against a real server: deadlines, cancelled work, a server that stops answering."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from headrace_core.errors import BadData, ConfigurationError, Unavailable
from headrace_local.stack import LocalStack
from headrace_runtime.warehouse import PostgresConnection


@pytest.fixture
async def connection(stack: LocalStack) -> AsyncIterator[PostgresConnection]:
    """A connection with short deadlines."""
    made = await PostgresConnection.connect(
        stack.endpoints.postgres_dsn,
        application_name="test",
        statement_timeout_s=0.3,
        idle_in_transaction_s=0.3,
    )
    yield made
    await made.close()


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(connection: PostgresConnection) -> None:
    with pytest.raises(Unavailable) as raised:
        await connection.execute("SELECT pg_sleep(20)")
    assert "statement timeout" in raised.value.why
    assert await connection.execute("SELECT 1") == [(1,)]


async def test_an_abandoned_transaction_is_ended_by_the_server(connection: PostgresConnection) -> None:
    await connection.begin()
    await asyncio.sleep(1)
    with pytest.raises(Unavailable) as raised:
        await connection.execute("SELECT 1")
    assert "idle-in-transaction" in raised.value.why


async def test_times_are_utc(connection: PostgresConnection) -> None:
    assert await connection.execute("SHOW timezone") == [("UTC",)]


async def test_an_error_in_the_chunks_ends_the_copy_and_leaves_the_connection_usable(
    connection: PostgresConnection,
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"1\n"
        raise BadData("The file is not readable.", code="file_unreadable")

    await connection.execute("CREATE TEMPORARY TABLE numbers (number integer)")
    with pytest.raises(BadData) as raised:
        await connection.copy_in("COPY numbers FROM STDIN", chunks())
    assert raised.value.code == "file_unreadable"
    assert await connection.execute("SELECT count(*) FROM numbers") == [(0,)]


async def test_refused_data_names_the_line_and_the_column(connection: PostgresConnection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE numbers (number integer)")
    with pytest.raises(BadData) as raised:
        await connection.copy_in("COPY numbers FROM STDIN", iter([b"1\n", b"two\n"]))
    assert "line 2, column number" in raised.value.why


async def test_copied_rows_are_counted(connection: PostgresConnection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE numbers (number integer)")
    assert await connection.copy_in("COPY numbers FROM STDIN", iter([b"1\n2\n", b"3\n"])) == 3


async def test_a_missing_database_is_a_matter_of_set_up(stack: LocalStack) -> None:
    dsn = stack.endpoints.postgres_dsn.rsplit("/", 1)[0] + "/nowhere"
    with pytest.raises((ConfigurationError, Unavailable)) as raised:
        await PostgresConnection.connect(dsn, application_name="test")
    assert "nowhere" in raised.value.why


async def test_a_frozen_server_is_given_up(fresh_stack: LocalStack) -> None:
    connection = await PostgresConnection.connect(
        fresh_stack.endpoints.postgres_dsn, application_name="test", statement_timeout_s=0.2
    )
    server = fresh_stack.servers["postgres"]
    server.pause()
    try:
        with pytest.raises(Unavailable):
            await connection.execute("SELECT 1")
        await connection.close()
        with pytest.raises(Unavailable):
            await PostgresConnection.connect(
                fresh_stack.endpoints.postgres_dsn, application_name="test", connect_timeout_s=2
            )
    finally:
        server.resume()
    again = await PostgresConnection.connect(fresh_stack.endpoints.postgres_dsn, application_name="test")
    assert await again.execute("SELECT 1") == [(1,)]
    await again.close()
