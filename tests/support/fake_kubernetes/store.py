"""The objects of the fake: every write of an API server's storage with its conditions. No sockets."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.fake_kubernetes.history import History
from tests.support.fake_kubernetes.objects import (
    ApiFailure,
    Json,
    failure,
    field_selector_matches,
    label_selector_matches,
    merge_patch,
    owner_uids,
    timestamp,
)
from tests.support.fake_kubernetes.resources import NAMESPACES, PODS, RESOURCES, ResourceType

__all__ = ["Store"]

Key = tuple[str, str]
"""Namespace and name."""


class Store:
    """All objects, by resource. Every change has the next resource version and goes to the resource's history."""

    def __init__(self, now_ms: Callable[[], int], history: int = 100_000) -> None:
        self._now_ms = now_ms
        self._version = 1000
        self._objects: dict[ResourceType, dict[Key, Json]] = {resource: {} for resource in RESOURCES}
        self._children: defaultdict[str, set[tuple[ResourceType, Key]]] = defaultdict(set)
        self.histories = {resource: History(history) for resource in RESOURCES}
        self.pod_quota: int | None = None
        """Most pods that may exist; creation past it is refused as a ResourceQuota does."""
        self.refuse_pod: Callable[[Json], str | None] = lambda _body: None
        """Why admission refuses a pod, dry runs too."""
        self.ending: set[str] = set()
        self.on_pod_deletion: Callable[[Json], None] = lambda _body: None

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    def peek(self, resource: ResourceType, namespace: str = "") -> list[Json]:
        """Objects without a copy; not to be changed."""
        return [body for key, body in self._objects[resource].items() if namespace in ("", key[0])]

    def get(self, resource: ResourceType, namespace: str, name: str) -> Json:
        """One object. 404."""
        found = self._objects[resource].get((namespace, name))
        if found is None:
            raise failure(404, f'{resource.plural} "{name}" not found')
        return found

    def select(
        self, resource: ResourceType, namespace: str, labels: str = "", fields: str = ""
    ) -> Iterator[Json]:
        """Objects that meet the selectors, ordered by key; an empty namespace means all."""
        for key in sorted(self._objects[resource]):
            body = self._objects[resource][key]
            if namespace not in ("", key[0]):
                continue
            if label_selector_matches(body, labels) and field_selector_matches(body, fields):
                yield body

    def create(self, resource: ResourceType, namespace: str, body: Json, *, dry_run: bool = False) -> Json:
        """A new object. 409 where the name is taken, 403 where quota, admission or an ending namespace refuse it."""
        given = dict(body.get("metadata") or {})
        name = given.get("name") or f"{given['generateName']}{uuid.uuid4().hex[:5]}"
        self._admit(resource, namespace, name, body)
        metadata = {
            **given,
            "name": name,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": timestamp(self._now_ms()),
            "generation": 1,
        }
        if resource.namespaced:
            metadata["namespace"] = namespace
        created = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        if "status" in resource.subresources:
            created.pop("status", None)
        if resource is PODS:
            created["status"] = {"phase": "Pending", "qosClass": "Burstable"}
        if dry_run:
            return {**created, "metadata": {**metadata, "resourceVersion": "0"}}
        return self._write(resource, (namespace, name), created, "ADDED")

    def _admit(self, resource: ResourceType, namespace: str, name: str, body: Json) -> None:
        if namespace in self.ending:
            message = f"{name} is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
            raise ApiFailure(403, "Forbidden", message, causes=("NamespaceTerminating",))
        if (namespace, name) in self._objects[resource]:
            raise ApiFailure(409, "AlreadyExists", f'{resource.plural} "{name}" already exists')
        if resource is not PODS:
            return
        if why := self.refuse_pod(body):
            raise failure(403, f'pods "{name}" is forbidden: {why}')
        if self.pod_quota is not None and len(self._objects[PODS]) >= self.pod_quota:
            message = f'pods "{name}" is forbidden: exceeded quota: pods, requested: pods=1, limited: pods={self.pod_quota}'
            raise failure(403, message)

    def replace(self, resource: ResourceType, namespace: str, name: str, body: Json) -> Json:
        """PUT. The resource version, where given, must be the object's."""
        found = self.get(resource, namespace, name)
        self._check_version(resource, found, body)
        metadata = {**found["metadata"], **(body.get("metadata") or {})}
        return self._change(resource, found, {**body, "metadata": metadata})

    def patch(
        self, resource: ResourceType, namespace: str, name: str, patch: Json, *, subresource: str = ""
    ) -> Json:
        """A merge patch, of the status alone at that subresource and of all but the status elsewhere."""
        found = self.get(resource, namespace, name)
        self._check_version(resource, found, patch)
        kept = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
        if "status" in resource.subresources:
            kept = {
                key: value for key, value in kept.items() if (key == "status") == (subresource == "status")
            }
        return self._change(resource, found, merge_patch(found, kept))

    def patch_json(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        operations: list[Json],
        *,
        subresource: str = "",
    ) -> Json:
        """A JSON patch of whole top-level fields, which is all that anybody here sends. A resource version that it writes is
        compared, as that of any update."""
        fields: Json = {}
        for operation in operations:
            match operation:
                case {"op": "replace", "path": "/metadata/resourceVersion", "value": version}:
                    self._check_version(
                        resource,
                        self.get(resource, namespace, name),
                        {"metadata": {"resourceVersion": version}},
                    )
                case {"op": "add" | "replace", "path": path, "value": value} if path.count("/") == 1:
                    fields[path[1:]] = value
                case _:
                    raise failure(422, f"the fake does not know {operation}")
        found = self.get(resource, namespace, name)
        if "status" in resource.subresources:
            fields = {
                key: value for key, value in fields.items() if (key == "status") == (subresource == "status")
            }
        return self._change(resource, found, {**found, **fields})

    def apply(self, resource: ResourceType, namespace: str, name: str, body: Json) -> Json:
        """Server-side apply with force, without the ownership of fields: created where absent, else merged."""
        if (namespace, name) not in self._objects[resource]:
            return self.create(resource, namespace, merge_patch(body, {"metadata": {"name": name}}))
        return self.patch(resource, namespace, name, body)

    def set_status(self, resource: ResourceType, namespace: str, name: str, status: Json) -> Json:
        """What a kubelet does: the whole status anew."""
        found = self.get(resource, namespace, name)
        return self._change(resource, found, {**found, "status": status})

    @staticmethod
    def _check_version(resource: ResourceType, found: Json, given: Json) -> None:
        wanted = (given.get("metadata") or {}).get("resourceVersion")
        if wanted is not None and wanted != found["metadata"]["resourceVersion"]:
            name = found["metadata"]["name"]
            message = (
                f'Operation cannot be fulfilled on {resource.plural} "{name}": the object has been modified'
            )
            raise failure(409, message)

    def _change(self, resource: ResourceType, found: Json, changed: Json) -> Json:
        fixed = {
            key: found["metadata"][key]
            for key in ("name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion")
            if key in found["metadata"]
        }
        metadata = {**changed["metadata"], **fixed}
        if not metadata.get("finalizers"):
            metadata.pop("finalizers", None)
        changed = {**changed, "metadata": metadata, "kind": found["kind"], "apiVersion": found["apiVersion"]}
        if changed == found:
            return found
        if changed.get("spec") != found.get("spec"):
            metadata["generation"] += 1
        key = (metadata.get("namespace", ""), metadata["name"])
        if "deletionTimestamp" in metadata and self._may_go(resource, changed):
            return self._remove(resource, key, changed)
        return self._write(resource, key, changed, "MODIFIED")

    def delete(self, resource: ResourceType, namespace: str, name: str, options: Json | None = None) -> Json:
        """Ask an object to go: at once, or once its finalizers are gone and, of a running pod, its grace is over."""
        found = self.get(resource, namespace, name)
        options = options or {}
        for field, wanted in (options.get("preconditions") or {}).items():
            if found["metadata"][field] != wanted:
                raise failure(409, f'Precondition failed: {field} of "{name}" is {found["metadata"][field]}')
        grace_s = options.get("gracePeriodSeconds")
        if resource is PODS and not _is_running(found):
            grace_s = 0
        elif resource is PODS and grace_s is None:
            grace_s = found["spec"].get("terminationGracePeriodSeconds", 30)
        metadata = {**found["metadata"]}
        metadata.setdefault("deletionTimestamp", timestamp(self._now_ms()))
        metadata["deletionGracePeriodSeconds"] = grace_s or 0
        marked = {**found, "metadata": metadata}
        if self._may_go(resource, marked):
            return self._remove(resource, (namespace, name), marked)
        if marked == found:
            return found
        written = self._write(resource, (namespace, name), marked, "MODIFIED")
        if resource is PODS:
            self.on_pod_deletion(written)
        return written

    @staticmethod
    def _may_go(resource: ResourceType, body: Json) -> bool:
        metadata = body["metadata"]
        waits = resource is PODS and metadata.get("deletionGracePeriodSeconds", 0) > 0 and _is_running(body)
        return not metadata.get("finalizers") and not waits

    def delete_collection(
        self, resource: ResourceType, namespace: str, labels: str, fields: str, options: Json | None = None
    ) -> list[Json]:
        """Ask all that meet the selectors to go."""
        names = [body["metadata"]["name"] for body in self.select(resource, namespace, labels, fields)]
        return [self.delete(resource, namespace, name, options) for name in names]

    def end_namespace(self, namespace: str) -> None:
        """Refuse new content and ask all of it to go, as the namespace controller does."""
        self.ending.add(namespace)
        for resource in RESOURCES:
            if resource is not NAMESPACES:
                for body in list(self.select(resource, namespace)):
                    if (namespace, body["metadata"]["name"]) in self._objects[resource]:
                        self.delete(resource, namespace, body["metadata"]["name"])

    def _write(self, resource: ResourceType, key: Key, body: Json, event: str) -> Json:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        for uid in owner_uids(body):
            self._children[uid].add((resource, key))
        self._objects[resource][key] = body
        self.histories[resource].add(self._version, event, body)
        return body

    def _remove(self, resource: ResourceType, key: Key, body: Json) -> Json:
        self._version += 1
        gone = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self._objects[resource].pop(key, None)
        self.histories[resource].add(self._version, "DELETED", gone)
        for child, child_key in sorted(self._children.pop(body["metadata"]["uid"], ()), key=_order):
            if child_key in self._objects[child]:
                self.delete(child, *child_key)
        return gone


def _order(child: tuple[ResourceType, Key]) -> tuple[str, Key]:
    return child[0].plural, child[1]


def _is_running(pod: Json) -> bool:
    """Whether a kubelet has something to end. A pod that no node has, or whose containers have ended, goes at once."""
    status: Any = pod.get("status") or {}
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    return status.get("phase") == "Running" and any("running" in state for state in states)
