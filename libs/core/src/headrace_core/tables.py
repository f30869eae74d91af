"""The warehouse's tables as data: names, columns, keys. `headrace_core.ddl` renders them for either engine.

Migrations freeze what is rendered at their revision; a change here needs a new revision. Columns are additive as in
`headrace_core.events`: new ones come last and are nullable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from headrace_core.events import CleanEvent, columns_of

__all__ = [
    "ALL_TABLES",
    "COHORTS",
    "CUSTOMERS",
    "CUSTOMER_ALIASES",
    "DAY_GENERATION",
    "ERASURE_REQUESTS",
    "EVENTS",
    "EVENTS_DAY",
    "EVENTS_HOUR",
    "EVENTS_MINUTE",
    "EVENTS_RESOLVED",
    "FINANCE_DAILY",
    "FUNNELS",
    "LOAD_ERROR",
    "LOAD_LEDGER",
    "LOAD_LOCK",
    "LOAD_LOCK_EVENTS",
    "ROLLUP_DIMENSIONS",
    "SCHEMAS",
    "SCHEMA_VERSION_TABLE",
    "SESSIONS",
    "SUPPRESSED_SUBJECTS",
    "USER_DAY",
    "USER_FIRST_SEEN",
    "Engine",
    "Table",
    "TableColumn",
    "TableKind",
    "View",
    "events_partition",
    "stage_table",
]

Engine = Literal["postgresql", "redshift"]

TableKind = Literal[
    "uuid", "text", "timestamp", "smallint", "integer", "bigint", "decimal", "sum", "json", "date", "boolean"
]
"""Kinds of `headrace_core.events`, and ``sum``: a total of decimal(18,4) values."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column. ``bytes`` is the widest UTF-8 text that Redshift's column takes."""

    name: str
    kind: TableKind
    nullable: bool = False
    bytes: int = 512


@dataclass(frozen=True, slots=True)
class Table:
    """A table. The unique key is enforced by PostgreSQL only; distribution and sort keys exist on Redshift only.

    ``partitioned_by`` names the date column of PostgreSQL's daily partitions. ``ranges`` are columns that PostgreSQL
    indexes by block ranges, ``lookups`` column lists that it indexes by trees.
    """

    schema: str
    name: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...]
    distribution: str | None = None
    sort: tuple[str, ...] = ()
    partitioned_by: str | None = None
    ranges: tuple[str, ...] = ()
    lookups: tuple[tuple[str, ...], ...] = ()

    @property
    def full_name(self) -> str:
        """Name with its schema."""
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns in their order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class View:
    """The rows of a table, each with what another table of the same key column says of it now, if anything.

    ``computed`` gives columns of ``of`` another expression; in it e is a row of ``of`` and a that of ``beside``.
    """

    schema: str
    name: str
    of: Table
    beside: Table
    on: str
    computed: tuple[tuple[str, str], ...]

    @property
    def full_name(self) -> str:
        """Name with its schema."""
        return f"{self.schema}.{self.name}"


SCHEMAS = ("analytics", "ops")
SCHEMA_VERSION_TABLE = "schema_version"
"""In schema ops; the migration tool makes and keeps it."""


def _event_columns() -> tuple[TableColumn, ...]:
    """The columns of a clean event, then what staging and the load add."""
    of_the_event = tuple(
        TableColumn(column.name, column.kind, nullable=column.nullable, bytes=column.bytes)
        for column in columns_of(CleanEvent)
    )
    return (
        *of_the_event,
        TableColumn("file_id", "bigint"),
        TableColumn("event_date", "date"),
        TableColumn("loaded_ts", "timestamp"),
        TableColumn("is_late", "boolean"),
    )


EVENTS = Table(
    "analytics",
    "events",
    _event_columns(),
    # The id leads: it decides every comparison alone, and a look-up by id alone can use the index.
    key=("dedup_id", "event_date"),
    distribution="user_key",
    sort=("event_date", "event_type", "event_ts"),
    partitioned_by="event_date",
    ranges=("event_ts",),
)

CUSTOMERS = Table(
    "analytics",
    "customers",
    (
        TableColumn("customer_id", "text"),
        TableColumn("first_seen_ts", "timestamp"),
        TableColumn("alias_count", "bigint"),
        TableColumn("updated_ts", "timestamp"),
    ),
    key=("customer_id",),
    sort=("customer_id",),
)
"""Who is known: `headrace_core.identity.CustomerRow`, and when the row was written."""

CUSTOMER_ALIASES = Table(
    "analytics",
    "customer_aliases",
    (
        TableColumn("user_key", "text"),
        TableColumn("kind", "text"),
        TableColumn("alias", "text"),
        TableColumn("customer_id", "text"),
        TableColumn("source", "text"),
        TableColumn("confidence", "decimal"),
        TableColumn("valid_from", "timestamp"),
    ),
    # Unique, so that a query of events_resolved that asks for no customer skips the join on PostgreSQL.
    key=("user_key",),
    distribution="user_key",
    sort=("user_key",),
    lookups=(("customer_id",),),
)
"""The customer of each alias as of now, and the edge that decides it: `headrace_core.identity.AliasRow`."""

