"""The demo's verdict: equal counts pass, one event more or less anywhere does not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from headrace_cli.counts import CountsView, compare
from headrace_cli.journal import Journal
from headrace_cli.traffic import Fate

_TOTALS = {
    "received": 9,
    "accepted": 6,
    "duplicate": 2,
    "quarantined": 1,
    "refused": 1,
    "staged": 6,
    "loaded": 6,
}


def _view(totals: dict[str, int]) -> CountsView:
    return CountsView(
        totals=totals,
        in_flight={},
        quarantine_reasons={},
        warehouse={},
        checks=[],
        reconciles=True,
        settled=True,
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.acknowledge("r1", Counter({Fate.ACCEPTED: 6, Fate.DUPLICATE: 2, Fate.QUARANTINED: 2}))
    journal.close()
    return journal


def test_equal_counts_are_equal_whatever_was_there_before(journal: Journal) -> None:
    before = dict.fromkeys(_TOTALS, 5)
    after = {name: count + 5 for name, count in _TOTALS.items()}
    lines = compare(journal, _view(before), _view(after))
    assert {line.name for line in lines} == {
        "accepted",
        "loaded",
        "duplicate",
        "quarantined",
        "all acknowledged",
    }
    assert all(line.equal for line in lines)


@pytest.mark.parametrize("name", [name for name in _TOTALS if name != "staged"])
@pytest.mark.parametrize("change", [-1, 1])
def test_one_event_more_or_less_shows(journal: Journal, name: str, change: int) -> None:
    after = _TOTALS | {name: _TOTALS[name] + change}
    lines = compare(journal, _view(dict.fromkeys(_TOTALS, 0)), _view(after))
    assert not all(line.equal for line in lines)


def test_repeated_requests_leave_only_what_is_certain(journal: Journal) -> None:
    journal.repeated_requests = 1
    more = _TOTALS | {"received": 12, "duplicate": 5}
    lines = compare(journal, _view(dict.fromkeys(_TOTALS, 0)), _view(more))
    assert [line.name for line in lines] == ["accepted", "loaded"]
    assert all(line.equal for line in lines)
