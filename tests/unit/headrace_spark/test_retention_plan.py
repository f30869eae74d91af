"""What retention may delete: nothing that somebody reads, may come to name, or may still swap in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from headrace_core.lake import Generation, LakeFile, PlanId, SeenPointer
from headrace_core.manifest import ChainBase, File, Manifest
from headrace_core.paths import (
    ChainKind,
    base_key,
    edges_key,
    export_prefix,
    generation_key,
    lake_prefix,
    manifest_key,
    object_key,
    plan_key,
    report_key,
    run_report_key,
    run_result_key,
    verdict_index_key,
    verdicts_by_id_prefix,
)
from headrace_core.pipeline_run import RetentionParameters
from headrace_spark.planning import DayState
from headrace_spark.quality.report import METRICS_NAME
from headrace_spark.retention_plan import Attempt, Doomed, Holdings, Object, RetentionPlan, plan_retention

_DAY_MS = 86_400_000
_NOW_MS = int(datetime(2026, 11, 29, tzinfo=UTC).timestamp()) * 1000
_LIMITS = RetentionParameters()
_D = "2026-10-01"


def _key(kind: ChainKind, start: int, nonce: str = "a") -> str:
    return object_key(kind, 0, start, start + 10, appended_ms=_NOW_MS, nonce=nonce)


def _manifest(kind: ChainKind, start: int, age_days: float, day: str | None = _D) -> Manifest:
    noon = (
        None
        if day is None
        else int(datetime.fromisoformat(day).replace(tzinfo=UTC, hour=12).timestamp()) * 10**6
    )
    file = File(key=_key(kind, start), rows=1, bytes=5, sha256="", min_event_ts=noon, max_event_ts=noon)
    return Manifest(
        kind=kind,
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=0,
        start=start,
        end=start + 10,
        max_source_offset=start + 5,
        rows=1,
        files=(file,),
        rows_by_event_date={} if day is None else {day: 1},
        schema_version=1,
        writer="w",
        created_ms=_NOW_MS - round(age_days * _DAY_MS),
    )


def _generation(run: str, *, contains: Sequence[str] = (), age_days: float = 0, day: str = _D) -> Generation:
    key = lake_prefix("events", day, f"{run}.1.1") + "hour=12/part-0.parquet"
    return Generation(
        id=PlanId(run=run, attempt=1, plan=1),
        job="daily",
        event_date=day,
        contains=tuple(contains),
        tables={"events": (LakeFile(key=key, rows=1, bytes=5, sha256=""),)},
        made_ms=_NOW_MS - round(age_days * _DAY_MS),
    )


def _state(generation: Generation) -> DayState:
    return DayState(SeenPointer(etag="e", sequence=1, result="r"), generation)


def _object(key: str, age_days: float = 40) -> Object:
    return Object(key, 5, _NOW_MS - round(age_days * _DAY_MS))


def _lake_object(generation: Generation, age_days: float = 40) -> Object:
    return _object(generation.files("events")[0].key, age_days)


def _attempt(*generations: Generation, run: str, done: bool = True, ends_in_days: float = -1) -> Attempt:
    return Attempt(run, 1, generations, done, _NOW_MS + round(ends_in_days * _DAY_MS))


def _plan(
    *,
    chains: dict[ChainKind, list[Manifest]] | None = None,
    states: dict[str, DayState] | None = None,
    attempts: Sequence[Attempt] = (),
    objects: Sequence[Object] = (),
) -> RetentionPlan:
    by_partition = {kind: {0: chain} for kind, chain in (chains or {}).items()}
    return plan_retention(Holdings(_NOW_MS, by_partition, states or {}, attempts, objects), _LIMITS)


def test_staged_files_stay_until_their_day_contains_them() -> None:
    old, young = _manifest("events", 0, 31), _manifest("events", 10, 29)
    objects = [_object(_key("events", 0)), _object(_key("events", 10))]
    plan = _plan(chains={"events": [old, young]}, objects=objects)
    assert plan.delete == []
    assert plan.missing_days == [_D]
    state = _state(_generation("daily", contains=[_key("events", 0), _key("events", 10)]))
    plan = _plan(chains={"events": [old, young]}, states={_D: state}, objects=objects)
    assert plan.delete == [Doomed(_key("events", 0), 5, "expired")]
    assert plan.missing_days == []


def test_raw_and_verdicts_need_no_day() -> None:
    for kind in ("raw", "verdicts"):
        plan = _plan(chains={kind: [_manifest(kind, 0, 31, None)]}, objects=[_object(_key(kind, 0))])
        assert [doomed.why for doomed in plan.delete] == ["expired"]
        assert plan.missing_days == []


def test_an_orphan_goes_once_a_manifest_took_its_place_and_never_at_the_end() -> None:
    chain = [_manifest("events", 0, 1)]
    lost = _object(_key("events", 0, "b"), age_days=1.5)
    assert _plan(chains={"events": chain}, objects=[lost]).delete == [Doomed(lost.key, 5, "orphan")]
    assert _plan(chains={"events": chain}, objects=[_object(lost.key, age_days=0.5)]).delete == []
    assert _plan(chains={"events": chain}, objects=[_object(_key("events", 10, "b"))]).delete == []
    assert _plan(objects=[_object("staged/events/strange.txt")]).delete == []


def test_what_a_pointer_names_stays_whatever_its_age() -> None:
    generation = _generation("daily", age_days=400)
    plan = _plan(
        states={_D: _state(generation)},
        attempts=[_attempt(generation, run="daily")],
        objects=[_lake_object(generation, 400)],
    )
    assert plan.delete == []


def test_a_replaced_generation_goes_after_the_days_that_an_undo_has() -> None:
    for age_days, goes in ((6, False), (8, True)):
        old = _generation("old", age_days=age_days)
        plan = _plan(attempts=[_attempt(old, run="old")], objects=[_lake_object(old)])
        assert [doomed.why for doomed in plan.delete] == (["generation_replaced"] if goes else [])


def test_a_generation_counts_as_replaced_when_its_successor_was_made() -> None:
    old = _generation("old", age_days=100)
    for age_days, goes in ((6, False), (8, True)):
        new = msgspec.structs.replace(
            _generation("new", age_days=age_days), previous=generation_key("old", 1, 1)
        )
        plan = _plan(
            states={_D: _state(new)},
            attempts=[_attempt(old, run="old"), _attempt(new, run="new")],
            objects=[_lake_object(old)],
        )
        assert [doomed.why for doomed in plan.delete] == (["generation_replaced"] if goes else [])


def test_what_a_run_at_work_reads_stays() -> None:
    old = _generation("old", age_days=100)
    for ends_in_days, goes in ((0.1, False), (-0.1, True)):
        reader = Attempt(
            "reader",
            1,
            (),
            False,
            _NOW_MS + round(ends_in_days * _DAY_MS),
            reads=frozenset({generation_key("old", 1, 1)}),
        )
        plan = _plan(attempts=[_attempt(old, run="old"), reader], objects=[_lake_object(old)])
        assert bool(plan.delete) == goes


def test_copies_of_rows_and_edges_go_with_the_staged_files_and_plans_stay() -> None:
    for age_days, goes in ((29, False), (31, True)):
        copies = [
            edges_key("daily", 1, 1),
            report_key("daily", 1, 1, "index.html"),
            run_report_key("retention", 1, "retention.json"),
            export_prefix("sessions", "x", 1) + "part-0.parquet",
        ]
        others = [
            report_key("daily", 1, 1, METRICS_NAME),
            plan_key("daily", 1, 1),
            generation_key("daily", 1, 1),
            run_result_key("daily", 1),
        ]
        plan = _plan(objects=[_object(key, age_days) for key in (*copies, *others)])
        assert [doomed.key for doomed in plan.delete] == (copies if goes else [])


def test_sorted_verdicts_go_with_their_day_and_unnamed_ones_before() -> None:
    young, old = "2026-11-28", "2026-10-29"
    named = verdicts_by_id_prefix(young, "c.1.1") + "p=00/a.parquet"
    unnamed = verdicts_by_id_prefix(young, "c.1.2") + "p=00/b.parquet"
    index = verdict_index_key(young)
    kept = verdicts_by_id_prefix("2026-11-27", "c.1.1") + "p=00/no-index-yet.parquet"
    past = [verdicts_by_id_prefix(old, "c.1.1") + "p=00/a.parquet", verdict_index_key(old)]
    objects = [_object(key, age_days=2) for key in (named, unnamed, index, kept, *past)]
    holdings = Holdings(_NOW_MS, {}, {}, (), objects, verdicts_by_id={young: {named}, old: {past[0]}})
    plan = plan_retention(holdings, _LIMITS)
    assert [(doomed.key, doomed.why) for doomed in plan.delete] == [
        (unnamed, "orphan"),
        (past[0], "expired"),
        (past[1], "expired"),
    ]


def test_manifests_that_a_dead_run_left_below_a_base_go() -> None:
    left = _object(manifest_key("raw", 0, 0))
    plan = plan_retention(Holdings(_NOW_MS, {}, {}, (), (), behind_bases=[left]), _LIMITS)
    assert plan.delete == [Doomed(left.key, 5, "behind_base")]


def test_files_that_a_later_generation_took_over_stay() -> None:
    old = _generation("old", age_days=100)
    new = Generation(
        id=PlanId(run="new", attempt=1, plan=1),
        job="daily",
        event_date=_D,
        tables=old.tables,
        made_ms=_NOW_MS,
    )
    plan = _plan(
        states={_D: _state(new)},
        attempts=[_attempt(old, run="old"), _attempt(new, run="new")],
        objects=[_lake_object(old)],
    )
    assert plan.delete == []


def test_a_run_at_work_keeps_its_files_and_a_dead_one_loses_them() -> None:
    made = _lake_object(_generation("run"))
    assert _plan(attempts=[_attempt(run="run", done=False, ends_in_days=0.1)], objects=[made]).delete == []
    plan = _plan(attempts=[_attempt(run="run", done=False, ends_in_days=-0.1)], objects=[made])
    assert [doomed.why for doomed in plan.delete] == ["run_left_behind"]


def test_a_run_whose_folder_is_gone_is_waited_for() -> None:
    generation = _generation("unknown")
    assert _plan(objects=[_lake_object(generation, age_days=29)]).delete == []
    assert [doomed.why for doomed in _plan(objects=[_lake_object(generation, age_days=31)]).delete] == [
        "run_left_behind"
    ]


def test_a_run_is_not_taken_for_another_whose_name_begins_alike() -> None:
    generation = _generation("daily-1")
    plan = _plan(
        attempts=[_attempt(run="daily", done=True), _attempt(run="daily-1", done=False, ends_in_days=1)],
        objects=[_lake_object(generation)],
    )
    assert plan.delete == []


def test_manifests_go_behind_a_base_once_their_objects_are_gone_but_never_the_last() -> None:
    chain = [_manifest("raw", 0, 90, None), _manifest("raw", 10, 61, None), _manifest("raw", 20, 59, None)]
    plan = _plan(chains={"raw": chain})
    assert plan.bases == {base_key("raw", 0): ChainBase(start=20, max_source_offset=15)}
    assert [doomed.key for doomed in plan.delete] == [manifest_key("raw", 0, 0), manifest_key("raw", 0, 10)]
    assert _plan(chains={"raw": chain[:1]}).bases == {}


def test_a_manifest_whose_object_is_still_there_stops_the_base() -> None:
    chain = [_manifest("events", 0, 90), _manifest("events", 10, 80), _manifest("events", 20, 1)]
    plan = _plan(chains={"events": chain}, objects=[_object(_key("events", 10))])
    assert plan.bases == {base_key("events", 0): ChainBase(start=10, max_source_offset=5)}