_STATUS_NOW = """CASE
        WHEN a.customer_id IS NOT NULL OR LEFT(e.user_key, 2) = 'u:' THEN 'resolved'
        WHEN LEFT(e.user_key, 2) = 'a:' THEN 'anonymous'
        ELSE 'unresolved'
    END"""
"""As normalisation says it of the ids of an event, unless a customer is known."""

EVENTS_RESOLVED = View(
    "analytics",
    "events_resolved",
    EVENTS,
    beside=CUSTOMER_ALIASES,
    on="user_key",
    computed=(
        ("customer_id", "a.customer_id"),
        ("identity_status", _STATUS_NOW),
    ),
)
"""Events with the customer as of now (rule B5): also of a mapping that came later, and of none where one was taken back."""

ROLLUP_DIMENSIONS = ("source", "event_type", "event_name", "currency")
"""What a bucket is of, beside its start. Empty text stands for none, so that the key has no nulls."""


def _rollup(unit: str) -> Table:
    """Buckets of one width: additive measures, and bounds of the event times."""
    return Table(
        "analytics",
        f"events_{unit}",
        (
            TableColumn("bucket_start", "timestamp"),
            TableColumn("source", "text"),
            TableColumn("event_type", "text"),
            TableColumn("event_name", "text"),
            TableColumn("currency", "text"),
            TableColumn("events", "bigint"),
            TableColumn("late_events", "bigint"),
            TableColumn("revenue_events", "bigint"),
            TableColumn("revenue", "sum"),
            TableColumn("min_event_ts", "timestamp"),
            TableColumn("max_event_ts", "timestamp"),
        ),
        key=("bucket_start", *ROLLUP_DIMENSIONS),
        sort=("bucket_start", "event_type"),
    )


EVENTS_MINUTE = _rollup("minute")
EVENTS_HOUR = _rollup("hour")
EVENTS_DAY = _rollup("day")

USER_DAY = Table(
    "analytics",
    "user_day",
    (
        TableColumn("event_date", "date"),
        TableColumn("user_key", "text"),
        TableColumn("source", "text"),
        TableColumn("events", "bigint"),
        TableColumn("min_event_ts", "timestamp"),
        TableColumn("max_event_ts", "timestamp"),
    ),
    key=("user_key", "event_date", "source"),
    distribution="user_key",
    sort=("event_date",),
    ranges=("event_date",),
)
"""Who was there on a day, per source; events that name no user are left out. Distinct users are counted here."""

USER_FIRST_SEEN = Table(
    "analytics",
    "user_first_seen",
    (TableColumn("user_key", "text"), TableColumn("first_event_ts", "timestamp")),
    key=("user_key",),
    distribution="user_key",
    sort=("first_event_ts",),
)

SESSIONS = Table(
    "analytics",
    "sessions",
    (
        TableColumn("session_key", "text"),
        TableColumn("event_date", "date"),
        TableColumn("source", "text"),
        TableColumn("user_key", "text"),
        TableColumn("customer_id", "text", nullable=True),
        TableColumn("started_ts", "timestamp"),
        TableColumn("ended_ts", "timestamp"),
        TableColumn("events", "bigint"),
        TableColumn("pages", "bigint"),
        TableColumn("revenue", "sum"),
        TableColumn("entry_path", "text", nullable=True, bytes=65_535),
        TableColumn("exit_path", "text", nullable=True, bytes=65_535),
        TableColumn("referrer_medium", "text", nullable=True),
        TableColumn("utm_source", "text", nullable=True),
        TableColumn("is_open", "boolean"),
    ),
    key=("session_key",),
    distribution="user_key",
    sort=("event_date", "started_ts"),
    lookups=(("event_date",), ("user_key",)),
)
"""Sessions on the day on which they start, from the day's lake generation."""

FUNNELS = Table(
    "analytics",
    "funnels",
    (
        TableColumn("event_date", "date"),
        TableColumn("funnel", "text"),
        TableColumn("step", "smallint"),
        TableColumn("source", "text"),
        TableColumn("step_name", "text"),
        TableColumn("users", "bigint"),
        TableColumn("sessions", "bigint"),
    ),
    key=("event_date", "funnel", "step", "source"),
    sort=("event_date",),
)
"""How many sessions of a day came to each step, counted from 1."""

COHORTS = Table(
    "analytics",
    "cohorts",
    (
        TableColumn("event_date", "date"),
        TableColumn("cohort_date", "date"),
        TableColumn("source", "text"),
        TableColumn("users", "bigint"),
        TableColumn("events", "bigint"),
    ),
    key=("event_date", "cohort_date", "source"),
    sort=("event_date",),
)
"""The users of a day by the day on which each was first seen."""

FINANCE_DAILY = Table(
    "analytics",
    "finance_daily",
    (
        TableColumn("event_date", "date"),
        TableColumn("source", "text"),
        TableColumn("currency", "text"),
        TableColumn("customers", "bigint"),
        TableColumn("orders", "bigint"),
        TableColumn("gross", "sum"),
        TableColumn("refunds", "sum"),
        TableColumn("net", "sum"),
        TableColumn("events", "bigint"),
    ),
    key=("event_date", "source", "currency"),
    sort=("event_date",),
)
"""What a day's events earned. Refunds are negative; empty text stands for no currency."""

