"""The page of settings is what the settings classes say, and every setting says what it means."""

from __future__ import annotations

from pathlib import Path

from tests.support.configuration_page import configuration_page

_PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    assert _PAGE.read_text(encoding="utf-8") == configuration_page(), (
        "run `python -m tests.support.write_docs`"
    )


def test_every_setting_says_what_it_means() -> None:
    silent = [
        line for line in configuration_page().splitlines() if line.startswith("| `") and line.endswith("|  |")
    ]
    assert not silent
