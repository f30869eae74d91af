"""One rule of ends_by for everybody who swaps or writes."""

from __future__ import annotations

import pytest

from headrace_core.errors import ExitCode, RetryLater
from headrace_spark.ports import REQUEST_LIVES_MS, PlannedAttempt
from headrace_spark.retention_plan import Attempt
from headrace_spark.run_time import check_ends_by, is_past


@pytest.mark.parametrize(("now_ms", "past"), [(999, False), (1_000, False), (1_001, True)])
def test_at_its_end_a_run_may_still_swap_and_then_no_more(now_ms: int, past: bool) -> None:
    assert is_past(1_000, now_ms) is past
    assert Attempt("r", 1, (), has_result=False, ends_by_ms=1_000).has_ended(now_ms) is past
    planned = PlannedAttempt("r", 1, (), succeeded=False)
    assert planned.may_swap(planned.ends_by_ms + REQUEST_LIVES_MS + now_ms - 1_000) is not past


def test_the_error_says_before_what() -> None:
    check_ends_by(1_000, 1_000, "2026-11-20")
    with pytest.raises(RetryLater) as raised:
        check_ends_by(1_000, 1_001, "2026-11-20")
    assert "2026-11-20" in raised.value.what
    assert (raised.value.code, raised.value.exit_code) == ("past_deadline", ExitCode.RETRY_LATER)
