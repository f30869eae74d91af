"""Readiness says what is down since when; liveness follows the watchdogs alone."""

from __future__ import annotations

from headrace_core.clock import ManualClock
from headrace_runtime.health import Health


def test_a_process_without_components_is_not_ready() -> None:
    assert not Health(ManualClock()).ready


def test_since_is_the_last_change_and_not_the_last_report() -> None:
    clock = ManualClock(now_ms=1000)
    health = Health(clock)
    health.down("kafka", "refused")
    clock.advance(5)
    health.down("kafka", "timed out")
    (component,) = health.components
    assert (component.since_ms, component.reason) == (1000, "timed out")
    health.up("kafka")
    assert health.ready
    assert health.components[0].since_ms == 6000


def test_one_component_down_makes_the_process_unready_until_it_is_forgotten() -> None:
    health = Health(ManualClock())
    health.up("kafka")
    health.down("partition 3", "the table is full")
    assert not health.ready
    health.forget("partition 3")
    assert health.ready


def test_a_stuck_loop_is_named_and_a_dependency_that_is_down_is_no_reason_to_die() -> None:
    health = Health(ManualClock())
    stuck: list[str] = []
    health.watch("consume", lambda: stuck[0] if stuck else None)
    health.down("kafka", "refused")
    assert health.stuck() == {}
    stuck.append("no progress for 30 s with 12 records of lag")
    assert health.stuck() == {"consume": "no progress for 30 s with 12 records of lag"}
