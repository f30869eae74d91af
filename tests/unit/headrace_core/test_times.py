"""Times in every shape that clients send, to integer microseconds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_core import times
from headrace_core.times import UnreadableTime, event_time, is_zone, read_time

NOON_US = 1_706_702_400_000_000
"""2024-01-31T12:00:00Z."""
RECEIVED_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("value", "us", "offset_min"),
    [
        ("2024-01-31T12:00:00Z", NOON_US, 0),
        ("2024-01-31T12:00:00z", NOON_US, 0),
        ("2024-01-31t12:00:00Z", NOON_US, 0),
        ("2024-01-31 12:00:00Z", NOON_US, 0),
        ("2024-01-31 12:00:00 UTC", NOON_US, 0),
        ("2024-01-31T12:00:00 GMT", NOON_US, 0),
        (" 2024-01-31T12:00:00Z\n", NOON_US, 0),
        ("2024-01-31T12:00Z", NOON_US, 0),
        ("20240131T120000Z", NOON_US, 0),
        ("20240131T1200Z", NOON_US, 0),
        ("2024-01-31T12:00:00.000Z", NOON_US, 0),
        ("2024-01-31T12:00:00,5Z", NOON_US + 500_000, 0),
        ("2024-01-31T12:00:00.1Z", NOON_US + 100_000, 0),
        ("2024-01-31T12:00:00.123456Z", NOON_US + 123_456, 0),
        ("2024-01-31T12:00:00.1234567Z", NOON_US + 123_456, 0),
        ("2024-01-31T12:00:00.123456999Z", NOON_US + 123_456, 0),
        ("2024-01-31T12:00:00.000000001+00:00", NOON_US, 0),
        ("2024-01-31T13:30:00+01:30", NOON_US, 90),
        ("2024-01-31T13:30:00+0130", NOON_US, 90),
        ("2024-01-31T13:00:00+01", NOON_US, 60),
        ("2024-01-31T07:00:00-05:00", NOON_US, -300),
        ("2024-01-31T12:00:00-00:00", NOON_US, 0),
        ("2024-01-31T12:00:00+0000", NOON_US, 0),
        ("2024-02-01T11:59:00+23:59", NOON_US, 1439),
        ("2024-01-31T11:59:60Z", NOON_US, 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000, 0),
        ("2024-01-31T24:00:00Z", NOON_US + 43_200_000_000, 0),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000_000, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000, 0),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999, 0),
        ("9999-12-31T23:59:59-01:00", 253_402_304_399_000_000, -60),
        ("0001-01-01T00:00:00+01:00", -62_135_600_400_000_000, 60),
        ("0000-02-29T00:00:00Z", -62_162_121_600_000_000, 0),
    ],
)
def test_iso_with_zone(value: str, us: int, offset_min: int) -> None:
    instant = read_time(value, "America/New_York")
    assert (instant.us, instant.offset_min, instant.quality) == (us, offset_min, "exact")


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1_706_702_400, NOON_US),
        (1_706_702_400_000, NOON_US),
        (1_706_702_400_000_000, NOON_US),
        (1_706_702_400_000_000_999, NOON_US),
        ("1706702400", NOON_US),
        ("1706702400.123456", NOON_US + 123_456),
        ("1706702400000", NOON_US),
        ("1.7067024e9", NOON_US),
        (1_706_702_400.123456, NOON_US + 123_456),
        (1_706_702_400_000.5, NOON_US + 500),
        (0, 0),
        (-1, -1_000_000),
        ("-1.5", -1_500_000),
        (99_999_999_999, 99_999_999_999_000_000),
        (100_000_000_000, 100_000_000_000_000),
    ],
)
def test_numbers_by_their_size(value: str | int | float, us: int) -> None:
    instant = read_time(value, "Asia/Tokyo")
    assert (instant.us, instant.offset_min, instant.quality) == (us, None, "exact")


@pytest.mark.parametrize(
    ("value", "zone", "us", "quality"),
    [
        ("2024-01-31T12:00:00", "UTC", NOON_US, "zone_assumed"),
        ("2024-01-31T12:00:00.000", "UTC", NOON_US, "zone_assumed"),
        ("2024-01-31 12:00", "Europe/Berlin", NOON_US - 3_600_000_000, "zone_assumed"),
        ("2024-01-31", "UTC", NOON_US - 43_200_000_000, "zone_assumed"),
        ("20240131", "UTC", NOON_US - 43_200_000_000, "zone_assumed"),
        # London 2011-03-27: 01:00 to 02:00 does not exist; it is read as if the clock had not been put forward.
        ("2011-03-27 01:30:00", "Europe/London", 1_301_189_400_000_000, "ambiguous_local"),
        ("2011-03-27 00:59:59", "Europe/London", 1_301_187_599_000_000, "zone_assumed"),
        ("2011-03-27 02:00:00", "Europe/London", 1_301_187_600_000_000, "zone_assumed"),
        # London 2011-10-30: 01:00 to 02:00 exists twice; the first one counts.
        ("2011-10-30 01:30:00", "Europe/London", 1_319_934_600_000_000, "ambiguous_local"),
        ("2011-10-30 02:00:00", "Europe/London", 1_319_940_000_000_000, "zone_assumed"),
        ("0000-06-01T00:00:00", "Europe/Berlin", -62_154_086_400_000_000, "zone_assumed"),
        ("9999-12-31T24:00:00", "Europe/Berlin", 253_402_300_800_000_000, "zone_assumed"),
    ],
)
def test_times_without_zone(value: str, zone: str, us: int, quality: str) -> None:
    instant = read_time(value, zone)
    assert (instant.us, instant.offset_min, instant.quality) == (us, None, quality)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-01-31T25:00:00Z",
        "2024-01-31T24:00:01Z",
        "2024-01-31T12:60:00Z",
        "2024-01-31T12:00:61Z",
        "2024-01-31T12:00:00+24:00",
        "2024-01-31T12:00:00+01:60",
        "2024-W05-3T12:00:00Z",
        "2024-W05-3T12:00:00.00Z",
        "2024-031T12:00:00Z",
        "Wed, 31 Jan 2024 12:00:00 GMT",
        "٢٠٢٤-٠١-٣١T١٢:٠٠:٠٠Z",
        "2024-01-31T12:00:00Zjunk",
        "2024-01-31T12:00:00." + "1" * 100 + "Z",
        "1" * 400,
        "1e400",
        "NaN",
        "Infinity",
        10**20,
        10**400,
        float("inf"),
        float("nan"),
        1e300,
    ],
)
def test_what_is_no_time_is_said_to_be_none(value: str | int | float) -> None:
    with pytest.raises(UnreadableTime):
        read_time(value, "UTC")


@pytest.mark.parametrize(
    ("value", "layout", "us"),
    [
        ("1706702400000", "epoch_ms", NOON_US),
        (1_706_702_400_000, "epoch_ms", NOON_US),
        ("5", "epoch_ms", 5_000),
        (5, "epoch_s", 5_000_000),
        (7, "epoch_us", 7),
        ("31/01/2024 12:00", "%d/%m/%Y %H:%M", NOON_US),
        ("1/31/24 12:00 PM", "%m/%d/%y %I:%M %p", NOON_US),
        ("1/31/24 12:00 am", "%m/%d/%y %I:%M %p", NOON_US - 43_200_000_000),
        ("31/Jan/2024:13:00:00 +0100", "%d/%b/%Y:%H:%M:%S %z", NOON_US),
        ("2024-01-31T12:00:00.1234567", "%Y-%m-%dT%H:%M:%S.%f", NOON_US + 123_456),
        ("100% 2024 01 31", "100%% %Y %m %d", NOON_US - 43_200_000_000),
        ("2024-01-31T12:00:00Z", "iso", NOON_US),
    ],
)
def test_layouts_of_mappings(value: str | int, layout: str, us: int) -> None:
    assert read_time(value, "UTC", layout).us == us


@pytest.mark.parametrize(
    ("value", "layout"),
    [
        ("noon", "epoch_ms"),
        ("2024-01-31", "%d/%m/%Y"),
        ("31/02/2024", "%d/%m/%Y"),
        ("31/01/2024 13:00 PM", "%d/%m/%Y %I:%M %p"),
        ("31/01/2024", "%d/%m/%Q"),
        ("31/01", "%d/%m"),
        ("31/01/2024 01:00", "%d/%m/%Y %I:%M"),
        ("2024 2024 01 31", "%Y %Y %m %d"),
    ],
)
def test_layouts_that_do_not_fit(value: str, layout: str) -> None:
    with pytest.raises(UnreadableTime):
        read_time(value, "UTC", layout)


def test_an_unknown_zone_is_no_zone() -> None:
    assert is_zone("Europe/London")
    assert is_zone("UTC")
    assert is_zone("America/Argentina/Buenos_Aires")
    assert is_zone("Etc/GMT+12")
    for name in (
        "Europe/Londn",
        "Europe",
        "../zone.tab",
        "zone.tab",
        "zonenow.tab",
        "",
        "/",
        "__init__.py",
        "Europe/",
    ):
        assert not is_zone(name)
    with pytest.raises(UnreadableTime, match="no time zone"):
        read_time("2024-01-31T12:00:00", "Nowhere/Land")


ZONES = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=9, minutes=30))]
)


@given(st.datetimes(timezones=ZONES), st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_isoformat_round_trip(moment: datetime, timespec: str) -> None:
    text = moment.isoformat(timespec=timespec)
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    instant = read_time(text, "UTC")
    assert instant.us == since // timedelta(microseconds=1)
    assert instant.offset_min == (moment.utcoffset() or timedelta()) // timedelta(minutes=1)


_PIECES = st.sampled_from(
    [*"0123456789", "-", ":", "T", "t", " ", "Z", "z", "+", ".", ",", "W", "24", "60", "2024"]
)


@settings(max_examples=250)
@given(
    st.one_of(
        st.lists(_PIECES, max_size=34).map("".join),
        st.text(max_size=34),
        st.from_regex(
            r"\d{4}-[0-3W]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d([.,]\d{1,7})?(Z|[+-]\d\d:?\d\d)", fullmatch=True
        ),
    )
)
def test_the_fast_reading_is_the_careful_one(text: str) -> None:
    """Both readings agree on every text, so that no Python version changes a result."""
    try:
        careful = times._read_text(text, "UTC")
    except UnreadableTime:
        with pytest.raises(UnreadableTime):
            read_time(text, "UTC")
    else:
        assert read_time(text, "UTC") == careful


def _at(
    time: str | int | float | None,
    sent_at: str | int | float | None = None,
    *,
    skew_correction: bool = True,
) -> times.EventTime:
    return event_time(
        time=time, sent_at=sent_at, received_at_ms=RECEIVED_MS, zone="UTC", skew_correction=skew_correction
    )


RECEIVED_US = RECEIVED_MS * 1000
RECEIVED = "2026-09-21T14:13:20Z"


@pytest.mark.parametrize(
    ("time", "sent_at", "us", "quality"),
    [
        (None, None, RECEIVED_US, "from_received"),
        (RECEIVED, None, RECEIVED_US, "exact"),
        # A minute of difference is transport, not a wrong clock.
        ("2026-09-21T14:00:00Z", "2026-09-21T14:12:20Z", RECEIVED_US - 800_000_000, "exact"),
        ("2026-09-21T14:00:00Z", "2026-09-21T14:14:20Z", RECEIVED_US - 800_000_000, "exact"),
        ("2026-09-21T14:00:00Z", "2026-09-21T14:12:19Z", RECEIVED_US - 739_000_000, "skew_corrected"),
        ("2026-09-21T15:13:10Z", "2026-09-21T15:13:20Z", RECEIVED_US - 10_000_000, "skew_corrected"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:05Z", RECEIVED_US - 5_000_000, "skew_corrected"),
        # A sent time that is none corrects nothing.
        (RECEIVED, "whenever", RECEIVED_US, "exact"),
        (RECEIVED, "x" * 5000, RECEIVED_US, "exact"),
        ("2026-09-21T14:18:20Z", None, RECEIVED_US + 300_000_000, "exact"),
        ("2026-09-21T14:18:20.000001Z", None, RECEIVED_US, "from_received"),
        ("1990-01-01T00:00:00Z", None, 631_152_000_000_000, "exact"),
        ("1989-12-31T23:59:59Z", None, RECEIVED_US, "from_received"),
        ("0000-01-01T00:00:00Z", None, RECEIVED_US, "from_received"),
        ("9999-12-31T23:59:59Z", None, RECEIVED_US, "from_received"),
        ("2026-09-21T14:00:00", "2026-09-21T14:00:00Z", RECEIVED_US, "zone_assumed"),
    ],
)
def test_event_time(time: str | None, sent_at: str | None, us: int, quality: str) -> None:
    found = _at(time, sent_at)
    assert (found.us, found.quality, found.original) == (us, quality, time)


def test_correction_can_be_switched_off() -> None:
    assert _at("2026-09-21T14:00:00Z", "2026-09-21T10:00:00Z", skew_correction=False).quality == "exact"


def test_the_original_is_kept_as_text() -> None:
    assert _at(1_789_999_999).original == "1789999999"
    assert _at(1_789_999_999.5).original == "1789999999.5"
    assert _at("2026-09-21T16:13:20+02:00").offset_min == 120
