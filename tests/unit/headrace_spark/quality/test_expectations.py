"""What is expected of a day: each defect fails its own expectation, usual days fail none, few days decide nothing."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.day_metrics import MONDAY, binomial, day_of, poisson, source_of, weeks_of

from headrace_spark.quality.catalogue import CATALOGUE
from headrace_spark.quality.expectations import HISTORY_DAYS, expect, trailing
from headrace_spark.quality.metrics import DayMetrics, GivenCounts, NullCount, SourceMetrics

HISTORY = weeks_of()
HOLE = (0,) * 8 + (400,) * 4 + (0,) + (400,) * 5 + (0,) * 6
LATER = (0,) * 11 + (400,) * 10 + (0,) * 3
SHORT = (0,) * 8 + (400,) * 5 + (0,) * 11


def failed(day: DayMetrics, history: list[DayMetrics] | None = None) -> set[str]:
    """Names of expectations that do not hold."""
    checks = expect(day, HISTORY if history is None else history).checks
    return {check.name for check in checks if not check.holds}


def test_a_usual_day_fails_nothing_and_meets_every_expectation_that_it_can() -> None:
    given_counts = GivenCounts(
        rows_previous=0,
        rows_read=4_000,
        duplicates=0,
        suppressed=0,
        records_deduplicated=4_000,
        duplicates_at_dedup=0,
    )
    history = [replace(day, given=given_counts) for day in HISTORY]
    expected = expect(replace(day_of(), given=given_counts), history)
    assert not [check for check in expected.checks if not check.holds]
    assert {check.name for check in expected.checks} == set(CATALOGUE)
    assert not expected.skipped
    assert len(expected.history_days) == HISTORY_DAYS


@pytest.mark.parametrize(
    ("day", "names"),
    [
        (replace(day_of(), distinct_ids=3_999), {"unique_dedup_id"}),
        (replace(day_of(), distinct_contents=3_000), {"repeated_content_rate"}),
        (replace(day_of(), columns={"dedup_id": "string"}), {"schema_columns"}),
        (replace(day_of(), unknown={"event_type": 1}), {"known_values"}),
        (replace(day_of(), schema_versions={"2": 4_000}), {"known_versions"}),
        (replace(day_of(), rules_versions={"2": 1}), {"known_versions"}),
        (replace(day_of(), required_nulls=1), {"required_columns"}),
        (replace(day_of(), user_key_disagrees=1), {"user_key_agrees"}),
        (replace(day_of(), outside_the_day=1), {"rows_inside_the_day"}),
        (day_of(shop=source_of(after_receipt=1)), {"clock_shift"}),
        (day_of(shop=source_of(late=0.9)), {"clock_shift"}),
        (day_of(shop=source_of(quality={"from_received": 0.5, "exact": 0.5})), {"clock_shift"}),
        (day_of(shop=source_of(quality={"zone_assumed": 1.0})), {"clock_shift"}),
        (day_of(shop=source_of(quality={"skew_corrected": 1.0})), {"skew_corrected_rate"}),
        (day_of(shop=source_of(hours=LATER)), {"active_hours"}),
        (day_of(shop=source_of(hours=HOLE)), {"missing_hour"}),
        (day_of(shop=source_of(hours=[10 * hour for hour in HOLE])), {"volume_against_trailing_weeks", "missing_hour"}),
        (day_of(shop=source_of(hours=[hour // 20 for hour in HOLE[:8] + (400,) * 10 + HOLE[18:]])), {"volume_against_trailing_weeks"}),
        (day_of(shop=source_of(no_user=0.9)), {"null_rate_user_id", "unresolved_rate"}),
        (day_of(shop=source_of(nulls={"page_url": 0.3})), {"null_rate_page_url"}),
        (day_of(shop=source_of(nulls={"currency": 0.3})), {"null_rate_currency"}),
        (day_of(shop=source_of(money={"EUR": (3_000, 1.2), "USD": (1_000, 1.2)})), {"currency_mix"}),
        (day_of(shop=source_of(money={"USD": (4_000, 1.2)})), {"currency_mix"}),
        (day_of(shop=source_of(money={"EUR": (4_000, 3.2)})), {"revenue_scale"}),
        (day_of(shop=source_of(money={"EUR": (4_000, -0.8)})), {"revenue_scale"}),
    ],
)  # fmt: skip
def test_a_defect_fails_its_own_expectation(day: DayMetrics, names: set[str]) -> None:
    assert failed(day) == names


def test_the_values_out_of_the_ordinary_are_named() -> None:
    day = day_of(shop=source_of(money={"EUR": (3_000, 1.2), "USD": (1_000, 1.2)}))
    (check,) = [check for check in expect(day, HISTORY).checks if not check.holds]
    assert (check.label, check.values, check.source) == ("currency_mix (shop)", ("USD",), "shop")


@pytest.mark.parametrize("lost", [-3, 2])
def test_counts_that_do_not_add_up(lost: int) -> None:
    counts = GivenCounts(rows_previous=1_000, rows_read=3_100 - lost, duplicates=90, suppressed=10)
    assert failed(replace(day_of(), given=counts)) == {"counts_reconcile"}
    whole = GivenCounts(rows_previous=1_000, rows_read=3_100, duplicates=90, suppressed=10)
    assert failed(replace(day_of(), given=whole)) == set()


def test_a_burst_of_duplicates_is_told_wherever_it_was_dropped() -> None:
    quiet = GivenCounts(duplicates=40, records_deduplicated=4_000, duplicates_at_dedup=40)
    history = [replace(day, given=quiet) for day in HISTORY]
    for burst in (
        replace(quiet, duplicates=4_000),
        replace(quiet, records_deduplicated=6_000, duplicates_at_dedup=2_040),
    ):
        assert failed(replace(day_of(), given=burst), history) == {"duplicate_rate"}


def test_duplicates_that_nobody_counted_are_said_to_be_unchecked() -> None:
    expected = expect(replace(day_of(), given=GivenCounts(duplicates=40)), HISTORY)
    assert [(each.name, each.subject) for each in expected.skipped if "verdicts" in each.why] == [
        ("duplicate_rate", "found by dedup")
    ]


def test_an_empty_day_is_stopped_where_no_such_weekday_was_quiet() -> None:
    empty = replace(day_of(), rows=0, distinct_ids=0, distinct_contents=0, sources={})
    checks = {check.name: check for check in expect(empty, HISTORY).checks if not check.holds}
    assert checks["day_not_empty"].expectation.severity == "critical"
    quiet = day_of(MONDAY - timedelta(days=7), shop=source_of(hours=(0,) * 12 + (49,) + (0,) * 11))
    assert "day_not_empty" not in failed(empty, [*HISTORY, quiet])
    assert "day_not_empty" not in failed(empty, HISTORY[-8:])


def test_a_source_is_compared_with_itself_alone() -> None:
    """A new source without users changes the share of the whole; a defect of a small source does not hide in a large one."""
    app = source_of(no_user=1.0)
    assert failed(day_of(shop=source_of(), app=app)) == set()
    small = source_of(hours=[hour // 4 for hour in SHORT])
    both = weeks_of(shop=source_of(), small=small)
    broken = source_of(hours=[hour // 4 for hour in SHORT], no_user=1.0)
    assert failed(day_of(shop=source_of(), small=broken), both) == {"null_rate_user_id", "unresolved_rate"}


def test_a_silent_source_is_told_for_a_week() -> None:
    history = weeks_of(shop=source_of(), app=source_of())
    assert failed(day_of(shop=source_of()), history) == {"volume_against_trailing_weeks"}
    silent = [day if back < 49 else day_of_shop(day) for back, day in enumerate(history)]
    assert failed(day_of(shop=source_of()), silent) == set()


def day_of_shop(day: DayMetrics) -> DayMetrics:
    """The day without its other sources."""
    return replace(day, sources={"shop": day.sources["shop"]})


def test_a_shop_that_closes_early_has_no_hole_but_one_that_never_closes_has() -> None:
    assert failed(day_of(shop=source_of(hours=SHORT))) == set()
    always = weeks_of(shop=source_of(hours=(400,) * 24))
    ended = day_of(shop=source_of(hours=(400,) * 20 + (0,) * 4))
    checks = [check for check in expect(ended, always).checks if not check.holds]
    assert [check.subject for check in checks] == ["20:00 UTC", "21:00 UTC", "22:00 UTC", "23:00 UTC"]


@pytest.mark.parametrize("shift", [-1, 1])
def test_daylight_saving_moves_a_day_by_one_hour_without_alarm(shift: int) -> None:
    hours = source_of().hours
    assert failed(day_of(shop=source_of(hours=hours[-shift:] + hours[:-shift]))) == set()


def test_one_hole_does_not_hide_the_next() -> None:
    history = [
        day_of(MONDAY - timedelta(days=7), shop=source_of(hours=HOLE)) if day.event_date == str(MONDAY - timedelta(days=7)) else day
        for day in HISTORY
    ]  # fmt: skip
    assert failed(day_of(shop=source_of(hours=HOLE)), history) == {"missing_hour"}


def test_a_published_defect_does_not_become_the_rule() -> None:
    history = [*HISTORY[:-1], replace(day_of(MONDAY - timedelta(days=1), shop=source_of(no_user=1.0)))]
    assert "null_rate_user_id" in failed(day_of(shop=source_of(no_user=1.0)), history)


def test_with_too_little_history_only_the_day_itself_decides() -> None:
    wild = day_of(shop=source_of(hours=HOLE, no_user=1.0, late=1.0, money={"ZZZ": (50, 9.0)}))
    expected = expect(wild, HISTORY[-3:])
    assert all(check.holds for check in expected.checks)
    assert {"missing_hour", "null_rate_user_id", "currency_mix", "clock_shift"} <= {
        skipped.name for skipped in expected.skipped
    }
    assert "7 are needed" in next(
        skipped.why for skipped in expected.skipped if skipped.name == "currency_mix"
    )


def test_history_is_the_days_before_and_the_later_given_counts() -> None:
    again = replace(day_of(MONDAY - timedelta(days=2)), rows=1)
    days = trailing(str(MONDAY), [day_of(MONDAY), *weeks_of(10), again, day_of(MONDAY + timedelta(days=1))])
    assert len(days) == HISTORY_DAYS
    assert days[-2] is again
    assert days[-1].event_date == str(MONDAY - timedelta(days=1))


def _day_by_chance(chance: Random, back: int, level: float, share: float) -> DayMetrics:
    """A day of a shop with a weekly pattern, closed on Saturdays and by night; rows and shares as chance has them."""
    day = MONDAY - timedelta(days=back)
    factor = (0.6, 1.0, 1.0, 1.1, 1.3, 0.0, 0.4)[day.weekday()] * level
    hours = [poisson(chance, factor * (40 if 7 <= hour < 19 else 0.3)) for hour in range(24)]
    rows = sum(hours)
    source = source_of(hours=hours, money={"EUR": (rows, chance.gauss(1.2, 0.02))})
    nulls = binomial(chance, rows, share)
    counts = {
        column: NullCount(rows=rows, nulls=nulls if column == "user_id" else 0) for column in source.nulls
    }
    made: SourceMetrics = replace(source, nulls=counts, identity={"unresolved": nulls})
    found = day_of(day, shop=made)
    return replace(found, distinct_contents=rows - binomial(chance, rows, share / 10))


@given(seed=st.integers(0, 2**32), level=st.sampled_from((0.2, 1.0, 30.0, 1_000.0)), share=st.floats(0, 1))
@settings(max_examples=25)
def test_chance_alone_raises_no_alarm(seed: int, level: float, share: float) -> None:
    """Poisson hours, binomial shares, eight weeks that grow by half: no day of the ninth fails anything."""
    chance = Random(seed)
    days = [
        day
        for back in range(7 * 9, 0, -1)
        if (day := _day_by_chance(chance, back, level * (1.5 - back / 126), share)).rows
    ]
    for at in range(len(days) - 6, len(days)):
        expected = expect(days[at], days[:at])
        assert not [check for check in expected.checks if not check.holds]


@given(seed=st.integers(0, 2**32), share=st.floats(0, 0.6))
@settings(max_examples=25)
def test_chance_does_not_hide_a_column_that_went_empty(seed: int, share: float) -> None:
    chance = Random(seed)
    days = [_day_by_chance(chance, back, 1.0, share) for back in range(7 * 8, 0, -1)]
    today = day_of(MONDAY, shop=source_of(hours=days[0].sources["shop"].hours, no_user=1.0))
    assert "null_rate_user_id" in failed(today, [day for day in days if day.rows])


def test_without_its_columns_nothing_else_of_a_day_is_checked() -> None:
    columns = {name: kind for name, kind in day_of().columns.items() if name != "os"}
    expected = expect(DayMetrics(event_date=day_of().event_date, columns=columns), HISTORY)
    [check] = expected.checks
    assert (check.name, check.values, check.holds) == ("schema_columns", ("os",), False)
    assert {skipped.name for skipped in expected.skipped} == set(CATALOGUE) - {"schema_columns"}
