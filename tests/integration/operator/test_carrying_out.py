"""Actions become calls, over the fake API server: repeated, refused, in conflict, against a moved resource."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.fake_kubernetes import FakeKubernetes, Fault, Role
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.objects import Json
from tests.support.operator_world import NAMESPACE, connect, create_run

from headrace_core.clock import ManualClock
from headrace_operator.actions import (
    Action,
    CancelRun,
    CreateConfigMap,
    CreateDriver,
    DeleteDriver,
    DeleteRun,
    DryRunExecutor,
    EmitEvent,
    Facts,
    Plan,
    RemoveDriverFinalizer,
    SweepExecutors,
    WriteStatus,
)
from headrace_operator.carrying_out import ActionCarrier
from headrace_operator.cluster_view import ClusterView
from headrace_operator.event_log import EventLog
from headrace_operator.names import DRIVER_FINALIZER, attempt_labels, executor_selector
from headrace_operator.observed import ObservedPod, ObservedRun
from headrace_operator.reconciler import Reconciler
from headrace_operator.token_bucket import TokenBucket
from headrace_runtime.errors_kubernetes import KubernetesUnavailable
from headrace_runtime.ports_kubernetes import KubernetesApi

_RUNS, _PODS = resource_named("pipelineruns"), resource_named("pods")
_CONFIG_MAPS = resource_named("configmaps")

Answer = Callable[[ObservedRun, Sequence[ObservedPod], Facts], Plan]


class _World:
    """A run `r` in the cluster and in the view, and a reconciler whose plans the test writes."""

    def __init__(self, fake: FakeKubernetes, api: KubernetesApi) -> None:
        self.fake = fake
        self.api = api
        self.clock = ManualClock()
        self.view = ClusterView()
        self.body = create_run(fake, "r")
        self.view.saw_run(self.body)
        self.notified: list[str] = []
        self.asked: list[Facts] = []
        self.moves: list[tuple[ObservedRun, ObservedRun | None]] = []
        self.answers: list[Answer] = []

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    def child(self, name: str, role: str = "driver", **more: object) -> Json:
        owner = {"apiVersion": "headrace.io/v1alpha1", "kind": "PipelineRun", "name": "r", "uid": self.uid}
        metadata = {
            "name": name,
            "labels": {**attempt_labels("r", self.uid, 1, "daily"), "spark-role": role},
            "ownerReferences": [{**owner, "controller": True}],
            **more,
        }
        return {"metadata": metadata, "spec": {"containers": [{"name": f"spark-kubernetes-{role}"}]}}

    def _plan(
        self,
        run: ObservedRun,
        pods: Sequence[ObservedPod],
        _holders: Sequence[str],
        _now_ms: int,
        facts: Facts,
    ) -> Plan:
        self.asked.append(facts)
        return self.answers.pop(0)(run, pods, facts) if self.answers else Plan(requeue_at_ms=42)

    def then(self, *actions: Action) -> None:
        """The next plan."""
        self.answers.append(lambda _run, _pods, _facts: Plan(actions))

    async def reconcile(self) -> int | None:
        def notify(name: str) -> None:
            self.notified.append(name)

        carrier = ActionCarrier(
            self.api,
            self.view,
            self.clock,
            namespace=NAMESPACE,
            creations=TokenBucket(1_000, 1_000),
            events=EventLog(self.api, self.clock, NAMESPACE, "test"),
            notify=notify,
        )
        reconciler = Reconciler(
            self.api,
            self.view,
            self.clock,
            namespace=NAMESPACE,
            planner=self._plan,
            carrier=carrier,
            notify=notify,
            on_round=lambda before, after: self.moves.append((before, after)),
        )
        return await reconciler.reconcile("r")


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[_World]:
    fake = FakeKubernetes()
    async with fake.serve(), connect(fake, tmp_path, "operator") as (_, api):
        yield _World(fake, api)


def _status(**more: object) -> Json:
    condition = {
        "type": "Succeeded",
        "status": "Unknown",
        "reason": "Pending",
        "lastTransitionTime": "2026-11-28T00:00:00Z",
    }
    return {"conditions": [condition], **more}


async def test_a_plan_without_actions_says_when_to_come_again(world: _World) -> None:
    assert await world.reconcile() == 42
    assert world.fake.calls == []


async def test_own_writes_are_known_at_once(world: _World) -> None:
    version = world.body["metadata"]["resourceVersion"]
    world.then(WriteStatus(_status(observedGeneration=1), version), CreateDriver(world.child("r-1-driver")))
    seen: list[tuple[int, int]] = []

    def look(run: ObservedRun, pods: Sequence[ObservedPod], _facts: Facts) -> Plan:
        seen.append((run.status.observed_generation, len(pods)))
        return Plan()

    world.answers.append(look)
    assert await world.reconcile() is None
    assert seen == [(1, 1)]
    assert [call.verb for call in world.fake.calls] == ["patch", "create"]
    [(before, after)] = world.moves
    assert before.status.observed_generation == 0
    assert after is not None
    assert after.status.observed_generation == 1


async def test_a_status_over_an_older_version_is_planned_anew(world: _World) -> None:
    world.fake.store.patch(_RUNS, NAMESPACE, "r", {"spec": {"suspend": True}})
    world.then(WriteStatus(_status(), world.body["metadata"]["resourceVersion"]))
    seen: list[bool] = []

    def look(run: ObservedRun, _pods: Sequence[ObservedPod], facts: Facts) -> Plan:
        seen.append(run.spec is not None and run.spec.suspend and facts.pods_live)
        return Plan()

    world.answers.append(look)
    await world.reconcile()
    assert seen == [True]
    assert "status" not in world.fake.store.get(_RUNS, NAMESPACE, "r")


async def test_what_an_earlier_try_created_is_adopted(world: _World) -> None:
    driver, config = world.child("r-1-driver"), world.child("r-1-conf")
    world.fake.store.create(_PODS, NAMESPACE, driver)
    world.fake.store.create(_CONFIG_MAPS, NAMESPACE, config)
    world.then(CreateConfigMap(config), CreateDriver(driver))
    await world.reconcile()
    assert [pod.name for pod in world.view.pods("r")] == ["r-1-driver"]
    assert world.asked[-1] == Facts()


@pytest.mark.parametrize("action", [CreateConfigMap, CreateDriver])
async def test_an_object_of_somebody_else_is_a_conflict(
    world: _World, action: type[CreateConfigMap | CreateDriver]
) -> None:
    resource, kind = (_PODS, "Pod") if action is CreateDriver else (_CONFIG_MAPS, "ConfigMap")
    foreign = {"metadata": {"name": "child"}, "spec": {"containers": [{"name": "c"}]}}
    world.fake.store.create(resource, NAMESPACE, foreign)
    world.then(action(world.child("child")), EmitEvent("Normal", "Never", "not carried out"))
    await world.reconcile()
    conflict = world.asked[-1].conflict
    assert conflict is not None
    assert (conflict.kind, conflict.name, conflict.terminating) == (kind, "child", False)
    assert world.fake.objects("events") == []


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        (lambda fake: setattr(fake.store, "pod_quota", 0), "quota"),
        (lambda fake: setattr(fake.store, "refuse_pod", lambda _: "violates PodSecurity"), "admission"),
        (lambda fake: fake.faults.add(Fault(code=422)), "invalid"),
        (lambda fake: fake.access.roles.update(operator=Role(frozenset())), "rbac"),
    ],
    ids=["quota", "admission", "invalid", "rbac"],
)
async def test_a_refusal_is_a_fact_of_the_next_plan(
    world: _World, refuse: Callable[[FakeKubernetes], None], kind: str
) -> None:
    refuse(world.fake)
    world.then(CreateDriver(world.child("r-1-driver")))
    await world.reconcile()
    refusal = world.asked[-1].refusal
    assert refusal is not None
    assert (refusal.what, refusal.kind) == ("create pods", kind)
    assert refusal.message


async def test_what_admission_says_of_an_executor_is_known_before_there_is_one(world: _World) -> None:
    world.fake.store.refuse_pod = lambda _: "violates PodSecurity"
    world.then(DryRunExecutor(world.child("r-1-exec", "executor")))
    await world.reconcile()
    refusal = world.asked[-1].refusal
    assert refusal is not None
    assert (refusal.what, refusal.kind) == ("executor", "admission")
    world.fake.store.refuse_pod = lambda _: None
    world.then(DryRunExecutor(world.child("r-1-exec", "executor")))
    await world.reconcile()
    assert world.fake.objects("pods") == []


async def test_an_ending_namespace_is_a_fact(world: _World) -> None:
    world.fake.store.ending.add(NAMESPACE)
    world.then(CreateDriver(world.child("r-1-driver")))
    await world.reconcile()
    assert world.asked[-1].namespace_ending


async def test_a_live_read_tells_what_is_gone(world: _World) -> None:
    ghost = world.fake.store.create(_PODS, NAMESPACE, world.child("r-1-driver"))
    world.view.saw_pod(ghost)
    world.fake.store.delete(_PODS, NAMESPACE, "r-1-driver")
    world.answers.append(lambda _run, _pods, _facts: Plan(read_live=True))
    await world.reconcile()
    assert world.view.pods("r") == ()
    assert world.asked == [Facts(), Facts(pods_live=True)]


async def test_deletions_accept_that_it_is_done(world: _World) -> None:
    world.then(
        DeleteDriver("r-1-driver", "gone", 60),
        SweepExecutors(executor_selector(world.uid, 1)),
        RemoveDriverFinalizer("r-1-driver", "gone", "1", DRIVER_FINALIZER, ()),
        CancelRun("nobody"),
    )
    await world.reconcile()
    assert [call.verb for call in world.fake.calls] == ["delete", "deletecollection", "patch", "patch"]


async def test_a_driver_is_released_and_its_executors_swept(world: _World) -> None:
    driver = world.fake.store.create(
        _PODS, NAMESPACE, world.child("r-1-driver", finalizers=[DRIVER_FINALIZER, "other/one"])
    )
    world.fake.store.create(_PODS, NAMESPACE, world.child("r-1-exec-1", "executor"))
    metadata = driver["metadata"]
    release = RemoveDriverFinalizer(
        "r-1-driver", metadata["uid"], metadata["resourceVersion"], DRIVER_FINALIZER, ("other/one",)
    )
    world.then(SweepExecutors(executor_selector(world.uid, 1)), release)
    await world.reconcile()
    assert [pod["metadata"]["name"] for pod in world.fake.objects("pods")] == ["r-1-driver"]
    assert world.view.pods("r")[0].finalizers == ("other/one",)


async def test_another_run_is_cancelled_and_told_so(world: _World) -> None:
    world.view.saw_run(create_run(world.fake, "other"))
    world.then(CancelRun("other"))
    await world.reconcile()
    assert world.fake.store.get(_RUNS, NAMESPACE, "other")["spec"]["cancel"] is True
    assert world.notified == ["other"]


async def test_who_waits_for_the_key_hears_of_the_end(world: _World) -> None:
    world.view.saw_run(create_run(world.fake, "waits"))
    done = _status()
    done["conditions"][0] |= {"status": "True", "reason": "DriverSucceeded"}
    world.then(WriteStatus(done, world.body["metadata"]["resourceVersion"]))
    await world.reconcile()
    assert world.notified == ["waits"]


async def test_an_expired_run_goes_only_as_it_was_read(world: _World) -> None:
    metadata = world.body["metadata"]
    world.fake.store.patch(_RUNS, NAMESPACE, "r", {"spec": {"ttlSecondsAfterFinished": 99}})
    world.then(DeleteRun(metadata["uid"], metadata["resourceVersion"]))
    world.answers.append(lambda run, _pods, _facts: Plan((DeleteRun(run.uid, run.resource_version),)))
    await world.reconcile()
    assert world.fake.objects("pipelineruns") == []


async def test_the_same_news_is_one_event_with_a_count(world: _World) -> None:
    for _ in range(3):
        world.then(EmitEvent("Warning", "AttemptFailed", "exit code 1"))
        await world.reconcile()
    [event] = world.fake.objects("events")
    assert (event["reason"], event["count"], event["type"]) == ("AttemptFailed", 2, "Warning")
    assert event["involvedObject"]["uid"] == world.uid


async def test_a_lost_event_ends_nothing(world: _World) -> None:
    world.fake.faults.add(Fault(code=500, resource="events"))
    world.then(EmitEvent("Normal", "A", "a"), CreateConfigMap(world.child("r-1-conf")))
    await world.reconcile()
    assert len(world.fake.objects("configmaps")) == 1


async def test_silence_is_the_queues_matter(world: _World) -> None:
    world.fake.faults.add(Fault(code=503))
    world.then(CreateConfigMap(world.child("r-1-conf")))
    with pytest.raises(KubernetesUnavailable):
        await world.reconcile()


async def test_what_was_asked_for_is_waited_for(world: _World) -> None:
    for _ in range(3):
        world.answers.append(
            lambda _run, _pods, _facts: Plan((SweepExecutors(executor_selector(world.uid, 1)),), 7)
        )
    assert await world.reconcile() == 7
    assert [call.verb for call in world.fake.calls] == ["deletecollection"]


async def test_plans_without_end_are_ended(world: _World) -> None:
    for number in range(100):
        world.then(EmitEvent("Normal", "A", f"a{number}"))
    with pytest.raises(KubernetesUnavailable, match="does not come to rest"):
        await world.reconcile()
