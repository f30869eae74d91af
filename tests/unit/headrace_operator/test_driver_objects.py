"""The objects of an attempt beside what a real spark-submit of the pinned Spark created: every difference is meant."""

from __future__ import annotations

import json
import re
from importlib import metadata
from typing import Any

import msgspec
import pytest
import yaml
from tests.support.plan_world import INSTALLATION
from tests.support.pod_security import violations
from tests.support.record_spark_submit import RECORDING

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.pipeline_run import Overrides, RunSpec, decode_spec
from headrace_operator.driver_objects import AttemptObjects, attempt_objects
from headrace_operator.names import DRIVER_FINALIZER
from headrace_operator.sizes import Mount, Settings, Size, decode_installation, resources_of

SPEC = RunSpec(job="daily", date="2026-11-28")
_SIZE = Size(
    driver_memory_mib=1024,
    driver_cpu_millis=500,
    executors=2,
    executor_memory_mib=2048,
    executor_cpu_millis=500,
    most=Overrides(executors=4, driver_memory_mib=2048),
)
_INSTALLATION = msgspec.structs.replace(
    INSTALLATION,
    sizes={"small": _SIZE},
    settings=Settings(
        config_maps=("headrace-settings",),
        secrets=("headrace-s3",),
        mounts=(Mount(config_map="mappings", path="/etc/headrace/mappings"),),
    ),
)


def objects(spec: RunSpec = SPEC, attempt: int = 1) -> AttemptObjects:
    return attempt_objects(
        name="daily-2026-11-28",
        namespace="runs",
        uid="run-uid",
        attempt=attempt,
        spec=spec,
        resources=resources_of(spec, _INSTALLATION),
        installation=_INSTALLATION,
    )


def _recorded() -> dict[str, Any]:
    recording: dict[str, Any] = json.loads(RECORDING.read_text(encoding="utf-8"))
    return recording


def _properties() -> dict[str, str]:
    text = objects().config_map["data"]["spark.properties"]
    return dict(line.split("=", 1) for line in text.splitlines())


def test_the_recording_is_of_the_pinned_spark() -> None:
    assert _recorded()["pyspark"] == metadata.version("pyspark")


_LEFT_OUT = {
    "spark.app.submitTime": "another at every call; Spark does without",
    "spark.driver.host": "the pod's address is given as an argument: no Service",
    "spark.kubernetes.authenticate.driver.serviceAccountName": "stands in the pod; executors have their own",
    "spark.kubernetes.driver.request.cores": "stands in the pod",
    "spark.kubernetes.submission.waitAppCompletion": "of spark-submit itself",
    "spark.submit.pyFiles": "empty",
}
_OTHER_VALUE = {"spark.master", "spark.app.id"}
_OURS = {
    "spark.authenticate",
    "spark.decommission.enabled",
    "spark.executor.maxNumFailures",
    "spark.io.encryption.enabled",
    "spark.kubernetes.container.image.pullPolicy",
    "spark.kubernetes.driver.master",
    "spark.kubernetes.driver.ownPersistentVolumeClaim",
    "spark.kubernetes.driver.reusePersistentVolumeClaim",
    "spark.kubernetes.driver.service.deleteOnTermination",
    "spark.kubernetes.executor.disableConfigMap",
    "spark.kubernetes.executor.podTemplateFile",
    "spark.kubernetes.executor.useDriverPodIP",
    "spark.network.crypto.enabled",
    "spark.storage.decommission.enabled",
    "spark.storage.decommission.replicationReattemptInterval",
}


def test_spark_is_told_what_spark_submit_tells_it() -> None:
    recorded, ours = _recorded()["properties"], _properties()
    assert set(recorded) - set(ours) == set(_LEFT_OUT)
    assert set(ours) - set(recorded) == _OURS
    same = set(recorded) & set(ours)
    assert {key for key in same if recorded[key] != ours[key]} == _OTHER_VALUE
    assert ours["spark.app.id"] == "daily-2026-11-28-1"
    assert ours["spark.master"] == "k8s://https://kubernetes.default.svc"


def _driver_and_recorded() -> tuple[dict[str, Any], dict[str, Any]]:
    [ours] = objects().driver["spec"]["containers"]
    [recorded] = _recorded()["pod"]["spec"]["containers"]
    return ours, recorded


@pytest.mark.parametrize("field", ["name", "image", "imagePullPolicy", "resources"])
def test_the_driver_container_is_the_recorded_one(field: str) -> None:
    ours, recorded = _driver_and_recorded()
    assert ours[field] == recorded[field]


def test_the_arguments_are_the_recorded_ones_and_the_address() -> None:
    ours, recorded = _driver_and_recorded()
    address = ["--conf", "spark.driver.host=$(SPARK_DRIVER_BIND_ADDRESS)"]
    assert ours["args"] == [*recorded["args"][:3], *address, *recorded["args"][3:]]


