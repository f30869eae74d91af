"""Defects planted into a made day and into a real one: each is caught by its own name alone, and its rows are shown."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from tests.support.day_metrics import MONDAY
from tests.support.planted_defects import PLANTED, Planted
from tests.support.staged_files import clean_row

from headrace_core.events import CleanEvent
from headrace_core.paths import report_key
from headrace_loader.parquet import arrow_schema
from headrace_spark.quality.expectations import expect
from headrace_spark.quality.gate import stop_reason
from headrace_spark.quality.inspection import Inspection, inspect_day
from headrace_spark.quality.measuring import columns_of_frame, measure_days
from headrace_spark.quality.metrics import DayMetrics, decode_metrics
from headrace_spark.quality.report import decode_report
from headrace_spark.quality.validation import validate

REAL_DAY = date(2011, 3, 22)
REAL_DEFECTS = {
    "burst of ids",
    "burst of contents under new ids",
    "null spike of users",
    "clock three hours ahead",
    "clock two hours behind",
    "missing hour",
    "currency swap",
}
PERSONAL = {"user_id", "anonymous_id", "user_key", "customer_id", "event_id", "properties", "context"}


def _rows_of(day: date, chance: random.Random) -> list[dict[str, object]]:
    """Orders of a shop that is open from 8 to 18; a third of the buyers are unknown."""
    rows = []
    for number in range(1_500):
        at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC) + timedelta(
            microseconds=chance.randrange(36_000_000_000)
        )
        event, known = f"{day}-{number}", chance.random() < 0.67
        rows.append(
            clean_row(
                event,
                at=at,
                offset=number,
                user_id=f"u{chance.randrange(300)}" if known else None,
                **({} if known else {"user_key": f"e:{event}", "identity_status": "unresolved"}),
                received_ts=at + timedelta(seconds=chance.expovariate(0.1)),
                revenue=Decimal(round(10 ** chance.gauss(5.2, 0.5))).scaleb(-4),
                properties=f'{{"order":{number}}}',
            )
        )
    return rows


def _frame(spark: SparkSession, rows: Sequence[dict[str, object]], path: str) -> DataFrame:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=arrow_schema(CleanEvent)), path)
    return spark.read.parquet(f"file://{path}").selectExpr("*", "to_date(event_ts) AS event_date")


@pytest.fixture(scope="module")
def made_history(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[DayMetrics]:
    """Five weeks of the made shop, measured at once."""
    chance = random.Random(5)
    rows = [row for back in range(35, 0, -1) for row in _rows_of(MONDAY - timedelta(days=back), chance)]
    path = tmp_path_factory.mktemp("history") / "rows.parquet"
    return list(measure_days(_frame(spark, rows, str(path))).values())


@pytest.fixture(scope="module")
def made_day(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    path = tmp_path_factory.mktemp("day") / "rows.parquet"
    return _frame(spark, _rows_of(MONDAY, random.Random(6)), str(path))


def test_a_clean_day_passes_and_its_files_are_read_back(
    made_day: DataFrame, made_history: list[DayMetrics]
) -> None:
    found = inspect_day(made_day, MONDAY, history=made_history)
    assert found.report.outcome == "passed", found.report.failed
    assert decode_report(found.files["quality.json"]) == found.report
    assert decode_metrics(found.files["metrics.json"]) == found.metrics
    assert {"index.html", "time.html", "nulls.html", "money.html", "volume.html"} <= set(found.files)
    assert report_key("daily-x", 1, 1, "index.html") == "runs/daily-x/attempt=1/plan=1/reports/index.html"
    assert stop_reason(found.report, "gate") is None


@pytest.mark.parametrize("defect", PLANTED, ids=str)
def test_a_defect_planted_into_a_made_day(
    made_day: DataFrame, made_history: list[DayMetrics], defect: Planted
) -> None:
    _assert_caught(inspect_day(defect.plant(made_day), MONDAY, history=made_history), defect)


def _assert_caught(found: Inspection, defect: Planted) -> None:
    report = found.report
    assert set(report.failed_names) - defect.may_fail == defect.fails
    stop = stop_reason(report, "gate")
    assert (stop is not None) is defect.stops
    for result in report.critical:
        assert 0 < len(result.samples) <= 20
        assert not PERSONAL & set(result.samples[0])
        assert {"dedup_id", "source", "event_ts", "src_partition", "src_offset"} <= set(result.samples[0])
    if stop is not None:
        assert stop.exit_code == 65
        assert all(name in str(stop) for name in {result.name for result in report.critical})
        assert str(report.critical[0].samples[0]["dedup_id"]) in str(stop)


@pytest.mark.parametrize("told_by", ["the rows", "the files"])
def test_a_day_without_a_column_fails_by_name_and_is_no_history(
    made_day: DataFrame, made_history: list[DayMetrics], told_by: str
) -> None:
    lacking = made_day.drop("os", "revenue")
    if told_by == "the rows":
        found = inspect_day(lacking, MONDAY, history=made_history)
    else:
        found = inspect_day(made_day, MONDAY, columns=columns_of_frame(lacking), history=made_history)
    assert found.report.failed_names == ("schema_columns",)
    stop = stop_reason(found.report, "gate")
    assert stop is not None
    assert "schema_columns is 2 [os, revenue], expected 0" in stop.why
    assert "metrics.json" not in found.files
    assert "revenue" in found.files["index.html"].decode()


@pytest.fixture(scope="module")
def real(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """Four months of invoice lines; skipped where the data set is not there."""
    from tests.support.retail_days import write_retail_events

    months = ("2010-12", "2011-01", "2011-02", "2011-03")
    path = write_retail_events(tmp_path_factory.mktemp("retail"), *months)
    return spark.read.parquet(path.as_uri()).selectExpr("*", "to_date(event_ts) AS event_date").cache()


@pytest.fixture(scope="module")
def real_metrics(real: DataFrame) -> list[DayMetrics]:
    return list(measure_days(real).values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_clean_months_of_real_data_pass_day_by_day(real_metrics: list[DayMetrics]) -> None:
    """No Saturdays, a shop closed from Christmas to 3 January, daylight saving on 27 March, and not one alarm."""
    assert len(real_metrics) == 95
    assert sum(day.rows for day in real_metrics) == 142_083
    compared = 0
    for at, day in enumerate(real_metrics):
        expected = expect(day, real_metrics[:at])
        alarms = [(day.event_date, check) for check in expected.checks if not check.holds]
        assert not alarms
        compared += len(expected.checks)
        if day.event_date.startswith("2011-03"):
            assert all(validate(expected, pages=False).passed.values())
    assert compared > 1_900


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", [defect for defect in PLANTED if defect.name in REAL_DEFECTS], ids=str)
def test_a_defect_planted_into_a_real_day(
    real: DataFrame, real_metrics: list[DayMetrics], defect: Planted
) -> None:
    day = real.where(f"event_date = '{REAL_DAY}'")
    _assert_caught(inspect_day(defect.plant(day), REAL_DAY, history=real_metrics), defect)
