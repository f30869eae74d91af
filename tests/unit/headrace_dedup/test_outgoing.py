"""Outputs as batches: headers in the log's own encoding, bounded batches, nothing reordered or lost."""

from headrace_core.meta import encode_source_offset
from headrace_dedup.messages import AppendBlock, AppendClean, AppendEdges, AppendQuarantine
from headrace_dedup.outgoing import block_batch, clean_batches, edge_batches, quarantine_batches
from headrace_runtime.record_headers import header_pairs


def _pairs(section: object) -> list[tuple[str, bytes]]:
    assert isinstance(section, bytes)
    return header_pairs(section)


def test_clean_records_carry_source_offset_and_fingerprint() -> None:
    offsets, fingerprints = [0, 1, 2**40], [0, 2**64 - 1, 0xFF]
    action = AppendClean(1, offsets, [b"k1", b"k2", b"k3"], [b"v1", b"v2", b"v3"], fingerprints)
    (batch,) = clean_batches(action)
    assert batch.headers is not None
    assert (batch.keys, batch.values) == ([b"k1", b"k2", b"k3"], [b"v1", b"v2", b"v3"])
    assert [_pairs(section) for section in batch.headers] == [
        [("s", encode_source_offset(offset)), ("f", content.to_bytes(8, "big"))]
        for offset, content in zip(offsets, fingerprints, strict=True)
    ]


def test_large_outputs_are_cut_in_order() -> None:
    values = [bytes([number]) * (1 << 20) for number in range(20)]
    action = AppendClean(1, list(range(20)), [b"k"] * 20, values, [0] * 20)
    batches = list(clean_batches(action))
    assert len(batches) > 3
    assert [value for batch in batches for value in batch.values] == values
    assert all(sum(len(value or b"") for value in batch.values) <= 6 << 20 for batch in batches)


def test_large_headers_count_too() -> None:
    headers = [[("m", bytes(8_000)), ("q", b"{}")] for _ in range(4_000)]
    action = AppendQuarantine(1, list(range(4_000)), [b""] * 4_000, [b"v"] * 4_000, headers)
    batches = list(quarantine_batches(action))
    assert len(batches) >= 5
    assert sum(len(batch.values) for batch in batches) == 4_000
    assert batches[0].headers is not None
    assert _pairs(batches[0].headers[0]) == headers[0]


def test_a_record_that_is_too_large_for_a_batch_gets_one_of_its_own() -> None:
    values = [b"a", bytes(7 << 20), b"b"]
    batches = list(clean_batches(AppendClean(1, [0, 1, 2], [b"k"] * 3, values, [0, 0, 0])))
    assert [len(batch.values) for batch in batches] == [1, 1, 1]


def test_edges_have_keys_and_no_headers() -> None:
    (batch,) = edge_batches(AppendEdges(1, [b"k1", b"k2"], [b"v1", b"v2"]))
    assert (batch.keys, batch.values) == ([b"k1", b"k2"], [b"v1", b"v2"])
    assert batch.headers is not None
    assert [_pairs(section) for section in batch.headers] == [[], []]


def test_a_block_is_one_record() -> None:
    batch = block_batch(AppendBlock(1, 0, b"block", 0, 5))
    assert (batch.keys, batch.values) == ([None], [b"block"])