def test_environment_and_ports_lack_only_what_the_image_has() -> None:
    ours, recorded = _driver_and_recorded()
    names = {each["name"] for each in ours["env"]}
    missing = {each["name"] for each in recorded["env"]} - names
    assert missing == {"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"}
    assert {each["name"] for each in recorded["ports"]} - {each["name"] for each in ours["ports"]} == {
        "spark-connect"
    }
    address = next(each for each in recorded["env"] if each["name"] == "SPARK_DRIVER_BIND_ADDRESS")
    assert address in ours["env"]


def test_spark_finds_its_driver_by_the_recorded_labels() -> None:
    labels, recorded = objects().driver["metadata"]["labels"], _recorded()["pod"]["metadata"]["labels"]
    assert set(recorded) - set(labels) == {"spark-version"}
    assert labels["spark-role"] == recorded["spark-role"]
    assert labels["spark-app-selector"] == _properties()["spark.app.id"]


def test_spark_submit_makes_more_objects_than_the_operator() -> None:
    assert set(_recorded()["kinds"]) > {"ConfigMap", "Pod"}


def test_every_object_is_the_runs() -> None:
    made = objects()
    for each in (made.config_map, made.driver, made.executor):
        [owner] = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("PipelineRun", "run-uid", True)
        assert each["metadata"]["labels"]["headrace.io/run-uid"] == "run-uid"


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_pods_keep_to_the_restricted_standard(role: str) -> None:
    pod = getattr(objects(), role)
    assert violations(pod) == []
    [container] = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_executors_get_neither_token_nor_settings() -> None:
    made = objects()
    template = yaml.safe_load(made.config_map["data"]["executor-template.yaml"])
    for pod in (template, made.executor):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["serviceAccountName"] == "headrace-executor"
        assert "envFrom" not in pod["spec"]["containers"][0]
    assert made.executor["metadata"]["labels"]["headrace.io/attempt"] == "1"


def test_the_driver_has_settings_files_and_the_finalizer() -> None:
    driver = objects().driver
    [container] = driver["spec"]["containers"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": "headrace-settings"}},
        {"secretRef": {"name": "headrace-s3"}},
    ]
    assert {"name": "files-0", "mountPath": "/etc/headrace/mappings", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert {"name": "files-0", "configMap": {"name": "mappings"}} in driver["spec"]["volumes"]
    assert driver["metadata"]["finalizers"] == [DRIVER_FINALIZER]


def test_the_job_reads_the_spec_that_was_asked_for() -> None:
    spec = RunSpec(job="daily", date="2026-11-28", dry_run=True, overrides=Overrides(executors=3))
    assert decode_spec(objects(spec).config_map["data"]["spec.json"].encode()) == spec


def test_names_fit_where_the_run_has_the_longest() -> None:
    made = attempt_objects(
        name="r" * 47, namespace="n", uid="u", attempt=20, spec=SPEC,
        resources=resources_of(SPEC, _INSTALLATION), installation=_INSTALLATION,
    )  # fmt: skip
    label = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
    for each in (made.config_map, made.driver):
        assert label.fullmatch(each["metadata"]["name"])
    assert label.fullmatch(f"{'r' * 47}-20-exec-99999")
    assert all(len(value) <= 63 for value in made.driver["metadata"]["labels"].values())


def test_overrides_reach_spark_and_pods() -> None:
    spec = RunSpec(job="daily", date="2026-11-28", overrides=Overrides(executors=4, driver_memory_mib=2048))
    text = objects(spec).config_map["data"]["spark.properties"]
    assert "spark.executor.instances=4\n" in text
    assert "spark.driver.memory=2048m\n" in text
    assert objects(spec).driver["spec"]["containers"][0]["resources"]["limits"]["memory"] == "2867Mi"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (RunSpec(job="daily", date="2026-11-28", size="huge"), "This installation has small."),
        (RunSpec(job="daily", date="2026-11-28", overrides=Overrides(executors=5)), "at most 4"),
        (RunSpec(job="daily", date="2026-11-28", overrides=Overrides(executor_cores=2)), "at most 1"),
    ],
)
def test_a_size_bounds_what_a_run_gets(spec: RunSpec, why: str) -> None:
    with pytest.raises(BadData) as caught:
        resources_of(spec, _INSTALLATION)
    assert why in caught.value.why


def test_an_override_may_always_ask_for_less() -> None:
    spec = RunSpec(job="daily", date="2026-11-28", overrides=Overrides(executors=1, executor_memory_mib=512))
    assert resources_of(spec, _INSTALLATION).executor_memory_mib == 512


def test_the_installations_file_is_decoded_or_refused_with_the_field() -> None:
    document = msgspec.to_builtins(_INSTALLATION)
    assert decode_installation(document) == _INSTALLATION
    with pytest.raises(ConfigurationError, match="sparkConf"):
        decode_installation({**document, "sparkConf": {}})
