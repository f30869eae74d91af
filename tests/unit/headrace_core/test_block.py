"""Index blocks: golden bytes, round trips, and what is no block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.golden_blocks import BLOCKS, golden

from headrace_core.block import (
    Block,
    BlockHeader,
    assemble_block,
    decode_block,
    encode_block,
    is_valid_at,
    split_block,
)
from headrace_core.errors import BadData


@pytest.mark.parametrize("name", BLOCKS)
def test_golden_bytes(name: str) -> None:
    written = bytes.fromhex(golden()[name])
    assert encode_block(BLOCKS[name]) == written
    assert decode_block(written) == BLOCKS[name]


@pytest.mark.parametrize("name", BLOCKS)
def test_columns_go_in_and_out_unchanged(name: str) -> None:
    written = encode_block(BLOCKS[name])
    assert assemble_block(*split_block(written)) == written


def test_only_the_offset_that_it_names_makes_a_block_valid() -> None:
    header = BLOCKS["empty"].header
    assert is_valid_at(header, header.index_offset)
    assert not is_valid_at(header, header.index_offset + 1)


_rows = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1),
        st.sampled_from([1, 2, 3]),
        st.integers(0, 2**16 - 1),
        st.integers(-1, 2**40),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=16, max_size=16),
    ),
    max_size=40,
)


@given(rows=_rows, start=st.integers(0, 2**40), writer=st.text(max_size=20))
def test_every_block_survives_a_round_trip(
    rows: list[tuple[int, int, int, int, int, bytes]], start: int, writer: str
) -> None:
    deltas, verdicts, reasons, firsts, fingerprints, ids = zip(*rows, strict=True) if rows else ((),) * 6
    block = Block(
        header=BlockHeader(
            cluster_id="c",
            topic_id="t",
            partition=0,
            index_offset=0,
            start=start,
            end=start + 1,
            clock_ms=0,
            schema_version=1,
            rules_version=1,
            fingerprint_version=1,
            writer=writer,
            count=len(rows),
        ),
        offsets=tuple(start + delta for delta in deltas),
        verdicts=bytes(verdicts),
        reasons=tuple(reasons),
        first_offsets=tuple(firsts),
        fingerprints=tuple(fingerprints),
        dedup_ids=b"".join(ids),
    )
    assert decode_block(encode_block(block)) == block


@pytest.mark.parametrize(
    "data",
    [b"", b"HRB1", b"HRB2\0\0\0\0", bytes.fromhex(golden()["every verdict"])[:-1], b"HRB1\2\0\0\0{}"],
    ids=["nothing", "no header", "other format", "cut off", "no fields"],
)
def test_what_is_no_block_says_so(data: bytes) -> None:
    with pytest.raises(BadData) as refused:
        decode_block(data)
    assert refused.value.code == "index_unreadable"
