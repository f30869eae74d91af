"""Normalisation: a parsed event and its request to the row that the lake and the warehouse keep (design 3.2).

A function of its arguments and RULES_VERSION alone: no clock, no settings, no data files. tests/data/golden holds its results;
whoever changes one raises RULES_VERSION.
"""

from __future__ import annotations

from typing import Final

from headrace_core.amounts import currency_code, decimal_text
from headrace_core.blank import is_blank
from headrace_core.client_fields import ClientContext, ClientProperties, Page, read_context, read_properties
from headrace_core.enrich import NO_CAMPAIGN, Campaign, campaign_of_url, path_of, referrer_medium
from headrace_core.events import (
    RULES_VERSION,
    SCHEMA_VERSION,
    CleanEvent,
    IdentityStatus,
    clean_row,
    columns_of,
)
from headrace_core.identify import Identity
from headrace_core.meta import RequestMeta, RerunReference
from headrace_core.parsed import EMPTY_OBJECT, ParsedEvent, Rejected
from headrace_core.reasons import Reason
from headrace_core.times import EventTime, UnreadableTime, event_time

__all__ = ["normalise"]

_VIEWS: Final = ("page", "screen")
"""Types whose properties describe the page or screen itself."""

_TRAITS: Final = ("identify", "group", "alias")
"""Types whose properties are traits: a revenue in them is a person's or a company's, not the event's."""

_NO_PROPERTIES: Final = ClientProperties()
_SURE_TEXT: Final = 128
"""Text of so many characters fits 512 bytes in any script."""

_BYTES: Final = {column.name: column.bytes for column in columns_of(CleanEvent)}


def normalise(
    parsed: ParsedEvent,
    identity: Identity,
    meta: RequestMeta,
    rerun: RerunReference | None = None,
    *,
    src_partition: int,
    src_offset: int,
) -> CleanEvent:
    """The row of an event. Rejected where a given time is none or an identifier does not fit its column.

    ``rerun`` belongs to the arguments of normalisation (design 3.1); under these rules it acts through the identity alone.
    """
    time = _time(parsed, meta)
    context = read_context(parsed.context)
    properties = read_properties(parsed.properties)
    columns = parsed.columns or _NO_COLUMNS
    page_url, page_path, referrer = _page(parsed, context, properties, columns)
    utm_source, utm_medium, utm_campaign = _campaign(context, page_url, columns)
    revenue, currency = _money(parsed.event_type, properties, columns)
    user_key, status = _user(parsed, identity.event_id)
    clean = clean_row(
        identity.dedup_id.hex(),
        identity.event_id,
        identity.id_source,
        meta.source,
        meta.dialect,
        parsed.event_type,
        parsed.event_name,
        time.us,
        meta.received_at * 1000,
        time.quality,
        time.original,
        time.offset_min,
        parsed.user_id,
        parsed.anonymous_id,
        user_key,
        None,  # customer_id
        status,
        _session(parsed.session_id, context),
        None,  # device_type
        None,  # os
        None,  # browser
        None,  # country
        page_url,
        page_path,
        referrer,
        referrer_medium(referrer, page_url) if referrer else None,
        utm_source,
        utm_medium,
        utm_campaign,
        revenue,
        currency,
        None if parsed.properties == EMPTY_OBJECT else parsed.properties,
        None if parsed.context == EMPTY_OBJECT else parsed.context,
        None,  # overflow
        SCHEMA_VERSION,
        RULES_VERSION,
        src_partition,
        src_offset,
    )
    _check_lengths(clean)
    return clean


_NO_COLUMNS: Final[dict[str, str]] = {}


def _time(parsed: ParsedEvent, meta: RequestMeta) -> EventTime:
    try:
        return event_time(
            time=parsed.time,
            sent_at=parsed.sent_at if parsed.sent_at is not None else meta.sent_at,
            received_at_ms=meta.received_at,
            zone=parsed.naive_zone or meta.naive_zone,
            skew_correction=meta.skew_correction,
            layout=parsed.time_layout,
        )
    except UnreadableTime as error:
        raise Rejected(Reason.INVALID_TIME, f"time: {error}") from None


