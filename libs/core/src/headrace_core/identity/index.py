"""The edges of a log as they count now, kept up record by record. Pure.

Records go in by ascending offset. What is known of a pair of alias and customer from one source is its latest edge by
``valid_from``, so a record that comes again, or late, changes nothing.

An index may be bounded. What it has no room for it gives up, until it is cleared: such an alias has no customer, and no
chain goes through it, since what is known of it is not all that was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from headrace_core.identity.edges import EVERY_CUSTOMER, Edge, edge_key, split_edge_key

__all__ = [
    "MAX_ALIASES_PER_CUSTOMER",
    "MAX_CHAIN",
    "MAX_CUSTOMERS_PER_ALIAS",
    "MOST_EDGES_OF_AN_ALIAS",
    "EdgeRecord",
    "IdentityIndex",
    "edge_record",
]

MAX_CUSTOMERS_PER_ALIAS: Final = 10
"""An alias that is said to be more customers than this is nobody's: a till, a shared tablet, a test account."""

MAX_ALIASES_PER_CUSTOMER: Final = 1_000
"""An id that more aliases than this lead to directly stands for no customer: a login that many share."""

MAX_CHAIN: Final = 32
"""A chain of more ids than this is not followed."""


MOST_EDGES_OF_AN_ALIAS: Final = 64
"""Of a bounded index; with more the alias is given up. Each edge of an alias costs a look at all the others."""


class EdgeRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of identity.edges: its offset, its key, and its edge; None for a tombstone."""

    offset: int
    key: bytes
    edge: Edge | None


def edge_record(offset: int, edge: Edge) -> EdgeRecord:
    """The record of an edge."""
    return EdgeRecord(offset, edge_key(edge), edge)


_NO_EDGES: Final[tuple[Edge, ...]] = ()
_DECIDED_TOGETHER = 200
"""Aliases of an index without a bound, which are held twice meanwhile. Those of many edges wait for the end."""

_Pairs = dict[tuple[str, str], Edge]
"""The latest edge of an alias by source and customer."""

_Pending = dict[str, _Pairs]
"""Aliases that records speak of and that are not decided yet."""


class IdentityIndex:
    """All edges by alias, the edge that decides each alias, and how many lead to each id.

    ``most_edges`` bounds the edges that it holds, and the aliases that it gives up, each; without it there is no bound.
    """

    def __init__(self, *, most_edges: int | None = None) -> None:
        self._most_edges = most_edges
        self._size = 0
        self._given_up: set[str] = set()
        self._undecided: set[str] = set()
        self.passed_over: Counter[Literal["full", "given_up"]] = Counter()
        """Edges that were not learned: the index was full, or has given their alias up."""
        self._edges: dict[str, tuple[Edge, ...]] = {}
        self._decided: dict[str, Edge] = {}
        self._leading: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many aliases an edge decides: 0 where there is nothing to look up."""
        return len(self._decided)

    def clear(self) -> None:
        """Forget everything, to begin at the beginning of a log."""
        self._edges.clear()
        self._decided.clear()
        self._leading.clear()
        self._given_up.clear()
        self._undecided.clear()
        self._size = 0

    def apply(self, records: Iterable[EdgeRecord]) -> None:
        """Take records that follow those before. A tombstone whose key is none of an edge means nothing."""
        pending: _Pending = {}
        # What has a bound may depend on each record before; without one an alias of many edges is decided once, not each time.
        limit = together = _DECIDED_TOGETHER if self._most_edges is None else 1
        for record in records:
            if record.edge is not None:
                self._learn(pending, record.edge)
            elif (named := split_edge_key(record.key)) is not None:
                self._forget(pending, *named)
            if len(pending) >= limit:
                self._decide_pending(pending, most_edges=MOST_EDGES_OF_AN_ALIAS)
                limit = len(pending) + together
        self._decide_pending(pending)

    def _pairs(self, pending: _Pending, user_key: str) -> _Pairs:
        found = pending.get(user_key)
        if found is None:
            known = self._edges.get(user_key, _NO_EDGES)
            found = pending[user_key] = {(edge.source, edge.customer_id): edge for edge in known}
        return found

    def _learn(self, pending: _Pending, edge: Edge) -> None:
        user_key = edge.user_key
        if user_key in self._given_up:
            self.passed_over["given_up"] += 1
            return
        pairs, pair = self._pairs(pending, user_key), (edge.source, edge.customer_id)
        known = pairs.get(pair)
        if (known is None and self._has_room(user_key, pairs)) or (
            known is not None and _age(edge) > _age(known)
        ):
            pairs[pair] = edge

    def _has_room(self, user_key: str, pairs: _Pairs) -> bool:
        """Whether an alias may have one edge more. It is given up else, if an answer could follow from what is known."""
        if self._most_edges is None:
            return True
        is_crowded = len(pairs) >= MOST_EDGES_OF_AN_ALIAS
        if not is_crowded and self._size < self._most_edges:
            return True
        self.passed_over["given_up" if is_crowded else "full"] += 1
        leads_on = user_key[:2] == "u:" and user_key[2:] in self._leading
        if (pairs or leads_on) and len(self._given_up) < self._most_edges:
            self._given_up.add(user_key)
        pairs.clear()
        return False

    def _forget(self, pending: _Pending, user_key: str, source: str, customer_id: str) -> None:
        self._pairs(pending, user_key).pop((source, customer_id), None)

    def _decide_pending(self, pending: _Pending, *, most_edges: int | None = None) -> None:
        """Decide the aliases that wait; those of more edges go on waiting."""
        waiting: _Pending = {}
        for user_key, pairs in pending.items():
            if most_edges is not None and len(pairs) > most_edges:
                waiting[user_key] = pairs
            else:
                self._decide(user_key, tuple(pairs.values()))
        pending.clear()
        pending.update(waiting)

    def _decide(self, user_key: str, edges: tuple[Edge, ...]) -> None:
        """Note what is known of an alias now, and what follows for where it leads."""
        self._size += len(edges) - len(self._edges.get(user_key, _NO_EDGES))
        if edges:
            self._edges[user_key] = edges
        else:
            self._edges.pop(user_key, None)
        living = living_edges(edges)
        before, now = self._decided.pop(user_key, None), _deciding(living)
        if (living and now is None) or user_key in self._given_up:
            self._undecided.add(user_key)
        else:
            self._undecided.discard(user_key)
        if before is not None:
            self._leave(before.customer_id)
        if now is not None:
            self._decided[user_key] = now
            self._leading[now.customer_id] += 1

    def _leave(self, customer_id: str) -> None:
        self._leading[customer_id] -= 1
        if not self._leading[customer_id]:
            del self._leading[customer_id]

    @property
    def decided(self) -> dict[str, Edge]:
        """The edge that decides each alias, by user_key. Not to be changed."""
        return self._decided

    @property
    def leading(self) -> Counter[str]:
        """How many aliases lead directly to each id. Not to be changed."""
        return self._leading

    @property
    def known(self) -> dict[str, tuple[Edge, ...]]:
        """The latest edge of each source and customer by alias, retracted ones too. Not to be changed."""
        return self._edges

    def customer_of(self, user_key: str) -> str | None:
        """The customer of an event's user_key; None where it is unknown or ambiguous."""
        edge = self._decided.get(user_key)
        if edge is not None:
            return self.end_of(edge.customer_id)
        if user_key in self._undecided:
            return None
        if user_key[:2] == "u:" and 0 < self._leading.get(user_key[2:], 0) <= MAX_ALIASES_PER_CUSTOMER:
            return user_key[2:]
        return None

    def end_of(self, identifier: str) -> str | None:
        """Where the chain from an id ends; of a circle the lowest id. None where it leads through an ambiguous one."""
        chain: list[str] = []
        while identifier not in chain:
            if len(chain) == MAX_CHAIN or self._leading.get(identifier, 0) > MAX_ALIASES_PER_CUSTOMER:
                return None
            chain.append(identifier)
            user_key = "u:" + identifier
            edge = self._decided.get(user_key)
            if edge is None:
                return None if user_key in self._undecided else identifier
            identifier = edge.customer_id
        return min(chain[chain.index(identifier) :])


def _age(edge: Edge) -> tuple[int, bool, float]:
    """Of two edges of one source about one alias and customer the greater counts; at the same time the retraction."""
    return edge.valid_from, edge.op == "retract", edge.confidence


def living_edges(edges: Sequence[Edge]) -> list[Edge]:
    """The assertions that were not taken back, strongest first: by confidence, then the latest, then the lowest text."""
    cleared = {
        edge.source: edge.valid_from
        for edge in edges
        if edge.op == "retract" and edge.customer_id == EVERY_CUSTOMER
    }
    living = [
        edge
        for edge in edges
        if edge.op == "assert" and (edge.source not in cleared or edge.valid_from > cleared[edge.source])
    ]
    return sorted(living, key=_strength)


def _strength(edge: Edge) -> tuple[float, int, str, str]:
    return -edge.confidence, -edge.valid_from, edge.customer_id, edge.source


def _deciding(living: Sequence[Edge]) -> Edge | None:
    """The edge that decides an alias; None where none is left, or as many strongest ones disagree as make it ambiguous."""
    return living[0] if living and customers_named(living) <= MAX_CUSTOMERS_PER_ALIAS else None


def customers_named(living: Sequence[Edge]) -> int:
    """How many customers the edges of the highest confidence name: a surer source settles what others dispute."""
    return len({edge.customer_id for edge in living if edge.confidence == living[0].confidence})
