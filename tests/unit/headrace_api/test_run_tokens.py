"""Only a token that the file lists opens anything, and the file holds none."""

from __future__ import annotations

import pytest

from headrace_api.run_tokens import read_run_tokens
from headrace_core.errors import ConfigurationError, UsageError
from headrace_core.write_keys import hash_key

_FILE = {
    "version": 1,
    "callers": [{"name": "airflow", "hash": hash_key("one")}, {"name": "support", "hash": hash_key("two")}],
}


def test_a_listed_token_names_its_caller() -> None:
    tokens = read_run_tokens(_FILE)
    assert tokens.caller("Bearer one") == "airflow"
    assert tokens.caller("bearer two") == "support"


@pytest.mark.parametrize(
    "header", [None, "", "one", "Basic one", "Bearer ", "Bearer three", "Bearer " + "x" * 600]
)
def test_anything_else_is_refused(header: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        read_run_tokens(_FILE).caller(header)
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"version": 2, "callers": []},
        {"version": 1, "callers": []},
        {"version": 1, "callers": [{"name": "a", "hash": "one"}]},
        {"version": 1, "callers": [{"name": "a", "token": "one"}]},
    ],
)
def test_a_file_that_is_none_is_said_at_the_start(content: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_run_tokens(content)
    assert caught.value.code == "run_tokens"
