"""The API's /v1/runs against the fake API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from tests.support.fake_kubernetes import FakeKubernetes, Fault

from headrace_api.problems import problem_of
from headrace_api.run_routes import run_routes
from headrace_api.run_tokens import read_run_tokens
from headrace_core.errors import HeadraceError
from headrace_core.write_keys import hash_key
from headrace_runtime.cluster_runs import ClusterRuns
from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection, KubernetesSettings
from headrace_runtime.telemetry import Telemetry

_DAILY = {"spec": {"job": "daily", "date": "2026-11-28"}}
_TOKENS = {"version": 1, "callers": [{"name": "tester", "hash": hash_key("secret")}]}


class _World:
    def __init__(self, fake: FakeKubernetes, http: httpx.AsyncClient) -> None:
        self.fake, self.http = fake, http


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[_World]:
    fake = FakeKubernetes()
    async with fake.serve():
        settings = KubernetesSettings.model_validate({"kubeconfig": fake.kubeconfig(tmp_path, "api")})
        async with HttpKubernetesApi.open(await KubernetesConnection.open(settings)) as api:
            runs = ClusterRuns(api, "default")
            app = FastAPI()

            @app.exception_handler(HeadraceError)
            async def refuse(_request: object, error: Exception) -> object:
                assert isinstance(error, HeadraceError)
                return problem_of(error)

            app.include_router(run_routes(lambda: runs, read_run_tokens(_TOKENS), Telemetry("api", "test")))
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://api", headers={"authorization": "Bearer secret"}
            ) as http:
                yield _World(fake, http)


async def test_a_run_is_created_once_and_found_again(world: _World) -> None:
    made = await world.http.post("/v1/runs", json={**_DAILY, "name": "daily-1"})
    again = await world.http.post("/v1/runs", json={**_DAILY, "name": "daily-1"})
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json()["name"] == "daily-1"
    other = {"spec": {"job": "daily", "date": "2026-11-27"}, "name": "daily-1"}
    conflict = await world.http.post("/v1/runs", json=other)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "run_conflict")


async def test_runs_are_listed_and_shown(world: _World) -> None:
    for day in ("2026-11-27", "2026-11-28"):
        await world.http.post("/v1/runs", json={"spec": {"job": "daily", "date": day}})
    await world.http.post("/v1/runs", json={"spec": {"job": "retention"}})
    listed = (await world.http.get("/v1/runs", params={"job": "daily", "limit": 1})).json()
    assert (len(listed["runs"]), listed["total"]) == (1, 2)
    shown = (await world.http.get("/v1/runs/daily-2026-11-28")).json()
    assert (shown["state"], shown["spec"]["date"]) == ("Pending", "2026-11-28")


async def test_a_rerun_needs_a_key_and_is_made_once_per_key(world: _World) -> None:
    await world.http.post("/v1/runs", json={**_DAILY, "name": "daily-1"})
    keyless = await world.http.post("/v1/runs/daily-1/reruns")
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key")
    answers = [
        await world.http.post("/v1/runs/daily-1/reruns", headers={"idempotency-key": "k"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert len({answer.json()["name"] for answer in answers}) == 1
    assert answers[0].json()["spec"]["rerunOf"] == "daily-1"


async def test_cancelling_asks_the_run_to_end(world: _World) -> None:
    await world.http.post("/v1/runs", json={**_DAILY, "name": "daily-1"})
    answer = await world.http.post("/v1/runs/daily-1/cancel")
    assert (answer.status_code, answer.json()["spec"]["cancel"]) == (202, True)


@pytest.mark.parametrize(
    "path", ["/v1/runs", "/v1/runs/x", "/v1/runs/x/logs", "/v1/runs/x/reruns", "/v1/runs/x/cancel"]
)
async def test_nothing_is_done_without_a_token(world: _World, path: str) -> None:
    method = "POST" if path.endswith(("reruns", "cancel")) else "GET"
    for header in ({"authorization": "Bearer wrong"}, {"authorization": ""}):
        answer = await world.http.request(method, path, headers=header)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await world.http.post("/v1/runs", headers={"authorization": ""}, json=_DAILY)).status_code == 401
    assert world.fake.calls_of("api") == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"spec": {"job": "daily", "date": "2026-11-28"}, "namespace": "kube-system"}', 400),
        (b'{"spec": {"job": "daily", "date": "2026-11-28", "image": "evil"}}', 422),
        (b'{"spec": {"job": "daily"}}', 422),
        (b'{"spec": {"job": "retention"}, "name": "Not-A-Name"}', 422),
        (b'{"spec": "' + b"x" * 70_000 + b'"}', 400),
    ],
)
async def test_what_makes_no_sense_is_refused_and_says_why(world: _World, body: bytes, status: int) -> None:
    answer = await world.http.post("/v1/runs", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert world.fake.objects("pipelineruns") == []


async def test_what_is_not_there_is_404(world: _World) -> None:
    assert (await world.http.get("/v1/runs/nobody")).status_code == 404
    assert (await world.http.get("/v1/runs/nobody/logs")).status_code == 404


async def test_a_cluster_that_is_away_is_503_and_says_when_to_come_again(world: _World) -> None:
    world.fake.faults.add(Fault(verb="list", resource="pipelineruns", code=500))
    answer = await world.http.get("/v1/runs")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
