"""Contract of the object store port, on every adapter and on two S3 servers."""

from __future__ import annotations

import asyncio
import os
from uuid import uuid4

import pytest
from pydantic import SecretStr

from headrace_local.s3_probe import S3Access
from headrace_local.stack import LocalStack
from headrace_runtime.errors_store import ObjectNotFound, StoreDenied, StoreUnavailable, StoreUnknown
from headrace_runtime.memory_store import MemoryObjectStore, WriteFault
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings

DEADLINE_S = 60.0
RACERS = 20
KEYS = 2_300
"""More than two pages of a listing."""


def settings_of(stack: LocalStack, **changes: object) -> StoreSettings:
    """Settings for the stack's S3 server."""
    ends = stack.endpoints
    known: dict[str, object] = {
        "s3_bucket": ends.s3_bucket,
        "s3_endpoint": ends.s3_endpoint,
        "s3_region": ends.s3_region,
        "s3_access_key_id": SecretStr(ends.s3_access_key),
        "s3_secret_access_key": SecretStr(ends.s3_secret_key),
    }
    return StoreSettings.model_validate(known | changes)


def settings_of_second(access: S3Access) -> StoreSettings:
    """Settings for the S3 server that is not the stack's."""
    return StoreSettings.model_validate(
        {
            "s3_bucket": access.bucket,
            "s3_endpoint": access.endpoint,
            "s3_region": access.region,
            "s3_access_key_id": SecretStr(access.access_key),
            "s3_secret_access_key": SecretStr(access.secret_key),
        }
    )


# One worker builds versitygw, which takes a minute on a fresh machine; the other goes on with its tests meanwhile.
_BUILT = pytest.param("versitygw", marks=pytest.mark.xdist_group("versitygw"))


_SHARED = pytest.param("weed", marks=pytest.mark.xdist_group("stack"))


@pytest.fixture(params=["memory", _SHARED, _BUILT])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each adapter on each server."""
    if request.param == "memory":
        return MemoryObjectStore()
    if request.param == "versitygw":
        return S3ObjectStore.from_settings(settings_of_second(request.getfixturevalue("second_s3")))
    return S3ObjectStore.from_settings(settings_of(request.getfixturevalue("stack")))


@pytest.fixture
def folder() -> str:
    """A folder of this test's own, in the shape of real keys."""
    return f"contract/{uuid4().hex}/date=2026-03-01/p=00/"


