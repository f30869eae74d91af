"""Client times to UTC microseconds: reading, zones, skew (design 3.2). Integers only; no clock, no locale.

What is read: ISO 8601 with or without zone and its usual relatives (a space for the T, lower case, ``+0000``, fractions of
any length, ``:60``, ``24:00``), numbers since 1970 as numbers or text, and the layouts that a mapping names. Numbers are
seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, nanoseconds below 1e20. Fractions below a microsecond are cut.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from importlib import resources
from io import BytesIO
from zoneinfo import ZoneInfo

import msgspec

from headrace_core.events import TimeQuality

__all__ = [
    "FUTURE_TOLERANCE_US",
    "EventTime",
    "Instant",
    "UnreadableTime",
    "event_time",
    "is_zone",
    "read_time",
]

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_DAY_US = 86_400 * _SECOND_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (local times are counted from a local epoch)
_EPOCH_ORDINAL = 719_163
_ERA_DAYS = 146_097
"""Days in 400 years, after which the calendar repeats."""

_SKEW_TOLERANCE_US = _MINUTE_US
FUTURE_TOLERANCE_US = 5 * _MINUTE_US
"""An event time later than this after its receipt is a broken clock too."""

_EARLIEST_US = 631_152_000 * _SECOND_US
"""1990-01-01: earlier event times are broken clocks."""

_TEXT_LIMIT = 64


class UnreadableTime(ValueError):
    """The value is no time; the message says why."""


class Instant(msgspec.Struct, frozen=True, gc=False):
    """A time that was read. ``offset_min`` is the offset that it was sent with; ``quality`` exact, zone_assumed or
    ambiguous_local."""

    us: int
    offset_min: int | None
    quality: TimeQuality


class EventTime(msgspec.Struct, frozen=True, gc=False):
    """When an event happened, how sure that is, and what the client said."""

    us: int
    quality: TimeQuality
    original: str | None
    offset_min: int | None


def event_time(
    *,
    time: str | int | float | None,
    sent_at: str | int | float | None,
    received_at_ms: int,
    zone: str,
    skew_correction: bool = True,
    layout: str | None = None,
) -> EventTime:
    """The event's time by design 3.2. UnreadableTime where a time is given that is none; an unreadable sent time only
    means no correction. ``layout`` as in ``read_time``."""
    received_us = received_at_ms * 1000
    if time is None:
        return EventTime(received_us, "from_received", None, None)
    # Most times are of the usual shape; asking for it here saves them a call.
    plain = _plain(time) if layout is None and isinstance(time, str) else None
    instant = plain or read_time(time, zone, layout)
    us, quality = instant.us, instant.quality
    if skew_correction and sent_at is not None and not _is_long(sent_at):
        skew_us = received_us - _sent_us(sent_at, zone, received_us)
        if skew_us > _SKEW_TOLERANCE_US or skew_us < -_SKEW_TOLERANCE_US:
            us += skew_us
            quality = "skew_corrected" if quality == "exact" else quality
    if us > received_us + FUTURE_TOLERANCE_US or us < _EARLIEST_US:
        us, quality = received_us, "from_received"
    return EventTime(us, quality, time if isinstance(time, str) else repr(time), instant.offset_min)


def _is_long(value: str | int | float) -> bool:
    """Whether a value is too long for a time; such a one must not be remembered either."""
    return isinstance(value, str) and len(value) > _TEXT_LIMIT


@lru_cache(maxsize=1024)
def _sent_us(sent_at: str | int | float, zone: str, received_us: int) -> int:
    """The sent time; of an unreadable one nothing is known, so it counts as no skew. Remembered, as batches share theirs."""
    try:
        return read_time(sent_at, zone).us
    except UnreadableTime:
        return received_us


def read_time(value: str | int | float, zone: str, layout: str | None = None) -> Instant:
    """Read a time. ``zone`` is the IANA zone of times without one. ``layout``: None or iso for the rules of this module,
    epoch_s, epoch_ms, epoch_us for numbers of that unit, else a strptime pattern."""
    if layout is not None and layout != "iso":
        return _read_layout(value, zone, layout)
    if not isinstance(value, str):
        return Instant(_epoch_us(value), None, "exact")
    return _plain(value) or _read_text(value, zone)


def _plain(text: str) -> Instant | None:
    """A time of the usual shapes, which every Python version reads alike; None for whatever needs a closer look."""
    if len(text) not in _PLAIN_LENGTHS or text[4:11:3] != "--T":
        return None
    if text[-1] != "Z" and (text[-3] != ":" or text[-6] not in "+-" or text[-2:] > "59"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    zone = moment.tzinfo
    if zone is None:
        return None
    since = moment - _EPOCH
    us = (since.days * 86_400 + since.seconds) * _SECOND_US + since.microseconds
    return Instant(us, 0 if zone is UTC else _offset_us(moment) // _MINUTE_US, "exact")


_PLAIN_LENGTHS = frozenset({20, 24, 25, 27, 29, 32})
"""Seconds, milliseconds or microseconds with Z or ±hh:mm."""


def _offset_us(moment: datetime) -> int:
    offset = moment.utcoffset() or timedelta()
    return (offset.days * 86_400 + offset.seconds) * _SECOND_US + offset.microseconds


_ISO = re.compile(
    r"(?P<Y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)"
    r"(?:[Tt ](?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,30}))?)?)?"
    r" ?(?P<z>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_BASIC = re.compile(
    r"(?P<Y>\d{4})(?P<m>\d\d)(?P<d>\d\d)"
    r"(?:[Tt](?P<H>\d\d)(?P<M>\d\d)(?:(?P<S>\d\d)(?:[.,](?P<f>\d{1,30}))?)?(?P<z>[Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?", re.ASCII)


def _read_text(value: str, zone: str) -> Instant:
    text = _short(value)
    if found := _ISO.fullmatch(text) or _BASIC.fullmatch(text):
        return _assemble(found.groupdict(), zone)
    if _NUMBER.fullmatch(text):
        return Instant(_epoch_us(Decimal(text)), None, "exact")
    raise UnreadableTime(f"{text!r} is neither ISO 8601 nor a number since 1970")


def _short(value: str) -> str:
    """The text without white space around it; no time is longer than its column."""
    if _is_long(value):
        raise UnreadableTime(f"a time of {len(value)} characters")
    return value.strip()


_EXACT = Context(prec=80)
_UNITS_US = ((10**11, 1_000_000, 1), (10**14, 1000, 1), (10**17, 1, 1), (10**20, 1, 1000))
_UNIT_OF_LAYOUT = {"epoch_s": (1_000_000, 1), "epoch_ms": (1000, 1), "epoch_us": (1, 1)}


def _epoch_us(value: int | float | Decimal) -> int:
    """Microseconds of a number whose size tells its unit."""
    for below, factor, divisor in _UNITS_US:
        if -below < value < below:
            return _scaled(value, factor, divisor)
    raise UnreadableTime("a number too large for any unit since 1970")


def _scaled(value: int | float | Decimal, factor: int, divisor: int) -> int:
    if isinstance(value, int):
        return value * factor // divisor
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not exact.is_finite():
        raise UnreadableTime("a number that is not finite")
    whole = _EXACT.divide(_EXACT.multiply(exact, Decimal(factor)), Decimal(divisor))
    return int(whole.to_integral_value(ROUND_FLOOR, _EXACT))


def _assemble(parts: dict[str, str | None], zone: str) -> Instant:
    """An instant from matched digits: Y, m, d and, where given, H, M, S, f (fraction) and z (offset)."""
    hour, minute, second = (int(parts.get(name) or 0) for name in "HMS")
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        raise UnreadableTime(f"{hour:02d}:{minute:02d}:{second:02d} is no time of day")
    day = _days(int(parts["Y"] or 0), int(parts["m"] or 1), int(parts["d"] or 1))
    fraction_us = int((parts.get("f") or "")[:6].ljust(6, "0"))
    local_us = day * _DAY_US + (hour * 3600 + minute * 60 + second) * _SECOND_US + fraction_us
    offset = parts.get("z")
    if offset is None:
        return _localised(local_us, zone)
    offset_min = _offset_min(offset)
    return Instant(local_us - offset_min * _MINUTE_US, offset_min, "exact")


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a date of the years 0 to 9999."""
    try:
        if year == 0:
            return date(400, month, day).toordinal() - _ERA_DAYS - _EPOCH_ORDINAL
        return date(year, month, day).toordinal() - _EPOCH_ORDINAL
    except ValueError as error:
        raise UnreadableTime(f"{year:04d}-{month:02d}-{day:02d} is no date: {error}") from None


