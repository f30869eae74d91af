"""What the Kubernetes port promises, on the fake API server; and on a real one, where KUBERNETES_TESTS names its KUBECONFIG.

Run on a real cluster the suite holds the fake to the truth: it makes config maps, a lease and pods that no node takes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.support.fake_kubernetes import FakeKubernetes, Fault, Role

from headrace_runtime.errors_kubernetes import (
    ApiDenied,
    KubernetesUnavailable,
    ObjectAbsent,
    ObjectExists,
    ObjectInvalid,
    StaleObject,
    Throttled,
    VersionExpired,
)
from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection, KubernetesSettings
from headrace_runtime.ports_kubernetes import CONFIG_MAPS, LEASES, PODS, Json, KubernetesApi

_REAL = os.environ.get("KUBERNETES_TESTS", "")


class _Cluster:
    def __init__(self, api: KubernetesApi, fake: FakeKubernetes | None) -> None:
        self.api = api
        self.fake = fake
        self.label = f"headrace-test={uuid4().hex[:8]}"
        self._made: list[tuple[str, str]] = []

    def named(self, name: str, **more: object) -> Json:
        key, value = self.label.split("=")
        return {"metadata": {"name": f"{name}-{value}", "labels": {key: value}}, **more}


@pytest_asyncio.fixture(
    params=["fake", pytest.param("real", marks=pytest.mark.skipif(not _REAL, reason="no cluster"))]
)
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[_Cluster]:
    if request.param == "real":
        connection = await KubernetesConnection.open(
            KubernetesSettings.model_validate({"kubeconfig": Path(_REAL)})
        )
        async with HttpKubernetesApi.open(connection) as api:
            made = _Cluster(api, None)
            yield made
            for kind in (PODS, CONFIG_MAPS):
                await api.delete_many(kind, "default", labels=made.label, grace_s=0)
        return
    fake = FakeKubernetes()
    async with fake.serve():
        settings = KubernetesSettings.model_validate({"kubeconfig": fake.kubeconfig(tmp_path, "tester")})
        async with HttpKubernetesApi.open(await KubernetesConnection.open(settings)) as api:
            yield _Cluster(api, fake)


async def test_an_object_is_made_read_changed_and_gone(cluster: _Cluster) -> None:
    api, body = cluster.api, cluster.named("one", data={"a": "1", "b": "2"})
    made = await api.create(CONFIG_MAPS, "default", body)
    name = made["metadata"]["name"]
    patched = await api.patch(CONFIG_MAPS, "default", name, {"data": {"a": "3", "b": None}})
    assert patched["data"] == {"a": "3"}
    assert (await api.get(CONFIG_MAPS, "default", name))["data"] == {"a": "3"}
    await api.delete(CONFIG_MAPS, "default", name)
    with pytest.raises(ObjectAbsent):
        await api.get(CONFIG_MAPS, "default", name)
    with pytest.raises(ObjectAbsent):
        await api.delete(CONFIG_MAPS, "default", name)


async def test_a_name_is_given_once(cluster: _Cluster) -> None:
    body = cluster.named("twice")
    await cluster.api.create(CONFIG_MAPS, "default", body)
    with pytest.raises(ObjectExists):
        await cluster.api.create(CONFIG_MAPS, "default", body)


async def test_a_dry_run_keeps_nothing(cluster: _Cluster) -> None:
    body = cluster.named("dry")
    await cluster.api.create(CONFIG_MAPS, "default", body, dry_run=True)
    with pytest.raises(ObjectAbsent):
        await cluster.api.get(CONFIG_MAPS, "default", body["metadata"]["name"])


async def test_a_write_over_an_older_version_is_refused(cluster: _Cluster) -> None:
    api = cluster.api
    made = await api.create(CONFIG_MAPS, "default", cluster.named("stale"))
    name, version = made["metadata"]["name"], made["metadata"]["resourceVersion"]
    await api.patch(CONFIG_MAPS, "default", name, {"data": {"a": "1"}})
    late = {"metadata": {"resourceVersion": version}, "data": {"a": "2"}}
    with pytest.raises(StaleObject):
        await api.patch(CONFIG_MAPS, "default", name, late)


async def test_a_change_that_changes_nothing_has_no_new_version(cluster: _Cluster) -> None:
    api = cluster.api
    made = await api.create(CONFIG_MAPS, "default", cluster.named("same", data={"a": "1"}))
    again = await api.patch(CONFIG_MAPS, "default", made["metadata"]["name"], {"data": {"a": "1"}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_lease_is_replaced_under_its_version(cluster: _Cluster) -> None:
    api = cluster.api
    body = cluster.named("lease", spec={"holderIdentity": "one", "leaseDurationSeconds": 15})
    made = await api.create(LEASES, "default", body)
    name = made["metadata"]["name"]
    taken = await api.replace(LEASES, "default", name, {**made, "spec": {"holderIdentity": "two"}})
    assert taken["spec"]["holderIdentity"] == "two"
    with pytest.raises(StaleObject):
        await api.replace(LEASES, "default", name, {**made, "spec": {"holderIdentity": "three"}})
    await api.delete(LEASES, "default", name)


async def test_only_the_very_object_is_deleted(cluster: _Cluster) -> None:
    api = cluster.api
    made = await api.create(CONFIG_MAPS, "default", cluster.named("uid"))
    with pytest.raises(StaleObject):
        await api.delete(CONFIG_MAPS, "default", made["metadata"]["name"], uid=str(uuid4()))
    await api.delete(CONFIG_MAPS, "default", made["metadata"]["name"], uid=made["metadata"]["uid"])


async def _until(met: Callable[[], Awaitable[bool]]) -> None:
    """A real cluster's controllers need a moment."""
    async with asyncio.timeout(30):
        while not await met():  # noqa: ASYNC110  (only the API knows)
            await asyncio.sleep(0.1)


