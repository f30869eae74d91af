"""Plans, generations and pointers survive their JSON, and their keys are told apart."""

from __future__ import annotations

import pytest

from headrace_core import paths
from headrace_core.errors import BadData
from headrace_core.lake import (
    DayInput,
    Generation,
    LakeFile,
    Plan,
    PlanId,
    Pointer,
    SeenPointer,
    StagedFile,
    decode_generation,
    decode_plan,
    decode_pointer,
    encode_lake,
    staged_files,
)
from headrace_core.manifest import File, Manifest

_ID = PlanId(run="daily-2026-11-28", attempt=2, plan=1)
_STAGED = StagedFile(
    key="staged/events/x.parquet", rows=3, bytes=10, sha256="00", partition=4, chain_start=17, min_event_ts=5
)


def test_a_plan_survives_its_json() -> None:
    day = DayInput(
        event_date="2026-11-28", pointer=SeenPointer(etag="e", sequence=3, result="r"), read=(_STAGED,)
    )
    plan = Plan(id=_ID, job="daily", day=day, chain_ends={"0": 9}, edges="k", made_ms=1, ends_by_ms=2)
    assert decode_plan(encode_lake(plan)) == plan
    assert plan.day.rows == 3
    assert plan.id.generation == "daily-2026-11-28.2.1"


def test_a_generation_and_a_pointer_survive_their_json() -> None:
    file = LakeFile(key="lake/events/x", rows=1, bytes=2, sha256="ab")
    made = Generation(id=_ID, job="daily", event_date="2026-11-28", tables={"events": (file,)}, made_ms=5)
    assert decode_generation(encode_lake(made)) == made
    assert made.files("events") == (file,)
    assert made.files("sessions") == ()
    pointer = Pointer(event_date="2026-11-28", sequence=1, result="r", swapped_ms=6)
    assert decode_pointer(encode_lake(pointer)) == pointer


@pytest.mark.parametrize("decode", [decode_plan, decode_generation, decode_pointer])
def test_what_is_none_is_refused(decode: object) -> None:
    assert callable(decode)
    with pytest.raises(BadData):
        decode(b'{"version":9}')


def test_staged_files_are_those_of_the_manifest() -> None:
    manifest = Manifest(
        kind="events",
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=4,
        start=17,
        end=20,
        rows=3,
        files=(File(key=_STAGED.key, rows=3, bytes=10, sha256="00", min_event_ts=5),),
        schema_version=1,
        writer="w",
        created_ms=1,
    )
    assert staged_files(manifest) == [_STAGED]


def test_keys_of_a_run() -> None:
    assert paths.pointer_key("2026-11-28") == "pointers/date=2026-11-28.json"
    assert paths.parse_pointer_key("pointers/date=2026-11-28.json") == "2026-11-28"
    assert paths.parse_pointer_key("runs/date=2026-11-28.json") is None
    assert paths.plan_key("r", 2, 1) == "runs/r/attempt=2/plan=1/plan.json"
    assert paths.generation_key("r", 2, 1) == "runs/r/attempt=2/plan=1/result.json"
    assert paths.run_result_key("r", 2) == "runs/r/attempt=2/result.json"
    assert paths.edges_key("r", 2, 1).startswith(paths.plan_prefix("r", 2, 1))
    assert paths.report_key("r", 2, 1, "x.html") == "runs/r/attempt=2/plan=1/reports/x.html"
    assert paths.lake_prefix("events", "2026-11-28", "r.2.1") == "lake/events/date=2026-11-28/gen=r.2.1/"
    assert (
        paths.lake_prefix("sessions", "2026-11-28", "g") == "lake/aggregates/sessions/date=2026-11-28/gen=g/"
    )


@pytest.mark.parametrize(
    ("table", "name", "hour"),
    [
        ("events", "hour=3/part-0.parquet", 3),
        ("events", "part-0.parquet", None),
        ("sessions", "p.parquet", None),
    ],
)
def test_a_lake_key_tells_its_place(table: str, name: str, hour: int | None) -> None:
    prefix = paths.lake_prefix(table, "2026-11-28", "r.2.1")
    assert paths.parse_lake_key(prefix + name) == paths.LakePlace(table, "2026-11-28", "r.2.1", hour)


def test_a_runs_key_tells_its_place() -> None:
    of_plan = paths.RunPlace("r", 2, 1, "result.json")
    assert paths.parse_run_key(paths.generation_key("r", 2, 1)) == of_plan
    report = paths.RunPlace("r", 2, 1, "reports/x/index.html")
    assert paths.parse_run_key(paths.report_key("r", 2, 1, "x/index.html")) == report
    assert paths.parse_run_key(paths.run_result_key("r", 2)) == paths.RunPlace("r", 2, None, "result.json")
    of_run = paths.RunPlace("r", 2, None, "reports/x.json")
    assert paths.parse_run_key(paths.run_report_key("r", 2, "x.json")) == of_run
    for key in (
        "runs/r",
        "runs/r/attempt=x/result.json",
        "lake/r/attempt=1/result.json",
        "runs/r/1/plan=1/x",
    ):
        assert paths.parse_run_key(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "lake",
        "lake/events/x",
        "lake/aggregates/sessions",
        "lake/events/date=a/b/c",
        "staged/events/date=a/gen=b/c",
    ],
)
def test_other_keys_have_no_place_in_the_lake(key: str) -> None:
    assert paths.parse_lake_key(key) is None
