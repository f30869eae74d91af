"""Documents point to each other and to the code, and what they point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = sorted(path for path in _ROOT.rglob("*.md") if not {".venv", ".uv", ".headrace"} & set(path.parts))
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def _name(path: Path) -> str:
    return str(path.relative_to(_ROOT))


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        target
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_decisions_have_numbers_of_their_own_and_stand_in_the_list() -> None:
    pages = sorted((_ROOT / "docs" / "adr").glob("[0-9]*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    listed = (_ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    for number, page in zip(numbers, pages, strict=True):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. ")
        assert f"[{number}]({page.name})" in listed