async def _marked(api: KubernetesApi, name: str) -> bool:
    return "deletionTimestamp" in (await api.get(PODS, "default", name))["metadata"]


async def _none_left(cluster: _Cluster) -> bool:
    return not (await cluster.api.list(PODS, "default", labels=cluster.label)).items


def _pod(cluster: _Cluster, name: str, **metadata: object) -> Json:
    body = cluster.named(name)
    body["metadata"] |= metadata
    container = {"name": "main", "image": "localhost/none:none"}
    return {**body, "spec": {"nodeSelector": {"no": "such-node"}, "containers": [container]}}


async def test_a_finalizer_holds_a_pod_and_its_owner_takes_it_along(cluster: _Cluster) -> None:
    api = cluster.api
    owner = await api.create(CONFIG_MAPS, "default", cluster.named("owner"))
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    body = _pod(cluster, "child", ownerReferences=[reference], finalizers=["headrace.io/test"])
    pod = await api.create(PODS, "default", body)
    name = pod["metadata"]["name"]
    assert pod["status"]["phase"] == "Pending"
    await api.delete(CONFIG_MAPS, "default", owner["metadata"]["name"])
    await _until(lambda: _marked(api, name))
    held = await api.get(PODS, "default", name)
    released = {"metadata": {"finalizers": None, "resourceVersion": held["metadata"]["resourceVersion"]}}
    await api.patch(PODS, "default", name, released)
    await _until(lambda: _none_left(cluster))


async def test_a_status_is_replaced_whole_under_its_version(cluster: _Cluster) -> None:
    api = cluster.api
    pod = await api.create(PODS, "default", _pod(cluster, "status"))
    name, version = pod["metadata"]["name"], pod["metadata"]["resourceVersion"]
    first = {"phase": "Pending", "message": "one", "hostIP": "10.0.0.1"}
    with pytest.raises(StaleObject):
        await api.replace_status(PODS, "default", name, first, resource_version="1")
    current = await api.get(PODS, "default", name)
    while True:  # a real scheduler writes too
        try:
            version = current["metadata"]["resourceVersion"]
            written = await api.replace_status(PODS, "default", name, first, resource_version=version)
            break
        except StaleObject:
            current = await api.get(PODS, "default", name)
    assert written["status"]["message"] == "one"
    version = written["metadata"]["resourceVersion"]
    second = {"phase": "Pending", "reason": "Other"}
    with suppress(StaleObject):
        written = await api.replace_status(PODS, "default", name, second, resource_version=version)
        assert "message" not in written["status"]
        assert written["spec"] == pod["spec"]


async def test_an_object_is_deleted_as_it_was_read(cluster: _Cluster) -> None:
    api = cluster.api
    made = await api.create(CONFIG_MAPS, "default", cluster.named("read"))
    name, version = made["metadata"]["name"], made["metadata"]["resourceVersion"]
    changed = await api.patch(CONFIG_MAPS, "default", name, {"data": {"a": "1"}})
    with pytest.raises(StaleObject):
        await api.delete(CONFIG_MAPS, "default", name, resource_version=version)
    await api.delete(CONFIG_MAPS, "default", name, resource_version=changed["metadata"]["resourceVersion"])


async def test_a_selector_finds_and_deletes(cluster: _Cluster) -> None:
    api = cluster.api
    for name in ("a", "b"):
        await api.create(PODS, "default", _pod(cluster, name))
    assert len((await api.list(PODS, "default", labels=cluster.label)).items) == 2
    bare = (await api.list(PODS, "default", labels=cluster.label, metadata_only=True)).items
    assert {frozenset(item) & {"spec", "status"} for item in bare} == {frozenset()}
    await api.delete_many(PODS, "default", labels=cluster.label, grace_s=0)
    await _until(lambda: _none_left(cluster))
    assert (await api.list(PODS, "default", labels=cluster.label, metadata_only=True)).items == []
    with pytest.raises(ValueError, match="empty selector"):
        await api.delete_many(PODS, "default", labels="")


