"""The closed list of expectations: name, suite, severity, and the sentence that people read. docs/services/quality.md shows it.

Critical is what makes answers wrong and can be shown in rows: it stops the swap. What is missing cannot be shown, and to
withhold a day because some of it is missing helps nobody: that is a warning. A day of which all is missing is withheld.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["CATALOGUE", "Expectation", "ExpectationName", "Severity", "Suite", "null_rate"]

Severity = Literal["critical", "warning"]
Suite = Literal["schema", "uniqueness", "references", "time", "volume", "nulls", "rates", "money"]

ExpectationName = Literal[
    "schema_columns",
    "known_values",
    "known_versions",
    "required_columns",
    "unique_dedup_id",
    "repeated_content_rate",
    "counts_reconcile",
    "user_key_agrees",
    "rows_inside_the_day",
    "clock_shift",
    "skew_corrected_rate",
    "active_hours",
    "volume_against_trailing_weeks",
    "missing_hour",
    "day_not_empty",
    "null_rate_user_id",
    "null_rate_anonymous_id",
    "null_rate_session_id",
    "null_rate_event_name",
    "null_rate_page_url",
    "null_rate_page_path",
    "null_rate_country",
    "null_rate_device_type",
    "null_rate_revenue",
    "null_rate_currency",
    "duplicate_rate",
    "unresolved_rate",
    "currency_mix",
    "revenue_scale",
]


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expectation of the list. ``sentence`` says what is expected, ``fix`` what to do where it is not met."""

    suite: Suite
    severity: Severity
    sentence: str
    fix: str


_SENDER = "Look at the sender's last release and at the rows below with `headrace events`."

