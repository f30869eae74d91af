"""Every guard that the protocol needs, taken away: the simulation finds what breaks; with the guard it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.chaos.guards import Guard
from tests.chaos.profiles import PROFILES
from tests.chaos.runs import failures, first_violation

_LOSS = ("I1 chain", "I1 loss", "I1 quarantine")
_LOST_EDGE = ("I1 edges",)
_WRONG_OUTPUT = ("I5 clean", "I5 quarantine")
_UNCERTIFIED = ("J1 outputs",)
"""A block certifies that everything below it is out; only therefore is one block sent again at a start enough."""
_BACK = ("E1 erased", "E2 back")
_SEEDS = 200
_CONTROLS = 3


@dataclass(frozen=True, slots=True)
class _Case:
    """A guard, what its absence must lead to, and the bias of the adversary that shows it soon."""

    guard: Guard
    expects: tuple[str, ...]
    profile: str = "default"


_CASES = (
    _Case(Guard.COMPARE_AND_APPEND, _WRONG_OUTPUT),
    _Case(Guard.BLOCK_BEFORE_OUTPUTS, _WRONG_OUTPUT),
    _Case(Guard.OWN_BLOCK_BY_BYTES, _WRONG_OUTPUT, "deploys"),
    _Case(Guard.RESEND_AT_START, _LOSS),
    _Case(Guard.RESEND_AFTER_REREAD, _LOSS),
    _Case(Guard.AWAIT_OUTPUTS, _LOSS, "clocks"),
    _Case(Guard.AWAIT_EDGES, _LOST_EDGE),
    _Case(Guard.RESEND_EDGES, _LOST_EDGE),
    _Case(Guard.EMPTY_BLOCK_AFTER_OUTPUTS, _UNCERTIFIED),
    _Case(Guard.IN_ORDER, _LOSS),
    _Case(Guard.UNDO, ("I5 duplicate",)),
    _Case(Guard.UNDO_RESTORES_EXPIRED, ("I2 window",), "clocks"),
    _Case(Guard.FORGET_QUARANTINED, ("I5 duplicate",), "resends"),
    _Case(Guard.RUNNING_CLOCK, ("I2 window",), "clocks"),
    _Case(Guard.HORIZON_AT_FIRST, ("I2 window",)),
    _Case(Guard.VOID_IS_UNREAD, ("I6 blocks", "I5 verdicts")),
    _Case(Guard.POSITION_FROM_BLOCKS, ("I5 duplicate",)),
    _Case(Guard.SOURCE_OFFSET_FILTER, ("I2 chain",)),
    _Case(Guard.LAST_CARRIED, ("I2 chain",)),
    _Case(Guard.IF_NONE_MATCH, ("I6 rewritten",)),
    _Case(Guard.EXACT_COLLECTION, ("I7 missing",), "orphans"),
    _Case(Guard.LOCK_FIRST, ("I2 warehouse",)),
    _Case(Guard.DEDUP_WITHIN_BATCH, ("I2 warehouse",)),
    _Case(Guard.INSERT_IF_ABSENT, ("I2 warehouse",)),
    _Case(Guard.LOWEST_OFFSET_WINS, ("L2 lowest",), "repairs"),
    _Case(Guard.LEDGER_IN_TRANSACTION, ("I1 loss",)),
    _Case(Guard.NO_BLIND_COMMIT_RETRY, ("I2 warehouse",)),
    _Case(Guard.SETTLED_IN_CHAIN_ORDER, ("I1 loss", "I8 unloaded"), "restarts"),
    _Case(Guard.SUPPRESSION, ("S1 suppressed",)),
    _Case(Guard.PLAN_ETAG, ("D1 overwritten",), "days"),
    _Case(Guard.POINTER_SEQUENCE, ("D2 older",), "days"),
    _Case(Guard.DIFFERENCE_BY_FILE, ("D3 removed",), "days"),
    _Case(Guard.DAY_LOCK_FIRST, ("D2 older", "I2 warehouse"), "days"),
    _Case(Guard.LOWEST_IN_LAKE, ("D1 rest",), "copies"),
    _Case(Guard.LOWEST_IN_DIFFERENCE, ("L2 lowest",), "copies"),
    _Case(Guard.SUPPRESSION_AFTER_PLAN, _BACK, "erasures"),
    _Case(Guard.SECOND_EXCLUSION, ("S1 suppressed",), "erasures"),
    _Case(Guard.ERASURE_LOCK, _BACK, "erasures"),
    _Case(Guard.SWAP_PLANNED_DAYS, _BACK, "erasures"),
    _Case(Guard.REPROCESS_LOADED_ONLY, ("I2 moved",), "reprocesses"),
    _Case(Guard.ENTER_BEFORE_LEAVE, ("D4 gone",), "reprocesses"),
    _Case(Guard.UNDO_REFUSES, ("D1 undone",), "reprocesses"),
)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.guard)
def test_a_guard_taken_away_is_caught(case: _Case) -> None:
    base = replace(PROFILES[case.profile], until=case.expects)
    seed = first_violation(base, case.guard, range(_SEEDS))
    assert seed is not None, (
        f"without {case.guard} {_SEEDS} seeds of {case.profile} show none of {case.expects}"
    )
    guarded = failures(replace(PROFILES[case.profile], seed=each) for each in {seed, *range(_CONTROLS)})
    assert not guarded, "\n".join(guarded)


def test_every_guard_has_a_test() -> None:
    redundant = {Guard.LEDGER_CHECK, Guard.COUNT_CHECK}
    assert {case.guard for case in _CASES} == set(Guard) - redundant


def test_every_guard_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert not [guard for guard in Guard if f"{guard}`" not in text and f"| {guard} |" not in text]
