"""DDL of the warehouse for PostgreSQL and Redshift: two templates per statement, never one translated into the other."""

from __future__ import annotations

from datetime import date, timedelta

from headrace_core.tables import (
    ALL_TABLES,
    EVENTS,
    EVENTS_RESOLVED,
    LOAD_LOCK,
    LOAD_LOCK_EVENTS,
    SCHEMAS,
    Engine,
    Table,
    TableColumn,
    TableKind,
    View,
    events_partition,
)

__all__ = [
    "column_type",
    "create_partition",
    "create_schema",
    "create_session_table",
    "create_stage_table",
    "create_table",
    "create_view",
    "warehouse_ddl",
]

_POSTGRESQL_TYPES: dict[TableKind, str] = {
    "uuid": "uuid",
    "text": "text",
    "timestamp": "timestamptz",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "decimal": "numeric(18,4)",
    "sum": "numeric(38,4)",
    "json": "json",
    "date": "date",
    "boolean": "boolean",
}

_REDSHIFT_TYPES: dict[TableKind, str] = {
    "uuid": "CHAR(32) ENCODE ZSTD",
    "text": "VARCHAR({bytes}) ENCODE ZSTD",
    "timestamp": "TIMESTAMPTZ ENCODE AZ64",
    "smallint": "SMALLINT ENCODE AZ64",
    "integer": "INTEGER ENCODE AZ64",
    "bigint": "BIGINT ENCODE AZ64",
    "decimal": "DECIMAL(18,4) ENCODE AZ64",
    "sum": "DECIMAL(38,4) ENCODE AZ64",
    "json": "SUPER ENCODE ZSTD",
    "date": "DATE ENCODE AZ64",
    "boolean": "BOOLEAN ENCODE ZSTD",
}

_CREATE_SCHEMA: dict[Engine, str] = {
    "postgresql": "CREATE SCHEMA IF NOT EXISTS {name}",
    "redshift": "CREATE SCHEMA IF NOT EXISTS {name}",
}

_CREATE_TABLE: dict[Engine, str] = {
    "postgresql": "CREATE TABLE {name} (\n{columns},\n    PRIMARY KEY ({key})\n){partitioning}",
    "redshift": "CREATE TABLE {name} (\n{columns},\n    PRIMARY KEY ({key})\n)\n{distribution}{sorting}",
}

_CREATE_VIEW: dict[Engine, str] = {
    "postgresql": "CREATE OR REPLACE VIEW {name} AS\nSELECT\n{columns}\nFROM {table} e\nLEFT JOIN {beside} a ON a.{on} = e.{on}",
    "redshift": "CREATE OR REPLACE VIEW {name} AS\nSELECT\n{columns}\nFROM {table} e\nLEFT JOIN {beside} a ON a.{on} = e.{on}",
}

_INSERT_LOCK: dict[Engine, str] = {
    "postgresql": "INSERT INTO {name} (name) VALUES ('{row}')",
    "redshift": "INSERT INTO {name} (name) VALUES ('{row}')",
}


def column_type(column: TableColumn, engine: Engine) -> str:
    """The column's type, on Redshift with its encoding."""
    types = _POSTGRESQL_TYPES if engine == "postgresql" else _REDSHIFT_TYPES
    return types[column.kind].format(bytes=column.bytes)


def create_schema(name: str, engine: Engine) -> str:
    """CREATE SCHEMA of a name."""
    return _CREATE_SCHEMA[engine].format(name=name)


def create_table(table: Table, engine: Engine) -> list[str]:
    """CREATE TABLE, and on PostgreSQL its indexes."""
    template = _CREATE_TABLE[engine]
    statement = template.format(
        name=table.full_name,
        columns=_columns(table, engine),
        key=", ".join(table.key),
        partitioning=f" PARTITION BY RANGE ({table.partitioned_by})" if table.partitioned_by else "",
        distribution=f"DISTSTYLE KEY DISTKEY ({table.distribution})"
        if table.distribution
        else "DISTSTYLE AUTO",
        sorting=f"\nCOMPOUND SORTKEY ({', '.join(table.sort)})" if table.sort else "",
    )
    return [statement, *_indexes(table)] if engine == "postgresql" else [statement]


def create_view(view: View, engine: Engine) -> str:
    """CREATE VIEW with its columns by name: a star would freeze at the view's birth without saying so.

    It replaces an earlier one of the same columns, so that views of other people that stand on it may stay.
    """
    computed = dict(view.computed)
    columns = ",\n".join(
        f"    {_computed(computed[column.name], column, engine)}"
        if column.name in computed
        else f"    e.{column.name}"
        for column in view.of.columns
    )
    return _CREATE_VIEW[engine].format(
        name=view.full_name,
        columns=columns,
        table=view.of.full_name,
        beside=view.beside.full_name,
        on=view.on,
    )


def _computed(expression: str, column: TableColumn, engine: Engine) -> str:
    """The expression as a column of the type that it had before: an engine replaces a view only by one of equal types."""
    stored_as = column_type(column, engine).partition(" ENCODE ")[0]
    return f"CAST({expression} AS {stored_as}) AS {column.name}"


def create_stage_table(table: Table) -> str:
    """A worker's stage table on PostgreSQL: not in the write-ahead log, and nothing in it outlives a crash."""
    columns = _columns(table, "postgresql")
    return f"CREATE UNLOGGED TABLE {table.full_name} (\n{columns}\n) WITH (autovacuum_enabled = off)"


def create_session_table(table: Table) -> str:
    """A table of schema pg_temp on PostgreSQL: only its session sees it, and with its session it is gone."""
    return f"CREATE TEMPORARY TABLE {table.name} (\n{_columns(table, 'postgresql')}\n)"


def create_partition(day: date) -> list[str]:
    """A daily partition of events on PostgreSQL, to be run in one transaction.

    Made apart and attached: unlike CREATE TABLE ... PARTITION OF this does not lock out the readers of other days. Rows
    up to a page stay in line and uncompressed: the server's own compression costs more than the rest of a load.
    """
    name = events_partition(day)
    bounds = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
    return [
        f"CREATE TABLE {name} (LIKE {EVENTS.full_name} INCLUDING DEFAULTS) WITH (toast_tuple_target = 8160)",
        f"ALTER TABLE {EVENTS.full_name} ATTACH PARTITION {name} FOR VALUES {bounds}",
    ]


def warehouse_ddl(engine: Engine) -> list[str]:
    """All statements that make an empty warehouse, in their order."""
    statements = [create_schema(name, engine) for name in SCHEMAS]
    for table in ALL_TABLES:
        statements += create_table(table, engine)
    statements.append(create_view(EVENTS_RESOLVED, engine))
    statements.append(_INSERT_LOCK[engine].format(name=LOAD_LOCK.full_name, row=LOAD_LOCK_EVENTS))
    return statements


def _columns(table: Table, engine: Engine) -> str:
    lines = [
        f"    {column.name} {column_type(column, engine)}{'' if column.nullable else ' NOT NULL'}"
        for column in table.columns
    ]
    return ",\n".join(lines)


def _indexes(table: Table) -> list[str]:
    ranges = [
        f"CREATE INDEX {table.name}_{column} ON {table.full_name} USING brin ({column})"
        for column in table.ranges
    ]
    lookups = [
        f"CREATE INDEX {table.name}_{'_'.join(columns)} ON {table.full_name} ({', '.join(columns)})"
        for columns in table.lookups
    ]
    return ranges + lookups
