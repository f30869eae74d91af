"""Rules D5 to D7: void blocks, lost answers, two owners, restarts, two versions of the rules, idle and stop."""

import pytest
from tests.support.owner_bench import TIES, WINDOW_MS, Bench, Driven, LetterRules, Raw, edge_of

from headrace_core.block import decode_block
from headrace_core.errors import Bug, ConfigurationError
from headrace_dedup import messages as m
from headrace_dedup.table import IdTable


def test_a_void_block_counts_for_nobody_and_its_range_is_decided_again() -> None:
    bench = Bench()
    bench.add("xy")
    loser, winner = bench.owner(writer="a").start().feed(), bench.owner(writer="b").start().feed(1)
    winner.land_block()
    loser.land_block()
    assert not loser.has(m.AppendClean), "nothing goes out for a void block"
    assert loser.recover().owner.position == 1
    assert loser.take(m.AppendClean).offsets == [0], "the last valid block's range goes out, whoever wrote it"
    assert bench.verdicts() == "A"


def test_the_next_block_after_a_resend_waits_for_it() -> None:
    bench = Bench()
    bench.add("xy")
    loser, winner = bench.owner(writer="a").start().feed(), bench.owner(writer="b").start().feed(1)
    winner.land_block()
    loser.land_block()
    loser.recover().feed()
    assert not loser.has(m.AppendBlock)
    loser.land_outputs()
    block = decode_block(loser.take(m.AppendBlock).value)
    assert (block.header.start, block.header.index_offset) == (1, 2), "void blocks take offsets too"


def test_a_block_whose_answer_was_lost_is_known_by_its_bytes() -> None:
    bench = Bench()
    bench.add("xy")
    owner = bench.owner().start().feed()
    owner.land_block(answered=False)
    owner.recover()
    assert not owner.has(m.ReadRange), "what was built is still here"
    assert owner.take(m.AppendClean).offsets == [0, 1]
    assert bench.verdicts() == "AA"


def test_a_block_of_the_same_range_by_another_owner_is_not_taken_for_the_own_one() -> None:
    bench = Bench()
    bench.add("x", content="odd")
    old = bench.owner(LetterRules(1, refused=("odd",)), writer="old").start().feed()
    new = bench.owner(LetterRules(2), writer="new").start().feed()
    new.land_block()
    old.land_block(answered=False)
    old.take(m.Recover)
    old.tell(m.OwnershipConfirmed())
    old.read_on()
    assert isinstance(old.stopped(), Bug), (
        "its own verdict was quarantined; the block accepted, and rules 1 cannot build"
    )
    assert bench.verdicts() == "A"


def test_undo_brings_back_what_was_before_also_expired_ids() -> None:
    bench = Bench()
    bench.add("x", at=0)
    owner = bench.owner(writer="a").start().feed().settle()
    bench.add("x", at=WINDOW_MS)
    owner.feed()
    other = bench.owner(writer="b").start().settle()
    other.tell(m.IdleDue())
    other.land_block()
    owner.land_block()
    assert owner.has(m.Recover)
    owner.recover().settle()
    bench.raw[1] = type(bench.raw[1])(1, WINDOW_MS - 1, "x")
    owner.feed().settle()
    assert bench.verdicts() == "AD", "under an earlier horizon the id lives again"


def test_a_failed_output_sends_the_range_again() -> None:
    bench = Bench()
    bench.add("x")
    bench.add("z", content="bad")
    owner = bench.owner().start().feed()
    owner.land_block()
    clean = owner.take(m.AppendClean)
    owner.tell(m.OutputAppended(clean.ticket))
    owner.tell(m.AppendFailed(owner.take(m.AppendQuarantine).ticket, "refused"))
    owner.recover()
    assert owner.take(m.AppendClean).offsets == [0]
    assert owner.take(m.AppendQuarantine).offsets == [1]


def test_nothing_is_sent_again_where_all_was_acknowledged() -> None:
    bench = Bench()
    bench.add("x")
    owner = bench.owner().start().feed().settle()
    bench.add("y")
    owner.feed()
    owner.tell(m.AppendFailed(owner.take(m.AppendBlock).ticket, "refused"))
    owner.recover()
    assert owner.owner.phase == "live"
    assert not owner.has(m.AppendClean)