LOAD_LEDGER = Table(
    "ops",
    "load_ledger",
    (
        TableColumn("file_id", "bigint"),
        TableColumn("file_key", "text"),
        TableColumn("chain_partition", "integer"),
        TableColumn("chain_start", "bigint"),
        TableColumn("chain_end", "bigint"),
        TableColumn("rows_staged", "bigint"),
        TableColumn("rows_inserted", "bigint"),
        TableColumn("rows_present", "bigint"),
        TableColumn("rows_suppressed", "bigint"),
        TableColumn("min_received_ts", "timestamp", nullable=True),
        TableColumn("max_received_ts", "timestamp", nullable=True),
        TableColumn("schema_version", "smallint"),
        TableColumn("loaded_ts", "timestamp"),
        TableColumn("writer", "text"),
    ),
    key=("file_id",),
    sort=("loaded_ts",),
    lookups=(("chain_partition", "chain_start"), ("loaded_ts",)),
)
"""The files that are in. rows_inserted + rows_present + rows_suppressed = rows_staged."""

LOAD_ERROR = Table(
    "ops",
    "load_error",
    (
        TableColumn("file_id", "bigint"),
        TableColumn("file_key", "text"),
        TableColumn("chain_partition", "integer"),
        TableColumn("chain_start", "bigint"),
        TableColumn("rows_staged", "bigint"),
        TableColumn("code", "text"),
        TableColumn("message", "text", bytes=65_535),
        TableColumn("set_aside_ts", "timestamp"),
        TableColumn("released_ts", "timestamp", nullable=True),
    ),
    key=("file_id",),
    sort=("set_aside_ts",),
)
"""Files set aside, and why. A released one is tried again; a loaded one leaves the table."""

LOAD_LOCK = Table("ops", "load_lock", (TableColumn("name", "text"),), key=("name",))
"""One row per warehouse table: whoever writes the table locks its row first."""
LOAD_LOCK_EVENTS = "events"

DAY_GENERATION = Table(
    "ops",
    "day_generation",
    (
        TableColumn("event_date", "date"),
        TableColumn("sequence", "bigint", nullable=True),
        TableColumn("expired_ts", "timestamp", nullable=True),
    ),
    key=("event_date",),
)
"""Per day the sequence of the lake generation that was applied last, and when its hot rows expired."""

SUPPRESSED_SUBJECTS = Table(
    "ops",
    "suppressed_subjects",
    (
        TableColumn("kind", "text"),
        TableColumn("value", "text"),
        TableColumn("suppressed_ts", "timestamp"),
    ),
    key=("kind", "value"),
)
"""Who asked to be forgotten: kind is user, anonymous or customer."""

ERASURE_REQUESTS = Table(
    "ops",
    "erasure_requests",
    (
        TableColumn("id", "text"),
        TableColumn("subject_kind", "text"),
        TableColumn("subject_value", "text"),
        TableColumn("requested_ts", "timestamp"),
        TableColumn("state", "text"),
        TableColumn("evidence_key", "text", nullable=True),
        TableColumn("closed_ts", "timestamp", nullable=True),
    ),
    key=("id", "subject_kind", "subject_value"),
)
"""Requests to be forgotten, a row per subject that a request names; state is open or closed, kinds as suppressed_subjects."""

ALL_TABLES: tuple[Table, ...] = (
    EVENTS,
    EVENTS_MINUTE,
    EVENTS_HOUR,
    EVENTS_DAY,
    USER_DAY,
    USER_FIRST_SEEN,
    CUSTOMERS,
    CUSTOMER_ALIASES,
    SESSIONS,
    FUNNELS,
    COHORTS,
    FINANCE_DAILY,
    LOAD_LEDGER,
    LOAD_ERROR,
    LOAD_LOCK,
    DAY_GENERATION,
    SUPPRESSED_SUBJECTS,
    ERASURE_REQUESTS,
)


def events_partition(day: date) -> str:
    """Full name of PostgreSQL's partition of the events of a day."""
    return f"{EVENTS.full_name}_p{day:%Y%m%d}"


def stage_table(slot: int) -> Table:
    """The permanent stage table of one worker on PostgreSQL: what decides about a row, and what rollups are made of.

    The other columns go from the file to the events table in one pass; ``row_number`` is the row's place in its file.
    """
    names = (
        "dedup_id",
        "event_date",
        "src_partition",
        "src_offset",
        "file_id",
        "event_ts",
        "is_late",
        "revenue",
        "source",
        "event_type",
        "event_name",
        "currency",
        "identity_status",
        "user_key",
        "user_id",
        "anonymous_id",
        "customer_id",
    )
    of_events = {column.name: column for column in EVENTS.columns}
    columns = (TableColumn("row_number", "integer"), *(of_events[name] for name in names))
    return Table("ops", f"stage_events_{slot}", columns, key=())
