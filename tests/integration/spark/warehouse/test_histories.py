"""After any history of loads, generations and suppressions the rollups follow the rows, and the days converge on the lake."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.lake_generations import Row, lake_rows
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouse_days import Interrupted, WarehouseWorld

from headrace_core.events import CleanEvent
from headrace_loader.load_files import CheckedFile

_TABLES = "events, events_minute, events_hour, events_day, user_day, user_first_seen"
_NAMES = (*CleanEvent.__struct_fields__, "file_id")
_DAYS = [(DAY + timedelta(days=step)).date() for step in (-1, 0, 1)]

rows = st.fixed_dictionaries(
    {
        "event": st.sampled_from("abcde"),
        "minutes": st.integers(-1439, 2879),
        "event_name": st.sampled_from([None, "Viewed"]),
        "currency": st.sampled_from([None, "EUR"]),
        "revenue": st.none() | st.decimals(-100, 100, places=4),
        "user_id": st.sampled_from([None, "ann", "bob"]),
        "identity_status": st.sampled_from(["anonymous", "unresolved"]),
        "delay_h": st.sampled_from([0, 31]),
    }
)


@dataclass(frozen=True)
class Step:
    """A load of the file ``number``, alone or between the difference and the lock of a job; a job; a suppression."""

    kind: str
    number: int
    day: int
    read: int
    resolve: bool


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["load", "load", "apply", "apply", "race", "suppress"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(1, 4),
        st.booleans(),
    ),
    min_size=2,
    max_size=6,
)
files = st.lists(st.lists(rows, min_size=1, max_size=4), min_size=4, max_size=4)


def _row(values: dict[str, Any], offset: int) -> Row:
    at = DAY + timedelta(minutes=values["minutes"])
    names = ("event_name", "currency", "user_id", "identity_status")
    revenue = None if values["revenue"] is None else Decimal(values["revenue"])
    more = {name: values[name] for name in names}
    received = at + timedelta(hours=values["delay_h"])
    return clean_row(values["event"], at=at, offset=offset, revenue=revenue, received_ts=received, **more)


def _staged(contents: list[list[dict[str, Any]]]) -> list[CheckedFile]:
    return [
        staged_file([_row(values, at * 10 + number) for number, values in enumerate(made)], start=at * 10)
        for at, made in enumerate(contents)
    ]


def _lake(read: list[CheckedFile], day: date, *, resolve: bool, without: str | None = None) -> list[Row]:
    """The lake's rows, with a customer where users are known: what a later generation changes about rows."""
    found = lake_rows(read, day, without=without)
    return [
        {**row, "customer_id": f"c-{row['user_id']}"} if resolve and row["user_id"] else row for row in found
    ]


async def _run(dsn: str, made: list[CheckedFile], history: list[Step]) -> None:
    world = WarehouseWorld(dsn)
    tables = _TABLES.replace(", ", ", analytics.")
    await world.harness.query(
        f"TRUNCATE analytics.{tables}, ops.load_ledger, ops.suppressed_subjects, ops.day_generation"
    )
    for step in history:
        await _take(world, made, step)
        await world.check()
    await world.load(*made)
    suppressed = await world.harness.query("SELECT value FROM ops.suppressed_subjects")
    lake = {day: _lake(made, day, resolve=True, without="ann" if suppressed else None) for day in _DAYS}
    for _ in range(2):
        for day, found in lake.items():
            await world.apply(await world.generation(found, made, day=day))
    stored = await world.check()
    expected = sorted((row for found in lake.values() for row in found), key=_position)
    assert [{name: row[name] for name in _NAMES} for row in stored] == expected


def _position(row: Row) -> tuple[int, int]:
    return row["src_partition"], row["src_offset"]


async def _take(world: WarehouseWorld, made: list[CheckedFile], step: Step) -> None:
    if step.kind == "load":
        await world.load(made[step.number])
    elif step.kind == "suppress":
        await world.harness.query(
            "INSERT INTO ops.suppressed_subjects VALUES ('user', 'ann', now()) ON CONFLICT DO NOTHING"
        )
    else:
        read, day = made[: step.read], _DAYS[step.day]
        generation = await world.generation(_lake(read, day, resolve=step.resolve), read, day=day)
        sequence = world.next_sequence(generation)
        racing = (lambda: world.load(made[step.number])) if step.kind == "race" else None
        await Interrupted(world, before=racing).apply_day(generation, sequence)


def test_histories(warehouse_dsn: str) -> None:
    with ThreadPoolExecutor(1) as pool:

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        @given(files, steps)
        def check(contents: list[list[dict[str, Any]]], history: list[Step]) -> None:
            pool.submit(asyncio.run, _run(warehouse_dsn, _staged(contents), history)).result()

        check()
