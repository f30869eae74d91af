"""Builds an extract for Tableau: one table in one .hyper file, from Parquet files that Hyper reads itself.

Types are exact. Amounts of 38 digits need version 3 of the file format; the version before knows 18 digits only, and a
sum that does not fit would have to be cut. Times are written without a zone, in UTC: Tableau has no type with one. Hyper
sends no usage data, and writes no log of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow.parquet as pq

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.tables import Table, TableColumn, TableKind

try:
    from tableauhyperapi import Connection, CreateMode, HyperException, HyperProcess, Telemetry
    from tableauhyperapi import escape_string_literal as literal
except ModuleNotFoundError:  # an extra, since its engine takes 290 MB and is not built for every machine
    HyperProcess = None

__all__ = ["HyperFile"]

_FORMAT_VERSION = "3"
_INSERT = "INSERT INTO {table} SELECT {columns} FROM external({file})"
_TYPES: Mapping[TableKind, str] = {
    "uuid": "text",
    "text": "text",
    "json": "text",
    "timestamp": "timestamp",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "decimal": "numeric(18,4)",
    "sum": "numeric(38,4)",
    "date": "date",
    "boolean": "boolean",
}


class HyperFile:
    """A new file at ``path`` with the table, under its name in the warehouse. Every call blocks: use a thread.

    Raises ConfigurationError where Hyper is not installed, BadData for rows that it refuses.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self._path = path
        self._table = table
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if HyperProcess is None:
            raise _not_installed()
        parameters = {"log_config": "", "default_database_version": _FORMAT_VERSION}
        process = HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=parameters)
        endpoint = self._stack.enter_context(process).endpoint
        mode = CreateMode.CREATE_AND_REPLACE
        self._connection = self._stack.enter_context(Connection(endpoint, self._path, mode))
        self._connection.catalog.create_schema(self._table.schema)
        columns = ", ".join(_definition(column) for column in self._table.columns)
        self._connection.execute_command(f"CREATE TABLE {self._table.full_name} ({columns})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file, and end Hyper."""
        self._stack.close()

    def add(self, parquet: Path) -> int:
        """Add the rows of a file; how many they are. Columns that an older file lacks are null."""
        present = set(pq.read_schema(parquet).names)
        chosen = ", ".join(_expression(column, column.name in present) for column in self._table.columns)
        try:
            added = self._connection.execute_command(
                _INSERT.format(table=self._table.full_name, columns=chosen, file=literal(str(parquet)))
            )
        except HyperException as error:
            raise BadData(
                "A file does not fit into an extract.",
                why=str(error).partition("\n")[0],
                fix="Compare its columns with those of the table; a generation of another version is made anew.",
                code="hyper_refused",
            ) from error
        return int(added or 0)


def _definition(column: TableColumn) -> str:
    return f'"{column.name}" {_TYPES[column.kind]}{"" if column.nullable else " NOT NULL"}'


def _expression(column: TableColumn, present: bool) -> str:
    if not present:
        return f"CAST(NULL AS {_TYPES[column.kind]})"
    if column.kind == "timestamp":
        return f"\"{column.name}\" AT TIME ZONE 'UTC'"
    return f'CAST("{column.name}" AS {_TYPES[column.kind]})'


def _not_installed() -> ConfigurationError:
    return ConfigurationError(
        "Extracts for Tableau cannot be made here.",
        why="The package tableauhyperapi, which carries Hyper, is not installed.",
        fix="Install headrace-spark[hyper], where Tableau builds it for the machine, or ask for the format parquet.",
        code="hyper_missing",
    )
