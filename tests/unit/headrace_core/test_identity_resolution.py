"""Who is who: the rules of docs/services/identity.md by example, and what holds for every log of edges."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.identity import (
    EVERY_CUSTOMER,
    MAX_ALIASES_PER_CUSTOMER,
    MAX_CHAIN,
    MAX_CUSTOMERS_PER_ALIAS,
    MOST_EDGES_OF_AN_ALIAS,
    AliasKind,
    AliasRow,
    Ambiguity,
    CustomerRow,
    Edge,
    EdgeOp,
    EdgeRecord,
    IdentityIndex,
    edge_key,
    edge_record,
    resolve,
)


def edge(
    alias: str,
    customer_id: str,
    valid_from: int = 0,
    *,
    kind: AliasKind = "anonymous",
    op: EdgeOp = "assert",
    source: str = "web",
    confidence: float = 0.8,
) -> Edge:
    """An edge, most of it as an event would say it."""
    return Edge(
        kind=kind,
        alias=alias,
        customer_id=customer_id,
        op=op,
        source=source,
        confidence=confidence,
        valid_from=valid_from,
    )


def crm(alias: str, customer_id: str, valid_from: int = 0, *, op: EdgeOp = "assert") -> Edge:
    """What a mapping database says of a user id."""
    return edge(alias, customer_id, valid_from, kind="user", op=op, source="crm", confidence=1.0)


def log(*edges: Edge) -> list[EdgeRecord]:
    """The records of edges in this order."""
    return [edge_record(offset, each) for offset, each in enumerate(edges)]


def test_a_chain_leads_from_a_device_over_a_user_to_a_customer() -> None:
    found = resolve(log(edge("a1", "u1", 5), crm("u1", "c9", 3)))
    assert found.aliases == (
        AliasRow("anonymous", "a1", "a:a1", "c9", "web", 0.8, 5),
        AliasRow("user", "c9", "u:c9", "c9", "", 1.0, 3),
        AliasRow("user", "u1", "u:u1", "c9", "crm", 1.0, 3),
    )
    assert found.customers == (CustomerRow("c9", 3, 2),)
    assert found.ambiguous == ()
    assert [found.customer_of("anonymous", "a1"), found.customer_of("user", "u1")] == ["c9", "c9"]
    assert found.customer_of("anonymous", "c9") is None
    assert found.customer_of("user", "u2") is None


@pytest.mark.parametrize(
    ("edges", "customer"),
    [
        ([edge("a", "u1", 10), edge("a", "u2", 11)], "u2"),
        ([edge("a", "u2", 11), edge("a", "u1", 10)], "u2"),
        ([edge("a", "u2", 11), edge("a", "u1", 10, confidence=1.0)], "u1"),
        ([edge("a", "u2", 10), edge("a", "u1", 10)], "u1"),
        ([edge("a", "u1", 10), edge("a", "u2", 11), edge("a", "u2", 12, op="retract")], "u1"),
        ([edge("a", "u1", 10), edge("a", "u1", 10, op="retract")], None),
        ([edge("a", "u1", 10, op="retract"), edge("a", "u1", 11)], "u1"),
        ([edge("a", "u1", 10), edge("a", "u1", 99, op="retract", source="crm")], "u1"),
        ([edge("a", "u1", 10), edge("a", "u2", 11), edge("a", EVERY_CUSTOMER, 12, op="retract")], None),
        ([edge("a", "u1", 10), edge("a", EVERY_CUSTOMER, 9, op="retract")], "u1"),
        ([edge("a", "u1", 10), edge("a", EVERY_CUSTOMER, 99, op="retract", source="crm")], "u1"),
    ],
)
def test_conflicts_and_retractions(edges: list[Edge], customer: str | None) -> None:
    assert resolve(log(*edges)).customer_of("anonymous", "a") == customer


def test_a_circle_is_its_lowest_id_from_wherever_it_is_entered() -> None:
    found = resolve(log(crm("u3", "u2"), crm("u2", "u1"), crm("u1", "u3"), edge("a", "u3"), crm("u9", "u2")))
    assert {row.customer_id for row in found.aliases} == {"u1"}
    assert found.customers == (CustomerRow("u1", 0, 4),)


def test_a_tombstone_removes_its_key_for_good() -> None:
    said = edge("a", "u1", 5)
    records = [*log(said), EdgeRecord(1, edge_key(said), None)]
    assert resolve(records).aliases == ()
    assert resolve(records, as_of=1).customer_of("anonymous", "a") == "u1"
    assert resolve([*records, edge_record(2, said)]).customer_of("anonymous", "a") == "u1"


def test_an_alias_of_many_customers_is_nobodys_until_a_surer_source_speaks() -> None:
    shared = [edge("till", f"u{n}", n) for n in range(MAX_CUSTOMERS_PER_ALIAS + 1)]
    assert resolve(log(*shared[1:])).customer_of("anonymous", "till") == f"u{MAX_CUSTOMERS_PER_ALIAS}"
    found = resolve(log(*shared))
    assert found.customer_of("anonymous", "till") is None
    assert found.ambiguous == (Ambiguity("many_customers", "a:till", MAX_CUSTOMERS_PER_ALIAS + 1),)
    settled = resolve(log(*shared, edge("till", "shop", confidence=1.0)))
    assert (settled.customer_of("anonymous", "till"), settled.ambiguous) == ("shop", ())


def test_a_user_id_of_many_customers_has_none_though_aliases_lead_to_it() -> None:
    shared = [crm("till", f"c{n}", n) for n in range(MAX_CUSTOMERS_PER_ALIAS + 1)]
    found = resolve(log(edge("a", "till"), *shared))
    assert [found.customer_of("user", "till"), found.customer_of("anonymous", "a")] == [None, None]
    assert found.aliases == ()
    taken_back = resolve(log(edge("a", "till"), *shared, crm("till", EVERY_CUSTOMER, 99, op="retract")))
    assert taken_back.customer_of("anonymous", "a") == "till"


@pytest.mark.timeout(20)
def test_an_alias_of_very_many_customers_holds_up_nobody() -> None:
    many = 30_000
    between = [each for n in range(many) for each in (edge("till", f"u{n}", n), edge(f"a{n}", f"u{n}"))]
    found = resolve(log(edge("a", "u1"), *between))
    assert found.ambiguous == (Ambiguity("many_customers", "a:till", many),)
    assert found.customer_of("anonymous", "a") == "u1"


def test_an_id_that_everyone_leads_to_merges_nobody() -> None:
    crowd = [edge(f"a{n}", "login") for n in range(MAX_ALIASES_PER_CUSTOMER)]
    rest = [crm("login", "c1"), edge("b", "u2"), crm("u2", "c1")]
    assert resolve(log(*crowd, *rest)).customer_of("anonymous", "a7") == "c1"
    found = resolve(log(*crowd, *rest, edge("one-more", "login")))
    assert found.customer_of("anonymous", "a7") is None
    assert found.customer_of("user", "login") == "c1", "the login itself is still whose it is"
    assert found.customers == (CustomerRow("c1", 0, 3),)
    assert found.ambiguous == (Ambiguity("many_aliases", "login", MAX_ALIASES_PER_CUSTOMER + 1),)


def test_a_long_chain_is_not_followed() -> None:
    chain = [crm(f"u{n:02}", f"u{n + 1:02}") for n in range(MAX_CHAIN)]
    assert resolve(log(edge("a", "u01"), *chain)).customer_of("anonymous", "a") == f"u{MAX_CHAIN}"
    found = resolve(log(edge("a", "u00"), *chain))
    assert found.customer_of("anonymous", "a") is None
    assert found.ambiguous == (Ambiguity("long_chain", "u:u00", MAX_CHAIN),)


_IDS = st.sampled_from(["u1", "u2", "u3", "u4"])
_edges = st.builds(
    edge,
    st.one_of(_IDS, st.sampled_from(["a1", "a2"])),
    st.one_of(_IDS, st.sampled_from(["c1", "c2"])),
    st.integers(0, 4),
    kind=st.sampled_from(["user", "anonymous"]),
    op=st.sampled_from(["assert", "assert", "retract"]),
    source=st.sampled_from(["web", "crm"]),
    confidence=st.sampled_from([0.5, 1.0]),
).filter(lambda each: each.alias != each.customer_id)
_with_clearing = st.one_of(
    _edges,
    _edges.map(lambda each: msgspec.structs.replace(each, op="retract", customer_id=EVERY_CUSTOMER)),
)
_logs = st.lists(_with_clearing, max_size=25).map(lambda edges: log(*edges))


@st.composite
def _logs_with_tombstones(draw: st.DrawFn) -> list[EdgeRecord]:
    records = draw(_logs)
    buried = draw(st.sets(st.integers(0, max(0, len(records) - 1)), max_size=4)) if records else set()
    return [
        EdgeRecord(record.offset, record.key, None) if record.offset in buried else record
        for record in records
    ]


def _plain_customer(records: Sequence[EdgeRecord], kind: AliasKind, alias: str) -> str | None:
    """The rules as they are written down, one alias at a time and without any index (no id here is ambiguous)."""
    found = _plain_target(records, kind, alias)
    if found is None:
        leads = {target for k, a in _aliases(records) if (target := _plain_target(records, k, a))}
        return alias if kind == "user" and alias in leads else None
    chain = [found]
    while (found := _plain_target(records, "user", chain[-1])) is not None:
        if found in chain:
            return min(chain[chain.index(found) :])
        chain.append(found)
    return chain[-1]


def _aliases(records: Sequence[EdgeRecord]) -> set[tuple[AliasKind, str]]:
    return {(record.edge.kind, record.edge.alias) for record in records if record.edge is not None}


def _plain_target(records: Sequence[EdgeRecord], kind: AliasKind, alias: str) -> str | None:
    buried = {record.key: record.offset for record in records if record.edge is None}
    said = [
        record.edge
        for record in records
        if record.edge is not None
        and (record.edge.kind, record.edge.alias) == (kind, alias)
        and record.offset > buried.get(record.key, -1)
    ]
    living = [
        each
        for each in said
        if each.op == "assert"
        and not any(
            other.source == each.source
            and other.valid_from >= each.valid_from
            and (
                (other.op == "retract" and other.customer_id in (each.customer_id, EVERY_CUSTOMER))
                or (other.valid_from > each.valid_from and other.customer_id == each.customer_id)
                or (
                    other.valid_from == each.valid_from
                    and other.customer_id == each.customer_id
                    and other.confidence > each.confidence
                )
            )
            for other in said
        )
    ]
    living.sort(key=lambda each: (-each.confidence, -each.valid_from, each.customer_id))
    return living[0].customer_id if living else None


_EVERYONE: list[tuple[AliasKind, str]] = [
    (kind, alias)
    for kind in ("user", "anonymous")
    for alias in ("u1", "u2", "u3", "u4", "a1", "a2", "c1", "c2")
]


@given(_logs_with_tombstones())
def test_everyone_is_who_the_rules_say(records: list[EdgeRecord]) -> None:
    found = resolve(records)
    for kind, alias in _EVERYONE:
        assert found.customer_of(kind, alias) == _plain_customer(records, kind, alias)


@given(_logs_with_tombstones())
def test_the_rows_say_what_the_look_up_says(records: list[EdgeRecord]) -> None:
    found = resolve(records)
    rows = {(row.kind, row.alias): row.customer_id for row in found.aliases}
    assert rows == {who: customer for who in _EVERYONE if (customer := found.customer_of(*who)) is not None}
    assert {row.customer_id for row in found.customers} == set(rows.values())


@given(_logs_with_tombstones(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(records: list[EdgeRecord], chance: Random) -> None:
    mixed = list(records)
    chance.shuffle(mixed)
    assert resolve(mixed) == resolve(records)


@given(_logs, st.data())
def test_edges_that_come_again_change_nothing(records: list[EdgeRecord], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(records), max_size=10)) if records else []
    repeats = [msgspec.structs.replace(record, offset=len(records) + at) for at, record in enumerate(again)]
    assert resolve([*records, *repeats, *again]) == resolve(records)


@given(_logs_with_tombstones(), st.integers(0, 30))
def test_what_comes_at_or_after_the_offset_does_not_count(records: list[EdgeRecord], as_of: int) -> None:
    assert resolve(records, as_of) == resolve([each for each in records if each.offset < as_of])


@given(_logs_with_tombstones(), st.integers(0, 30))
def test_an_index_that_reads_on_knows_what_one_that_reads_all_knows(
    records: list[EdgeRecord], cut: int
) -> None:
    index = IdentityIndex()
    index.apply(record for record in records if record.offset < cut)
    index.apply(record for record in records if record.offset >= cut)
    whole = resolve(records).index
    assert (index.decided, index.leading) == (whole.decided, whole.leading)
    for kind, alias in _EVERYONE:
        user_key = ("u:" if kind == "user" else "a:") + alias
        assert index.customer_of(user_key) == whole.customer_of(user_key)


def _as_events_say(edges: list[Edge]) -> list[EdgeRecord]:
    """Of a pair one time only, as long as nobody comes back to an earlier customer."""
    first: dict[bytes, Edge] = {}
    for each in edges:
        first.setdefault(edge_key(each), each)
    return log(*(first[edge_key(each)] for each in edges))


@given(st.lists(_with_clearing, max_size=25).map(_as_events_say))
def test_compaction_takes_nothing_that_counts(records: list[EdgeRecord]) -> None:
    last = {record.key: record for record in records}
    assert resolve(last.values()) == resolve(records)


def _bounded(most_edges: int, *edges: Edge) -> IdentityIndex:
    index = IdentityIndex(most_edges=most_edges)
    index.apply(log(*edges))
    return index


def test_a_full_index_gives_up_what_it_cannot_follow_any_more() -> None:
    index = _bounded(2, edge("a1", "u1"), edge("a2", "u2"), edge("a3", "u3"), edge("a1", "u9", 1))
    assert [index.customer_of(f"a:a{n}") for n in (1, 2, 3)] == [None, "u2", None]
    assert index.passed_over == {"full": 2}
    index.apply(log(edge("a1", "u1", 5), edge("a2", "u2", 6, op="retract")))
    assert [index.customer_of("a:a1"), index.customer_of("a:a2")] == [None, None]
    assert index.passed_over == {"full": 2, "given_up": 1}


def test_no_chain_leads_through_an_alias_that_a_full_index_does_not_hold() -> None:
    index = _bounded(1, edge("a1", "u1"), crm("u1", "c1"))
    assert [index.customer_of("a:a1"), index.customer_of("u:u1")] == [None, None]
    index.clear()
    index.apply(log(edge("a1", "u1")))
    assert index.customer_of("a:a1") == "u1"


def test_an_alias_with_many_edges_is_given_up_and_frees_its_room() -> None:
    said = [edge("till", "shop", n, source=f"s{n}") for n in range(MOST_EDGES_OF_AN_ALIAS)]
    index = _bounded(MOST_EDGES_OF_AN_ALIAS + 1, *said)
    assert index.customer_of("a:till") == "shop"
    index.apply(log(edge("till", "shop", source="one more")))
    assert (index.customer_of("a:till"), len(index.known)) == (None, 0)
    index.apply(log(*(edge(f"a{n}", "u1") for n in range(MOST_EDGES_OF_AN_ALIAS))))
    assert len(index.known) == MOST_EDGES_OF_AN_ALIAS


@given(_logs_with_tombstones())
def test_a_bound_that_is_not_reached_changes_nothing(records: list[EdgeRecord]) -> None:
    index = IdentityIndex(most_edges=len(records) + 1)
    index.apply(records)
    assert index.known == resolve(records).index.known
    assert not index.passed_over


@given(_logs_with_tombstones(), st.integers(0, 8))
def test_a_bounded_index_never_holds_more_than_its_bound(records: list[EdgeRecord], most_edges: int) -> None:
    index = IdentityIndex(most_edges=most_edges)
    for record in records:
        index.apply([record])
        assert sum(map(len, index.known.values())) <= most_edges