def _offset_min(text: str) -> int:
    if text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:4] or 0)
    if hours > 23 or minutes > 59:
        raise UnreadableTime(f"{text} is no offset from UTC")
    return (hours * 60 + minutes) * (-1 if text[0] == "-" else 1)


def _localised(local_us: int, zone: str) -> Instant:
    """A local time by its zone. Of a time that exists twice the first counts; one that does not exist moves forward."""
    try:
        moment = (_LOCAL_EPOCH + timedelta(microseconds=local_us)).replace(tzinfo=_zone(zone))
    except OverflowError:  # a time of the year 0, or 24:00 on the last day of 9999: no zone matters
        return Instant(local_us, None, "zone_assumed")
    first_us = _offset_us(moment)
    second_us = _offset_us(moment.replace(fold=1))
    return Instant(local_us - first_us, None, "zone_assumed" if first_us == second_us else "ambiguous_local")


_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z][A-Za-z0-9_+-]*)*", re.ASCII)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    """A zone by the locked tzdata package, never by the machine's own database, which differs from image to image."""
    if _ZONE_NAME.fullmatch(name):
        folder = resources.files("tzdata").joinpath("zoneinfo")
        try:
            return ZoneInfo.from_file(BytesIO(folder.joinpath(*name.split("/")).read_bytes()), key=name)
        except (OSError, ValueError):  # there is no such zone, or the name is a folder's or a list's
            pass
    raise UnreadableTime(f"{name!r} is no time zone of the IANA database")


