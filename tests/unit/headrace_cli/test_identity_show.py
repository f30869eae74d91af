"""What is said of an alias: customer, chain, and every edge."""

from headrace_cli.identity_show import explain
from headrace_core.identity import (
    MAX_ALIASES_PER_CUSTOMER,
    AliasKind,
    Edge,
    EdgeOp,
    IdentityIndex,
    edge_record,
)


def _index(*edges: tuple[AliasKind, str, str, EdgeOp]) -> IdentityIndex:
    index = IdentityIndex()
    index.apply(
        edge_record(
            at,
            Edge(
                kind=kind,
                alias=alias,
                customer_id=customer,
                op=op,
                source="web",
                confidence=0.8,
                valid_from=at,
            ),
        )
        for at, (kind, alias, customer, op) in enumerate(edges)
    )
    return index


def test_a_chain_is_told_step_by_step() -> None:
    [found] = explain(_index(("anonymous", "a1", "u1", "assert"), ("user", "u1", "c9", "assert")), "a1")
    assert (found.user_key, found.customer_id) == ("a:a1", "c9")
    assert found.chain == ["a:a1", "u:u1", "u:c9"]
    assert found.why == "web says so with confidence 0.8"
    assert [edge.customer_id for edge in found.edges] == ["u1"]


def test_a_customer_is_itself_and_a_stranger_is_nobody() -> None:
    index = _index(("anonymous", "a1", "u1", "assert"))
    [found] = explain(index, "u1")
    assert (found.customer_id, found.chain, found.edges) == ("u1", ["u:u1"], [])
    assert found.why.startswith("1 aliases lead to it")
    assert explain(index, "a2") == []


def test_a_circle_ends() -> None:
    index = _index(("user", "u1", "u2", "assert"), ("user", "u2", "u1", "assert"))
    [found] = explain(index, "u2")
    assert (found.customer_id, found.chain) == ("u1", ["u:u2", "u:u1"])


def test_what_was_taken_back_is_shown() -> None:
    [found] = explain(_index(("anonymous", "a1", "u1", "retract")), "a1")
    assert (found.customer_id, len(found.edges)) == (None, 1)
    assert found.why.startswith("what was said of it is taken back")


def test_an_ambiguous_id_on_the_way_is_told() -> None:
    crowd = [("anonymous", f"a{n}", "login", "assert") for n in range(MAX_ALIASES_PER_CUSTOMER + 1)]
    [found] = explain(_index(*crowd), "a7")  # type: ignore[arg-type]  # literals of the comprehension
    assert found.customer_id is None
    assert "ambiguous" in found.why
