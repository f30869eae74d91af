"""Every pod of the chart: security, sizes, probes, names of secrets."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.chart import VALUE_SETS, containers, pod_templates, render
from tests.support.configuration_page import configured
from tests.support.pod_security import violations

_EXTERNAL = {
    "headrace-kafka": {"HEADRACE_KAFKA_USERNAME", "HEADRACE_KAFKA_PASSWORD"},
    "headrace-kafka-ca": {"ca.crt"},
    "headrace-run-tokens": {"run_tokens.yaml"},
    "headrace-s3": {"HEADRACE_S3_ACCESS_KEY_ID", "HEADRACE_S3_SECRET_ACCESS_KEY"},
    "headrace-warehouse": {"HEADRACE_WAREHOUSE_DSN"},
    "headrace-write-keys": {"write_keys.yaml", "pepper"},
    "headrace-test-key": {"writeKey"},
}
"""Secrets that values name, with the keys that docs/install.md tells people to put into them."""

_SERVICES = {"ingest", "dedup", "stage", "load", "archive", "api"}


@pytest.mark.parametrize("values", VALUE_SETS)
def test_every_pod_keeps_to_the_restricted_profile(values: str) -> None:
    found = {name: broken for name, pod in pod_templates(render(values)) if (broken := violations(pod))}
    assert found == {}


@pytest.mark.parametrize(
    "breach",
    [
        {"privileged": True},
        {"allowPrivilegeEscalation": True},
        {"capabilities": {"drop": []}},
        {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
        {"runAsUser": 0},
        {"runAsNonRoot": False},
        {"readOnlyRootFilesystem": False},
        {"seccompProfile": {"type": "Unconfined"}},
    ],
    ids=str,
)
def test_the_check_sees_what_breaks_the_profile(breach: dict[str, Any]) -> None:
    good = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert violations({"spec": {"containers": [{"name": "a", "securityContext": good}]}}) == []
    assert violations({"spec": {"containers": [{"name": "a", "securityContext": {**good, **breach}}]}})


@pytest.mark.parametrize("volume", [{"hostPath": {"path": "/"}}, {"nfs": {}}], ids=str)
def test_the_check_sees_volumes_of_the_node(volume: dict[str, Any]) -> None:
    assert violations({"spec": {"containers": [], "volumes": [{"name": "v", **volume}]}})


@pytest.mark.parametrize("values", VALUE_SETS)
def test_every_container_says_what_it_needs_and_what_it_may_take(values: str) -> None:
    for name, pod in pod_templates(render(values)):
        for container in containers(pod):
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), name
            assert "memory" in resources["limits"], name


@pytest.mark.parametrize("values", VALUE_SETS)
def test_only_who_speaks_to_kubernetes_has_a_token(values: str) -> None:
    with_token = {
        name
        for name, pod in pod_templates(render(values))
        if pod["spec"].get("automountServiceAccountToken") is not False
    }
    runs_by_http = {"Deployment/headrace-api"} if values == "full" else set()
    assert with_token == {"Deployment/headrace-operator"} | runs_by_http


@pytest.mark.parametrize("values", VALUE_SETS)
def test_probes_ask_what_services_answer(values: str) -> None:
    for name, pod in pod_templates(render(values)):
        if name.removeprefix("Deployment/headrace-") in _SERVICES:
            (container,) = containers(pod)
            paths = {
                kind: container[f"{kind}Probe"]["httpGet"]["path"]
                for kind in ("startup", "liveness", "readiness")
            }
            assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}, name


@pytest.mark.parametrize("values", VALUE_SETS)
def test_every_key_of_a_secret_or_config_map_exists(values: str) -> None:
    objects = render(values)
    made: dict[str, set[str]] = {"headrace-mappings": set(), "more-settings": set(), "registry": set()}
    for found in objects:
        if found["kind"] in {"Secret", "ConfigMap"}:
            made[found["metadata"]["name"]] = set(found.get("data", {})) | set(found.get("stringData", {}))
    made |= {name: keys for name, keys in _EXTERNAL.items() if name not in made}
    for name, pod in pod_templates(objects):
        for source, key in _references(pod):
            assert source in made, f"{name} names {source}"
            assert key is None or key in made[source], f"{name} names the key {key} of {source}"


def _references(pod: dict[str, Any]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for container in containers(pod):
        for entry in container.get("env", []):
            origin = entry.get("valueFrom", {})
            kinds = [kind for kind in ("secretKeyRef", "configMapKeyRef") if kind in origin]
            found += [(origin[kind]["name"], origin[kind]["key"]) for kind in kinds]
        for entry in container.get("envFrom", []):
            found += [(entry[kind]["name"], None) for kind in ("secretRef", "configMapRef") if kind in entry]
    for volume in pod["spec"].get("volumes", []):
        named = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        items = (volume.get("secret") or volume.get("configMap") or {}).get("items") or [{"key": None}]
        found += [(named, item["key"]) for item in items if named]
    return found


@pytest.mark.parametrize("values", VALUE_SETS)
def test_every_setting_is_one_that_a_process_reads(values: str) -> None:
    known = configured() | {"HEADRACE_WRITE_KEY"}
    for name, pod in pod_templates(render(values)):
        for container in containers(pod):
            given = {
                entry["name"] for entry in container.get("env", []) if entry["name"].startswith("HEADRACE_")
            }
            assert given <= known, name


@pytest.mark.parametrize("values", [values for values in VALUE_SETS if values != "dev"])
def test_no_secret_is_made_of_values(values: str) -> None:
    assert [found["metadata"]["name"] for found in render(values) if found["kind"] == "Secret"] == []
