"""Rules D1 to D4: ranges, window, verdicts, blocks, and the order in which things go out."""

import json

from tests.support.owner_bench import TIES, WINDOW_MS, Bench, edge_of, verdicts_of

from headrace_core.block import decode_block, split_block
from headrace_core.decide import entry
from headrace_core.identity import decode_edge, edge_key
from headrace_core.keys import fingerprint
from headrace_dedup import messages as m
from headrace_dedup.ranges import accepted_entries


def test_verdicts_of_a_range() -> None:
    bench = Bench()
    bench.add("xy")
    bench.add("x")
    bench.add("x", content="other")
    bench.add("z", content="bad")
    bench.add("z")
    bench.owner().start().feed().settle()
    assert bench.verdicts() == "AADQQA"
    assert bench.clean == [0, 1, 5]
    assert [offset for offset, _ in bench.quarantine] == [3, 4]
    assert [json.loads(note)["reason"] for _, note in bench.quarantine] == ["id_conflict", "invalid_json"]
    block = bench.valid()[0]
    assert block.first_offsets == (-1, -1, 0, 0, -1, -1)


def test_a_quarantined_record_is_not_remembered() -> None:
    bench = Bench()
    bench.add("x", content="bad")
    owner = bench.owner().start().feed().settle()
    bench.add("x")
    owner.feed().settle()
    assert bench.verdicts() == "QA"


def test_nothing_goes_out_before_the_block_is_acknowledged() -> None:
    bench = Bench()
    bench.add("xy")
    owner = bench.owner().start().feed()
    assert not owner.has(m.AppendClean)
    owner.land_block()
    assert owner.take(m.AppendClean).offsets == [0, 1]


def test_the_next_block_waits_for_every_output_of_the_one_before() -> None:
    bench = Bench()
    bench.add("x")
    bench.add("z", content="bad")
    owner = bench.owner().start().feed()
    owner.land_block()
    bench.add("y")
    owner.feed()
    assert not owner.has(m.AppendBlock)
    owner.tell(m.OutputAppended(owner.take(m.AppendClean).ticket))
    assert not owner.has(m.AppendBlock)
    owner.tell(m.OutputAppended(owner.take(m.AppendQuarantine).ticket))
    assert decode_block(owner.take(m.AppendBlock).value).header.start == 2


def test_the_next_block_waits_for_the_edges_of_accepted_events() -> None:
    bench = Bench()
    bench.add("x", content=TIES)
    bench.add("x", content=TIES)
    bench.add("z", content="bad")
    bench.add("y")
    owner = bench.owner(range_records=4).start().feed()
    owner.land_block()
    bench.add("w")
    owner.feed()
    owner.tell(m.OutputAppended(owner.take(m.AppendClean).ticket))
    owner.tell(m.OutputAppended(owner.take(m.AppendQuarantine).ticket))
    assert not owner.has(m.AppendBlock)
    edges = owner.take(m.AppendEdges)
    assert [decode_edge(value) for value in edges.values] == [edge_of("x")]
    assert edges.keys == [edge_key(edge_of("x"))]
    owner.tell(m.OutputAppended(edges.ticket))
    assert owner.has(m.AppendBlock)
    owner.settle()
    assert bench.edges == [], "the second range makes none"


def test_edges_follow_their_events_into_a_later_range() -> None:
    bench = Bench()
    bench.add("wx")
    bench.add("yz", content=TIES)
    bench.owner(range_records=3).start().feed().settle()
    assert bench.edges == [edge_of("y"), edge_of("z")]


def test_one_range_is_decided_ahead_and_no_more() -> None:
    bench = Bench()
    bench.add("wxyz")
    owner = bench.owner(range_records=1).start().feed()
    assert owner.owner.position == 1
    owner.tell(m.Proceed())
    owner.tell(m.Proceed())
    assert owner.owner.position == 2
    owner.settle()
    assert bench.verdicts() == "AAAA"


def test_the_block_says_what_it_covers_and_where_it_is_meant_to_stand() -> None:
    bench = Bench()
    bench.add("x", at=5)
    bench.add("y", at=9)
    owner = bench.owner(writer="worker-1").start().feed().settle()
    bench.add("z", at=7)
    owner.feed().settle()
    first, second = (block.header for block in bench.valid())
    assert (first.index_offset, first.start, first.end, first.clock_ms, first.count) == (0, 0, 2, 9, 2)
    assert (second.index_offset, second.start, second.end) == (1, 2, 3)
    assert second.clock_ms == 9, "the clock never goes back"
    assert (first.cluster_id, first.topic_id, first.writer) == ("cluster", "topic", "worker-1")


