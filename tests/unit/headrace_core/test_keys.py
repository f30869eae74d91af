"""Keys that other programs compute too."""

import pytest

from headrace_core.keys import session_key


@pytest.mark.parametrize(
    ("source", "user_key", "started_us", "key"),
    [
        ("shop", "u:one", 1_774_742_400_000_000, "41b0d12a2cf61960"),
        ("größe", "a:👕", 0, "50c69fd7a1e2631d"),
    ],
)
def test_a_session_keeps_its_key(source: str, user_key: str, started_us: int, key: str) -> None:
    assert session_key(source, user_key, started_us) == key


def test_parts_of_a_session_key_do_not_run_together() -> None:
    assert session_key("a", "bu:c", 1) != session_key("ab", "u:c", 1)
