"""The chart renders what Kubernetes takes, and nothing that it should not hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import pytest
import yaml
from tests.support.chart import CHARTS, VALUE_SETS, Rendered, containers, helm, pod_templates, refusal, render

_FOREIGN_KINDS = ("ServiceMonitor", "PrometheusRule", "ScaledObject")
"""Kinds of others, for which kubernetes-validate has no schema."""


@pytest.mark.parametrize("values", VALUE_SETS)
def test_lint_is_content(values: str) -> None:
    done = helm(
        "lint",
        "--strict",
        CHARTS / "headrace",
        "--values",
        CHARTS / "headrace" / "ci" / f"{values}-values.yaml",
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", ["1.31", "1.33", "1.35"])
def test_objects_are_what_the_versions_of_kubernetes_take(version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for found in _different(found for values in VALUE_SETS for found in render(values)):
        if found["kind"] not in _FOREIGN_KINDS:
            kubernetes_validate.validate(found, version, strict=True)


def _different(objects: Iterable[Rendered]) -> list[Rendered]:
    """One object of each shape: the same kind with the same keys is the same to a schema."""
    return list({(found["kind"], _shape(found)): found for found in objects}.values())


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return tuple(sorted((key, _shape(inner)) for key, inner in value.items() if key != "labels"))
    if isinstance(value, list):
        return tuple(sorted({repr(_shape(inner)) for inner in value}))
    return type(value).__name__


@pytest.mark.parametrize("values", VALUE_SETS)
def test_no_two_objects_have_one_name(values: str) -> None:
    names = Counter((found["kind"], found["metadata"]["name"]) for found in render(values))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("values", VALUE_SETS)
def test_no_variable_is_set_twice(values: str) -> None:
    """Server-side apply, Helm 4's way, refuses what a client-side apply let pass."""
    for name, pod in pod_templates(render(values)):
        for container in containers(pod):
            counted = Counter(entry["name"] for entry in container.get("env", []))
            assert not [variable for variable, count in counted.items() if count > 1], name


def test_the_whole_chart_is_reached_by_the_value_sets() -> None:
    kinds = {found["kind"] for values in VALUE_SETS for found in render(values)}
    assert kinds >= {
        *_FOREIGN_KINDS,
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Role",
        "StatefulSet",
    }


def test_who_is_scaled_has_no_fixed_number_of_pods() -> None:
    objects = render("full")
    scaled = {
        found["spec"]["scaleTargetRef"]["name"]
        for found in objects
        if found["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    }
    deployments = {
        found["metadata"]["name"]: found["spec"] for found in objects if found["kind"] == "Deployment"
    }
    assert scaled == {f"headrace-{name}" for name in ("ingest", "dedup", "stage", "archive", "api")}
    assert {name for name, spec in deployments.items() if "replicas" not in spec} == scaled


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        (["ingest.foo=1"], "additional properties 'foo' not allowed"),
        (["partitions=0"], "/partitions"),
        (['ingest.image.digest="latest"'], "/ingest/image/digest"),
        (["loader.load.replicas=2"], "/loader/load/replicas"),
        (['loader.load.autoscaling.by="keda"'], "/loader/load/autoscaling/by"),
        (['ingest.env={"lower": "1"}'], "'lower' does not match pattern"),
        (['kafka.security="TLS"'], "/kafka/security"),
        (['password="secret"'], "additional properties 'password' not allowed"),
        (['kafka.bootstrap=""'], "kafka.bootstrap: name the brokers"),
        (['warehouse.existingSecret=""'], "warehouse.existingSecret: name a Secret"),
        (['writeKeys.existingSecret=""'], "writeKeys.existingSecret: name a Secret"),
        (['s3.bucket=""'], "s3.bucket: name the bucket"),
        (['dedup.autoscaling={"by": "keda", "maxReplicas": 13}'], "maxReplicas is above partitions"),
        (['dedup.autoscaling={"by": "keda"}'], "prometheusUrl is needed"),
        (['kafka.security="SASL_SSL"'], "kafka.existingSecret"),
    ],
)
def test_wrong_values_are_refused_with_the_reason(sets: list[str], reason: str) -> None:
    assert reason in refusal("minimal", sets)


def test_selectors_never_change() -> None:
    """A selector cannot be changed by an upgrade: this is what installations have."""
    for values in VALUE_SETS:
        for found in render(values):
            if found["kind"] in {"Deployment", "StatefulSet"}:
                component = found["metadata"]["labels"]["app.kubernetes.io/component"]
                assert found["metadata"]["name"] == f"headrace-{component}"
                assert found["spec"]["selector"] == {
                    "matchLabels": {
                        "app.kubernetes.io/name": "headrace",
                        "app.kubernetes.io/instance": "headrace",
                        "app.kubernetes.io/component": component,
                    }
                }


def test_jobs_go_before_everything_unless_the_servers_come_with_it() -> None:
    def hooks(values: str) -> dict[str, str | None]:
        return {
            found["metadata"]["name"]: found["metadata"].get("annotations", {}).get("helm.sh/hook")
            for found in render(values)
            if found["kind"] == "Job"
        }

    assert hooks("minimal") == {
        "headrace-topics": "pre-install,pre-upgrade",
        "headrace-migrate": "pre-install,pre-upgrade",
    }
    assert hooks("dev") == {"headrace-topics-1": None, "headrace-migrate-1": None}


def test_hooks_stand_on_nothing_that_an_installation_makes() -> None:
    made = {
        (found["kind"], found["metadata"]["name"])
        for found in render("full")
        if "helm.sh/hook" not in found["metadata"].get("annotations", {})
    }
    for found in render("full"):
        if found["kind"] == "Job":
            text = json.dumps(found["spec"])
            assert not [
                name for kind, name in made if kind in {"ConfigMap", "ServiceAccount"} and f'"{name}"' in text
            ]


def test_time_to_end_is_longer_than_the_process_takes() -> None:
    for values in VALUE_SETS:
        for name, pod in pod_templates(render(values)):
            for container in containers(pod):
                env = {entry["name"]: entry.get("value") for entry in container.get("env", [])}
                if "HEADRACE_SHUTDOWN_GRACE_S" in env:
                    hook = (
                        container.get("lifecycle", {})
                        .get("preStop", {})
                        .get("exec", {})
                        .get("command", ["", "0"])
                    )
                    took = int(env["HEADRACE_SHUTDOWN_GRACE_S"] or 0) + int(hook[1])
                    assert took < pod["spec"]["terminationGracePeriodSeconds"], name


def test_the_same_values_render_the_same_but_for_what_is_made_at_random() -> None:
    chosen = {"Secret"}
    first, second = (
        [found for found in render(values, 'nameOverride="headrace"') if found["kind"] not in chosen]
        for values in ("dev", "dev")
    )
    assert yaml.safe_dump_all(first) == yaml.safe_dump_all(second)
