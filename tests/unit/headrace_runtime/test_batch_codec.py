"""Batches as bytes: what this encoder writes, aiokafka's own reader and this decoder read back, record by record."""

from collections.abc import Sequence

import pytest
import zstandard
from aiokafka.record.default_records import DefaultRecordBatch as ReferenceBatch
from aiokafka.record.default_records import DefaultRecordBatchBuilder as ReferenceBuilder
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.kafka.batch_codec import (
    BatchEncoder,
    BatchFormatError,
    EncodedBatch,
    decode_batches,
    encode_record_section,
    seal_batch,
)
from headrace_runtime.ports_log import Batch, Record
from headrace_runtime.record_headers import encode_headers, header_pairs, header_section, header_value

Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]

_SIZES = st.one_of(st.binary(max_size=40), st.sampled_from([b"x" * n for n in (62, 63, 64, 127, 128, 8191)]))
_KEYS = st.none() | _SIZES
_VALUES = st.none() | _SIZES | st.sampled_from([b"y" * n for n in (32_500, 32_767, 32_768, 40_000, 300_000)])
_HEADERS = st.lists(st.tuples(st.text(max_size=5), _SIZES), max_size=4)
_ROWS: st.SearchStrategy[list[Row]] = st.lists(st.tuples(_KEYS, _VALUES, _HEADERS), min_size=1, max_size=30)


def _sealed(batch: Batch, *, zstd_level: int = 1, base: int = 0) -> bytes:
    encoded = BatchEncoder(zstd_level).encode(batch)
    data = seal_batch(encoded, timestamp_ms=1_700_000_000_123, producer_id=7, producer_epoch=2, sequence=40)
    return base.to_bytes(8, "big") + data[8:]  # a broker sets the base offset; the checksum does not cover it


def _batch(rows: Sequence[Row]) -> Batch:
    return Batch([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def _content(records: Sequence[Record]) -> list[tuple[int, Row]]:
    return [(r.offset, (r.key, r.value, [(n, v or b"") for n, v in r.headers])) for r in records]


@given(rows=_ROWS, zstd_level=st.sampled_from([0, 1]))
def test_the_reference_reader_reads_what_was_encoded(rows: list[Row], zstd_level: int) -> None:
    batch = ReferenceBatch(_sealed(_batch(rows), zstd_level=zstd_level))
    assert batch.validate_crc()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 2, 40)
    records = list(batch)
    assert _content(records) == list(enumerate(rows))
    assert {record.timestamp for record in records} == {1_700_000_000_123}


@given(rows=_ROWS, base=st.integers(0, 2**40), skip=st.integers(0, 35))
def test_decoding_returns_the_records_from_a_position_on(rows: list[Row], base: int, skip: int) -> None:
    records, position = decode_batches(_sealed(_batch(rows), base=base), base + skip)
    assert _content(records) == [(base + i, row) for i, row in enumerate(rows) if i >= skip]
    assert position == base + max(len(rows), skip)


@given(rows=_ROWS)
def test_uncompressed_sections_equal_those_of_the_reference_encoder(rows: list[Row]) -> None:
    reference = ReferenceBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
    for index, (key, value, headers) in enumerate(rows):
        reference.append(index, timestamp=1, key=key, value=value, headers=headers)
    assert bytes(reference.build())[61:] == encode_record_section(_batch(rows))


@given(pairs=_HEADERS)
def test_header_sections_round_trip_and_may_be_made_of_parts(pairs: list[tuple[str, bytes]]) -> None:
    section = header_section([header_value(name, value) for name, value in pairs])
    assert section == encode_headers(pairs)
    assert header_pairs(section) == pairs
    assert encode_record_section(Batch([b"k"], [b"v"], [section])) == encode_record_section(
        Batch([b"k"], [b"v"], [pairs])
    )


@pytest.mark.parametrize("damaged", [b"", b"\x02", b"\x02\x04a", b"\x02\x04ab", b"\0\0", b"\x80"])
def test_damaged_header_sections_are_errors(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        header_pairs(damaged)


def test_more_records_than_precomputed_offset_deltas() -> None:
    count = 33_000
    records, position = decode_batches(_sealed(Batch([None] * count, [b"v"] * count)), 0)
    assert [record.offset for record in records] == list(range(count))
    assert position == count


def test_several_batches_in_a_row_and_a_cut_off_one() -> None:
    first, second = _sealed(Batch([b"a"], [b"1"])), _sealed(Batch([b"b"] * 2, [b"2"] * 2), base=1)
    third = _sealed(Batch([b"c"], [b"3"]), base=3)
    records, position = decode_batches(first + second + third[:-1], 0)
    assert [(record.offset, record.key) for record in records] == [(0, b"a"), (1, b"b"), (2, b"b")]
    assert position == 3


@pytest.mark.parametrize("cut", [0, 5, 60])
def test_less_than_a_batch_moves_nothing(cut: int) -> None:
    assert decode_batches(_sealed(Batch([b"a"], [b"1"]))[:cut], 9) == ([], 9)


def test_a_flipped_bit_is_noticed() -> None:
    data = bytearray(_sealed(Batch([b"a"], [b"1" * 100])))
    data[-1] ^= 1
    with pytest.raises(BatchFormatError, match="checksum"):
        decode_batches(bytes(data), 0)


def _with_section(section: bytes, records: int) -> bytes:
    """A batch of another writer: whatever bytes it says are its records, compressed with zstd."""
    encoded = EncodedBatch(section, BatchEncoder().encode(Batch([b"a"], [b"1"])).attributes, records)
    return seal_batch(encoded, timestamp_ms=5, producer_id=7, producer_epoch=2, sequence=40)


def test_frames_that_do_not_say_their_size_are_read() -> None:
    batch = Batch([b"a", None], [b"1" * 500, b"2"])
    plain = encode_record_section(batch)
    section = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
    assert zstandard.frame_content_size(section) == -1
    records, position = decode_batches(_with_section(section, 2), 0)
    assert ([record.value for record in records], position) == ([b"1" * 500, b"2"], 2)


def test_sections_that_are_no_frames_are_damage() -> None:
    with pytest.raises(BatchFormatError, match="zstd"):
        decode_batches(_with_section(b"no frame of zstd at all", 1), 0)


def test_older_formats_are_refused() -> None:
    data = bytearray(_sealed(Batch([b"a"], [b"1"])))
    data[16] = 1
    with pytest.raises(BatchFormatError, match="format 2"):
        decode_batches(bytes(data), 0)


@pytest.mark.parametrize(
    "batch", [Batch([], []), Batch([b"a"], []), Batch([b"a"], [b"1", b"2"]), Batch([b"a"], [b"1"], [])]
)
def test_columns_of_different_or_no_length_are_refused(batch: Batch) -> None:
    with pytest.raises(ValueError, match="one length"):
        encode_record_section(batch)
