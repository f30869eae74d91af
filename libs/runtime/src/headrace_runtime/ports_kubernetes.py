"""Port of the Kubernetes API: what the operator, the API service and `headrace run` ask of a cluster, as plain JSON.

Objects are dicts as the API writes them. Every call takes a deadline in seconds, within which it returns or raises one of
`headrace_runtime.errors_kubernetes`; nothing is repeated inside, since only the caller knows what a repetition means. The
adapter is `headrace_runtime.kubernetes`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

from headrace_core.run_resource import GROUP, PLURAL, VERSION

__all__ = [
    "CONFIG_MAPS",
    "EVENTS",
    "LEASES",
    "PIPELINE_RUNS",
    "PODS",
    "Json",
    "KubernetesApi",
    "ObjectList",
    "ResourceKind",
    "WatchEvent",
]

Json = dict[str, Any]


class ResourceKind(NamedTuple):
    """A namespaced resource of the API; the core group is the empty text."""

    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """As objects name it, such as ``headrace.io/v1alpha1`` or ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version


PIPELINE_RUNS = ResourceKind(GROUP, VERSION, PLURAL)
PODS = ResourceKind("", "v1", "pods")
CONFIG_MAPS = ResourceKind("", "v1", "configmaps")
EVENTS = ResourceKind("", "v1", "events")
LEASES = ResourceKind("coordination.k8s.io", "v1", "leases")


class ObjectList(NamedTuple):
    """Objects and the resource version that a watch of what follows begins at."""

    items: list[Json]
    resource_version: str


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    kind: str
    body: Json


class KubernetesApi(Protocol):
    """The calls. ``namespace`` is always given: rights are namespaced."""

    async def create(
        self,
        kind: ResourceKind,
        namespace: str,
        body: Json,
        *,
        dry_run: bool = False,
        strict: bool = False,
        deadline_s: float = 30.0,
    ) -> Json:
        """A new object. ``dry_run`` has it admitted and not kept; ``strict`` refuses unknown fields. Raises ObjectExists."""

    async def get(self, kind: ResourceKind, namespace: str, name: str, *, deadline_s: float = 30.0) -> Json:
        """One object, never from a cache. Raises ObjectAbsent."""

    async def list(
        self,
        kind: ResourceKind,
        namespace: str,
        *,
        labels: str = "",
        metadata_only: bool = False,
        deadline_s: float = 30.0,
    ) -> ObjectList:
        """All objects that meet the label selector, fetched in pages of 500; the deadline is each page's."""

    async def patch(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        body: Json,
        *,
        subresource: str = "",
        deadline_s: float = 30.0,
    ) -> Json:
        """A merge patch. With ``metadata.resourceVersion`` in it StaleObject is raised where the object has another one.
        Raises ObjectAbsent."""

    async def replace_status(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        status: Json,
        *,
        resource_version: str,
        deadline_s: float = 30.0,
    ) -> Json:
        """The whole status anew, whatever stood in it, under the object's resource version. Raises ObjectAbsent, StaleObject."""

    async def replace(
        self, kind: ResourceKind, namespace: str, name: str, body: Json, *, deadline_s: float = 30.0
    ) -> Json:
        """The whole object anew, under its resource version. Raises ObjectAbsent, StaleObject."""

    async def delete(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_s: int | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        """Ask an object to go, its children after it. With a ``uid`` only this very object, with a ``resource_version`` only
        as it was read: else StaleObject. Raises ObjectAbsent."""

    async def delete_many(
        self,
        kind: ResourceKind,
        namespace: str,
        *,
        labels: str,
        grace_s: int | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        """Ask all objects that meet a selector to go. Raises ValueError where the selector is empty."""

    async def log(
        self,
        namespace: str,
        pod: str,
        *,
        tail_lines: int | None = None,
        limit_bytes: int = 1 << 20,
        deadline_s: float = 30.0,
    ) -> bytes:
        """What the pod's only container has written so far. Raises ObjectAbsent."""

    def watch(
        self,
        kind: ResourceKind,
        namespace: str,
        *,
        resource_version: str,
        name: str = "",
        labels: str = "",
        for_s: float = 300.0,
    ) -> AsyncIterator[WatchEvent]:
        """What happens after a resource version, for at most that long; the iterator just ends where the connection does,
        and the caller goes on from the last version it saw. Raises VersionExpired: list again."""
