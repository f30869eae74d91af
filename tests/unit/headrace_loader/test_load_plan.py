"""Which files the next transaction takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.errors import RetryLater
from headrace_core.events import SCHEMA_VERSION
from headrace_core.manifest import File, Manifest
from headrace_loader.load_files import files_of
from headrace_loader.load_plan import LoadLimits, choose, settled_prefix


def _manifest(
    partition: int, start: int, *, rows: int = 10, created_ms: int = 0, schema: int = 1
) -> Manifest:
    files = tuple(
        File(key=f"p{partition}/{start}-{at}", rows=each, bytes=each * 10, sha256="")
        for at, each in enumerate([rows // 2, rows - rows // 2] if rows > 1 else [rows] * rows)
    )
    return Manifest(
        kind="events",
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=partition,
        start=start,
        end=start + 100,
        rows=rows,
        files=files,
        schema_version=schema,
        writer="w",
        created_ms=created_ms,
    )


def test_the_oldest_manifests_come_first() -> None:
    waiting = {
        0: [_manifest(0, 0, created_ms=5), _manifest(0, 100, created_ms=6)],
        1: [_manifest(1, 0, created_ms=1)],
    }
    assert [(each.partition, each.chain_start) for each in choose(waiting, (), LoadLimits())] == [
        (1, 0),
        (1, 0),
        (0, 0),
        (0, 0),
        (0, 100),
        (0, 100),
    ]


def test_settled_files_are_left_out() -> None:
    manifest = _manifest(0, 0)
    first, second = files_of(manifest)
    assert choose({0: [manifest]}, {first.file_id}, LoadLimits()) == [second]


@pytest.mark.parametrize("limits", [LoadLimits(rows=25), LoadLimits(bytes=250)])
def test_a_transaction_is_bounded(limits: LoadLimits) -> None:
    chain = [_manifest(0, start) for start in (0, 100, 200)]
    assert sum(file.file.rows for file in choose({0: chain}, (), limits)) == 20


def test_a_single_manifest_may_be_above_the_bounds() -> None:
    assert len(choose({0: [_manifest(0, 0)]}, (), LoadLimits(rows=1, bytes=1))) == 2


def test_files_before_a_newer_schema_still_load() -> None:
    chain = [_manifest(0, 0), _manifest(0, 100, schema=SCHEMA_VERSION + 1)]
    assert {file.chain_start for file in choose({0: chain}, (), LoadLimits())} == {0}
    with pytest.raises(RetryLater) as raised:
        choose({0: chain[1:]}, (), LoadLimits())
    assert raised.value.code == "schema_newer"


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=5), max_size=4),
    st.integers(1, 60),
)
def test_chains_are_taken_from_their_heads_without_gaps(
    chains: list[list[tuple[int, int]]], rows: int
) -> None:
    waiting = {
        partition: [
            _manifest(partition, at * 100, rows=size, created_ms=created)
            for at, (size, created) in enumerate(chain)
        ]
        for partition, chain in enumerate(chains)
    }
    chosen = choose(waiting, (), LoadLimits(rows=rows))
    for partition, chain in waiting.items():
        taken = [file for file in chosen if file.partition == partition]
        everything = [file for manifest in chain for file in files_of(manifest)]
        assert taken == everything[: len(taken)]
    assert bool(chosen) == any(size for chain in chains for size, _ in chain)


def test_manifests_without_files_count_as_settled() -> None:
    chain = [_manifest(0, 0, rows=0), _manifest(0, 100, rows=1), _manifest(0, 200, rows=0)]
    [file] = files_of(chain[1])
    assert settled_prefix(chain, ()) == 1
    assert settled_prefix(chain, {file.file_id}) == 3
