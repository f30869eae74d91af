"""The resources that the fake serves, and their discovery documents."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.fake_kubernetes.objects import Json

__all__ = ["NAMESPACES", "PODS", "RESOURCES", "ResourceType", "api_groups", "api_resources", "api_versions"]

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One kind of object. ``subresources`` are those that have a path of their own."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As objects name it."""
        return f"{self.group}/{self.version}" if self.group else self.version


PODS = ResourceType("", "v1", "pods", "Pod", subresources=("status", "log"))
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
RESOURCES = (
    NAMESPACES,
    PODS,
    ResourceType("", "v1", "configmaps", "ConfigMap"),
    ResourceType("", "v1", "events", "Event"),
    ResourceType("", "v1", "services", "Service"),
    ResourceType("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    ResourceType("coordination.k8s.io", "v1", "leases", "Lease"),
    ResourceType(
        "headrace.io",
        "v1alpha1",
        "pipelineruns",
        "PipelineRun",
        subresources=("status",),
        short_names=("plrun",),
    ),
)


def api_versions() -> Json:
    """The answer of /api."""
    return {"kind": "APIVersions", "versions": ["v1"]}


def api_groups() -> Json:
    """The answer of /apis."""
    groups = {resource.group: resource.version for resource in RESOURCES if resource.group}
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": group,
                "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
            }
            for group, version in groups.items()
        ],
    }


def api_resources(group: str, version: str) -> Json:
    """The answer of /api/v1 or /apis/GROUP/VERSION."""
    found = [each for each in RESOURCES if (each.group, each.version) == (group, version)]
    listed: list[Json] = []
    for each in found:
        names = [each.plural, *(f"{each.plural}/{sub}" for sub in each.subresources)]
        listed += [
            {
                "name": name,
                "singularName": each.kind.lower(),
                "namespaced": each.namespaced,
                "kind": each.kind,
                "verbs": ["get", "patch", "update"] if "/" in name else _VERBS,
                "shortNames": list(each.short_names),
            }
            for name in names
        ]
    api_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": listed,
    }
