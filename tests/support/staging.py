"""A stage or archive process on an embedded stack, and what its chains hold, read back independently."""

from __future__ import annotations

import asyncio
import hashlib
import io
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
from pydantic import SecretStr

from headrace_core.manifest import Manifest, decode_manifest
from headrace_core.paths import ChainKind, chain_prefix, parse_manifest_key
from headrace_local.ports import choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.errors_store import StoreUnavailable
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings

__all__ = ["DEADLINE_S", "LoaderRole", "loader_role", "parquet_rows", "read_chain", "stack_store", "until"]

DEADLINE_S = 60.0


def stack_store(stack: LocalStack) -> ObjectStore:
    """The stack's bucket."""
    ends = stack.endpoints
    return S3ObjectStore.from_settings(
        StoreSettings.model_validate(
            {
                "s3_bucket": ends.s3_bucket,
                "s3_endpoint": ends.s3_endpoint,
                "s3_region": ends.s3_region,
                "s3_access_key_id": SecretStr(ends.s3_access_key),
                "s3_secret_access_key": SecretStr(ends.s3_secret_key),
            }
        )
    )


@dataclass(frozen=True, slots=True)
class LoaderRole:
    """A process of the loader and the address of its health."""

    process: ServiceProcess
    url: str

    async def components(self) -> dict[str, bool]:
        """What the process depends on, and whether it works; empty while it does not answer."""
        try:
            async with httpx.AsyncClient() as client:
                answer = (await client.get(f"{self.url}/readyz", timeout=2.0)).json()
        except httpx.HTTPError:
            return {}
        return {component["name"]: component["ok"] for component in answer["components"]}

    async def down(self, name: str) -> bool:
        """Whether the process says that this dependency, and no other one, is down."""
        return [component for component, ok in (await self.components()).items() if not ok] == [name]

    async def ready(self) -> bool:
        """Whether the process says that everything works."""
        components = await self.components()
        return bool(components) and all(components.values())


def loader_role(stack: LocalStack, role: str, folder: Path, **settings: object) -> LoaderRole:
    """A process of the loader, not started; its settings by their names without prefix."""
    port = choose_ports([role])[role]
    given = {"http_port": port, "instance": role, "stage_cut_age_s": 0.5, **settings}
    environment = {f"HEADRACE_{name.upper()}": str(value) for name, value in given.items()}
    url = f"http://127.0.0.1:{port}"
    process = ServiceProcess(
        role,
        [sys.executable, "-m", "headrace_loader", role],
        {**stack.environment(), **environment},
        folder / f"{given['instance']}.log",
        ready=lambda: LoaderRole(process, url).ready(),
        ready_within_s=40.0,
        grace_s=15.0,
    )
    return LoaderRole(process, url)


async def read_chain(store: ObjectStore, kind: ChainKind, partition: int) -> list[Manifest]:
    """All manifests of a partition; every link checked."""
    keys = [entry.key for entry in await store.list(chain_prefix(kind, partition), deadline_s=DEADLINE_S)]
    manifests = [decode_manifest(await store.get(key, deadline_s=DEADLINE_S)) for key in keys]
    end, maximum = 0, -1
    for key, manifest in zip(keys, manifests, strict=True):
        position = parse_manifest_key(key)
        assert position is not None
        assert position.start == manifest.start == end
        assert manifest.max_source_offset >= maximum
        end, maximum = manifest.end, manifest.max_source_offset
    return manifests


async def parquet_rows(store: ObjectStore, manifests: list[Manifest]) -> list[dict[str, Any]]:
    """Rows of all files that manifests name, digests and counts checked."""
    rows: list[dict[str, Any]] = []
    for manifest in manifests:
        assert sum(file.rows for file in manifest.files) == manifest.rows
        for file in manifest.files:
            data = await store.get(file.key, deadline_s=DEADLINE_S)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
            table = pq.read_table(io.BytesIO(data))
            assert table.num_rows == file.rows
            rows += table.to_pylist()
    return rows


async def until(check: Callable[[], Awaitable[bool]], *, within_s: float = DEADLINE_S) -> None:
    """Wait until a check holds; TimeoutError where it does not in time. A store that is not back yet says nothing."""
    async with asyncio.timeout(within_s):
        while True:
            with suppress(StoreUnavailable):
                if await check():
                    return
            await asyncio.sleep(0.1)
