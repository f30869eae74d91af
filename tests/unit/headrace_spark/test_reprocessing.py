"""Which rows a reprocess takes, in which order it swaps days, and what an undo may take back (rule B4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.errors import UsageError
from headrace_core.lake import DayInput, Generation, LakeFile, Plan, PlanId, StagedFile
from headrace_spark.reprocessing import Move, check_undo, order_days, restored, select_files, taken_back

_DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")
_MOVES = st.lists(st.builds(Move, st.sampled_from(_DAYS), st.sampled_from(_DAYS), st.sampled_from("fg")))
_DAY_US = 86_400_000_000


def test_files_wait_for_the_loader_and_rows_of_long_ago_stay() -> None:
    selection = select_files(["f", "g"], ["f", "x"], now_us=40 * _DAY_US)
    assert (sorted(selection.files), sorted(selection.waiting)) == (["f"], ["g"])
    assert selection.takes("f", 10 * _DAY_US)
    assert not selection.takes("f", 10 * _DAY_US - 1)
    assert not selection.takes("g", 40 * _DAY_US)


@given(_MOVES)
def test_a_row_is_always_on_one_of_its_days(moves: list[Move]) -> None:
    steps = order_days(moves)
    assert {step.day for step in steps} == {day for move in moves for day in (move.from_day, move.to_day)}
    for move in moves:
        if move.from_day == move.to_day:
            continue
        entered = next(at for at, step in enumerate(steps) if step.day == move.to_day)
        left = next(
            at for at, step in enumerate(steps) if step.day == move.from_day and not step.keeps_leaving
        )
        assert entered < left
        assert move.file_key in {key for step in steps if step.day == move.to_day for key in step.contains}


def _made(run: str, plan: int = 1) -> Generation:
    return Generation(id=PlanId(run=run, attempt=1, plan=plan), job="daily", event_date=_DAYS[0], made_ms=0)


def test_an_undo_takes_back_all_or_nothing() -> None:
    days = {"a": [_made("r", 1), _made("d")], "b": [_made("r", 2), _made("d")], "c": [_made("d")]}
    assert check_undo("r", "u", days) == ["b", "a"]
    assert check_undo("r", "u", {**days, "b": [_made("u"), *days["b"]]}) == ["a"]
    with pytest.raises(UsageError, match="cannot be taken back"):
        check_undo("r", "u", {**days, "b": [_made("later"), *days["b"]]})


def test_of_days_that_exchange_rows_one_keeps_what_leaves_until_the_other_has_it() -> None:
    steps = order_days([Move("d1", "d2", "a"), Move("d2", "d1", "b")])
    assert [(step.day, step.contains, step.keeps_leaving) for step in steps] == [
        ("d1", {"b"}, True),
        ("d2", {"a"}, False),
        ("d1", frozenset(), False),
    ]


def _contains(run: str, *, contains: tuple[str, ...]) -> Generation:
    identity = PlanId(run=run, attempt=1, plan=1)
    return Generation(id=identity, job="reprocess", event_date="d1", contains=contains, made_ms=0)


def test_what_was_read_is_new_again_and_what_entered_stays_contained() -> None:
    file = LakeFile(key="lake/1", rows=1, bytes=1, sha256="")
    before = Generation(
        id=PlanId(run="daily", attempt=1, plan=1),
        job="daily",
        event_date="d1",
        contains=("old",),
        tables={"events": (file,)},
        made_ms=0,
    )
    current = _contains("r", contains=("entered", "new", "old"))
    new = StagedFile(key="new", rows=1, bytes=1, sha256="", partition=0, chain_start=0)
    plan = Plan(
        id=current.id, job="reprocess", day=DayInput(event_date="d1", read=(new,)), made_ms=0, ends_by_ms=0
    )
    taken = taken_back("r", [current, before], [plan])
    identity = PlanId(run="u", attempt=1, plan=1)
    result = restored(taken, identity, job="reprocess", previous="runs/r", made_ms=5)
    assert result.contains == ("entered", "old")
    assert result.files("events") == (file,)
    assert (result.id, result.previous, result.revision) == (identity, "runs/r", "u.1.1")


def test_a_run_that_made_the_first_generation_leaves_an_empty_one() -> None:
    current = _contains("r", contains=("a",))
    taken = taken_back("r", [current], [])
    result = restored(taken, PlanId(run="u", attempt=1, plan=1), job="reprocess", previous="p", made_ms=5)
    assert (result.tables, result.contains, result.event_date) == ({}, ("a",), "d1")
