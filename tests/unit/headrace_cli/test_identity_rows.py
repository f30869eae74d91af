"""Rows of a mapping: which edge they make, and what is said of those that make none."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from headrace_cli.identity_rows import RowRefused, edge_of_row, micros
from headrace_core.identity import EVERY_CUSTOMER, Edge

_NOON = datetime(2026, 9, 21, 12, tzinfo=UTC)


def _edge(**row: object) -> Edge:
    return edge_of_row(
        {"kind": "user", "alias": "u1", "customer_id": "c9", **row}, source="crm", valid_from=7
    )


def test_the_least_row() -> None:
    assert _edge() == Edge(
        kind="user", alias="u1", customer_id="c9", op="assert", source="crm", confidence=1.0, valid_from=7
    )


def test_a_full_row() -> None:
    edge = _edge(kind="anonymous", op="retract", confidence=Decimal("0.25"), valid_from=_NOON)
    assert (edge.kind, edge.op, edge.confidence) == ("anonymous", "retract", 0.25)
    assert edge.valid_from == int(_NOON.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(42, "42"), (Decimal(42), "42"), (UUID(int=5), "00000000-0000-0000-0000-000000000005"), ("é", "é")],
)
def test_ids_are_text(value: object, text: str) -> None:
    assert _edge(alias=value).alias == _edge(customer_id=value).customer_id == text


@pytest.mark.parametrize("customer", [None, ""])
def test_a_retraction_without_customer_takes_back_everything(customer: object) -> None:
    assert _edge(op="retract", customer_id=customer).customer_id == EVERY_CUSTOMER


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        ({"kind": "device"}, "kind"),
        ({"kind": None}, "kind"),
        ({"alias": None}, "alias"),
        ({"alias": 1.0}, "alias"),
        ({"alias": True}, "alias"),
        ({"alias": Decimal("1.5")}, "alias"),
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": b"c9"}, "customer_id"),
        ({"op": "delete"}, "op"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": "0.5"}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"valid_from": "yesterday"}, "valid_from"),
        ({"valid_from": 1.5}, "valid_from"),
        ({"alias": "guest"}, "nobody"),
        ({"alias": 0}, "nobody"),
        ({"customer_id": ""}, "nobody"),
        ({"alias": "c9"}, "nobody"),
    ],
)
def test_what_is_wrong_is_named(row: dict[str, object], flaw: str) -> None:
    with pytest.raises(RowRefused) as refused:
        _edge(**row)
    assert refused.value.flaw == flaw
    assert refused.value.detail


@pytest.mark.parametrize(
    "value",
    [
        _NOON,
        _NOON.replace(tzinfo=None),
        _NOON.astimezone(timezone(timedelta(hours=2))),
    ],
)
def test_times_are_microseconds_in_utc(value: datetime) -> None:
    assert micros(value) == int(_NOON.timestamp()) * 1_000_000


def test_dates_begin_at_midnight_and_other_values_are_no_time() -> None:
    assert micros(date(1970, 1, 2)) == 86_400_000_000
    assert micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert micros("2026-09-21") is None
    assert _edge(valid_from="2026-09-21T12:00:00+00:00").valid_from == micros(_NOON)
