"""The restricted profile of the Pod Security Standards as a pure function, and what this project asks beyond it."""

from __future__ import annotations

from typing import Any

__all__ = ["violations"]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(pod: dict[str, Any]) -> list[str]:
    """What of a pod (metadata, spec) breaks the profile, in words; empty where it keeps to it."""
    spec = pod["spec"]
    found = [f"{field} is set" for field in _HOST if spec.get(field)]
    found += [
        f"volume {volume['name']} is of no allowed type"
        for volume in spec.get("volumes", [])
        if not set(volume) - {"name"} <= _VOLUMES
    ]
    security = spec.get("securityContext", {})
    if security.get("sysctls"):
        found.append("sysctls are set")
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        found += [f"{container['name']}: {text}" for text in _of_container(container, security)]
    return found


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    effective = {**pod, **own}
    found = []
    if own.get("privileged"):
        found.append("privileged")
    if own.get("allowPrivilegeEscalation") is not False:
        found.append("allowPrivilegeEscalation is not false")
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        found.append("capabilities are not dropped")
    if effective.get("runAsNonRoot") is not True or effective.get("runAsUser") == 0:
        found.append("may run as root")
    if effective.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        found.append("no seccomp profile")
    if any("hostPort" in port for port in container.get("ports", [])):
        found.append("a host port")
    if own.get("readOnlyRootFilesystem") is not True:
        found.append("its root file system can be written to")
    return found
