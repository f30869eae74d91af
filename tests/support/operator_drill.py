"""A run from its creation to its end over the fake cluster, with an operator that can die after any call.

Time is turned by hand, the watches are lists at each turn, so a drill takes the same calls every time. The Role is the
chart's: what it does not allow, the fake refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from tests.support.fake_kubernetes import FakeKubernetes, Role
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.kubelet import Exit, Kubelet, Script
from tests.support.fake_kubernetes.objects import Json
from tests.support.operator_world import NAMESPACE, connect, create_run

from headrace_core.clock import ManualClock
from headrace_core.errors import HeadraceError
from headrace_operator.carrying_out import ActionCarrier
from headrace_operator.cluster_view import ClusterView
from headrace_operator.event_log import EventLog
from headrace_operator.names import ATTEMPT_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL
from headrace_operator.reconciler import Planner, Reconciler
from headrace_operator.token_bucket import TokenBucket
from headrace_operator.workqueue import WorkQueue
from headrace_runtime.ports_kubernetes import PIPELINE_RUNS, PODS, KubernetesApi

__all__ = ["Drill", "chart_role", "condition_of"]

_RULES = Path(__file__).parents[2] / "helm" / "headrace" / "files" / "operator-rules.yaml"
_RUNS, _PODS = resource_named("pipelineruns"), resource_named("pods")
_TURN_S = 2.0
_PODS_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


def chart_role() -> Role:
    """What the chart lets the operator do."""
    return Role.from_rules(yaml.safe_load(_RULES.read_text(encoding="utf-8")))


def condition_of(body: Json, kind: str = "Succeeded") -> tuple[str, str]:
    """Status and reason of a condition; empty where it is not there."""
    for condition in (body.get("status") or {}).get("conditions", ()):
        if condition["type"] == kind:
            return condition["status"], condition["reason"]
    return "", ""


class _Operator:
    """One life of the operator."""

    def __init__(self, api: KubernetesApi, clock: ManualClock, planner: Planner) -> None:
        self._api = api
        self._view = ClusterView()
        self.queue = WorkQueue(clock, self._reconcile)
        carrier = ActionCarrier(
            api,
            self._view,
            clock,
            namespace=NAMESPACE,
            creations=TokenBucket(1_000, 1_000),
            events=EventLog(api, clock, NAMESPACE, "drill"),
            notify=self.queue.add,
        )
        self._reconciler = Reconciler(
            api,
            self._view,
            clock,
            namespace=NAMESPACE,
            planner=planner,
            carrier=carrier,
            notify=self.queue.add,
        )

    async def _reconcile(self, name: str) -> int | None:
        return await self._reconciler.reconcile(name)

    async def look(self) -> None:
        """What a watch would have brought by now."""
        runs = (await self._api.list(PIPELINE_RUNS, NAMESPACE)).items
        pods = (await self._api.list(PODS, NAMESPACE, labels=_PODS_SELECTOR)).items
        touched: set[str] = set()
        names = {body["metadata"]["name"] for body in runs}
        for run in list(self._view.runs):
            if run.name not in names:
                touched |= self._view.lost_run(run.name, run.uid)
        uids = {body["metadata"]["uid"] for body in pods}
        for (run_name, name), uid in self._view.pod_uids().items():
            if uid not in uids:
                touched |= self._view.lost_pod(run_name, name, uid)
        for body in runs:
            touched |= self._view.saw_run(body)
        for body in pods:
            touched |= self._view.saw_pod(body)
        for name in sorted(touched):
            self.queue.add(name)


@dataclass
class Drill:
    """The cluster, the kubelet's script, and the lives of the operator."""

    folder: Path
    planner: Planner
    script: Script
    on_term: Callable[[Json], Exit] = lambda _pod: Exit(143, "Error")
    die_after: int | None = None
    every_turn: Callable[[Drill, int], None] = lambda _drill, _turn: None
    role: Role = field(default_factory=chart_role)
    lives: int = 0
    turns: int = 0

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.fake = FakeKubernetes(now_ms=self.clock.now_ms)
        self.kubelet = Kubelet(self.fake, self.script, self.clock.now_ms, self.on_term)
        self._stack = AsyncExitStack()

    def create(self, name: str = "r", **spec: object) -> Json:
        """A PipelineRun."""
        return create_run(self.fake, name, **spec)

    def run(self, name: str = "r") -> Json:
        """A run as it stands."""
        return self.fake.store.get(_RUNS, NAMESPACE, name)

    @property
    def calls(self) -> int:
        """Calls of all lives."""
        return len(self.fake.calls)

    async def until(self, over: Callable[[Drill], bool], most_turns: int = 400) -> Drill:
        """Turn by turn: look, work, let the pods live on, let time pass. Fails where the end does not come."""
        async with self.fake.serve():
            try:
                operator = await self._born()
                while not over(self):
                    assert self.turns < most_turns, f"no end: {self.fake.objects('pipelineruns')}"
                    operator = await self._turn(operator)
            finally:
                await self._stack.aclose()
        return self

    async def _turn(self, operator: _Operator) -> _Operator:
        self.turns += 1
        self.every_turn(self, self.turns)
        with suppress(HeadraceError):  # a watch that fails is tried again
            await operator.look()
        await operator.queue.drain()
        if self._token in self.fake.severed:
            await self._stack.aclose()
            operator = await self._born()
        self.kubelet.tick()
        self.clock.advance(_TURN_S)
        return operator

    async def _born(self) -> _Operator:
        self.lives += 1
        self._token = f"operator-{self.lives}"
        self.fake.access.roles[self._token] = self.role
        if self.die_after is not None and self.lives == 1:
            self.fake.sever_after(self._token, self.die_after)
        _, api = await self._stack.enter_async_context(connect(self.fake, self.folder, self._token))
        return _Operator(api, self.clock, self.planner)

    def check(self) -> None:
        """What must hold of every history: one driver at a time, one per attempt, attempts in order, everything owned."""
        drivers: Counter[tuple[str, str]] = Counter()
        live: dict[str, set[str]] = {}
        for _, kind, body in self.fake.store.histories[_PODS].after(0):
            metadata = body["metadata"]
            assert metadata.get("ownerReferences"), f"{metadata['name']} belongs to nobody"
            labels = metadata["labels"]
            if labels["spark-role"] != "driver":
                continue
            run, attempt = labels[RUN_LABEL], labels[ATTEMPT_LABEL]
            if kind == "ADDED":
                drivers[run, attempt] += 1
            states = [each["state"] for each in body["status"].get("containerStatuses", ())]
            ended = kind == "DELETED" or any("terminated" in state for state in states)
            running = live.setdefault(run, set())
            (running.discard if ended else running.add)(metadata["uid"])
            assert len(running) <= 1, f"two drivers of {run} at once"
        assert all(count == 1 for count in drivers.values()), f"duplicate drivers: {drivers}"
        self._check_attempts()

    def _check_attempts(self) -> None:
        longest: dict[str, int] = {}
        terminal: dict[str, tuple[str, str]] = {}
        for _, _, body in self.fake.store.histories[_RUNS].after(0):
            uid, status = body["metadata"]["uid"], body.get("status") or {}
            numbers = [attempt["number"] for attempt in status.get("attempts", ())]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= longest.get(uid, 0), "an attempt was forgotten"
            longest[uid] = len(numbers)
            state, reason = condition_of(body)
            if uid in terminal:
                assert (state, reason) == terminal[uid], "what is over stays as it ended"
            if state in ("True", "False"):
                terminal[uid] = (state, reason)
