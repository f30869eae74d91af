"""`headrace run --on kubernetes` as Airflow's pods use it: attach by name, wait, end as the run ended, leave it when killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio
from tests.support.fake_kubernetes import FakeKubernetes

from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection, KubernetesSettings
from headrace_runtime.ports_kubernetes import PIPELINE_RUNS

_ASKED = ("daily", "--date", "2026-11-28", "--name", "daily-1")
_WITHIN_S = 120.0


class _World:
    def __init__(self, api: HttpKubernetesApi, kubeconfig: Path, folder: Path) -> None:
        self.api, self._kubeconfig, self.result = api, kubeconfig, folder / "return.json"

    @asynccontextmanager
    async def command(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`headrace run` in a process of its own."""
        environment = {
            **os.environ,
            "HEADRACE_RUN_BACKEND": "kubernetes",
            "HEADRACE_KUBECONFIG": str(self._kubeconfig),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace_cli",
            "run",
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def there(self, name: str = "daily-1") -> None:
        """Until the resource exists."""
        async with asyncio.timeout(_WITHIN_S):
            while not any(  # noqa: ASYNC110 - the resource tells nobody
                body["metadata"]["name"] == name
                for body in (await self.api.list(PIPELINE_RUNS, "default")).items
            ):
                await asyncio.sleep(0.1)

    async def ends(self, status: str, reason: str, exit_code: int, failure: str | None = None) -> None:
        """Write the end of the run as the operator does."""
        at = "2026-11-29T01:40:00Z"
        attempt: dict[str, Any] = {"number": 1, "startTime": at, "endTime": at, "exitCode": exit_code}
        condition = {"type": "Succeeded", "status": status, "reason": reason, "lastTransitionTime": at}
        body: dict[str, Any] = {
            "conditions": [condition],
            "attempts": [attempt | ({"failure": failure} if failure else {})],
            "result": {"counts": {"events": 3}},
        }
        await self.api.patch(PIPELINE_RUNS, "default", "daily-1", {"status": body}, subresource="status")


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[_World]:
    fake = FakeKubernetes()
    async with fake.serve():
        kubeconfig = fake.kubeconfig(tmp_path, "cli")
        settings = KubernetesSettings.model_validate({"kubeconfig": kubeconfig})
        async with HttpKubernetesApi.open(await KubernetesConnection.open(settings)) as api:
            yield _World(api, kubeconfig, tmp_path)


async def test_two_commands_wait_for_one_run_and_end_as_it_ends(world: _World) -> None:
    waiting = (*_ASKED, "--wait", "--json", "--result", str(world.result))
    async with world.command(*waiting) as one, world.command(*waiting) as other:
        await world.there()
        await asyncio.sleep(1.0)
        await world.ends("True", "DriverSucceeded", 0)
        async with asyncio.timeout(_WITHIN_S):
            (printed, _), _ = await asyncio.gather(one.communicate(), other.communicate())
    assert (one.returncode, other.returncode) == (0, 0)
    assert len((await world.api.list(PIPELINE_RUNS, "default")).items) == 1
    run = json.loads(world.result.read_bytes())
    assert (run["name"], run["state"], run["result"]["counts"]) == ("daily-1", "Succeeded", {"events": 3})
    assert json.loads(printed)["state"] == "Succeeded"


async def test_a_failed_runs_exit_code_is_the_commands(world: _World) -> None:
    async with world.command(*_ASKED, "--wait") as process:
        await world.there()
        await world.ends("False", "BadData", 65, "data")
        async with asyncio.timeout(_WITHIN_S):
            await process.communicate()
    assert process.returncode == 65


async def test_a_command_that_is_killed_leaves_the_run(world: _World) -> None:
    async with world.command(*_ASKED, "--wait") as process:
        await world.there()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_WITHIN_S):
            await process.wait()
    assert process.returncode != 0
    body = await world.api.get(PIPELINE_RUNS, "default", "daily-1")
    assert not body["spec"].get("cancel", False)


async def test_a_rerun_by_key_is_one_run(world: _World) -> None:
    async with world.command(*_ASKED) as process, asyncio.timeout(_WITHIN_S):
        await process.communicate()
    await world.ends("False", "DriverFailed", 70, "application")
    for _ in range(2):
        async with world.command("rerun", "daily-1", "--key", "k") as process, asyncio.timeout(_WITHIN_S):
            _, told = await process.communicate()
            assert process.returncode == 0, told
    runs = (await world.api.list(PIPELINE_RUNS, "default")).items
    assert [body["spec"].get("rerunOf") for body in runs].count("daily-1") == 1
    assert len(runs) == 2
