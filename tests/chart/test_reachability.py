"""Who reaches whom, as the rendered NetworkPolicies say it: the whole table, so that a new arrow is a decision."""

from __future__ import annotations

import pytest
from tests.support.chart import Rendered, containers, pod_templates, render
from tests.support.reachability import Endpoint, reachable

_HOME = "data"
_OUTSIDE = {
    "brokers": (Endpoint("brokers", address="10.20.0.5"), 9096),
    "store": (Endpoint("store", address="52.0.0.5"), 443),
    "warehouse": (Endpoint("warehouse", address="10.20.0.9"), 5439),
    "kubernetes": (Endpoint("kubernetes", address="10.96.0.1"), 6443),
    "website": (Endpoint("website", address="93.184.216.34"), 8443),
}
_STRANGERS = {
    "prometheus": Endpoint("prometheus", "monitoring", {"app": "prometheus"}),
    "tools": Endpoint("tools", "tools", {"app": "browser"}),
    "neighbour": Endpoint("neighbour", _HOME, {"app": "neighbour"}),
    "proxy": Endpoint("proxy", "ingress", {"app": "proxy"}),
}
_RUN = Endpoint("runs", _HOME, {"app.kubernetes.io/managed-by": "headrace-operator", "spark-role": "driver"})

_EGRESS = {
    "ingest": {"brokers"},
    "dedup": {"brokers", "store"},
    "stage": {"brokers", "store"},
    "archive": {"brokers", "store"},
    "load": {"brokers", "store", "warehouse"},
    "api": {"brokers", "store", "warehouse", "kubernetes"},
    "operator": {"kubernetes"},
    "topics": {"brokers"},
    "migrate": {"warehouse"},
    "test": set(),
    "runs": {"brokers", "store", "warehouse", "kubernetes"},
}
_INGRESS = {
    "ingest": {"prometheus", "tools", "neighbour", "proxy", "test"},
    "dedup": {"prometheus"},
    "stage": {"prometheus"},
    "archive": {"prometheus"},
    "load": {"prometheus"},
    "api": {"prometheus", "tools", "test"},
    "operator": {"prometheus"},
    "topics": set(),
    "migrate": set(),
    "test": set(),
    "runs": set(),
}
_ANY_NAMESPACE = {"ingest"}


def _pods(objects: list[Rendered]) -> dict[str, Endpoint]:
    found = {"runs": _RUN}
    for _, pod in pod_templates(objects):
        labels = pod["metadata"]["labels"]
        ports = {port["name"]: port["containerPort"] for c in containers(pod) for port in c.get("ports", [])}
        name = labels["app.kubernetes.io/component"]
        found[name] = Endpoint(name, _HOME, labels, ports)
    return found


def _policies(objects: list[Rendered]) -> list[Rendered]:
    return [found for found in objects if found["kind"] == "NetworkPolicy"]


def test_what_each_component_reaches_outside() -> None:
    objects = render("full")
    # By port alone would the table say nothing: each kind of server at addresses of its own.
    peers = {
        "kafka": ["10.20.0.5/32"],
        "s3": ["52.0.0.0/16"],
        "warehouse": ["10.20.0.9/32"],
        "kubernetesApi": ["10.96.0.1/32"],
    }
    sets = [
        f'networkPolicy.{name}.to=[{", ".join(f"""{{"ipBlock": {{"cidr": "{cidr}"}}}}""" for cidr in cidrs)}]'
        for name, cidrs in peers.items()
    ]
    objects = render("full", *sets)
    policies, pods = _policies(objects), _pods(objects)
    table = {
        name: {
            outside
            for outside, (endpoint, port) in _OUTSIDE.items()
            if reachable(policies, pod, endpoint, port, home=_HOME)
        }
        for name, pod in pods.items()
    }
    assert table == _EGRESS


def test_who_reaches_each_component() -> None:
    objects = render("full")
    policies, pods = _policies(objects), _pods(objects)
    table = {
        name: {
            source.name
            for source in (*_STRANGERS.values(), *pods.values())
            if reachable(policies, source, pod, 8080, home=_HOME)
        }
        for name, pod in pods.items()
    }
    assert table == {**_INGRESS, "runs": {"runs"}}


def test_without_policies_everything_is_open() -> None:
    objects = render("full", "networkPolicy.enabled=false")
    assert _policies(objects) == []


def test_servers_of_dev_are_reached_by_the_release_alone() -> None:
    objects = render("dev")
    policies, pods = _policies(objects), _pods(objects)
    reached = {
        server: {
            name
            for name, pod in (pods | _STRANGERS).items()
            if reachable(policies, pod, pods[f"dev-{server}"], port, home=_HOME)
        }
        for server, port in {"kafka": 9092, "postgres": 5432, "s3": 8333}.items()
    }
    brokers = {"ingest", "dedup", "stage", "archive", "load", "api", "topics", "runs"}
    assert reached["kafka"] == brokers
    assert reached["postgres"] == {"load", "api", "migrate", "runs"}
    assert reached["s3"] == {"dedup", "stage", "archive", "load", "api", "runs"}


def test_names_are_found_by_everybody() -> None:
    objects = render("full")
    dns = Endpoint("dns", "kube-system", {"k8s-app": "kube-dns"})
    for name, pod in _pods(objects).items():
        assert reachable(_policies(objects), pod, dns, 53, home=_HOME), name


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_policy_without_rules_denies(direction: str) -> None:
    subject, other = Endpoint("a", _HOME, {"x": "y"}), Endpoint("b", "elsewhere")
    policy = {"spec": {"podSelector": {"matchLabels": {"x": "y"}}, "policyTypes": [direction.capitalize()]}}
    source, target = (subject, other) if direction == "egress" else (other, subject)
    assert not reachable([policy], source, target, 80, home=_HOME)
    assert reachable([policy], target, source, 80, home=_HOME)
