"""What follows from the edges of a log up to an offset: customers, their aliases, and what is ambiguous. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from headrace_core.identity.edges import AliasKind, Edge, user_key_of
from headrace_core.identity.index import (
    MAX_ALIASES_PER_CUSTOMER,
    MAX_CHAIN,
    MAX_CUSTOMERS_PER_ALIAS,
    EdgeRecord,
    IdentityIndex,
    customers_named,
    living_edges,
)

__all__ = ["ITSELF", "AliasRow", "Ambiguity", "CustomerRow", "Resolution", "resolve"]

ITSELF: Final = ""
"""Source of the row that a customer has for its own id."""


class AliasRow(msgspec.Struct, frozen=True, gc=False):
    """A row of analytics.customer_aliases; source, confidence and valid_from are those of the edge that decides."""

    kind: AliasKind
    alias: str
    user_key: str
    customer_id: str
    source: str
    confidence: float
    valid_from: int
    """UTC µs."""


class CustomerRow(msgspec.Struct, frozen=True, gc=False):
    """A row of analytics.customers, without the time at which it is written."""

    customer_id: str
    first_seen_ts: int
    """The earliest valid_from of its aliases, UTC µs."""
    alias_count: int
    """Its own id not counted."""


class Ambiguity(msgspec.Struct, frozen=True, gc=False):
    """An id that decides nothing. ``id`` is a user_key, for ``many_aliases`` an id that too many lead to."""

    reason: Literal["many_customers", "many_aliases", "long_chain"]
    id: str
    count: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """Who is who as of an offset. Rows are sorted by their keys."""

    customers: tuple[CustomerRow, ...]
    aliases: tuple[AliasRow, ...]
    ambiguous: tuple[Ambiguity, ...]
    index: IdentityIndex = field(compare=False, repr=False)
    """What it was made from."""

    def customer_of(self, kind: AliasKind, alias: str) -> str | None:
        """The customer of an alias; None where it is unknown or ambiguous."""
        return self.index.customer_of(user_key_of(kind, alias))


def resolve(records: Iterable[EdgeRecord], as_of: int | None = None) -> Resolution:
    """What the records below the offset ``as_of`` say; all of them where it is None. Their order does not matter."""
    counted = {record.offset: record for record in records if as_of is None or record.offset < as_of}
    index = IdentityIndex()
    index.apply(counted[offset] for offset in sorted(counted))
    rows, long_chains = _alias_rows(index)
    return Resolution(_customer_rows(rows), tuple(rows), _ambiguous(index, long_chains), index)


def _alias_rows(index: IdentityIndex) -> tuple[list[AliasRow], list[Ambiguity]]:
    ends: dict[str, str | None] = {}
    first_seen: dict[str, int] = {}
    rows: list[AliasRow] = []
    for user_key, edge in index.decided.items():
        if edge.customer_id not in ends:
            ends[edge.customer_id] = index.end_of(edge.customer_id)
        end = ends[edge.customer_id]
        if end is not None:
            rows.append(_row(edge, user_key, end))
            first_seen[end] = min(edge.valid_from, first_seen.get(end, edge.valid_from))
    rows += [
        AliasRow("user", customer, user_key_of("user", customer), customer, ITSELF, 1.0, seen)
        for customer, seen in first_seen.items()
        if user_key_of("user", customer) not in index.decided
    ]
    long_chains = [
        Ambiguity("long_chain", user_key_of("user", start), MAX_CHAIN)
        for start, end in ends.items()
        if end is None and _is_long(index, start)
    ]
    return sorted(rows, key=lambda row: row.user_key), long_chains


def _row(edge: Edge, user_key: str, customer_id: str) -> AliasRow:
    return AliasRow(
        edge.kind, edge.alias, user_key, customer_id, edge.source, edge.confidence, edge.valid_from
    )


def _is_long(index: IdentityIndex, start: str) -> bool:
    """Whether a chain that has no end is too long, and not stopped by an id that too many lead to."""
    identifier = start
    for _ in range(MAX_CHAIN):
        if index.leading[identifier] > MAX_ALIASES_PER_CUSTOMER:
            return False
        edge = index.decided.get(user_key_of("user", identifier))
        if edge is None:
            return False
        identifier = edge.customer_id
    return True


def _customer_rows(rows: Iterable[AliasRow]) -> tuple[CustomerRow, ...]:
    of_customer: defaultdict[str, list[AliasRow]] = defaultdict(list)
    for row in rows:
        of_customer[row.customer_id].append(row)
    return tuple(
        CustomerRow(
            customer,
            min(row.valid_from for row in of_customer[customer]),
            sum(row.user_key != user_key_of("user", customer) for row in of_customer[customer]),
        )
        for customer in sorted(of_customer)
    )


def _ambiguous(index: IdentityIndex, long_chains: list[Ambiguity]) -> tuple[Ambiguity, ...]:
    found = [
        Ambiguity("many_aliases", identifier, count)
        for identifier, count in index.leading.items()
        if count > MAX_ALIASES_PER_CUSTOMER
    ]
    for user_key, edges in index.known.items():
        if len(edges) > MAX_CUSTOMERS_PER_ALIAS:
            named = customers_named(living_edges(edges))
            if named > MAX_CUSTOMERS_PER_ALIAS:
                found.append(Ambiguity("many_customers", user_key, named))
    return tuple(sorted([*found, *long_chains], key=lambda each: (each.reason, each.id)))
