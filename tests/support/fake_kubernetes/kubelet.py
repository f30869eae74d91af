"""A tiny kubelet: pods go through their life by a script, a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.fake_kubernetes.cluster import FakeKubernetes
from tests.support.fake_kubernetes.objects import ApiFailure, Json, merge_patch, timestamp
from tests.support.fake_kubernetes.resources import PODS

__all__ = ["Exit", "Gone", "Kubelet", "Run", "Schedule", "Script", "SpawnExecutors", "Stay", "Wait"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A node takes the pod; or none does, and ``unschedulable`` says why."""

    unschedulable: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """The container waits for a reason, such as ImagePullBackOff."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """The container runs."""


@dataclass(frozen=True, slots=True)
class SpawnExecutors:
    """The driver creates that many executor pods, as Spark does."""

    count: int


@dataclass(frozen=True, slots=True)
class Exit:
    """The container ends. ``lag_phase`` leaves the pod's phase at Running, as a kubelet does for a second."""

    code: int
    reason: str = ""
    message: str = ""
    pod_reason: str = ""
    disruption: bool = False
    lag_phase: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """The pod is deleted by force, or with its node: finalizers or not, no end is told."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing happens in this step."""


Step = Schedule | Wait | Run | SpawnExecutors | Exit | Gone | Stay
Script = Callable[[Json], Sequence[Step]]
"""What becomes of a pod, by what it is."""


@dataclass
class Kubelet:
    """Takes each pod one step further at every `tick`. A pod that is asked to go ends with 143, or as ``on_term`` says."""

    cluster: FakeKubernetes
    script: Script
    now_ms: Callable[[], int]
    on_term: Callable[[Json], Exit] = lambda _pod: Exit(143, "Error")
    is_driver: Callable[[Json], bool] = lambda pod: _role(pod) == "driver"
    _at: dict[str, int] = field(default_factory=dict)

    def tick(self) -> bool:
        """One step of every pod; whether anything moved."""
        pods = [dict(pod) for pod in self.cluster.objects("pods")]
        moved = [self._step(pod) for pod in pods]
        return any(moved)

    def run_out(self, most: int = 50) -> None:
        """Steps until nothing moves."""
        while self.tick() and most:
            most -= 1

    def _step(self, pod: Json) -> bool:
        metadata = pod["metadata"]
        try:
            self.cluster.store.get(PODS, metadata["namespace"], metadata["name"])
        except ApiFailure:
            return False
        if "deletionTimestamp" in metadata and _runs(pod):
            self._do(pod, self.on_term(pod))
            return True
        steps = self.script(pod)
        at = self._at.get(metadata["uid"], 0)
        if at >= len(steps) or "deletionTimestamp" in metadata or _ended(pod):
            return False
        self._at[metadata["uid"]] = at + 1
        self._do(pod, steps[at])
        return True

    def _do(self, pod: Json, step: Step) -> None:
        match step:
            case Schedule(unschedulable=why):
                self._status(pod, {"conditions": [_condition("PodScheduled", why)]})
            case Wait(reason=reason, message=message):
                self._container(pod, {"waiting": {"reason": reason, "message": message}}, "Pending")
            case Run():
                self._container(pod, {"running": {"startedAt": timestamp(self.now_ms())}}, "Running")
            case SpawnExecutors(count=count):
                for number in range(1, count + 1):
                    self._spawn(pod, number)
            case Exit():
                self._exit(pod, step)
            case Gone():
                self._force(pod)
            case Stay():
                return

    def _exit(self, pod: Json, step: Exit) -> None:
        now = timestamp(self.now_ms())
        ended = {"exitCode": step.code, "reason": step.reason or ("Completed" if step.code == 0 else "Error")}
        state = {"terminated": {**ended, "message": step.message, "startedAt": now, "finishedAt": now}}
        phase = "Running" if step.lag_phase else "Succeeded" if step.code == 0 else "Failed"
        extra: Json = {"reason": step.pod_reason} if step.pod_reason else {}
        if step.disruption:
            extra["conditions"] = [
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
            ]
        self._container(pod, state, phase, extra)
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            self._delete(pod, {"gracePeriodSeconds": 0})
        if self.is_driver(pod) and step.code != 137:
            self._end_executors(pod)

    def _end_executors(self, driver: Json) -> None:
        """A driver that ends in order deletes its executors; one that is killed cannot."""
        for pod in list(self.cluster.objects("pods", driver["metadata"]["namespace"])):
            owners = [owner["uid"] for owner in pod["metadata"].get("ownerReferences", ())]
            if driver["metadata"]["uid"] in owners:
                self._delete(pod, {"gracePeriodSeconds": 0})

    def _delete(self, pod: Json, options: Json) -> None:
        try:
            self.cluster.store.delete(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], options)
        except ApiFailure:
            return

    def _force(self, pod: Json) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.cluster.store.patch(PODS, namespace, name, {"metadata": {"finalizers": None}})
        self._delete(pod, {"gracePeriodSeconds": 0})

    def _spawn(self, driver: Json, number: int) -> None:
        metadata = driver["metadata"]
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        name = f"{metadata['name'].removesuffix('-driver')}-exec-{number}"
        body: Json = {
            "metadata": {
                "name": name,
                "labels": {**metadata["labels"], "spark-role": "executor", "spark-exec-id": str(number)},
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": "spark-kubernetes-executor", "image": "none"}]},
        }
        self.cluster.store.create(PODS, metadata["namespace"], body)

    def _container(self, pod: Json, state: Json, phase: str, extra: Json | None = None) -> None:
        name = pod["spec"]["containers"][0]["name"]
        conditions = [_condition("PodScheduled", "")]
        statuses = [{"name": name, "ready": "running" in state, "restartCount": 0, "state": state}]
        self._status(
            pod, {"phase": phase, "conditions": conditions, "containerStatuses": statuses, **(extra or {})}
        )

    def _status(self, pod: Json, status: Json) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        before = self.cluster.store.get(PODS, namespace, name).get("status", {})
        self.cluster.store.set_status(PODS, namespace, name, merge_patch(before, status))


def _condition(kind: str, why_not: str) -> Json:
    if why_not:
        return {"type": kind, "status": "False", "reason": "Unschedulable", "message": why_not}
    return {"type": kind, "status": "True"}


def _role(pod: Json) -> str:
    return str((pod["metadata"].get("labels") or {}).get("spark-role", ""))


def _states(pod: Json) -> list[Json]:
    return [each.get("state", {}) for each in (pod.get("status") or {}).get("containerStatuses", ())]


def _runs(pod: Json) -> bool:
    return any("running" in state for state in _states(pod))


def _ended(pod: Json) -> bool:
    return any("terminated" in state for state in _states(pod))
