"""Any history of loads leaves the same rows in PostgreSQL as in the reference in memory, and rollups that follow them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouses import PostgresHarness, tables_of

from headrace_loader.load import load_files
from headrace_loader.load_files import CheckedFile
from headrace_loader.memory_warehouse import MemoryWarehouse
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse_postgres import PostgresWarehouse

_TABLES = "events, events_minute, events_hour, events_day, user_day, user_first_seen"

rows = st.fixed_dictionaries(
    {
        "event": st.sampled_from("abcdef"),
        "minutes": st.integers(-1500, 1500),
        "source": st.sampled_from(["shop", "app"]),
        "event_name": st.sampled_from([None, "Order Completed", "Viewed"]),
        "currency": st.sampled_from([None, "EUR", "USD"]),
        "revenue": st.none() | st.decimals(-100, 100, places=4),
        "user_id": st.sampled_from([None, "ann", "bob"]),
        "identity_status": st.sampled_from(["anonymous", "resolved", "unresolved"]),
        "delay_h": st.sampled_from([0, 29, 31, 60]),
    }
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[CheckedFile], list[list[int]], bool]:
    """Files of one partition; the batches, by file number, in which they are loaded, some twice; a suppression."""
    files = []
    for at, contents in enumerate(
        draw(st.lists(st.lists(rows, min_size=1, max_size=5), min_size=1, max_size=5))
    ):
        made = [_row(values, at * 10 + number) for number, values in enumerate(contents)]
        files.append(staged_file(made, start=at * 10))
    order = draw(st.permutations(range(len(files)))) + draw(
        st.lists(st.integers(0, len(files) - 1), max_size=3)
    )
    batches: list[list[int]] = []
    for number in order:
        if batches and number not in batches[-1] and draw(st.booleans()):
            batches[-1].append(number)
        else:
            batches.append([number])
    return files, batches, draw(st.booleans())


def _row(values: dict[str, Any], offset: int) -> dict[str, Any]:
    at = DAY + timedelta(minutes=values["minutes"])
    names = ("source", "event_name", "currency", "user_id", "identity_status")
    more = {name: values[name] for name in names}
    revenue = None if values["revenue"] is None else Decimal(values["revenue"])
    received = at + timedelta(hours=values["delay_h"])
    return clean_row(values["event"], at=at, offset=offset, revenue=revenue, received_ts=received, **more)


async def _run(dsn: str, history: tuple[list[CheckedFile], list[list[int]], bool]) -> None:
    files, batches, suppress = history
    harness = PostgresHarness(dsn, PostgresWarehouse(dsn))
    memory = MemoryWarehouse()
    await harness.query(
        f"TRUNCATE analytics.{_TABLES.replace(', ', ', analytics.')}, ops.load_ledger, ops.suppressed_subjects"
    )
    if suppress:
        await harness.suppress("user", "ann")
        memory.suppressed.add(("user", "ann"))
    for batch in batches:
        chosen = [files[number] for number in batch]
        real = await load_files(harness.warehouse, chosen, now_us=1, writer="t")
        reference = await load_files(memory, chosen, now_us=1, writer="t")
        assert real.loaded == reference.loaded
    stored = await harness.rows()
    kept = sorted((row.values for row in memory.rows), key=lambda row: row["src_offset"])
    assert [{name: row[name] for name in other} for row, other in zip(stored, kept, strict=True)] == kept
    assert await harness.tables() == tables_of(Rollups.of(stored)) == tables_of(memory.rollups)


def test_histories(warehouse_dsn: str) -> None:
    with ThreadPoolExecutor(1) as pool:

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(histories())
        def check(history: tuple[list[CheckedFile], list[list[int]], bool]) -> None:
            pool.submit(asyncio.run, _run(warehouse_dsn, history)).result()

        check()