def _user(parsed: ParsedEvent, event_id: str) -> tuple[str, IdentityStatus]:
    """The key that counts users: the best id that the event itself has. It never changes later."""
    if parsed.user_id is not None:
        return "u:" + parsed.user_id, "resolved"
    if parsed.anonymous_id is not None:
        return "a:" + parsed.anonymous_id, "anonymous"
    return "e:" + event_id, "unresolved"


def _session(explicit: str | None, context: ClientContext) -> str | None:
    if explicit is not None:
        return explicit
    found = context.sessionId
    if found is None:
        found = context.session_id
    if found is None and context.session is not None:
        found = context.session.id
    if found is None:
        return None
    return None if isinstance(found, str) and is_blank(found) else str(found)


def _page(
    parsed: ParsedEvent, context: ClientContext, properties: ClientProperties, columns: dict[str, str]
) -> tuple[str | None, str | None, str | None]:
    """URL, path, referrer: what a mapping says, else the context, else a page's or screen's own properties."""
    page = context.page or _NO_PAGE
    view = properties if parsed.event_type in _VIEWS else _NO_PROPERTIES
    url, path, referrer = page.url or view.url, page.path or view.path, page.referrer or view.referrer
    if columns:
        url = columns.get("page_url") or url
        path = columns.get("page_path") or path
        referrer = columns.get("referrer") or referrer
    return url or None, path or (path_of(url) if url else None), referrer or None


_NO_PAGE: Final = Page()


def _campaign(context: ClientContext, page_url: str | None, columns: dict[str, str]) -> Campaign:
    """The campaign: what a mapping says, else the context's as a whole, else the page URL's parameters."""
    given = context.campaign
    if given is not None and (given.source or given.medium or given.name):
        source, medium, name = given.source, given.medium, given.name
    else:
        source, medium, name = campaign_of_url(page_url)
    if columns:
        source = columns.get("utm_source", source)
        medium = columns.get("utm_medium", medium)
        name = columns.get("utm_campaign", name)
    if source is None and medium is None and name is None:
        return NO_CAMPAIGN
    if source and medium and name:
        # Together they mostly fit where one may; then there is one text to look at instead of three.
        together = source + medium + name
        if len(together) <= _SURE_TEXT and "\0" not in together:
            return source, medium, name
    return _fitting(source), _fitting(medium), _fitting(name)


def _fitting(text: str | None) -> str | None:
    """A descriptive value that its column takes. A longer one, or one that hides a NUL in a URL, stays in the URL or context."""
    if text is None or not text or "\0" in text:
        return None
    return text if len(text) <= _SURE_TEXT or len(text.encode()) <= _BYTES["utm_source"] else None


def _money(
    event_type: str, properties: ClientProperties, columns: dict[str, str]
) -> tuple[str | None, str | None]:
    revenue = currency = None
    if columns:
        revenue, currency = columns.get("revenue"), columns.get("currency")
    if event_type in _TRAITS:
        return revenue, currency
    if revenue is None and properties.revenue is not None:
        revenue = _amount(properties.revenue)
    if currency is None and properties.currency is not None:
        currency = currency_code(properties.currency)
    return revenue, currency


def _amount(value: object) -> str | None:
    """A text or a number; of one with a fraction `read_properties` gives the digits."""
    if isinstance(value, str):
        return decimal_text(value)
    return decimal_text(str(value)) if type(value) is int else None


_IDENTIFIERS: Final = ("event_id", "event_name", "user_id", "anonymous_id", "user_key", "session_id")


def _check_lengths(clean: CleanEvent) -> None:
    """Identifiers are never cut: two long ones could become one. Long URLs and objects are staging's to move aside."""
    if (
        len(clean.event_id) <= _SURE_TEXT
        and len(clean.user_key) <= _SURE_TEXT
        and len(clean.event_name or "") <= _SURE_TEXT
        and len(clean.anonymous_id or "") <= _SURE_TEXT
        and len(clean.session_id or "") <= _SURE_TEXT
    ):
        return
    for name in _IDENTIFIERS:
        size = len((getattr(clean, name) or "").encode())
        if size > _BYTES[name]:
            raise Rejected(Reason.VALUE_TOO_LONG, f"{name}: {size} bytes; its column takes {_BYTES[name]}")
