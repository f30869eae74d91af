"""Whom an erasure covers, which days it swaps, what it waits for, and what its evidence says (rules E1 to E5)."""

from __future__ import annotations

from headrace_core.identity import Edge, EdgeRecord, edge_key, edge_record, resolve
from headrace_core.lake import DayInput, Generation, Plan, PlanId
from headrace_spark.edge_tombstones import keys_about
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.erase_cleanup import extract_of
from headrace_spark.erasing import days_to_swap, expand, since_erasure, still_running
from headrace_spark.erasure_evidence import (
    Evidence,
    begun,
    closed,
    decode_evidence,
    encode_evidence,
    expiry_days,
    found,
    is_swapped,
    settled,
    swapped,
)
from headrace_spark.ports import REQUEST_LIVES_MS, PlannedAttempt, Suppressions


def _edge(alias: str, customer: str) -> Edge:
    return Edge(
        kind="anonymous",
        alias=alias,
        customer_id=customer,
        op="assert",
        source="crm",
        confidence=1.0,
        valid_from=0,
    )


def _attempt(run: str, day: str, ends_by_ms: int, *, succeeded: bool = False) -> PlannedAttempt:
    plan = Plan(
        id=PlanId(run=run, attempt=1, plan=1),
        job="daily",
        day=DayInput(event_date=day),
        made_ms=0,
        ends_by_ms=ends_by_ms,
    )
    return PlannedAttempt(run, 1, (plan,), succeeded)


def test_every_id_of_a_person_is_covered() -> None:
    records = [
        edge_record(at, _edge(*pair)) for at, pair in enumerate([("d1", "c"), ("d2", "c"), ("d3", "x")])
    ]
    expanded = expand(Suppressions(anonymous=frozenset({"d1"})), resolve(records))
    assert expanded == Suppressions(frozenset({"c"}), frozenset({"d1", "d2"}), frozenset({"c"}))
    later = [*records, edge_record(3, _edge("d4", "c"))]
    assert "d4" in expand(expanded, resolve(later)).anonymous


def test_tombstones_are_for_what_still_names_a_subject() -> None:
    gone = EdgeRecord(2, edge_key(_edge("d2", "c")), None)
    records = (edge_record(0, _edge("d1", "c")), edge_record(1, _edge("d2", "c")), gone)
    stays = edge_record(3, _edge("d3", "x"))
    subjects = Suppressions(frozenset({"c"}), frozenset({"d1"}), frozenset({"c"}))
    assert keys_about(EdgeSnapshot((*records, stays), 4), subjects) == [edge_key(_edge("d1", "c"))]


def test_days_of_runs_that_may_swap_are_swapped_too_and_waited_for() -> None:
    attempts = [
        _attempt("works", "2026-11-20", 1_000),
        _attempt("over", "2026-11-21", 1_000 - REQUEST_LIVES_MS - 1),
        _attempt("done", "2026-11-22", 1_000, succeeded=True),
        _attempt("self", "2026-11-23", 1_000),
    ]
    assert days_to_swap(attempts, ["2026-11-19"], own_run="self", now_ms=1_000) == [
        "2026-11-19",
        "2026-11-20",
    ]
    before = {("works", 1), ("done", 1), ("self", 1)}
    waits = still_running(attempts, before, own_run="self", now_ms=1_000)
    assert [each.run for each in waits] == ["works"]
    assert still_running(attempts, before, own_run="self", now_ms=1_001 + REQUEST_LIVES_MS) == []


def test_an_attempt_that_failed_is_waited_for_as_long_as_a_request_lives_and_never_past_its_own_end() -> None:
    plans = _attempt("r", "2026-11-20", 9_000_000).plans
    early = PlannedAttempt("r", 1, plans, succeeded=False, failed_ms=1_000)
    late = PlannedAttempt("r", 2, plans, succeeded=False, failed_ms=9_900_000)
    assert early.may_swap(1_000 + REQUEST_LIVES_MS)
    assert not early.may_swap(1_001 + REQUEST_LIVES_MS)
    assert late.may_swap_until_ms == 9_000_000 + REQUEST_LIVES_MS


_ANN = Suppressions(users=frozenset({"ann"}))


def test_what_a_dead_attempt_deleted_is_counted_and_nothing_twice() -> None:
    opened = found(Evidence(request="r", opened_ms=0), {"events": 5, "edges": 2})
    # It deletes all events and dies; four rows more come in, and the edges were not reached.
    again = found(opened, {"events": 0, "edges": 2})
    assert again.deleted == {"events": 5}
    done = settled(again, {"events": 4, "edges": 2})
    assert (done.deleted, done.pending) == ({"edges": 2, "events": 9}, {})
    assert found(done, {"events": 0, "edges": 0}).deleted == done.deleted


def test_evidence_adds_up_over_attempts_and_is_closed_without_what_only_attempts_need() -> None:
    evidence = begun(Evidence(request="r", opened_ms=0), holding=["d1", "d2"], overflow=["o"])
    assert not is_swapped(evidence, _ANN)
    evidence = begun(evidence, holding=["d2"], overflow=[])
    evidence = swapped(
        evidence,
        _ANN,
        run="e",
        days=["d1", "d2", "d3"],
        rewritten=["d2"],
        planned_before=[("a", 1)],
        now_ms=0,
    )
    assert (evidence.days_rewritten, evidence.days_repointed) == (("d1", "d2"), 1)
    assert (evidence.waits_for, evidence.overflow, evidence.swapped_by) == ((("a", 1),), ("o",), "e")
    assert is_swapped(evidence, _ANN)
    assert not is_swapped(evidence, Suppressions(users=frozenset({"bob"})))
    assert decode_evidence(encode_evidence(evidence)) == evidence
    end = closed(evidence, now_ms=7)
    assert (end.state, end.closed_ms, end.covers, end.waits_for) == ("closed", 7, "", ())
    assert not is_swapped(end, _ANN)


def test_evidence_says_when_copies_expire() -> None:
    days = expiry_days(0)
    assert set(days) >= {
        "raw",
        "staged",
        "verdicts",
        "runs",
        "events.raw",
        "events.clean",
        "events.quarantine",
    }
    assert max(days.values()) == "1970-01-31"


def test_an_extract_is_a_folder() -> None:
    assert (
        extract_of("exports/user_day/run=r/attempt=2/part-0.parquet") == "exports/user_day/run=r/attempt=2/"
    )


def _made(run: str) -> Generation:
    return Generation(id=PlanId(run=run, attempt=1, plan=1), job="daily", event_date="d1", made_ms=0)


def test_generations_since_the_erasure_are_kept_for_an_undo_and_no_others() -> None:
    history = [_made("r"), _made("e"), _made("d"), _made("e"), _made("d")]
    assert since_erasure(history, "e") == history[:2]
    assert since_erasure(history[:1], "e") == history[:1]
    assert since_erasure([], "e") == []
