"""Rows of a customer mapping to identity edges, or why a row makes none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Literal
from uuid import UUID

from headrace_core.identity import EVERY_CUSTOMER, AliasKind, Edge, EdgeOp, edge_flaw

__all__ = ["OPTIONAL_COLUMNS", "REQUIRED_COLUMNS", "RowRefused", "edge_of_row", "micros"]

REQUIRED_COLUMNS = ("kind", "alias", "customer_id")
OPTIONAL_COLUMNS = ("op", "confidence", "valid_from")

_KINDS: Mapping[object, AliasKind] = {"user": "user", "anonymous": "anonymous"}
_OPS: Mapping[object, EdgeOp] = {None: "assert", "assert": "assert", "retract": "retract"}

Flaw = Literal["kind", "alias", "customer_id", "op", "confidence", "valid_from", "nobody"]


class RowRefused(Exception):
    """A row that makes no edge. ``flaw`` names the column, or is ``nobody``: an id that must never make one."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        self.flaw, self.detail = flaw, detail
        super().__init__(f"{flaw}: {detail}")


def edge_of_row(row: Mapping[str, object], *, source: str, valid_from: int) -> Edge:
    """The edge of a row; ``valid_from`` (UTC µs) where the row has none. RowRefused says what is wrong with it."""
    kind, op = row["kind"], row.get("op")
    if kind not in _KINDS:
        raise RowRefused("kind", f"{kind!r} is neither 'user' nor 'anonymous'")
    if op not in _OPS:
        raise RowRefused("op", f"{op!r} is neither 'assert' nor 'retract'")
    edge = Edge(
        kind=_KINDS[kind],
        alias=_identifier("alias", row["alias"]),
        customer_id=_customer(row["customer_id"], _OPS[op]),
        op=_OPS[op],
        source=source,
        confidence=_confidence(row.get("confidence")),
        valid_from=valid_from if row.get("valid_from") is None else _valid_from(row["valid_from"]),
    )
    if flaw := edge_flaw(edge):
        raise RowRefused("nobody", flaw)
    return edge


def _customer(value: object, op: EdgeOp) -> str:
    """A retraction may leave the customer open: it then takes back all that the source said about the alias."""
    if op == "retract" and value in (None, ""):
        return EVERY_CUSTOMER
    return _identifier("customer_id", value)


def _identifier(column: Literal["alias", "customer_id"], value: object) -> str:
    """An id as events carry it: text, or a whole number as its digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, UUID)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    raise RowRefused(column, f"{value!r} is no text and no whole number")


def _confidence(value: object) -> float:
    if value is None:
        return 1.0
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise RowRefused("confidence", f"{value!r} is no number from 0 to 1")


def _valid_from(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        found = micros(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except ValueError as error:
        raise RowRefused("valid_from", str(error)) from None
    if found is None:
        raise RowRefused("valid_from", f"{value!r} is no time")
    return found


def micros(value: object) -> int | None:
    """A time or date as UTC microseconds, a time without a zone taken as UTC; None where it is neither."""
    if isinstance(value, datetime):
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        at = datetime.combine(value, time(tzinfo=UTC))
    else:
        return None
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
