"""Which days need a plan, and what a plan reads: every file once, every neighbour as it is, no chase."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.lake import Generation, PlanId, SeenPointer
from headrace_core.manifest import File, Manifest
from headrace_spark.planning import (
    BROADCAST_ROWS,
    DayState,
    Inputs,
    chain_ends,
    days_behind,
    digest,
    files_by_day,
    is_current,
    make_plan,
    neighbours_of,
)

_D = "2026-11-20"
_ID = PlanId(run="daily", attempt=1, plan=1)


def _us(day: str, hour: int = 12) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC, hour=hour).timestamp()) * 1_000_000


def _manifest(start: int, rows: dict[str, int], *, partition: int = 0, files: int = 1) -> Manifest:
    times = [_us(day) for day in rows] or [0]
    each = max(1, sum(rows.values()) // files)
    return Manifest(
        kind="events",
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=partition,
        start=start,
        end=start + 10,
        rows=sum(rows.values()),
        files=tuple(
            File(
                key=f"staged/{partition}/{start}-{number}",
                rows=each,
                bytes=1,
                sha256="",
                min_event_ts=min(times),
                max_event_ts=max(times),
            )
            for number in range(files)
        ),
        rows_by_event_date=rows,
        schema_version=1,
        writer="w",
        created_ms=0,
    )


def _inputs(manifests: Iterable[Manifest], states: dict[str, DayState] | None = None) -> Inputs:
    manifests = list(manifests)
    chains: dict[int, list[Manifest]] = {}
    for manifest in manifests:
        chains.setdefault(manifest.partition, []).append(manifest)
    return Inputs(files_by_day(manifests), states or {}, chain_ends(chains))


def _after(inputs: Inputs, day: str, *, revision: str = "") -> DayState:
    """The state of a day right after a plan of it was carried out."""
    contains = {file.key for file in inputs.files.get(day, ())} | inputs.state(day).contains
    generation = Generation(
        id=_ID,
        job="daily",
        event_date=day,
        contains=tuple(sorted(contains)),
        seen=inputs.seen(day),
        revision=revision or inputs.state(day).revision,
        made_ms=0,
    )
    return DayState(SeenPointer(etag="e", sequence=1, result="r"), generation)


def _carried_out(inputs: Inputs, *days: str, revision: str = "") -> Inputs:
    for day in days:
        inputs = Inputs(
            inputs.files, {**inputs.states, day: _after(inputs, day, revision=revision)}, inputs.chain_ends
        )
    return inputs


def test_a_file_counts_for_every_day_that_it_has_rows_of() -> None:
    found = files_by_day(
        [_manifest(0, {_D: 3, "2026-11-21": 1}, files=2), _manifest(10, {}), _manifest(20, {_D: 0})]
    )
    assert {day: len(files) for day, files in found.items()} == {_D: 2, "2026-11-21": 2}


def test_a_file_whose_times_miss_the_day_is_left_out() -> None:
    whole = _manifest(0, {_D: 1, "2026-11-25": 1}, files=1)
    other = File(
        key="x", rows=1, bytes=1, sha256="", min_event_ts=_us("2026-11-25"), max_event_ts=_us("2026-11-25")
    )
    both = Manifest(
        **{name: getattr(whole, name) for name in whole.__struct_fields__} | {"files": (*whole.files, other)}
    )
    found = files_by_day([both])
    assert [file.key for file in found[_D]] == ["staged/0/0-0"]
    assert [file.key for file in found["2026-11-25"]] == ["staged/0/0-0", "x"]


def test_a_plan_reads_what_the_generation_does_not_contain() -> None:
    inputs = _carried_out(_inputs([_manifest(0, {_D: 1})]), _D)
    later = _inputs([_manifest(0, {_D: 1}), _manifest(10, {_D: 2}), _manifest(0, {_D: 4}, partition=1)])
    inputs = Inputs(later.files, inputs.states, later.chain_ends)
    plan = make_plan(inputs, _D, _ID, job="daily", edges="k", edges_offset=7, made_ms=1, ends_by_ms=2)
    assert [file.key for file in plan.day.read] == ["staged/0/10-0", "staged/1/0-0"]
    assert plan.day.pointer is not None
    assert plan.chain_ends == {"0": 20, "1": 10}
    assert plan.dedup == "broadcast"
    assert not is_current(inputs, _D)


def test_too_many_rows_for_a_broadcast_are_said() -> None:
    inputs = _inputs([_manifest(0, {_D: BROADCAST_ROWS + 1})])
    plan = make_plan(inputs, _D, _ID, job="daily", edges="k", edges_offset=0, made_ms=1, ends_by_ms=2)
    assert plan.dedup == "hash"


def test_late_rows_of_a_neighbour_make_a_day_behind_and_one_plan_makes_it_current() -> None:
    inputs = _carried_out(_inputs([_manifest(0, {_D: 1})]), _D)
    later = _inputs([_manifest(0, {_D: 1}), _manifest(10, {"2026-11-21": 2})])
    inputs = Inputs(later.files, inputs.states, later.chain_ends)
    behind = days_behind(inputs, ended_before=date(2026, 12, 1), besides=())
    assert behind == [_D, "2026-11-21"]
    inputs = _carried_out(inputs, *behind)
    assert days_behind(inputs, ended_before=date(2026, 12, 1), besides=()) == []


def test_a_changed_revision_reaches_the_neighbours_once() -> None:
    inputs = _inputs([_manifest(0, {_D: 1, "2026-11-21": 1})])
    inputs = _carried_out(inputs, _D, "2026-11-21")
    inputs = _carried_out(inputs, "2026-11-21", revision="reprocess.1.1")
    assert days_behind(inputs, ended_before=date(2026, 12, 1), besides=()) == [_D]
    assert days_behind(_carried_out(inputs, _D), ended_before=date(2026, 12, 1), besides=()) == []


def test_an_earlier_day_matters_to_a_day_that_is_asked_for_alone() -> None:
    inputs = _carried_out(_inputs([_manifest(0, {"2026-11-10": 1, _D: 1})]), _D)
    inputs = _carried_out(inputs, "2026-11-10")
    assert not is_current(inputs, _D)
    assert days_behind(inputs, ended_before=date(2026, 12, 1), besides=()) == []
    inputs = _carried_out(inputs, _D)
    assert is_current(inputs, _D)
    assert list(inputs.earlier(_D)) == ["2026-11-10"]
    assert inputs.earlier("2026-11-10") == {}


def test_days_longer_ago_than_the_cohorts_reach_do_not_matter() -> None:
    inputs = _carried_out(
        _inputs([_manifest(0, {"2026-08-21": 1, "2026-08-22": 1})]), "2026-08-21", "2026-08-22"
    )
    assert list(inputs.earlier(_D)) == ["2026-08-22"]


def test_a_day_that_has_not_ended_waits_and_named_days_are_not_repeated() -> None:
    inputs = _inputs([_manifest(0, {"2026-11-18": 1, "2026-11-19": 1, _D: 1})])
    assert days_behind(inputs, ended_before=date(2026, 11, 20), besides=["2026-11-18"]) == ["2026-11-19"]


def test_a_day_without_files_is_not_current_and_not_behind() -> None:
    inputs = _inputs([])
    assert not is_current(inputs, _D)
    assert days_behind(inputs, ended_before=date(2026, 12, 1), besides=()) == []


def test_a_file_that_retention_removed_still_counts_as_seen() -> None:
    inputs = _carried_out(_inputs([_manifest(0, {_D: 1, "2026-11-21": 1})]), _D, "2026-11-21")
    gone = Inputs({}, inputs.states, inputs.chain_ends)
    assert is_current(gone, _D)
    assert is_current(gone, "2026-11-21")


def test_the_digest_is_of_the_set() -> None:
    assert digest(["b", "a"], "") == digest({"a", "b"}, "")
    assert digest(["a"], "") != digest(["a"], "r")
    assert digest([], "") == ""


@pytest.mark.parametrize("day", ["2026-03-01"])
def test_neighbours_follow_the_calendar(day: str) -> None:
    assert neighbours_of(day) == ["2026-02-27", "2026-02-28", "2026-03-02", "2026-03-03"]


_DAYS = st.sampled_from(["2026-11-17", "2026-11-18", "2026-11-19", _D, "2026-11-21", "2026-11-25"])


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("stage"), st.dictionaries(_DAYS, st.integers(1, 3), max_size=3)),
            st.tuples(st.just("daily"), st.lists(_DAYS, min_size=1, max_size=2)),
            st.tuples(st.just("revise"), _DAYS),
        ),
        max_size=12,
    )
)
def test_after_any_history_one_round_brings_every_day_up_to_date(steps: list[tuple[str, object]]) -> None:
    manifests: list[Manifest] = []
    inputs = _inputs([])
    for kind, what in steps:
        if kind == "stage" and isinstance(what, dict):
            manifests.append(_manifest(10 * len(manifests), what))
            inputs = Inputs(_inputs(manifests).files, inputs.states, {})
        elif kind == "daily" and isinstance(what, list):
            inputs = _carried_out(inputs, *what)
        elif isinstance(what, str) and what in inputs.states:
            inputs = _carried_out(inputs, what, revision=f"{what}.{len(inputs.states)}")
    behind = days_behind(inputs, ended_before=date(2026, 12, 1), besides=())
    inputs = _carried_out(inputs, *behind)
    assert days_behind(inputs, ended_before=date(2026, 12, 1), besides=()) == []
    for day, files in inputs.files.items():
        assert {file.key for file in files} <= inputs.state(day).contains
