"""A cluster of one run as plain values, and an operator that plans over a view which may lag behind. No I/O, no sleeping.

The world does what an API server and a kubelet do: resource versions, finalizers, owner garbage collection, names that are
taken. The operator can die between any two actions, and a new one begins from a fresh list.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from headrace_core.instants import instant_text
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
from headrace_operator.observed import observe_pod, observe_run
from headrace_operator.planning import plan
from headrace_operator.sizes import Installation, PodPlace, Size

__all__ = ["INSTALLATION", "T0", "PlanWorld", "Stale"]

Json = dict[str, Any]
T0 = 1_795_852_800_000
INSTALLATION = Installation(
    image="registry.example/headrace-spark:1",
    driver=PodPlace(service_account="headrace-driver"),
    executor=PodPlace(service_account="headrace-executor"),
    sizes={"small": Size(driver_memory_mib=1024, executors=2, executor_memory_mib=1024)},
)


class Stale(Exception):
    """A precondition was not met: the operator looks again."""


class PlanWorld:
    """The run ``r``, its pods, and what the operator has seen of them."""

    def __init__(self, **spec: object) -> None:
        self.now_ms = T0
        self.version = 1
        self.serial = 0
        self.run: Json | None = {
            "metadata": {
                "name": "r",
                "namespace": "n",
                "uid": "run-uid",
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": instant_text(T0),
            },
            "spec": {"job": "daily", "date": "2026-11-28", **spec},
        }
        self.pods: dict[str, Json] = {}
        self.config_maps: set[str] = set()
        self.holders: list[str] = []
        self.cancelled: list[str] = []
        self.status_writes = 0
        self.history: list[Json] = []
        self.created: list[Json] = []
        self.events: list[EmitEvent] = []
        self.relist()

    # The operator

    def relist(self) -> None:
        """A new life of the operator, or a watch that has caught up."""
        self.seen_run = copy.deepcopy(self.run)
        self.seen_pods = copy.deepcopy(self.pods)

    def see_pod(self, name: str) -> None:
        """A watch event of one pod."""
        if name in self.pods:
            self.seen_pods[name] = copy.deepcopy(self.pods[name])
        else:
            self.seen_pods.pop(name, None)

    def plan(self, facts: Facts | None = None) -> Plan:
        """What the operator would do by what it has seen."""
        if self.seen_run is None:
            return Plan()
        pods = [pod for body in self.seen_pods.values() if (pod := observe_pod(body)) is not None]
        return plan(
            observe_run(self.seen_run), pods, self.holders, self.now_ms,
            installation=INSTALLATION, facts=facts or Facts(),
        )  # fmt: skip

    def reconcile(self, most_actions: int | None = None) -> bool:
        """Plan and carry out, once; whether anything was asked for. After ``most_actions`` the operator dies."""
        facts = Facts()
        plan = self.plan(facts)
        if plan.read_live:
            self.seen_pods = copy.deepcopy(self.pods)
            facts = Facts(pods_live=True)
            plan = self.plan(facts)
            assert not plan.read_live, "a live list is as live as it gets"
        try:
            self._carry_out(plan.actions[:most_actions])
        except Stale:
            self.relist()
            return True
        if most_actions is not None and len(plan.actions) > most_actions:
            self.relist()
        return bool(plan.actions)

    def apply(self, facts: Facts) -> Plan:
        """Plan with what was learned from a call that failed, and carry that out; the plan."""
        self.relist()
        plan = self.plan(facts)
        self._carry_out(plan.actions)
        self.relist()
        return plan

    def settle(self, most: int = 40) -> None:
        """Let the operator see all and work until it has nothing to do; fails where it never has."""
        for _ in range(most):
            self.relist()
            if not self.reconcile():
                return
        raise AssertionError(f"the operator never rests: {self.plan().actions}")

    def _carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._do(action)
            self.check()

    def _do(self, action: Action) -> None:
        match action:
            case WriteStatus(status, resource_version):
                self._write(dict(status), resource_version)
            case CreateConfigMap(manifest):
                self._own(manifest)
                self.config_maps.add(manifest["metadata"]["name"])
            case CreateDriver(manifest):
                self._own(manifest)
                self._create(dict(manifest))
            case DeleteDriver(name, uid, grace_s):
                if name in self.pods and self.pods[name]["metadata"]["uid"] == uid:
                    self.delete_pod(name, grace_s)
            case SweepExecutors(labels):
                for name, body in list(self.pods.items()):
                    if labels.items() <= body["metadata"]["labels"].items():
                        self.delete_pod(name, 0)
            case RemoveDriverFinalizer():
                self._release(action)
            case CancelRun(name):
                self.cancelled.append(name)
            case DeleteRun():
                self.run = self.seen_run = None
            case DryRunExecutor(manifest):
                self._own(manifest)
            case EmitEvent():
                self.events.append(action)

    def _write(self, status: Json, version: str) -> None:
        assert self.run is not None
        if version != self.run["metadata"]["resourceVersion"]:
            raise Stale
        assert status != self.run.get("status"), "a write that changes nothing"
        self.run = {**self.run, "status": status}
        self.status_writes += 1
        self.history.append(status)
        self._bump(self.run)
        self.seen_run = copy.deepcopy(self.run)

    @staticmethod
    def _own(manifest: Any) -> None:
        owners = manifest["metadata"]["ownerReferences"]
        assert [owner["uid"] for owner in owners if owner["controller"]] == ["run-uid"], "an object of nobody"

    def _create(self, manifest: Json) -> None:
        name = manifest["metadata"]["name"]
        if name not in self.pods:
            assert name.replace("-driver", "-conf") in self.config_maps, "the ConfigMap comes first"
            body = self._born(manifest)
            body["status"] = {"phase": "Pending"}
            self.created.append(body)
            self.pods[name] = body
        self.see_pod(name)

    def _release(self, action: RemoveDriverFinalizer) -> None:
        body = self.pods.get(action.name)
        if body is None:
            return
        if body["metadata"]["resourceVersion"] != action.resource_version:
            raise Stale
        body["metadata"]["finalizers"] = list(action.finalizers)
        self._bump(body)
        self._vanish(action.name)
        self.see_pod(action.name)

    # The cluster

    def _bump(self, body: Json) -> None:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)

    def _born(self, manifest: Json) -> Json:
        body = copy.deepcopy(manifest)
        self.serial += 1
        body["metadata"] |= {"uid": f"pod-{self.serial}", "creationTimestamp": instant_text(self.now_ms)}
        self._bump(body)
        return body

    def driver(self) -> Json | None:
        """The newest driver that is not over."""
        live = [body for body in self.pods.values() if self._role(body) == "driver" and not _over(body)]
        return live[-1] if live else None

    def executors(self) -> list[Json]:
        """Executor pods that are there."""
        return [body for body in self.pods.values() if self._role(body) == "executor"]

    @staticmethod
    def _role(body: Json) -> str:
        return str(body["metadata"]["labels"]["spark-role"])

    def set_state(self, body: Json, phase: str, **state: object) -> None:
        """The kubelet reports a container's state."""
        container = body["spec"]["containers"][0]["name"]
        body["spec"]["nodeName"] = "node"
        body["status"] = {"phase": phase, "containerStatuses": [{"name": container, "state": state}]}
        self._bump(body)

    def spawn_executor(self) -> None:
        """The running driver asks for an executor."""
        driver = self.driver()
        if driver is None or driver["status"]["phase"] != "Running":
            return
        metadata = driver["metadata"]
        self.serial += 1
        labels = {**metadata["labels"], "spark-role": "executor"}
        owner = {"uid": metadata["uid"], "controller": True}
        body = self._born({
            "metadata": {"name": f"exec-{self.serial}", "labels": labels, "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "spark-kubernetes-executor"}]},
            "status": {"phase": "Pending"},
        })  # fmt: skip
        self.pods[body["metadata"]["name"]] = body

    def delete_pod(self, name: str, grace_s: int = 30) -> None:
        """A deletion as the API server does it; executors go at once."""
        body = self.pods[name]
        body["metadata"].setdefault("deletionTimestamp", instant_text(self.now_ms + grace_s * 1000))
        self._bump(body)
        if self._role(body) == "executor":
            del self.pods[name]
        else:
            self._vanish(name)

    def force_delete(self, name: str) -> None:
        """The pod is gone, finalizer or not."""
        del self.pods[name]
        self._collect()

    def _vanish(self, name: str) -> None:
        body = self.pods[name]
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and _over(body):
            del self.pods[name]
            self._collect()

    def _collect(self) -> None:
        """The garbage collector: executors go with their driver."""
        uids = {body["metadata"]["uid"] for body in self.pods.values()}
        for body in self.executors():
            if body["metadata"]["ownerReferences"][0]["uid"] not in uids:
                del self.pods[body["metadata"]["name"]]

    def change_spec(self, **fields: object) -> None:
        """A user changes the spec."""
        if self.run is not None:
            self.run["spec"] |= fields
            self.run["metadata"]["generation"] += 1
            self._bump(self.run)

    # What must always hold

    def check(self) -> None:
        """At most one driver lives; attempts only grow; what is over stays; one attempt is over before the next begins."""
        live = [body for body in self.pods.values() if self._role(body) == "driver" and not _over(body)]
        assert len(live) <= 1, "two drivers"
        names = [body["metadata"]["name"] for body in self.created]
        uids = {body["metadata"]["uid"] for body in self.created}
        assert len(uids) == len(names)
        for before, after in zip(self.history, self.history[1:], strict=False):
            _check_step(before, after)


def _check_step(before: Json, after: Json) -> None:
    old, new = before.get("attempts", []), after.get("attempts", [])
    assert [attempt["number"] for attempt in new] == list(range(1, len(new) + 1))
    assert len(old) <= len(new) <= len(old) + 1
    for was, now in zip(old, new, strict=False):
        if "endTime" in was:
            assert was == now, "an ended attempt was changed"
    if len(new) > len(old):
        assert all("endTime" in attempt for attempt in old)
    was, now = _succeeded(before), _succeeded(after)
    assert was["status"] == "Unknown" or was == now, "what is over stays as it ended"


def _succeeded(status: Json) -> Json:
    return next(each for each in status["conditions"] if each["type"] == "Succeeded")


def _over(body: Json) -> bool:
    pod = observe_pod(body)
    assert pod is not None
    return pod.over