def is_zone(name: str) -> bool:
    """Whether ``name`` is a zone of the IANA database, for settings and mappings."""
    try:
        _zone(name)
    except UnreadableTime:
        return False
    return True


def _read_layout(value: str | int | float, zone: str, layout: str) -> Instant:
    if layout in _UNIT_OF_LAYOUT:
        return Instant(_scaled(_number(value), *_UNIT_OF_LAYOUT[layout]), None, "exact")
    text = _short(value) if isinstance(value, str) else repr(value)
    found = layout_pattern(layout).fullmatch(text)
    if found is None:
        raise UnreadableTime(f"{text[:_TEXT_LIMIT]!r} does not have the layout {layout!r}")
    return _assemble(_plain_parts(found.groupdict()), zone)


def _number(value: str | int | float) -> int | float | Decimal:
    if not isinstance(value, str):
        return value
    text = _short(value)
    if _NUMBER.fullmatch(text) is None:
        raise UnreadableTime(f"{text[:_TEXT_LIMIT]!r} is no number")
    return Decimal(text)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d\d?)",
    "d": r"(?P<d>\d\d?)",
    "H": r"(?P<H>\d\d?)",
    "I": r"(?P<I>\d\d?)",
    "M": r"(?P<M>\d\d?)",
    "S": r"(?P<S>\d\d?)",
    "f": r"(?P<f>\d{1,30})",
    "z": r"(?P<z>[Zz]|[+-]\d\d:?\d\d)",
    "p": r"(?P<p>[AaPp][Mm])",
    "b": r"(?P<b>" + "|".join(_MONTHS) + ")",
    "%": "%",
}


@lru_cache(maxsize=256)
def layout_pattern(layout: str) -> re.Pattern[str]:
    """The pattern of a strptime layout: %Y %y %m %d %b %H %I %p %M %S %f %z %%, English names. UnreadableTime for others."""
    parts = re.split(r"%(.)", layout)
    names = parts[1::2]
    unknown = [name for name in names if name not in _DIRECTIVES]
    if unknown or len(set(names)) != len(names) or not _is_complete(set(names)):
        raise UnreadableTime(f"the layout {layout!r} is not one date and time in the known directives")
    pieces = [_DIRECTIVES[part] if at % 2 else re.escape(part) for at, part in enumerate(parts)]
    return re.compile("".join(pieces), re.ASCII | re.IGNORECASE)


def _is_complete(names: set[str]) -> bool:
    """Whether the directives give a date, and a 12-hour clock only together with am or pm."""
    return (
        "d" in names
        and len(names & set("Yy")) == 1
        and len(names & set("mb")) == 1
        and ("I" in names) == ("p" in names)
    )


def _plain_parts(parts: dict[str, str | None]) -> dict[str, str | None]:
    """Two-digit years, month names and the 12-hour clock in the terms of ``_assemble``."""
    if year := parts.get("y"):
        parts["Y"] = f"{'19' if int(year) >= 69 else '20'}{year}"
    if month := parts.get("b"):
        parts["m"] = str(_MONTHS.index(month.lower()) + 1)
    if hour := parts.get("I"):
        if not 1 <= int(hour) <= 12:
            raise UnreadableTime(f"{hour} is no hour of a 12-hour clock")
        parts["H"] = str(int(hour) % 12 + (12 if (parts["p"] or "").lower() == "pm" else 0))
    return parts
