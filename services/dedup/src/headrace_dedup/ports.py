"""What an owner needs besides messages: the rules as a pure function, the table of seen ids, and who it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_core.decide import SeenTable
from headrace_dedup.messages import Prepared, RawRecord

__all__ = ["Customers", "Limits", "OwnerIdentity", "Rules", "Table"]


@dataclass(frozen=True, slots=True)
class OwnerIdentity:
    """Which log and partition an owner works on, and the name that it writes into its blocks."""

    cluster_id: str
    topic_id: str
    """Id of the topic events.raw."""
    partition: int
    writer: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Size of a range and length of the memory (rule D1)."""

    window_ms: int = 86_400_000
    range_records: int = 4_000
    range_bytes: int = 4 << 20


class Customers(Protocol):
    """Who is who as far as this process knows now (`headrace_core.identity.IdentityIndex`)."""

    def __len__(self) -> int:
        """How many aliases have a customer; 0 while nothing is known."""
        ...

    def customer_of(self, user_key: str) -> str | None:
        """The customer of an event's user_key, or None."""
        ...


class Rules(Protocol):
    """One version of the rules: raw records to columns. No clock, no settings, no randomness; but the customer of an event
    is as of when it is read, and may be another when its range is sent again (rule B5: advisory)."""

    schema_version: int
    rules_version: int
    fingerprint_version: int

    def prepare(self, partition: int, records: Sequence[RawRecord]) -> Prepared:
        """Identity, fingerprint, CleanEvent (JSON) and edges of each record, or the reason why there is none; the size of its
        value in any case, by which ranges and memory are bounded.

        ConfigurationError where a mapping that a record names is not deployed: that is no property of the record.
        """
        ...


class Table(SeenTable, Protocol):
    """The remembered ids of a partition (rule D8)."""

    def release_below(self, horizon_offset: int) -> None:
        """Entries below this offset may give their place to others from now on: it is the horizon of the last valid
        block. They are not forgotten at once."""
        ...

    def set_column(self, ids: bytes, entries: Sequence[int]) -> None:
        """As set_many, with the ids joined; an id may occur more than once, its last entry counts."""
        ...

    def room(self) -> int:
        """How many more ids fit for certain. Past that, TableFull, but for a single id, which may use a reserve."""
        ...

    def __len__(self) -> int:
        """Entries held, live and expired."""
        ...
