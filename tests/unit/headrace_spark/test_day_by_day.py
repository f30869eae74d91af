"""A refused day holds up no other, and the run names every refused one."""

from __future__ import annotations

import pytest

from headrace_core.errors import BadData, ExitCode, Unavailable
from headrace_core.pipeline_run import DayResult
from headrace_spark.day_by_day import refusal, settle_each

_DAYS = ("2026-11-18", "2026-11-19", "2026-11-20")


async def test_a_refused_day_holds_up_no_other() -> None:
    finished: list[DayResult] = []

    async def settle(day: str) -> DayResult:
        if day == _DAYS[0]:
            raise BadData("A file is torn.", why="staged/a", code="file_torn")
        return DayResult(event_date=day, outcome="swapped")

    refused = await settle_each(_DAYS, settle, finished.append)
    assert list(refused) == [_DAYS[0]]
    assert [(day.event_date, day.outcome) for day in finished] == [
        (_DAYS[0], "stopped"),
        (_DAYS[1], "swapped"),
        (_DAYS[2], "swapped"),
    ]
    assert finished[0].why == "A file is torn. Why: staged/a"


async def test_what_is_no_days_own_fault_stops_them_all() -> None:
    finished: list[DayResult] = []

    async def settle(day: str) -> DayResult:
        raise Unavailable("The store is away.")

    with pytest.raises(Unavailable):
        await settle_each(_DAYS, settle, finished.append)
    assert finished == []


def test_the_error_names_every_refused_day_and_says_why() -> None:
    torn = BadData("A file is torn.", why="staged/a", fix="Restore it.", code="file_torn")
    failed = BadData("Not published.", why="volume", fix="Look at it.", code="quality_failed")
    error = refusal({_DAYS[1]: failed, _DAYS[0]: torn})
    assert error.exit_code == ExitCode.BAD_DATA
    assert f"{_DAYS[0]}, {_DAYS[1]}" in error.what
    assert error.why == f"{_DAYS[0]}: A file is torn. staged/a {_DAYS[1]}: Not published. volume"
    assert error.fix == "Restore it. Look at it."
    assert error.code == "days_refused"
    assert refusal({_DAYS[0]: torn}).code == "file_torn"


def test_of_very_many_days_the_error_stays_short() -> None:
    error = refusal({f"2026-10-{day:02}": BadData("Torn.") for day in range(1, 31)})
    assert "and 20 more" in error.what
    assert "and 27 more" in error.why