def test_waits_double_to_five_seconds_and_a_valid_block_resets_them() -> None:
    bench = Bench()
    bench.add("x")
    owner = bench.owner().start()
    waits = []
    for _ in range(9):
        owner.feed()
        owner.tell(m.AppendFailed(owner.take(m.AppendBlock).ticket, "refused"))
        waits.append(owner.todo[-1].wait_up_to_ms if isinstance(owner.todo[-1], m.Recover) else -1)
        owner.recover()
    assert waits == [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
    owner.feed().settle()
    bench.add("y")
    owner.feed()
    owner.tell(m.AppendFailed(owner.take(m.AppendBlock).ticket, "refused"))
    assert owner.take(m.Recover).wait_up_to_ms == 50


def test_an_owner_without_the_coordinators_word_ends() -> None:
    bench = Bench()
    bench.add("x")
    owner = bench.owner().start().feed()
    owner.tell(m.AppendFailed(owner.take(m.AppendBlock).ticket, "refused"))
    owner.tell(m.OwnershipLost())
    assert owner.take(m.Ended) == m.Ended(clean=False)
    assert owner.tell(m.RawRead(bench.raw, 1)) == []


def test_a_zombies_late_block_changes_nothing() -> None:
    bench = Bench()
    bench.add("x", at=0)
    zombie = bench.owner(writer="zombie").start().feed()
    owner = bench.owner().start().feed().settle()
    bench.add("x", at=WINDOW_MS)
    owner.feed().settle()
    zombie.land_block()
    bench.add("x", at=WINDOW_MS + 50)
    bench.owner(writer="next").start().settle().feed().settle()
    assert bench.verdicts() == "AAD"
    assert bench.valid()[-1].first_offsets == (1,)


def test_a_start_remembers_what_the_index_holds_and_sends_the_last_range_again() -> None:
    bench = Bench()
    bench.add("xy")
    bench.add("z", content="bad")
    bench.owner().start().feed().land_block()
    again = bench.owner().start()
    assert again.take(m.AppendClean).offsets == [0, 1]
    assert again.take(m.AppendQuarantine).offsets == [2]
    bench.add("x")
    assert again.owner.position == 3


def test_edges_go_out_again_with_their_range() -> None:
    bench = Bench()
    bench.add("xy", content=TIES)
    bench.owner().start().feed().land_block()
    again = bench.owner().start()
    bench.add("z")
    again.feed()
    again.tell(m.OutputAppended(again.take(m.AppendClean).ticket))
    assert not again.has(m.AppendBlock)
    again.land_outputs()
    assert again.has(m.AppendBlock)
    assert bench.edges == [edge_of("x"), edge_of("y")]


def test_edges_whose_append_failed_go_out_again() -> None:
    bench = Bench()
    bench.add("x", content=TIES)
    owner = bench.owner().start().feed()
    owner.land_block()
    owner.tell(m.OutputAppended(owner.take(m.AppendClean).ticket))
    owner.tell(m.AppendFailed(owner.take(m.AppendEdges).ticket, "refused"))
    owner.recover().settle()
    assert (bench.edges, bench.verdicts()) == ([edge_of("x")], "A")


def test_a_start_behind_an_empty_block_sends_nothing() -> None:
    bench = Bench()
    bench.add("x")
    owner = bench.owner().start().feed().settle()
    owner.tell(m.StopRequested())
    owner.settle()
    assert owner.take(m.Ended) == m.Ended(clean=True)
    again = bench.owner().start()
    assert again.owner.phase == "live"
    assert not again.has(m.AppendClean)


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_deployment_between_block_and_outputs_keeps_the_verdicts(refused_first: bool) -> None:
    """Trace 1: the record is bad for one version and good for the other."""
    bench = Bench()
    bench.add("a", content="odd")
    bench.add("b")
    strict, lax = LetterRules(1, refused=("odd",)), LetterRules(2, refused=())
    before, after = (strict, lax) if refused_first else (lax, strict)
    bench.owner(before).start().feed().land_block()
    again = bench.owner(after).start()
    if refused_first:
        again.settle()
        assert (bench.verdicts(), bench.clean) == ("QA", [1])
        assert [offset for offset, _ in bench.quarantine] == [0]
    else:
        error = again.stopped()
        assert isinstance(error, Bug)
        assert "rules version 2" in str(error)
        assert error.exit_code == 70


def test_an_unused_partition_begins_at_its_start() -> None:
    bench = Bench()
    bench.add("x")
    assert bench.owner().start().owner.position == 0


def test_an_empty_raw_partition_goes_on_at_its_end() -> None:
    bench = Bench(raw_start=50, clean=[3])
    assert bench.owner().start().owner.position == 50


@pytest.mark.parametrize(
    "trace",
    [{"clean": [0]}, {"quarantine": [(0, "{}")]}, {"raw_start": 1}],
    ids=["clean", "quarantine", "raw"],
)
def test_a_lost_index_stops_the_owner(trace: dict[str, object]) -> None:
    bench = Bench(**trace)  # type: ignore[arg-type]  # each case sets one field
    bench.add("x")
    error = bench.owner().start().stopped()
    assert isinstance(error, ConfigurationError)
    assert error.code == "index_missing"
    assert "--rebuild-index" in error.fix


def test_another_owners_first_block_is_no_lost_index() -> None:
    bench = Bench()
    bench.add("x")
    late = bench.owner(writer="late")
    late.tell(m.Begin(0, 1, 0))
    late.take(m.ReadIndex)
    late.tell(m.IndexRead((), 0, at_end=True))
    bench.owner(writer="early").start().feed().settle()
    late.read_on()
    assert late.owner.phase == "live"
    assert late.owner.position == 1


def test_a_block_of_another_log_stops_the_owner() -> None:
    bench = Bench()
    bench.add("x")
    bench.owner().start().feed().land_block()
    bench.index[0] = bench.index[0].replace(b'"topic_id":"topic"', b'"topic_id":"other"')
    error = bench.owner().start().stopped()
    assert isinstance(error, ConfigurationError)
    assert error.code == "foreign_index"


def test_records_that_retention_removed_stop_the_owner() -> None:
    bench = Bench()
    bench.add("xy")
    bench.owner().start().feed().land_block()
    del bench.raw[0]
    assert isinstance(bench.owner().start().stopped(), ConfigurationError)


def test_an_idle_owner_certifies_its_position_only_when_all_is_out() -> None:
    bench = Bench()
    bench.add("x", at=7)
    owner = bench.owner().start().feed()
    owner.land_block()
    assert owner.tell(m.IdleDue()) == []
    owner.land_outputs()
    owner.tell(m.IdleDue())
    owner.land_block()
    header = bench.valid()[-1].header
    assert (header.start, header.end, header.clock_ms, header.count) == (1, 1, 7, 0)


def test_a_stop_finishes_what_is_in_flight_and_takes_back_what_is_not() -> None:
    bench = Bench()
    bench.add("xy")
    owner = bench.owner(range_records=1).start().feed()
    owner.tell(m.Proceed())
    owner.tell(m.StopRequested())
    owner.settle()
    assert owner.take(m.Ended) == m.Ended(clean=True)
    assert bench.verdicts() == "A"
    assert bench.valid()[-1].header.start == 1


def test_a_stop_while_recovering_ends_at_once() -> None:
    bench = Bench()
    bench.add("x")
    owner = bench.owner().start().feed()
    owner.tell(m.AppendFailed(owner.take(m.AppendBlock).ticket, "refused"))
    owner.tell(m.StopRequested())
    assert owner.take(m.Ended) == m.Ended(clean=False)


def test_a_table_full_of_live_ids_pauses_and_what_is_in_flight_still_goes_out() -> None:
    bench = Bench()
    owner = _crowded(bench)
    assert owner.owner.paused is not None
    assert owner.has(m.Paused)
    assert not owner.owner.wants_records
    owner.settle()
    decided = len(bench.verdicts())
    assert 0 < decided < len(bench.raw)
    assert bench.clean == list(range(decided))
    owner.tell(m.StopRequested())
    owner.settle()
    assert owner.take(m.Ended) == m.Ended(clean=True)


def _crowded(bench: Bench) -> Driven:
    bench.raw += [Raw(number, 0, f"id{number}") for number in range(90)]
    owner = bench.owner(table=IdTable(max_bytes=100 * 24), range_records=20).start().feed()
    return owner.settle()


def test_a_full_table_goes_on_where_its_ids_have_expired() -> None:
    bench = Bench()
    bench.raw += [Raw(number, 0, f"id{number}") for number in range(75)]
    table = IdTable(max_bytes=100 * 24)
    owner = bench.owner(table=table, range_records=75).start().feed().settle()
    bench.raw += [Raw(number, WINDOW_MS + 1, f"id{number}") for number in range(75, 95)]
    owner.feed().settle()
    owner.feed().settle()
    assert owner.owner.paused is None
    assert bench.verdicts() == "A" * 95
