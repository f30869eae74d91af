"""The warehouse's tables: golden DDL for both engines, and what migrations have frozen."""

import hashlib
from datetime import date
from pathlib import Path

import pytest

from headrace_core.ddl import create_partition, warehouse_ddl
from headrace_core.events import CleanEvent, columns_of
from headrace_core.tables import ALL_TABLES, EVENTS, ROLLUP_DIMENSIONS, Engine, Table, stage_table

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "data" / "sql"
FROZEN = ROOT / "services" / "loader" / "src" / "headrace_loader" / "migrations" / "frozen"

FROZEN_DIGESTS = {
    "0001.postgresql.sql": "3aaf7c081b5b7ab516db9053947858cda948f1ad257ee873bdbca77fbafa6fae",
    "0001.redshift.sql": "19e879674e40c6de3ce7b4dccf6cd9f22d9903e30112e3036652df3b686f9500",
    "0002.postgresql.sql": "3b8641c05ecede7a9af8ccef242cf40fbdd1deb0ce3b4e7412c74cffaf975181",
    "0002.redshift.sql": "4ec41d6a984c44e66291b99c0f75b1258230cd16c9c932d7a89ea85734f6c9a2",
    "0003.postgresql.sql": "cbf7f67307e27f84a5ae5c9ce06bc9d7e706ef05f320682a54399755fe8a69d9",
    "0003.redshift.sql": "4bb0b13e86a1e8a846ad61ff063492de5e9dbaf98f9dcb75d3d260d0676de532",
    "0004.postgresql.sql": "185476fda4ef3fc6f679510aefb782bdb0e882f22431d56737c9460e65fa7b66",
    "0004.redshift.sql": "4c9223a76a987f2ff043838393ae7979004c59b469937291b5a5b39830918bbd",
}
"""What installations went through: these never change, a new revision gets a new file."""


@pytest.mark.parametrize("engine", ["postgresql", "redshift"])
def test_ddl_is_the_golden_one(engine: Engine) -> None:
    golden = (GOLDEN / f"warehouse.{engine}.sql").read_text()
    assert ";\n\n".join(warehouse_ddl(engine)) + ";\n" == golden, (
        "a change of the schema needs a new revision too"
    )


def test_frozen_migrations_never_change() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FROZEN.iterdir()}
    assert found == FROZEN_DIGESTS


def test_events_hold_every_column_of_a_clean_event_in_its_order() -> None:
    names = [column.name for column in columns_of(CleanEvent)]
    assert list(EVENTS.column_names) == [*names, "file_id", "event_date", "loaded_ts", "is_late"]


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
def test_keys_and_sort_orders_name_columns(table: Table) -> None:
    named = {*table.key, *table.sort, *table.ranges, *(name for names in table.lookups for name in names)}
    assert named <= set(table.column_names)
    nullable = {column.name for column in table.columns if column.nullable}
    assert not nullable & set(table.key)


def test_rollups_have_no_null_in_their_key() -> None:
    [minute] = [table for table in ALL_TABLES if table.name == "events_minute"]
    assert set(ROLLUP_DIMENSIONS) < set(minute.key)


def test_a_partition_holds_one_day() -> None:
    create, attach = create_partition(date(2026, 12, 31))
    assert create.startswith("CREATE TABLE analytics.events_p20261231 ")
    assert attach.endswith("FOR VALUES FROM ('2026-12-31') TO ('2027-01-01')")


def test_a_stage_table_has_the_types_of_events() -> None:
    types = {column.name: column.kind for column in EVENTS.columns}
    for column in stage_table(3).columns:
        assert column.name == "row_number" or column.kind == types[column.name]
