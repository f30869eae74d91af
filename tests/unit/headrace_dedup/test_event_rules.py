"""Raw records to columns: identity, key check, reasons, metadata, mappings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from headrace_core.dialects import CompiledMapping, compile_mapping
from headrace_core.errors import ConfigurationError
from headrace_core.events import decode_clean
from headrace_core.identity import IdentityIndex, edge_record
from headrace_core.keys import dedup_id
from headrace_core.mapping import mapping_from
from headrace_core.meta import RequestMeta, RerunReference, encode_index, encode_meta, encode_rerun
from headrace_core.reasons import Reason
from headrace_dedup.event_rules import EventRules

_META = RequestMeta(
    source="shop", dialect="native", path="/v1/events", received_at=1_790_000_000_000, request_id="r"
)


@dataclass(frozen=True)
class Record:
    """A raw record."""

    value: bytes | None
    key: bytes | None
    offset: int = 7
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = field(
        default=(("m", encode_meta(_META)), ("i", encode_index(3)))
    )


def _event(**fields: object) -> bytes:
    return json.dumps({"type": "track", "name": "Ordered", **fields}).encode()


def test_a_good_record_becomes_a_clean_event() -> None:
    key = dedup_id("shop", "e1")
    columns = EventRules({}).prepare(4, [Record(_event(id="e1"), key)])
    assert (columns.ids, columns.reasons, columns.details) == ([key], [0], {})
    assert columns.values[0] is not None
    clean = decode_clean(columns.values[0])
    assert (clean.event_id, clean.dedup_id, clean.src_partition, clean.src_offset) == ("e1", key.hex(), 4, 7)


def test_an_event_without_id_and_time_takes_it_from_request_and_index() -> None:
    columns = EventRules({}).prepare(0, [Record(_event(), dedup_id("shop", "r-3"))])
    assert columns.reasons == [0]


def test_a_rerun_takes_its_id_from_the_reference() -> None:
    rerun = RerunReference(partition=1, offset=9, new_id=True)
    headers = (("m", encode_meta(_META)), ("i", encode_index(3)), ("r", encode_rerun(rerun)))
    record = Record(_event(id="e1"), dedup_id("shop", "rerun-1-9"), headers=headers)
    assert EventRules({}).prepare(0, [record]).reasons == [0]


@pytest.mark.parametrize(
    ("record", "reason", "identity"),
    [
        (Record(_event(id="e1"), b"k" * 16), Reason.KEY_MISMATCH, b"k" * 16),
        (Record(_event(id="e1"), None), Reason.KEY_MISMATCH, bytes(16)),
        (Record(b"{", b"k" * 16), Reason.INVALID_JSON, b"k" * 16),
        (Record(None, b"short"), Reason.INVALID_JSON, bytes(16)),
        (Record(_event(), b"k" * 16, headers=()), Reason.UNREADABLE_META, b"k" * 16),
        (
            Record(_event(), b"k" * 16, headers=(("m", b"no"), ("i", bytes(4)))),
            Reason.UNREADABLE_META,
            b"k" * 16,
        ),
        (
            Record(_event(), b"k" * 16, headers=(("m", encode_meta(_META)),)),
            Reason.UNREADABLE_META,
            b"k" * 16,
        ),
    ],
)
def test_what_cannot_be_read_says_why(record: Record, reason: Reason, identity: bytes) -> None:
    columns = EventRules({}).prepare(0, [record])
    assert columns.reasons == [reason.number]
    assert (columns.ids, columns.values) == ([identity], [None])
    assert columns.details[0] or reason is Reason.INVALID_JSON


def test_what_cannot_be_normalised_keeps_its_identity() -> None:
    key = dedup_id("shop", "e1")
    columns = EventRules({}).prepare(0, [Record(_event(id="e1", time="yesterday"), key)])
    assert columns.reasons == [Reason.INVALID_TIME.number]
    assert columns.ids == [key]


def test_a_bad_record_leaves_its_neighbours_alone() -> None:
    good = Record(_event(id="e1"), dedup_id("shop", "e1"))
    columns = EventRules({}).prepare(0, [good, Record(b"[]", None), good])
    assert [bool(reason) for reason in columns.reasons] == [False, True, False]
    assert len(columns.ids) == len(columns.fingerprints) == len(columns.values) == 3


def _identify(**fields: object) -> Record:
    event = _event(id="e1", type="identify", **fields)
    return Record(event, dedup_id("shop", "e1"))


def test_an_identify_event_makes_an_edge_and_a_bad_one_none() -> None:
    good = _identify(user_id="u1", anonymous_id="a1")
    bad = _identify(user_id="u1", anonymous_id="a1", time="yesterday")
    columns = EventRules({}).prepare(0, [bad, good, Record(_event(id="e2"), dedup_id("shop", "e2"))])
    assert list(columns.edges) == [1]
    [edge] = columns.edges[1]
    assert (edge.user_key, edge.customer_id, edge.source) == ("a:a1", "u1", "shop")


def test_an_alias_event_ties_its_previous_id() -> None:
    event = _event(id="e1", type="alias", user_id="u1", previous_id="old")
    columns = EventRules({}).prepare(0, [Record(event, dedup_id("shop", "e1"))])
    assert [edge.user_key for edge in columns.edges[0]] == ["a:old", "u:old"]


def test_a_known_customer_is_written_beside_the_ids_and_changes_nothing_else() -> None:
    customers = IdentityIndex()
    record = Record(_event(id="e1", anonymous_id="a1"), dedup_id("shop", "e1"))
    rules = EventRules({}, customers)
    before = rules.prepare(0, [record])
    [tie] = rules.prepare(0, [_identify(user_id="u1", anonymous_id="a1")]).edges[0]
    customers.apply([edge_record(0, tie)])
    after = rules.prepare(0, [record])
    assert (after.ids, after.fingerprints) == (before.ids, before.fingerprints)
    assert before.values[0] is not None
    assert after.values[0] is not None
    plain, known = decode_clean(before.values[0]), decode_clean(after.values[0])
    assert (plain.customer_id, plain.identity_status) == (None, "anonymous")
    assert (known.customer_id, known.identity_status) == ("u1", "resolved")
    assert msgspec.structs.replace(known, customer_id=None, identity_status="anonymous") == plain


def _mapped(name: str) -> Record:
    meta = RequestMeta(
        source="shop", dialect="mapped", path="/v1/import", received_at=0, request_id="r", mapping=name
    )
    headers = (("m", encode_meta(meta)), ("i", encode_index(0)))
    return Record(b'{"n": "5"}', dedup_id("shop", "5"), headers=headers)


def test_a_mapping_that_is_not_deployed_stops_instead_of_quarantining() -> None:
    with pytest.raises(ConfigurationError) as stopped:
        EventRules({}).prepare(0, [_mapped("orders@2")])
    assert stopped.value.code == "mapping_missing"
    assert "orders@2" in stopped.value.what
    assert "HEADRACE_MAPPINGS_DIR" in stopped.value.fix


def test_a_mapping_is_used_by_name_and_version() -> None:
    spec = mapping_from(
        {"name": "orders", "version": 2, "source": "shop", "id": "{n}", "constants": {"event_name": "Order"}}
    )
    mappings: dict[str, CompiledMapping] = {"orders@2": compile_mapping(spec)}
    columns = EventRules(mappings).prepare(0, [_mapped("orders@2")])
    assert columns.reasons == [0]


def test_many_requests_do_not_grow_the_memory_of_metadata() -> None:
    rules = EventRules({})
    for number in range(5_000):
        meta = encode_meta(
            RequestMeta(source="s", dialect="native", path="/", received_at=0, request_id=str(number))
        )
        rules.prepare(0, [Record(b"{", None, headers=(("m", meta), ("i", encode_index(0))))])
    assert len(rules._metas) <= 1_024
