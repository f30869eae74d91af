"""The census adds up and disagrees where it must."""

from __future__ import annotations

from headrace_api.census import Census, LedgerSummary
from headrace_api.manifests import ManifestIndex
from headrace_core.block import Block, BlockHeader, Verdict
from headrace_core.manifest import Manifest
from headrace_core.reasons import Reason

A, D, Q = Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED


def _block(
    index_offset: int, start: int, verdicts: list[Verdict], *, meant: int | None = None, partition: int = 0
) -> Block:
    n = len(verdicts)
    header = BlockHeader(
        cluster_id="c",
        topic_id="t",
        partition=partition,
        index_offset=index_offset if meant is None else meant,
        start=start,
        end=start + n,
        clock_ms=60_000 * (1 + index_offset),
        schema_version=1,
        rules_version=1,
        fingerprint_version=1,
        writer="w",
        count=n,
    )
    return Block(
        header,
        tuple(range(start, start + n)),
        bytes(verdicts),
        tuple(Reason.WRONG_TYPE.number if v is Q else 0 for v in verdicts),
        tuple(start if v is D else -1 for v in verdicts),
        tuple(range(n)),
        b"".join(bytes([start + i]) * 16 for i in range(n)),
    )


def _manifest(end: int, rows: int, max_source_offset: int, start: int = 0) -> Manifest:
    return Manifest(
        kind="events",
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=0,
        start=start,
        end=end,
        rows=rows,
        max_source_offset=max_source_offset,
        files=(),
        schema_version=1,
        writer="w",
        created_ms=120_000,
    )


def _census(keep_records: int = 100) -> Census:
    census = Census(1, keep_records=keep_records, keep_minutes=10)
    census.add_block(0, _block(0, 0, [A, A, D]))
    census.add_block(1, _block(1, 3, [Q, A]))
    census.raw_ends = {0: 7}
    return census


def test_verdicts_add_up_and_what_is_undecided_is_told() -> None:
    counts = _census().counts(10, current=True)
    totals = counts.totals
    assert (totals.received, totals.accepted, totals.duplicate, totals.quarantined) == (7, 3, 1, 1)
    assert counts.in_flight == {"undecided": 2, "unstaged": 3, "unloaded": 0, "uncounted": 0}
    assert counts.quarantine_reasons == {"wrong_type": 1}
    assert [(m.minute_ms, m.received, m.accepted) for m in counts.minutes] == [
        (60_000, 3, 2),
        (120_000, 2, 1),
    ]
    assert counts.reconciles
    assert not counts.settled


def test_void_and_empty_blocks_say_nothing() -> None:
    census = _census()
    census.add_block(2, _block(2, 5, [A], meant=9))
    census.add_block(3, _block(3, 5, []))
    assert census.counts(1, current=True).totals.accepted == 3


def test_a_staged_row_too_many_or_too_few_is_found_at_its_position() -> None:
    for rows, holds in ((2, True), (1, False), (3, False)):
        census = _census()
        census.add_manifest(_manifest(end=2, rows=rows, max_source_offset=1))
        (check,) = [
            check for check in census.counts(1, current=True).checks if check.name == "accepted = staged"
        ]
        assert (check.left, check.holds) == (2, holds)
        assert "up to offset 1" in check.position


def test_everything_settled_and_equal() -> None:
    census = _census()
    census.raw_ends = {0: 5}
    census.add_manifest(_manifest(end=3, rows=3, max_source_offset=4))
    census.ledger = LedgerSummary(files=1, rows=3, inserted=2, present=1)
    counts = census.counts(1, current=True)
    assert counts.settled
    assert counts.reconciles
    census.ledger = LedgerSummary(files=1, rows=3, inserted=2, present=0)
    assert not census.counts(1, current=True).reconciles


def test_nothing_is_settled_where_the_ends_were_not_read_for_the_answer() -> None:
    census = Census(1, keep_records=100, keep_minutes=10)
    assert census.counts(1, current=True).settled
    counts = census.counts(1, current=False)
    assert not counts.settled
    assert not counts.current
    assert counts.reconciles


def test_a_partition_decided_past_its_end_as_last_read_hides_no_other_that_is_behind() -> None:
    census = Census(2, keep_records=100, keep_minutes=10)
    census.raw_ends = {0: 1, 1: 3}
    census.add_block(0, _block(0, 0, [D, D, D, D]))
    census.add_block(0, _block(0, 0, [D], partition=1))
    counts = census.counts(1, current=True)
    assert counts.in_flight["undecided"] == 2
    assert counts.totals.received == 7
    assert not counts.settled


def test_records_that_expired_before_the_census_began_are_not_on_their_way() -> None:
    census = Census(1, keep_records=100, keep_minutes=10)
    census.raw_beginnings, census.raw_ends = {0: 6}, {0: 8}
    assert census.counts(1, current=True).in_flight["undecided"] == 2
    census.add_block(40, _block(40, 8, []))  # an idle owner's certificate: the verdicts themselves expired
    assert census.counts(1, current=True).settled


def test_refusals_that_were_not_read_yet_are_on_their_way() -> None:
    census = Census(1, keep_records=100, keep_minutes=10)
    census.quarantine_ends = {0: 3}
    census.quarantine_to = {0: 1}
    counts = census.counts(1, current=True)
    assert counts.in_flight["uncounted"] == 2
    assert not counts.settled
    census.quarantine_to = {0: 4}
    assert census.counts(1, current=True).settled


def test_more_staged_than_accepted_never_reconciles() -> None:
    census = _census()
    census.add_manifest(_manifest(end=9, rows=9, max_source_offset=40))
    assert not census.counts(1, current=True).reconciles


def test_a_verdict_is_found_by_id_and_by_offset() -> None:
    census = _census()
    (found,) = census.find(0, bytes([2]) * 16)
    assert (found.offset, found.verdict, found.first_offset) == (2, D, 0)
    at = census.verdict_at(0, 3)
    assert at is not None
    assert (at.verdict, at.reason) == (Q, "wrong_type")
    assert census.verdict_at(0, 5) is None


def test_old_blocks_are_let_go_but_stay_counted() -> None:
    census = _census(keep_records=2)
    assert census.verdict_at(0, 0) is None
    assert census.partitions[0].accepted_to(4) == 3
    assert census.partitions[0].accepted_to(1) is None
    assert census.counts(1, current=True).totals.accepted == 3


def test_the_manifest_of_a_row_is_the_first_at_or_above_its_offset() -> None:
    index = ManifestIndex(1, keep=4)
    first, empty, second = _manifest(3, 2, 5), _manifest(4, 0, 5, start=3), _manifest(9, 1, 8, start=4)
    for manifest in (first, empty, second):
        index.add(manifest)
    assert index.find(0, 5) == first
    assert index.find(0, 6) == second
    assert index.find(0, 9) is None
