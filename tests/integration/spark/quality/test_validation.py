"""Great Expectations decides as the checks do, reaches for no network, leaves no file, and its pages say what was measured."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.day_metrics import day_of, source_of, weeks_of

from headrace_core.errors import Bug
from headrace_spark.quality import validation
from headrace_spark.quality.checks import Check
from headrace_spark.quality.expectations import expect
from headrace_spark.quality.validation import validate

BROKEN = replace(day_of(shop=source_of(no_user=0.75)), distinct_ids=3_990)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No name is resolved, no connection made; temporary files go to a folder that is looked at."""

    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.chdir(folder)
    return folder


def test_it_decides_as_the_checks_do(offline: Path) -> None:
    expected = expect(BROKEN, weeks_of())
    found = validate(expected)
    assert found.passed == {check.label: check.holds for check in expected.checks}
    assert {label for label, passed in found.passed.items() if not passed} == {
        "unique_dedup_id",
        "null_rate_user_id (shop)",
        "unresolved_rate (shop)",
    }
    assert found.engine.startswith("great_expectations 1.")
    assert not list(offline.iterdir())


def test_its_pages_say_what_was_measured_and_load_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = validate(expect(BROKEN, weeks_of()))
    assert not caplog.records
    assert set(found.pages) == {
        f"{suite}.html"
        for suite in ("schema", "uniqueness", "references", "time", "volume", "nulls", "rates", "money")
    }
    nulls = found.pages["nulls.html"].decode()
    assert "null_rate_user_id (shop)" in nulls
    assert "0.75" in nulls
    for page in found.pages.values():
        text = page.decode()
        assert "https://" not in text
        assert "<script" not in text
        assert 'href="index.html"' in text


@pytest.mark.parametrize(
    ("measured", "at_least", "at_most"),
    [(0, 0, 0), (1, 0, 0), (0.25, 0, 0.25), (0.2500001, 0, 0.25), (0, 1, None), (5, 1, None), (2, None, 1)],
)
def test_ends_of_a_range_are_allowed_values(
    measured: float, at_least: float | None, at_most: float | None
) -> None:
    check = Check(name="missing_hour", measured=measured, at_least=at_least, at_most=at_most, because="test")
    expected = replace(expect(day_of()), checks=(check,))
    assert validate(expected, pages=False).passed == {"missing_hour": check.holds}


def test_a_disagreement_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_outcomes", lambda _: {})
    with pytest.raises(Bug, match="disagree about schema_columns"):
        validate(expect(day_of()), pages=False)
