"""Rule B3 on the real PostgreSQL: what a generation says is what the warehouse holds, by the difference alone."""

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.support.lake_generations import lake_rows, rows_of
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouse_days import WarehouseWorld, ids

from headrace_core.errors import BadData
from headrace_core.lake import Generation
from headrace_core.tables import COHORTS, FINANCE_DAILY, FUNNELS, SESSIONS, Table
from headrace_loader.load_files import CheckedFile
from headrace_spark.ports import Applied, Suppressions, WarehouseDay
from headrace_spark.warehouse_difference import RowChanges

TOMORROW = (DAY + timedelta(days=1)).date()


@pytest.fixture
def world(warehouse_dsn: str) -> WarehouseWorld:
    """A migrated database of the test's own."""
    return WarehouseWorld(warehouse_dsn)


def _file(number: int, rows: int = 4, **more: Any) -> CheckedFile:
    """A file of events named after their offsets."""
    offsets = range(number * 10, number * 10 + rows)
    made = [
        clean_row(str(at), at=DAY + timedelta(minutes=at * 7), offset=at, user_id=f"u{at % 3}", **more)
        for at in offsets
    ]
    return staged_file(made, start=number * 10)


async def test_a_generation_of_what_is_loaded_writes_nothing(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    await world.load(*files)
    before = await world.versions()
    for sequence in (1, 2):
        applied = await world.apply(await world.lake(*files), sequence)
        assert (applied.outcome, applied.written, applied.unchanged) == ("applied", 0, 8)
        assert await world.versions() == before
    assert await world.harness.query("SELECT event_date, sequence FROM ops.day_generation") == [
        (DAY.date(), 2)
    ]
    await world.check()


async def test_rows_come_go_and_change(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    await world.load(files[0])
    rows = lake_rows(files, DAY.date())
    rows[0] = {**rows[0], "customer_id": "c1", "identity_status": "resolved"}
    rows[1] = {**rows[1], "revenue": Decimal("1.2500"), "properties": '{"b":1, "a":[1.50,null]}'}
    del rows[2]
    applied = await world.apply(await world.generation(rows, files))
    assert (applied.inserted, applied.changed, applied.deleted, applied.unchanged) == (4, 2, 1, 1)
    stored = await world.check()
    kept = [{name: row[name] for name in wanted} for row, wanted in zip(stored, rows, strict=True)]
    assert kept == rows
    again = await world.apply(await world.generation(rows, files))
    assert (again.written, again.unchanged) == (0, 7)


async def test_a_customer_alone_touches_no_rollup(world: WarehouseWorld) -> None:
    file = _file(0)
    await world.load(file)
    before = await world.versions()
    rows = [{**row, "customer_id": "c"} for row in rows_of(file)]
    assert (await world.apply(await world.generation(rows, [file]))).changed == 4
    after = await world.versions()
    assert [name for name in before if before[name] != after[name]] == ["analytics.events"]
    await world.check()


async def test_json_is_compared_byte_by_byte_and_null_is_a_value(world: WarehouseWorld) -> None:
    file = staged_file(
        [clean_row("a", properties='{"a":1}'), clean_row("b", offset=1, context=None)], start=0
    )
    await world.load(file)
    first, second = rows_of(file)
    rows = [{**first, "properties": '{"a": 1}'}, {**second, "context": "null"}]
    assert (await world.apply(await world.generation(rows, [file]))).changed == 2
    assert [(row["properties"], row["context"]) for row in await world.check()] == [
        ('{"a": 1}', None),
        (second["properties"], "null"),
    ]


async def test_rows_of_files_that_the_generation_does_not_contain_stay(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    await world.load(*files)
    applied = await world.apply(await world.lake(files[0]))
    assert (applied.written, applied.unchanged) == (0, 4)
    assert len(await world.check()) == 8


async def test_a_contained_file_that_is_loaded_later_is_present(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    applied = await world.apply(await world.lake(*files))
    assert applied.inserted == 8
    before = await world.rows()
    loaded = await world.load(*files)
    assert [(entry.inserted, entry.present) for entry in loaded.loaded.values()] == [(0, 4), (0, 4)]
    assert await world.check() == before
    again = await world.apply(await world.lake(*files))
    assert (again.written, again.unchanged) == (0, 8)


async def test_inserted_rows_keep_their_file_and_say_when_they_came(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    await world.apply(await world.lake(*files))
    [(first, last)] = await world.harness.query(
        "SELECT min(loaded_ts) > now() - interval '1 hour', count(DISTINCT loaded_ts) FROM analytics.events"
    )
    assert (first, last) == (True, 1)
    assert {row["file_id"] for row in await world.rows()} == {file.file_id for file in files}


async def test_a_lower_copy_takes_the_place_of_a_higher_one(world: WarehouseWorld) -> None:
    lower = staged_file([clean_row("x", offset=1)], start=0)
    tomorrow = staged_file([clean_row("x", at=DAY + timedelta(days=1), offset=11)], start=10)
    today = staged_file([clean_row("y", offset=21)], start=20)
    await world.load(tomorrow, today)
    applied = await world.apply(await world.lake(lower))
    assert (applied.inserted, applied.displaced, applied.present) == (1, 1, 0)
    assert [row["src_offset"] for row in await world.check()] == [1, 21]
    entries = await world.harness.query(
        "SELECT rows_inserted, rows_present FROM ops.load_ledger ORDER BY chain_start"
    )
    assert entries == [(0, 1), (1, 0)]


async def test_a_higher_copy_stays_out(world: WarehouseWorld) -> None:
    lower = staged_file([clean_row("x", at=DAY - timedelta(hours=1), offset=1)], start=0)
    higher = staged_file([clean_row("x", offset=11), clean_row("y", offset=12)], start=10)
    await world.load(lower)
    applied = await world.apply(await world.lake(higher))
    assert (applied.inserted, applied.present) == (1, 1)
    assert [row["src_offset"] for row in await world.check()] == [1, 12]


async def test_the_copy_that_a_generation_chose_replaces_one_of_the_same_day(world: WarehouseWorld) -> None:
    files = [
        staged_file([clean_row("x", offset=5)], start=0),
        staged_file([clean_row("x", offset=15, revenue=None)], start=10),
    ]
    await world.load(files[1])
    applied = await world.apply(await world.lake(*files))
    assert (applied.changed, applied.inserted) == (1, 0)
    assert [row["src_offset"] for row in await world.check()] == [5]
    loaded = await world.load(files[0])
    assert [entry.present for entry in loaded.loaded.values()] == [1]
    await world.check()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_record_that_a_reprocess_moved_is_found_on_its_new_day(
    world: WarehouseWorld, order: tuple[int, int]
) -> None:
    """Whichever of the two days is applied first, the record is neither lost nor doubled."""
    file = staged_file([clean_row("x", offset=1), clean_row("y", offset=2)], start=0)
    await world.load(file)
    moved, kept = rows_of(file)
    moved = {**moved, "event_ts": DAY + timedelta(days=1, hours=1)}
    generations = [
        await world.generation([kept], [file]),
        await world.generation([moved], [file], day=TOMORROW),
    ]
    for number in order:
        await world.apply(generations[number])
        await world.check()
    rows = await world.rows()
    assert [(row["event_id"], row["event_date"]) for row in rows] == [("x", TOMORROW), ("y", DAY.date())]


async def test_suppressed_subjects_are_left_out_and_counted(world: WarehouseWorld) -> None:
    file = _file(0, rows=6)
    await world.load(file)
    await world.harness.suppress("user", "u1")
    applied = await world.apply(await world.lake(file))
    assert (applied.suppressed, applied.deleted, applied.unchanged) == (2, 2, 4)
    assert ids(await world.check()) == ["0", "2", "3", "5"]
    assert await world.harness.ledger_sums() == {"rows": 6, "inserted": 4, "present": 0, "suppressed": 2}
    again = await world.apply(await world.lake(file))
    assert (again.suppressed, again.written) == (2, 0)


async def test_an_older_generation_is_refused(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    await world.apply(await world.lake(*files), 7)
    before = await world.versions()
    assert (await world.apply(await world.lake(files[0]), 6)).outcome == "superseded"
    assert (await world.apply(await world.lake(files[0]), 7)).outcome == "present"
    assert await world.versions() == before


async def test_an_empty_generation_takes_out_what_it_contains(world: WarehouseWorld) -> None:
    files = [_file(0), _file(1)]
    await world.load(*files)
    assert (await world.apply(await world.generation([], [files[0]]))).deleted == 4
    assert ids(await world.check()) == ids(rows_of(files[1]))


async def test_a_day_without_a_partition_gets_one(world: WarehouseWorld) -> None:
    far = DAY - timedelta(days=400)
    file = staged_file([clean_row("old", at=far)], start=0)
    assert (await world.apply(await world.lake(file, day=far.date()))).inserted == 1
    await world.check()


async def test_rows_of_several_files_and_batches(world: WarehouseWorld) -> None:
    rows = [clean_row(f"n{at}", at=DAY + timedelta(seconds=at), offset=at) for at in range(3_000)]
    file = staged_file(rows, start=0, end=3_000)
    generation = await world.generation(rows_of(file), [file], files=3)
    assert (await world.apply(generation)).inserted == 3_000
    assert len(await world.check()) == 3_000


def _session(key: str, user: str, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SESSIONS.column_names)
    row |= {
        "session_key": key,
        "event_date": DAY.date(),
        "source": "shop",
        "user_key": user,
        "events": 1,
        "pages": 0,
    }
    return {**row, "started_ts": DAY, "ended_ts": DAY, "revenue": Decimal("1.5000"), "is_open": False, **more}


async def test_aggregates_are_replaced_by_difference(world: WarehouseWorld) -> None:
    file = _file(0)
    first = [_session("s1", "u:ann"), _session("s2", "u:bob"), _session("s3", "a:x")]
    other = _session("s0", "u:ann", event_date=TOMORROW)
    await world.apply(await world.generation(rows_of(file), [file], tables={SESSIONS: first}))
    await world.apply(await world.generation([], [], day=TOMORROW, tables={SESSIONS: [other]}))
    largest = Decimal("99999999999999999999999999999999.0001")
    second = [
        first[0],
        _session("s2", "u:bob", customer_id="c", revenue=largest, entry_path="/"),
        _session("s4", "u:eve"),
    ]
    generation = await world.generation(rows_of(file), [file], tables={SESSIONS: second})
    applied = await world.apply(generation)
    assert applied.aggregates["sessions"] == RowChanges(inserted=1, deleted=1, changed=1)
    statement = f"SELECT {', '.join(SESSIONS.column_names)} FROM analytics.sessions ORDER BY 1"
    assert await world.harness.query(statement) == [tuple(row.values()) for row in (other, *second)]
    before = await world.versions()
    assert (await world.apply(generation)).written == 0
    assert await world.versions() == before
    await world.harness.suppress("user", "eve")
    await world.harness.suppress("customer", "c")
    assert (await world.apply(generation)).aggregates["sessions"].deleted == 2
    await world.check()


async def test_every_aggregate_has_a_key_within_its_day(world: WarehouseWorld) -> None:
    day = {"event_date": DAY.date(), "source": "shop"}
    tables: dict[Table, list[dict[str, Any]]] = {
        FUNNELS: [
            {**day, "funnel": "f", "step": at, "step_name": "s", "users": 1, "sessions": 1} for at in (1, 2)
        ],
        COHORTS: [{**day, "cohort_date": each, "users": 1, "events": 2} for each in (DAY.date(), TOMORROW)],
        FINANCE_DAILY: [
            {**day, "currency": each, "customers": 1, "orders": 1, "events": 1}
            | dict.fromkeys(("gross", "refunds", "net"), Decimal("2.0000"))
            for each in ("", "EUR")
        ],
    }
    applied = await world.apply(await world.generation([], [], tables=tables))
    names = ("funnels", "cohorts", "finance_daily")
    assert [applied.aggregates[name] for name in names] == [RowChanges(inserted=2)] * 3
    tables = {
        table: [{**row, "events" if table is not FUNNELS else "users": 9} for row in rows[1:]]
        for table, rows in tables.items()
    }
    applied = await world.apply(await world.generation([], [], tables=tables))
    assert [applied.aggregates[name] for name in names] == [RowChanges(deleted=1, changed=1)] * 3
    assert applied.counts == {"warehouse_funnels": 2, "warehouse_cohorts": 2, "warehouse_finance_daily": 2}


async def test_the_port_answers_what_a_job_asks(world: WarehouseWorld) -> None:
    file = _file(0)
    assert await world.days.sequence(DAY.date().isoformat()) == 0
    await world.harness.suppress("user", "a")
    await world.harness.suppress("anonymous", "b")
    await world.harness.suppress("customer", "c")
    users, anonymous, customers = (frozenset({each}) for each in "abc")
    assert await world.days.suppressed() == Suppressions(users, anonymous, customers)
    port: WarehouseDay = world.days
    assert await port.apply(await world.lake(file), 3) == Applied(counts={"warehouse_inserted": 4})
    assert await port.sequence(DAY.date().isoformat()) == 3
    assert (await port.apply(await world.lake(file), 2)).superseded


@pytest.mark.parametrize(
    "damage", ["torn", "longer", "other bytes", "rows", "no Parquet", "another day", "twice", "bad id"]
)
async def test_a_damaged_generation_changes_nothing(world: WarehouseWorld, damage: str) -> None:
    file = _file(0)
    await world.load(file)
    rows = rows_of(file)
    if damage == "another day":
        rows[1]["event_ts"] += timedelta(days=1)
    if damage == "twice":
        rows.append({**rows[0], "src_offset": 99})
    if damage == "bad id":
        rows[0]["dedup_id"] = "z" * 32
    generation = await world.generation(rows, [file])
    [part] = generation.tables["events"]
    content = await world.store.get(part.key, deadline_s=1)
    changed = {
        "torn": content[:-9],
        "longer": content + b"x",
        "other bytes": bytes([content[0] ^ 1]) + content[1:],
    }
    await world.store.put(part.key, changed.get(damage, content), deadline_s=1)
    if damage in {"rows", "no Parquet"}:
        generation = await _misnamed(world, generation, damage)
    before = await world.versions()
    with pytest.raises(BadData) as raised:
        await world.apply(generation)
    assert raised.value.code in {"lake_file_torn", "generation_repeats", "dedup_id_malformed"}
    assert await world.versions() == before
    await world.check()


async def _misnamed(world: WarehouseWorld, generation: Generation, damage: str) -> Generation:
    """The generation with a file that matches its digest, but is no Parquet or has other rows than it says."""
    [part] = generation.tables["events"]
    content = b"x" * 100 if damage == "no Parquet" else await world.store.get(part.key, deadline_s=1)
    await world.store.put(part.key, content, deadline_s=1)
    digest = hashlib.sha256(content).hexdigest()
    named = msgspec.structs.replace(part, rows=3, bytes=len(content), sha256=digest)
    return msgspec.structs.replace(generation, tables={"events": (named,)})
