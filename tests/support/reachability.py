"""NetworkPolicies as a function: may a pod connect to a port of another? As Kubernetes decides it, for one namespace."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Endpoint", "reachable"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod, or a foreign address where ``address`` is set. ``ports`` are its named ports."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


def reachable(
    policies: Sequence[Mapping[str, Any]], source: Endpoint, target: Endpoint, port: int, *, home: str
) -> bool:
    """Whether the policies of the namespace ``home`` let the source connect to a TCP port of the target."""
    ports = (port, target.ports)
    return _allowed(policies, source, target, ports, "egress", home) and _allowed(
        policies, target, source, ports, "ingress", home
    )


def _allowed(  # noqa: PLR0917 - the six parts of one question
    policies: Sequence[Mapping[str, Any]],
    subject: Endpoint,
    peer: Endpoint,
    ports: tuple[int, Mapping[str, int]],
    direction: str,
    home: str,
) -> bool:
    mine = [
        policy["spec"]
        for policy in policies
        if subject.namespace == home
        and direction.capitalize() in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], subject.labels)
    ]
    side = "to" if direction == "egress" else "from"
    rules = [rule for spec in mine for rule in spec.get(direction) or []]
    return not mine or any(_matches(rule, side, peer, home) and _port(rule, *ports) for rule in rules)


def _matches(rule: Mapping[str, Any], side: str, peer: Endpoint, home: str) -> bool:
    peers = rule.get(side)
    return not peers or any(_is(entry, peer, home) for entry in peers)


def _is(entry: Mapping[str, Any], peer: Endpoint, home: str) -> bool:
    if "ipBlock" in entry:
        # Whether a block covers pods differs between implementations: only addresses from outside count here.
        return bool(peer.address) and ipaddress.ip_address(peer.address) in ipaddress.ip_network(
            entry["ipBlock"]["cidr"]
        )
    if peer.address:
        return False
    namespace = entry.get("namespaceSelector")
    if namespace is None:
        in_namespace = peer.namespace == home
    else:
        in_namespace = _selects(namespace, {"kubernetes.io/metadata.name": peer.namespace})
    return in_namespace and _selects(entry.get("podSelector", {}), peer.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "only matchLabels are understood here"
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def _port(rule: Mapping[str, Any], port: int, names: Mapping[str, int]) -> bool:
    entries = rule.get("ports")
    if not entries:
        return True
    served = (entry["port"] for entry in entries if entry.get("protocol", "TCP") == "TCP")
    return any((names.get(number) if isinstance(number, str) else number) == port for number in served)