def test_a_range_ends_at_its_limits_or_when_it_is_due() -> None:
    bench = Bench()
    bench.add("abcde")
    owner = bench.owner(range_records=2).start()
    owner.tell(m.RawRead(bench.raw[:1], 1))
    assert not owner.has(m.AppendBlock)
    owner.tell(m.RawRead(bench.raw[1:], 5))
    assert decode_block(owner.take(m.AppendBlock).value).header.end == 2


def test_a_range_covers_a_hole_in_the_log_behind_its_last_record() -> None:
    bench = Bench()
    bench.add("ab")
    owner = bench.owner().start()
    owner.tell(m.RawRead(bench.raw, 7))
    owner.tell(m.RangeDue())
    assert decode_block(owner.take(m.AppendBlock).value).header.end == 7


def test_an_id_is_forgotten_a_window_after_it_was_accepted_and_repeats_do_not_prolong() -> None:
    bench = Bench()
    owner = bench.owner().start()
    for at in (0, WINDOW_MS - 1, WINDOW_MS, WINDOW_MS + 1):
        bench.add("x", at=at)
        owner.feed().settle()
    assert bench.verdicts() == "ADAD"


def test_a_range_that_spans_an_outage_does_not_shorten_the_window() -> None:
    bench = Bench()
    bench.add("x", at=0)
    owner = bench.owner().start().feed().settle()
    bench.add("x", at=99)
    bench.add("y", at=150)
    owner.feed().settle()
    assert bench.verdicts() == "ADA"


def test_append_times_that_go_back_do_not_revive_ids() -> None:
    bench = Bench()
    owner = bench.owner().start()
    for letter, at in (("x", 0), ("y", 120), ("x", 90)):
        bench.add(letter, at=at)
        owner.feed().settle()
    assert bench.verdicts() == "AAA"
    again = bench.owner().start()
    bench.add("x", at=130)
    again.settle().feed().settle()
    assert bench.verdicts() == "AAAD"


def test_quarantine_keeps_the_record_as_it_came() -> None:
    bench = Bench()
    bench.add("z", content="bad")
    owner = bench.owner().start().feed()
    owner.land_block()
    action = owner.take(m.AppendQuarantine)
    record = bench.raw[0]
    assert (action.keys, action.values) == ([record.key], [record.value])
    assert [name for name, _ in action.headers[0]] == ["m", "i", "s", "q"]
    note = json.loads(dict(action.headers[0])["q"])
    assert note == {"reason": "invalid_json", "stage": "dedup", "detail": "refused"}


def test_outcomes_of_appends_that_were_given_up_are_ignored() -> None:
    bench = Bench()
    bench.add("x")
    owner = bench.owner().start().feed()
    action = owner.take(m.AppendBlock)
    owner.tell(m.AppendFailed(action.ticket, "timeout"))
    assert owner.tell(m.BlockAppended(action.ticket, 0)) == []
    assert owner.tell(m.OutputAppended(99)) == []
    assert bench.verdicts() == ""


def test_a_range_done_counts_what_it_decided() -> None:
    bench = Bench()
    bench.add("xxy")
    bench.add("z", content="bad")
    owner = bench.owner().start().feed().settle()
    done = owner.take(m.RangeDone)
    assert (done.position, done.accepted, done.duplicates, dict(done.quarantined)) == (4, 2, 1, {1: 1})
    assert verdicts_of(bench.valid()[0]) == "ADAQ"


def test_a_block_teaches_the_table_what_the_decision_taught_it() -> None:
    bench = Bench()
    bench.add("xy", content="some")
    bench.add("x", content="some")
    bench.add("z", content="bad")
    bench.add("w")
    bench.owner().start().feed().land_block()
    header, columns = split_block(bench.index[0])
    ids, entries = accepted_entries(header, columns, fingerprint_version=1)
    some, empty = fingerprint(b"some"), fingerprint(b"")
    assert ids == bench.raw[0].key + bench.raw[1].key + bench.raw[4].key
    assert entries == [entry(0, some), entry(1, some), entry(4, empty)]
    assert accepted_entries(header, columns, fingerprint_version=2)[1] == [
        entry(offset, None) for offset in (0, 1, 4)
    ]
