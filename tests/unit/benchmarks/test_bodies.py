"""The measured events are what the figures say they are."""

import msgspec
from benchmarks.bodies import DISTINCT_BODIES, EVENT_BYTES, REPEATS, Traffic, native_events


def test_bodies_have_the_stated_size_and_differ() -> None:
    bodies = native_events(500)
    assert len(set(bodies)) == 500
    assert all(abs(len(body) - EVENT_BYTES) <= 20 for body in bodies)
    assert DISTINCT_BODIES >= 4_000


def test_a_seed_gives_the_same_traffic_and_another_seed_another() -> None:
    assert Traffic(1, bodies=50).take(200) == Traffic(1, bodies=50).take(200)
    assert Traffic(1, bodies=50).take(200) != Traffic(2, bodies=50).take(200)


def test_the_share_of_exact_repeats_is_the_stated_one() -> None:
    events = Traffic(bodies=50).take(20_000)
    assert abs(1 - len(set(events)) / len(events) - REPEATS) < 0.01


def test_events_are_fresh_between_takes_and_without_repeats_among_them() -> None:
    traffic = Traffic(bodies=50, repeats=0.0)
    first, second = traffic.take(300), traffic.take(300)
    ids = [msgspec.json.decode(event)["id"] for event in first + second]
    assert len(set(ids)) == 600


def test_a_fresh_event_keeps_its_body() -> None:
    [body] = native_events(1, seed=3)
    [event] = Traffic(3, bodies=1).take(1)
    before, after = msgspec.json.decode(body), msgspec.json.decode(event)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"id", "time", "user_id"}
    assert len(event) == len(body)