async def test_a_watch_tells_what_follows(cluster: _Cluster) -> None:
    api = cluster.api
    start = (await api.list(CONFIG_MAPS, "default", labels=cluster.label)).resource_version
    made = await api.create(CONFIG_MAPS, "default", cluster.named("seen"))
    name = made["metadata"]["name"]
    await api.patch(CONFIG_MAPS, "default", name, {"data": {"a": "1"}})
    await api.delete(CONFIG_MAPS, "default", name)
    seen: list[str] = []
    watch = api.watch(CONFIG_MAPS, "default", resource_version=start, labels=cluster.label, for_s=20)
    async for event in watch:
        if event.kind != "BOOKMARK":
            seen.append(event.kind)
        if event.kind == "DELETED":
            break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_nonsense_is_invalid(cluster: _Cluster) -> None:
    if cluster.fake is not None:
        cluster.fake.faults.add(Fault(code=422, message="Invalid value"))
    with pytest.raises(ObjectInvalid):
        await cluster.api.create(CONFIG_MAPS, "default", {"metadata": {"name": "Not A Name"}})


class TestFaults:
    """What only the fake can be made to do."""

    @pytest.fixture
    def fake(self, cluster: _Cluster) -> FakeKubernetes:
        if cluster.fake is None:
            pytest.skip("faults are the fake's")
        return cluster.fake

    async def test_throttling_says_how_long(self, cluster: _Cluster, fake: FakeKubernetes) -> None:
        fake.faults.add(Fault(code=429, retry_after_s=7))
        with pytest.raises(Throttled) as caught:
            await cluster.api.list(PODS, "default")
        assert caught.value.retry_after_s == 7

    @pytest.mark.parametrize("code", [500, 503, 504])
    async def test_trouble_is_unavailable(self, cluster: _Cluster, fake: FakeKubernetes, code: int) -> None:
        fake.faults.add(Fault(code=code))
        with pytest.raises(KubernetesUnavailable):
            await cluster.api.get(PODS, "default", "any")

    async def test_a_lost_answer_is_unknown(self, cluster: _Cluster, fake: FakeKubernetes) -> None:
        fake.faults.add(Fault(kind="lose_answer", verb="create"))
        body = cluster.named("lost")
        with pytest.raises(KubernetesUnavailable):
            await cluster.api.create(CONFIG_MAPS, "default", body)
        with pytest.raises(ObjectExists):
            await cluster.api.create(CONFIG_MAPS, "default", body)

    async def test_silence_ends_at_the_deadline(self, cluster: _Cluster, fake: FakeKubernetes) -> None:
        fake.faults.add(Fault(kind="hang"))
        with pytest.raises(KubernetesUnavailable):
            await cluster.api.get(PODS, "default", "any", deadline_s=0.05)

    async def test_a_missing_right_is_named(self, cluster: _Cluster, fake: FakeKubernetes) -> None:
        fake.access.roles["tester"] = Role(frozenset({("", "pods", "get")}))
        with pytest.raises(ApiDenied) as caught:
            await cluster.api.delete_many(PODS, "default", labels="a=b")
        assert (caught.value.verb, caught.value.resource) == ("deletecollection", "pods")

    async def test_pages_are_put_together(self, cluster: _Cluster, fake: FakeKubernetes) -> None:
        kind = next(each for each in fake.store.histories if each.plural == "configmaps")
        for number in range(1_203):
            fake.store.create(kind, "default", {"metadata": {"name": f"c{number}"}})
        assert len((await cluster.api.list(CONFIG_MAPS, "default")).items) == 1_203
        assert sum(call.verb == "list" for call in fake.calls) == 3

    async def test_a_dead_process_does_nothing_more(self, cluster: _Cluster, fake: FakeKubernetes) -> None:
        dead = fake.sever_after("tester", 1)
        with pytest.raises(KubernetesUnavailable):
            await cluster.api.create(CONFIG_MAPS, "default", cluster.named("last"))
        assert dead.is_set()
        with pytest.raises(KubernetesUnavailable):
            await cluster.api.create(CONFIG_MAPS, "default", cluster.named("after"))
        assert len(fake.objects("configmaps")) == 1

    async def test_a_watch_from_the_forgotten_past_says_so(
        self, cluster: _Cluster, fake: FakeKubernetes
    ) -> None:
        await cluster.api.create(CONFIG_MAPS, "default", cluster.named("old"))
        fake.compact()
        watch = cluster.api.watch(CONFIG_MAPS, "default", resource_version="1", for_s=5)
        with pytest.raises(VersionExpired):
            await anext(watch)
