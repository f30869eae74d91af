"""What a day's tables must hold for real files, computed with pandas from docs/services/spark.md: nothing of the project is imported.

A frame has a row per event: source, user (None for nobody), ts (UTC), received (UTC), name, revenue (Decimal or None), currency
(text or None).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

__all__ = [
    "days_of",
    "expected_buckets",
    "expected_finance",
    "expected_sessions",
    "expected_user_days",
    "retail_frame",
    "sparkify_frame",
]

Row = tuple[Any, ...]

_LATE = pd.Timedelta(hours=30)
_PAUSE = pd.Timedelta(minutes=30)


def retail_frame(text: str) -> pd.DataFrame:
    """Invoice lines, each with the amount quantity times price in pounds; times are local ones of London."""
    frame = pd.DataFrame(csv.DictReader(io.StringIO(text)), dtype=object)
    local = pd.to_datetime(frame["InvoiceDate"], format="%Y-%m-%d %H:%M:%S")
    amounts = [Decimal(q) * Decimal(p) for q, p in zip(frame["Quantity"], frame["UnitPrice"], strict=True)]
    return pd.DataFrame(
        {
            "source": "online-retail",
            "user": [customer.removesuffix(".0") or None for customer in frame["CustomerID"]],
            "ts": local.dt.tz_localize("Europe/London").dt.tz_convert("UTC"),
            "name": "Invoice Line",
            "revenue": pd.Series(amounts, dtype=object),
            "currency": "GBP",
        }
    )


def sparkify_frame(texts: Iterable[str]) -> pd.DataFrame:
    """Log lines of a music service, without any revenue."""
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return pd.DataFrame(
        {
            "source": "sparkify",
            "user": [line["userId"] or None for line in lines],
            "ts": pd.to_datetime([line["ts"] for line in lines], unit="ms", utc=True),
            "name": [line["page"] for line in lines],
            "revenue": pd.Series([None] * len(lines), dtype=object),
            "currency": None,
        }
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def expected_buckets(frame: pd.DataFrame, unit: str) -> set[Row]:
    """(start, name, currency, events, late events, events with revenue, revenue, first, last) of 1min, 1h or 1D."""
    is_late = frame["received"] >= frame["ts"].dt.floor("1D") + _LATE
    keyed = frame.assign(
        start=frame["ts"].dt.floor(unit), late=is_late, currency=frame["currency"].fillna("")
    )
    return {
        (
            start.to_pydatetime(),
            name,
            currency,
            len(rows),
            int(rows["late"].sum()),
            int(rows["revenue"].notna().sum()),
            _sum(rows["revenue"]),
            rows["ts"].min().to_pydatetime(),
            rows["ts"].max().to_pydatetime(),
        )
        for (start, name, currency), rows in keyed.groupby(["start", "name", "currency"])
    }


def expected_user_days(frame: pd.DataFrame) -> set[Row]:
    """(date, user, events, first, last) of events that name a user."""
    named = frame[frame["user"].notna()]
    return {
        (day, user, len(rows), rows["ts"].min().to_pydatetime(), rows["ts"].max().to_pydatetime())
        for (day, user), rows in named.groupby([named["ts"].dt.date, "user"])
    }


def expected_sessions(frame: pd.DataFrame) -> set[Row]:
    """(user, start, end, events, revenue) of all sessions: runs without a pause, cut where a run is older than a day before."""
    ordered = frame[frame["user"].notna()].sort_values(["user", "ts"], kind="stable")
    gap = ordered.groupby("user")["ts"].diff()
    run = (gap.isna() | (gap >= _PAUSE)).cumsum()
    began = ordered.groupby(run)["ts"].transform("min").dt.floor("1D")
    age = (ordered["ts"].dt.floor("1D") - began).dt.days
    piece = age.where(age > 1, 0)
    return {
        (
            rows["user"].iloc[0],
            rows["ts"].min().to_pydatetime(),
            rows["ts"].max().to_pydatetime(),
            len(rows),
            _sum(rows["revenue"]),
        )
        for _, rows in ordered.groupby([run, piece])
    }


def expected_finance(frame: pd.DataFrame) -> set[Row]:
    """(date, currency, orders, gross, refunds, net, events) of events that carry a revenue."""
    paid = frame[frame["revenue"].notna()]
    found: set[Row] = set()
    for (day, currency), rows in paid.groupby([paid["ts"].dt.date, "currency"]):
        gross = _sum(amount for amount in rows["revenue"] if amount > 0)
        refunds = _sum(amount for amount in rows["revenue"] if amount < 0)
        orders = int((rows["revenue"] > 0).sum())
        found.add((day, currency, orders, gross, refunds, gross + refunds, len(rows)))
    return found


def days_of(frame: pd.DataFrame) -> list[date]:
    """All days from the first to the last event."""
    first, last = frame["ts"].min().date(), frame["ts"].max().date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
