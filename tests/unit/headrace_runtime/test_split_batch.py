"""Cutting batches: nothing lost, nothing reordered, every part within the limits unless one record exceeds them."""

from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.ports_log import Batch
from headrace_runtime.split_batch import split_batch

_DATA = st.none() | st.binary(max_size=30)


@given(rows=st.lists(st.tuples(_DATA, _DATA), min_size=1, max_size=40), max_bytes=st.integers(1, 100))
def test_parts_join_to_the_whole_and_keep_the_limits(
    rows: list[tuple[bytes | None, bytes | None]], max_bytes: int
) -> None:
    headers = [[("n", b"%d" % n)] for n in range(len(rows))]
    batch = Batch([row[0] for row in rows], [row[1] for row in rows], headers)
    parts = list(split_batch(batch, max_bytes=max_bytes, max_records=7))
    assert [key for part in parts for key in part.keys] == batch.keys
    assert [value for part in parts for value in part.values] == batch.values
    assert [entry for part in parts for entry in part.headers or []] == headers
    for part in parts:
        size = sum(len(data or b"") for data in (*part.keys, *part.values))
        assert len(part.values) == 1 or (size <= max_bytes and len(part.values) <= 7)


def test_parts_of_a_batch_without_headers_have_none() -> None:
    parts = list(split_batch(Batch([None, None], [b"12", b"34"]), max_bytes=2))
    assert [part.headers for part in parts] == [None, None]
