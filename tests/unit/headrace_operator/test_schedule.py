"""The order in which runs are worked on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace_operator.schedule import Schedule, backoff_s
from headrace_operator.token_bucket import TokenBucket


def test_each_key_is_there_once_and_the_oldest_is_first() -> None:
    schedule = Schedule()
    for key in ("a", "b", "a"):
        schedule.add(key, 0.0)
    assert [schedule.take(1.0) for _ in range(3)] == ["a", "b", None]


def test_what_happens_meanwhile_is_worked_on_afterwards_and_not_before() -> None:
    schedule = Schedule()
    schedule.add("a", 0.0)
    assert schedule.take(0.0) == "a"
    schedule.add("a", 1.0)
    assert schedule.take(1.0) is None
    schedule.done("a", 2.0)
    assert schedule.take(2.0) == "a"


def test_a_key_comes_at_its_time_and_the_earliest_wish_counts() -> None:
    schedule = Schedule()
    schedule.add_at("a", 10.0)
    schedule.add_at("a", 20.0)
    schedule.add_at("b", 5.0)
    assert schedule.next_s() == 5.0
    assert schedule.take(4.9) is None
    assert schedule.take(12.0) == "b"
    assert schedule.take(12.0) == "a"
    assert schedule.next_s() is None


def test_a_key_that_was_taken_before_its_time_says_anew_when() -> None:
    schedule = Schedule()
    schedule.add_at("a", 10.0)
    schedule.add("a", 1.0)
    assert schedule.take(1.0) == "a"
    schedule.done("a", 1.0, again_at_s=30.0)
    assert schedule.take(11.0) is None
    assert schedule.take(30.0) == "a"


def test_failures_wait_longer_and_longer_whatever_happens_meanwhile() -> None:
    schedule = Schedule()
    schedule.add("a", 0.0)
    now_s, pauses = 0.0, []
    for _ in range(8):
        assert schedule.take(now_s) == "a"
        pauses.append(schedule.failed("a", now_s, chance=0.0))
        schedule.add("a", now_s + 0.1)
        assert schedule.take(now_s + pauses[-1] - 0.01) is None
        now_s += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert schedule.take(now_s) == "a"
    schedule.done("a", now_s)
    schedule.add("a", now_s)
    assert schedule.take(now_s) == "a"
    assert schedule.failed("a", now_s, chance=0.0) == 1.0


def test_the_server_may_ask_for_more() -> None:
    schedule = Schedule()
    schedule.add("a", 0.0)
    schedule.take(0.0)
    assert schedule.failed("a", 0.0, chance=1.0, at_least_s=7.0) == 7.0


@given(st.integers(1, 100), st.floats(0, 1))
def test_chance_takes_at_most_half(failures: int, chance: float) -> None:
    full_s = backoff_s(failures, 0.0)
    assert full_s / 2 <= backoff_s(failures, chance) <= full_s <= 60.0


def test_the_head_ages_only_while_something_is_ready() -> None:
    schedule = Schedule()
    assert schedule.head_age_s(100.0) == 0.0
    schedule.add("a", 1.0)
    schedule.add("b", 3.0)
    assert schedule.head_age_s(5.0) == 4.0
    schedule.take(5.0)
    assert schedule.head_age_s(5.0) == 2.0


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add_at", "take", "done", "failed"]), st.sampled_from("abc"), st.floats(0, 5)
    ),
    max_size=60,
)


@given(_STEPS)
def test_no_key_is_worked_on_twice_at_once_and_none_is_lost(steps: list[tuple[str, str, float]]) -> None:
    schedule, now_s = Schedule(), 0.0
    working: set[str] = set()
    wanted: set[str] = set()
    for step, key, seconds in steps:
        now_s += seconds
        if step == "add":
            schedule.add(key, now_s)
            wanted.add(key)
        elif step == "add_at":
            schedule.add_at(key, now_s + seconds)
            wanted.add(key)
        elif step == "take":
            taken = schedule.take(now_s)
            assert taken not in working
            if taken is not None:
                working.add(taken)
                wanted.discard(taken)
        elif key in working:
            working.discard(key)
            if step == "done":
                schedule.done(key, now_s)
            else:
                schedule.failed(key, now_s, chance=0.5)
                wanted.add(key)
    for key in sorted(working):
        schedule.done(key, now_s)
    taken_later = set()
    while (found := schedule.take(now_s + 1_000)) is not None:
        taken_later.add(found)
        schedule.done(found, now_s + 1_000)
    assert wanted <= taken_later


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = TokenBucket(per_s=2.0, burst=3)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert bucket.take(10.0) == 0.0
    assert [bucket.take(10.0) for _ in range(3)] == [0.0, 0.0, 0.5]
