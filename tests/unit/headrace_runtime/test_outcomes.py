"""Codes of produce answers: nothing that may stand in the log counts as refused."""

import pytest
from aiokafka.errors import kafka_errors

from headrace_runtime.kafka.outcomes import Outcome, outcome_of

# What a broker can answer after its log already holds the batch: it lost leadership, timed out or broke while it
# waited for replicas.
_POSSIBLE_AFTER_APPEND = (3, 5, 6, 7, 9, 13, 20, 46, 56, 72, 74, 75)


@pytest.mark.parametrize("code", _POSSIBLE_AFTER_APPEND)
def test_answers_that_may_follow_an_append_never_count_as_not_appended(code: int) -> None:
    assert outcome_of(code) in {Outcome.RETRY, Outcome.UNKNOWN}


@pytest.mark.parametrize("code", sorted({-1, 999, *kafka_errors} - {0}))
def test_only_code_0_is_success(code: int) -> None:
    assert outcome_of(code) is not Outcome.APPENDED


def test_a_code_that_nobody_knows_settles_nothing() -> None:
    assert outcome_of(-1) is Outcome.UNKNOWN
    assert outcome_of(999) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("code", "outcome"), [(0, Outcome.APPENDED), (10, Outcome.TOO_LARGE), (45, Outcome.REFUSED)]
)
def test_some_codes_by_name(code: int, outcome: Outcome) -> None:
    assert outcome_of(code) is outcome
