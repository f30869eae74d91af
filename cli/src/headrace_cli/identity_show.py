"""``headrace identity show``: who an alias is, and which edges say so."""

from __future__ import annotations

import os

import msgspec

from headrace_core.identity import (
    MAX_CHAIN,
    MAX_CUSTOMERS_PER_ALIAS,
    AliasKind,
    Edge,
    IdentityIndex,
    user_key_of,
)
from headrace_runtime.edge_log import read_edges
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.settings import KafkaSettings, load_settings

__all__ = ["Explanation", "explain", "read_index"]

_DEADLINE_S = 300.0


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Who an alias is. ``chain`` leads from it to its customer, ``edges`` are all that is known of it, retracted ones too."""

    user_key: str
    customer_id: str | None
    why: str
    chain: list[str]
    edges: list[Edge]


async def read_index() -> IdentityIndex:
    """All edges that the log holds now, as the environment names it."""
    connection = KafkaConnection.from_settings(
        load_settings(KafkaSettings, os.environ), client_id="headrace-identity"
    )
    reader = KafkaLogReader(connection)
    await reader.start(deadline_s=30.0)
    try:
        snapshot = await read_edges(reader, deadline_s=_DEADLINE_S)
    finally:
        await reader.stop()
    index = IdentityIndex()
    index.apply(snapshot.records)
    return index


def explain(index: IdentityIndex, alias: str) -> list[Explanation]:
    """What is known of an alias, as an anonymous and as a user id."""
    kinds: tuple[AliasKind, ...] = ("anonymous", "user")
    found = [_explained(index, user_key_of(kind, alias)) for kind in kinds]
    return [each for each in found if each.edges or each.customer_id is not None]


def _explained(index: IdentityIndex, user_key: str) -> Explanation:
    edges = sorted(index.known.get(user_key, ()), key=lambda edge: (-edge.valid_from, edge.source))
    customer = index.customer_of(user_key)
    return Explanation(
        user_key=user_key,
        customer_id=customer,
        why=_why(index, user_key, customer),
        chain=_chain(index, user_key),
        edges=edges,
    )


def _why(index: IdentityIndex, user_key: str, customer: str | None) -> str:
    edge = index.decided.get(user_key)
    if edge is None:
        if customer is not None:
            return (
                f"{index.leading[customer]} aliases lead to it, and it leads nowhere: it is a customer itself"
            )
        if user_key in index.known:
            return (
                f"what was said of it is taken back, or names more than {MAX_CUSTOMERS_PER_ALIAS} customers"
            )
        return "too many aliases lead to it"
    said = f"{edge.source} says so with confidence {edge.confidence:g}"
    return (
        said
        if customer is not None
        else f"{said}, but the chain leads through an ambiguous id or is too long"
    )


def _chain(index: IdentityIndex, user_key: str) -> list[str]:
    chain = [user_key]
    while len(chain) <= MAX_CHAIN and (edge := index.decided.get(chain[-1])) is not None:
        following = user_key_of("user", edge.customer_id)
        if following in chain:
            break
        chain.append(following)
    return chain