CATALOGUE: dict[ExpectationName, Expectation] = {
    "schema_columns": Expectation(
        "schema",
        "critical",
        "Every column of the contract is there with its type; more columns are allowed.",
        "Run the job with the image of the release that staged the files.",
    ),
    "known_values": Expectation(
        "schema",
        "critical",
        "Columns with a closed list of values hold no other.",
        "Upgrade the jobs: the rows were made by a newer release, or by none of Headrace's.",
    ),
    "known_versions": Expectation(
        "schema",
        "critical",
        "No row is of a newer schema or newer rules than the job knows.",
        "Upgrade the jobs before the services that make the rows.",
    ),
    "required_columns": Expectation(
        "schema",
        "critical",
        "Columns that are never null are not null.",
        "Find who wrote the staged files named by the rows below; Headrace's own services cannot.",
    ),
    "unique_dedup_id": Expectation(
        "uniqueness",
        "critical",
        "A dedup_id occurs once.",
        "Report it with the rows below: deduplication promises this (rule B2).",
    ),
    "repeated_content_rate": Expectation(
        "uniqueness",
        "critical",
        "The share of rows that tell again, under another id, what another row tells is as usual.",
        "Make the sender keep an event's id when it sends again; erase or reprocess the copies.",
    ),
    "counts_reconcile": Expectation(
        "uniqueness",
        "critical",
        "As many rows are read back as the job wrote: rows before + rows read - duplicates - suppressed.",
        "Report it with the plan: rows were lost or made up between the job and its files.",
    ),
    "user_key_agrees": Expectation(
        "references",
        "critical",
        "user_key is the one that user_id, anonymous_id and event_id make.",
        "Find what changed the rows after dedup; users of these rows would be counted wrongly.",
    ),
    "rows_inside_the_day": Expectation(
        "time",
        "critical",
        "The event time of every row is on the day.",
        "Report it with the plan: the rows belong to another day's generation.",
    ),
    "clock_shift": Expectation(
        "time",
        "critical",
        "No row is of a time after its receipt, and a source's rows do not all at once come late by hours, without a zone, or "
        "without a usable time.",
        "Look for a change of time zone or clock at the source; set its zone in the mapping and reprocess the day.",
    ),
    "skew_corrected_rate": Expectation(
        "time",
        "warning",
        "The share of rows whose clock had to be corrected is as usual.",
        "Times are corrected and right; ask the source why its clocks are off.",
    ),
    "active_hours": Expectation(
        "time",
        "warning",
        "A source's day does not both begin and end two hours or more before, or after, all of its last weeks.",
        "Look for a change of time zone at the source; daylight saving moves a day by one hour only.",
    ),
    "volume_against_trailing_weeks": Expectation(
        "volume",
        "warning",
        "A source has about as many rows as on the same weekday of the last eight weeks.",
        "Look at ingest's and the sender's errors of the day; holidays and campaigns are no defects.",
    ),
    "missing_hour": Expectation(
        "volume",
        "warning",
        "An hour that was busy on that weekday in every one of the last weeks is not empty in the middle of the day.",
        "Look at ingest, dedup and stage at that hour; `headrace run daily` adds what arrives late.",
    ),
    "day_not_empty": Expectation(
        "volume",
        "critical",
        "A day has rows where that weekday had many in every one of the last weeks.",
        "Look at the counts of the plan: which rows were taken for duplicates, or are of suppressed subjects.",
    ),
    "null_rate_user_id": Expectation(
        "nulls", "critical", "The share of a source's rows without user_id is as usual.", _SENDER
    ),
    "null_rate_anonymous_id": Expectation(
        "nulls", "critical", "The share of a source's rows without anonymous_id is as usual.", _SENDER
    ),
    "null_rate_session_id": Expectation(
        "nulls", "warning", "The share of rows without session_id is as usual.", _SENDER
    ),
    "null_rate_event_name": Expectation(
        "nulls",
        "critical",
        "The share of track, screen and custom events without a name is as usual.",
        _SENDER,
    ),
    "null_rate_page_url": Expectation(
        "nulls", "warning", "The share of page events without page_url is as usual.", _SENDER
    ),
    "null_rate_page_path": Expectation(
        "nulls", "warning", "The share of page events without page_path is as usual.", _SENDER
    ),
    "null_rate_country": Expectation(
        "nulls",
        "warning",
        "The share of rows without country is as usual.",
        "Look at the enrichment data of dedup: a missing or old file empties the column.",
    ),
    "null_rate_device_type": Expectation(
        "nulls",
        "warning",
        "The share of rows without device_type is as usual.",
        "Look at the enrichment data of dedup: a missing or old file empties the column.",
    ),
    "null_rate_revenue": Expectation(
        "nulls", "critical", "The share of track and custom events without revenue is as usual.", _SENDER
    ),
    "null_rate_currency": Expectation(
        "nulls", "critical", "The share of rows with revenue but without currency is as usual.", _SENDER
    ),
    "duplicate_rate": Expectation(
        "rates",
        "warning",
        "The share of duplicates, which were dropped, is as usual.",
        "Nothing is wrong in the rows; a client that sends again without need, or reuses ids, is.",
    ),
    "unresolved_rate": Expectation(
        "rates",
        "critical",
        "The share of rows that name no user, and are left out of user counts, is as usual.",
        _SENDER,
    ),
    "currency_mix": Expectation(
        "money",
        "critical",
        "A source's revenue events spread over currencies as usual.",
        "Ask the source whether it sells in the new currency; if it mislabels amounts, map them and reprocess the day.",
    ),
    "revenue_scale": Expectation(
        "money",
        "critical",
        "The usual amount of a source in a currency is of its usual size.",
        "Look for cents instead of units, or for another currency under the old name.",
    ),
}
"""Every expectation by its name. Names are stable: reports, dashboards and alerts use them."""

assert tuple(CATALOGUE) == get_args(ExpectationName)


def null_rate(column: str) -> ExpectationName:
    """The name of the expectation about nulls of a column. KeyError where there is none."""
    names = {name.removeprefix("null_rate_"): name for name in CATALOGUE if name.startswith("null_rate_")}
    return names[column]