def test_xdist_keeps_the_users_of_a_server_on_one_worker(
    store: ObjectStore, request: pytest.FixtureRequest
) -> None:
    """It needs a pytest that takes the names it gives, and groups that are there before it looks."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("not under pytest-xdist")
    group = {"memory": "", "weed": "@stack", "versitygw": "@versitygw"}[request.node.callspec.params["store"]]
    assert request.node.nodeid.partition("]")[2] == group


async def test_what_was_put_is_read_back(store: ObjectStore, folder: str) -> None:
    data = os.urandom(300_000)
    await store.put(f"{folder}a.parquet", b"before", deadline_s=DEADLINE_S)
    await store.put(f"{folder}a.parquet", data, deadline_s=DEADLINE_S)
    assert await store.get(f"{folder}a.parquet", deadline_s=DEADLINE_S) == data
    assert await store.exists(f"{folder}a.parquet", deadline_s=DEADLINE_S)
    assert await store.get_range(f"{folder}a.parquet", 10, 20, deadline_s=DEADLINE_S) == data[10:20]
    tail = await store.get_range(f"{folder}a.parquet", 299_990, 300_100, deadline_s=DEADLINE_S)
    assert tail == data[299_990:]


async def test_an_empty_object_is_an_object(store: ObjectStore, folder: str) -> None:
    await store.put(f"{folder}empty", b"", deadline_s=DEADLINE_S)
    assert await store.get(f"{folder}empty", deadline_s=DEADLINE_S) == b""
    with pytest.raises(ValueError, match="holds nothing"):
        await store.get_range(f"{folder}empty", 0, 1, deadline_s=DEADLINE_S)


async def test_a_range_behind_the_end_is_refused(store: ObjectStore, folder: str) -> None:
    await store.put(f"{folder}ten", b"0123456789", deadline_s=DEADLINE_S)
    for start, end in ((10, 12), (5, 5), (7, 3)):
        with pytest.raises(ValueError, match="holds nothing"):
            await store.get_range(f"{folder}ten", start, end, deadline_s=DEADLINE_S)


async def test_a_missing_object_is_told(store: ObjectStore, folder: str) -> None:
    with pytest.raises(ObjectNotFound):
        await store.get(f"{folder}none", deadline_s=DEADLINE_S)
    with pytest.raises(ObjectNotFound):
        await store.get_with_etag(f"{folder}none", deadline_s=DEADLINE_S)
    with pytest.raises(ObjectNotFound):
        await store.get_range(f"{folder}none", 0, 1, deadline_s=DEADLINE_S)
    assert not await store.exists(f"{folder}none", deadline_s=DEADLINE_S)
    assert not await store.replace_if(f"{folder}none", b"x", etag='"00"', deadline_s=DEADLINE_S)
    assert not await store.exists(f"{folder}none", deadline_s=DEADLINE_S)
    await store.delete([f"{folder}none"], deadline_s=DEADLINE_S)


async def test_of_racing_creators_one_wins(store: ObjectStore, folder: str) -> None:
    for size in (200, 200_000):
        key = f"{folder}{size}.json"
        bodies = [f"{racer:04d}".encode() * (size // 4) for racer in range(RACERS)]
        won = await asyncio.gather(
            *(store.put_if_absent(key, body, deadline_s=DEADLINE_S) for body in bodies),
            return_exceptions=True,
        )
        stored = await store.get(key, deadline_s=DEADLINE_S)
        # A server may leave a loser without a clear answer, never a second winner.
        assert [body for body, answer in zip(bodies, won, strict=True) if answer is True] in ([stored], [])
        assert all(answer in (True, False) or isinstance(answer, StoreUnknown) for answer in won)
        assert stored in bodies
        assert won.count(True) == 1
        assert not await store.put_if_absent(key, b"late", deadline_s=DEADLINE_S)
        assert await store.get(key, deadline_s=DEADLINE_S) == stored


async def test_of_racing_replacers_one_wins(store: ObjectStore, folder: str) -> None:
    key = f"{folder}pointer.json"
    await store.put(key, b"first", deadline_s=DEADLINE_S)
    data, etag = await store.get_with_etag(key, deadline_s=DEADLINE_S)
    assert data == b"first"
    bodies = [f"body {racer}".encode() for racer in range(RACERS)]
    won = await asyncio.gather(
        *(store.replace_if(key, body, etag=etag, deadline_s=DEADLINE_S) for body in bodies),
        return_exceptions=True,
    )
    stored = await store.get(key, deadline_s=DEADLINE_S)
    assert [body for body, answer in zip(bodies, won, strict=True) if answer is True] == [stored]
    assert not await store.replace_if(key, b"late", etag=etag, deadline_s=DEADLINE_S)
    _, newer = await store.get_with_etag(key, deadline_s=DEADLINE_S)
    assert newer != etag
    assert await store.replace_if(key, b"next", etag=newer, deadline_s=DEADLINE_S)


async def test_a_listing_is_in_order_and_starts_where_asked(store: ObjectStore, folder: str) -> None:
    names = [f"{folder}{number * 7919 % KEYS:020d}.json" for number in range(KEYS)]
    limit = asyncio.Semaphore(32)

    async def write(key: str) -> None:
        async with limit:
            await store.put(key, key.encode(), deadline_s=DEADLINE_S)

    await asyncio.gather(*(write(key) for key in names))
    await store.put(folder.rstrip("/") + "0/beside.json", b"", deadline_s=DEADLINE_S)
    wanted = sorted(names)
    found = await store.list(folder, deadline_s=DEADLINE_S)
    assert [entry.key for entry in found] == wanted
    assert {entry.bytes for entry in found} == {len(wanted[0])}
    assert (await store.get_with_etag(wanted[5], deadline_s=DEADLINE_S))[1] == found[5].etag
    middle = wanted[KEYS // 2]
    after = await store.list(folder, start_after=middle, deadline_s=DEADLINE_S)
    assert [entry.key for entry in after] == wanted[KEYS // 2 + 1 :]
    few = await store.list(folder, start_after=middle, limit=3, deadline_s=DEADLINE_S)
    assert [entry.key for entry in few] == wanted[KEYS // 2 + 1 : KEYS // 2 + 4]
    between = await store.list(folder, start_after=f"{middle}~", limit=1, deadline_s=DEADLINE_S)
    assert [entry.key for entry in between] == [wanted[KEYS // 2 + 1]]
    assert await store.list(folder, start_after=wanted[-1], deadline_s=DEADLINE_S) == []
    assert await store.list(f"{folder}none/", deadline_s=DEADLINE_S) == []
    gone, kept = wanted[:1500], wanted[1500:]
    await store.delete(gone, deadline_s=DEADLINE_S)
    assert [entry.key for entry in await store.list(folder, deadline_s=DEADLINE_S)] == kept


async def test_only_folders_are_listed(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="no folder"):
        await store.list("contract/some", deadline_s=DEADLINE_S)


async def test_a_planted_fault_hides_the_answer_only(folder: str) -> None:
    store = MemoryObjectStore()
    store.faults += [WriteFault(applied=True), WriteFault(applied=False)]
    with pytest.raises(StoreUnknown):
        await store.put_if_absent(f"{folder}a", b"1", deadline_s=DEADLINE_S)
    assert await store.get(f"{folder}a", deadline_s=DEADLINE_S) == b"1"
    with pytest.raises(StoreUnavailable):
        await store.put(f"{folder}a", b"2", deadline_s=DEADLINE_S)
    assert await store.get(f"{folder}a", deadline_s=DEADLINE_S) == b"1"


async def test_an_unreachable_server_is_unavailable_within_the_deadline(stack: LocalStack) -> None:
    store = S3ObjectStore.from_settings(settings_of(stack, s3_endpoint="http://127.0.0.1:9"))
    with pytest.raises(StoreUnavailable):
        await store.get("manifests/a", deadline_s=1.0)
    with pytest.raises(StoreUnknown):
        await store.put_if_absent("manifests/a", b"", deadline_s=1.0)
    with pytest.raises(StoreUnavailable):
        await store.list("manifests/", deadline_s=1.0)


async def test_wrong_credentials_and_a_wrong_bucket_are_refused(stack: LocalStack) -> None:
    store = S3ObjectStore.from_settings(settings_of(stack, s3_secret_access_key=SecretStr("wrong")))
    with pytest.raises(StoreDenied):
        await store.get("manifests/a", deadline_s=DEADLINE_S)
    with pytest.raises(StoreDenied):
        await store.put_if_absent("manifests/a", b"", deadline_s=DEADLINE_S)
    elsewhere = S3ObjectStore.from_settings(settings_of(stack, s3_bucket="no-such-bucket"))
    with pytest.raises(StoreDenied):
        await elsewhere.get("manifests/a", deadline_s=DEADLINE_S)
