"""--rebuild-index (D6): what was accepted comes from events.clean, nothing is decided again, an interruption is noticed."""

from collections.abc import Mapping

from tests.support.owner_bench import Bench, Driven

from headrace_core.errors import ConfigurationError
from headrace_core.reasons import Reason
from headrace_dedup import messages as m

_NOT_AN_OBJECT = Reason.NOT_AN_OBJECT.number


def _lost(letters: str, *, clean: list[int]) -> Bench:
    """A partition whose index is gone."""
    bench = Bench(clean=clean)
    bench.add(letters, at=10)
    return bench


def _part(
    bench: Bench, offsets: list[int], *, at_end: bool = True, quarantined: Mapping[int, int] | None = None
) -> m.AcceptedRead:
    ids = [bench.raw[offset].key for offset in offsets]
    return m.AcceptedRead(offsets, ids, [20] * len(offsets), at_end=at_end, quarantined=quarantined or {})


def _asked(bench: Bench) -> Driven:
    owner = bench.owner(rebuild_index=True).start()
    assert owner.take(m.ReadAccepted).above == -1
    return owner


def test_accepted_ids_are_remembered_and_nothing_is_sent() -> None:
    bench = _lost("xxy", clean=[0, 2])
    owner = _asked(bench)
    owner.tell(_part(bench, [0, 2]))
    owner.land_block()
    assert not owner.has(m.AppendClean)
    owner.settle()
    bench.add("xyz")
    owner.feed().settle()
    assert bench.clean == [0, 2, 5]
    headers = [block.header for block in bench.valid()]
    assert [(h.start, h.end, h.rules_version, h.fingerprint_version) for h in headers] == [
        (0, 3, 0, 0),
        (3, 3, 1, 1),
        (3, 6, 1, 1),
    ]
    assert bench.owner().start().settle().owner.position == 6, "a later start needs no flag"


def test_a_rebuilt_id_takes_every_content_for_the_same() -> None:
    bench = _lost("x", clean=[0])
    owner = _asked(bench)
    owner.tell(_part(bench, [0]))
    owner.settle()
    bench.add("x", content="other")
    owner.feed().settle()
    assert bench.verdicts() == "AD"


def test_what_stands_in_quarantine_above_the_last_clean_record_stays_there() -> None:
    bench = _lost("xyz", clean=[0])
    owner = _asked(bench)
    owner.tell(_part(bench, [0], quarantined={1: _NOT_AN_OBJECT}))
    owner.settle()
    owner.feed().settle()
    assert bench.verdicts() == "AQA"
    assert bench.valid()[1].header.fingerprint_version == 0, "not complete before that record is decided"
    assert bench.valid()[-1].header.fingerprint_version == 1


def test_a_stop_before_a_quarantined_record_is_decided_again_leaves_the_rebuild_unfinished() -> None:
    bench = _lost("xy", clean=[0])
    owner = _asked(bench)
    owner.tell(_part(bench, [0], quarantined={1: _NOT_AN_OBJECT}))
    owner.settle()
    owner.tell(m.StopRequested())
    owner.settle()
    assert bench.valid()[-1].header.count == 0
    assert isinstance(bench.owner().start().stopped(), ConfigurationError)
    again = bench.owner(rebuild_index=True).start()
    again.tell(_part(bench, [], quarantined={1: _NOT_AN_OBJECT}))
    again.settle()
    again.feed().settle()
    assert bench.verdicts() == "AQ"


def test_an_interrupted_rebuild_is_noticed_and_goes_on() -> None:
    bench = _lost("xyz", clean=[0, 1, 2])
    owner = _asked(bench)
    owner.tell(_part(bench, [0, 1], at_end=False))
    owner.land_block()
    error = bench.owner().start().stopped()
    assert isinstance(error, ConfigurationError)
    assert error.code == "index_rebuild_unfinished"
    again = bench.owner(rebuild_index=True).start()
    assert again.take(m.ReadAccepted).above == 1
    again.tell(_part(bench, [2]))
    again.settle()
    assert again.owner.phase == "live"
    bench.add("xyz")
    again.feed().settle()
    assert bench.verdicts() == "AAADDD"


def test_a_lost_answer_in_a_rebuild_reads_on() -> None:
    bench = _lost("xy", clean=[0, 1])
    owner = _asked(bench)
    owner.tell(_part(bench, [0], at_end=False))
    owner.tell(m.AppendFailed(owner.take(m.AppendBlock).ticket, "refused"))
    owner.recover()
    assert owner.take(m.ReadAccepted).above == -1
    owner.tell(_part(bench, [0, 1]))
    owner.settle()
    assert bench.verdicts() == "AA"


def test_raw_records_that_are_gone_are_passed_over() -> None:
    bench = Bench(raw_start=5, clean=[2])
    bench.add("x")
    owner = _asked(bench)
    owner.tell(m.AcceptedRead([2], [b"y" * 16], [10], at_end=True))
    owner.settle()
    assert owner.owner.position == 5


def test_an_index_whose_last_records_are_gone_goes_on_behind_them() -> None:
    bench = Bench()
    bench.add("xy")
    bench.owner().start().feed().land_block()
    bench.raw_start = 2
    bench.raw.clear()
    owner = bench.owner(rebuild_index=True).start()
    assert owner.take(m.ReadAccepted).above == 1
    owner.tell(m.AcceptedRead([], [], [], at_end=True))
    owner.settle()
    assert (owner.owner.phase, owner.owner.position) == ("live", 2)


def test_a_rebuild_of_nothing_begins_where_raw_begins() -> None:
    bench = Bench(raw_start=3, quarantine=[(1, "{}")])
    bench.add("x")
    owner = _asked(bench)
    owner.tell(m.AcceptedRead([], [], [], at_end=True))
    owner.settle()
    owner.feed().settle()
    assert bench.clean == [3]
