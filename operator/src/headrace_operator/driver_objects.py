"""The objects of one attempt: ConfigMap, driver pod, and the executor pod that is tried before. Pure.

They depend on the run's name, uid and spec and on the installation alone, so that making them again makes the same.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from headrace_core.pipeline_run import RunSpec
from headrace_operator.names import (
    API_VERSION,
    DRIVER_FINALIZER,
    KIND,
    ROLE_LABEL,
    app_id,
    attempt_labels,
    config_map_name,
    driver_name,
)
from headrace_operator.sizes import Installation, PodPlace, Resources
from headrace_operator.spark_properties import BLOCKS_PORT, CONF_DIR, DRIVER_PORT, MASTER, spark_properties

__all__ = ["DRIVER_GRACE_S", "AttemptObjects", "attempt_objects"]

Json = dict[str, Any]

DRIVER_GRACE_S = 60
"""Seconds from SIGTERM to SIGKILL; the driver itself ends within 20."""

_EXECUTOR_GRACE_S = 60
_UID = 10001
_SCRATCH = "/var/data/local"
_MAIN_FILE = "local:///opt/headrace/run_job.py"
_UI_PORT = 4040
_TEMPORARY = (("tmp", "/tmp"), ("work", "/opt/spark/work-dir"))  # noqa: S108 - paths in the pod


class AttemptObjects(msgspec.Struct, frozen=True, kw_only=True):
    """Manifests, in the order in which they are created. ``executor`` is only ever created as a dry run."""

    executor: Json
    config_map: Json
    driver: Json


def attempt_objects(
    *,
    name: str,
    namespace: str,
    uid: str,
    attempt: int,
    spec: RunSpec,
    resources: Resources,
    installation: Installation,
) -> AttemptObjects:
    """All objects of an attempt of the run ``name`` with that uid."""
    made = _Attempt(
        name=name,
        namespace=namespace,
        app=app_id(name, attempt),
        number=attempt,
        job=spec.job,
        labels=attempt_labels(name, uid, attempt, spec.job),
        owner={"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid, "controller": True},
        resources=resources,
        installation=installation,
    )
    template = _executor_template(made)
    return AttemptObjects(
        executor=_executor(made, template), config_map=_config_map(made, spec, template), driver=_driver(made)
    )


class _Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What the objects of one attempt are made from. ``app`` is Spark's application id."""

    name: str
    namespace: str
    app: str
    number: int
    job: str
    labels: Json
    owner: Json
    resources: Resources
    installation: Installation

    def metadata(self, name: str, **labels: str) -> Json:
        """Metadata of a child: its labels with these on top, and the run as its owner."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": {**self.labels, **labels},
            "ownerReferences": [self.owner],
        }


def _config_map(made: _Attempt, spec: RunSpec, template: Json) -> Json:
    properties = spark_properties(
        name=made.name,
        namespace=made.namespace,
        app=made.app,
        driver=driver_name(made.name, made.number),
        resources=made.resources,
        installation=made.installation,
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "immutable": True,
        "metadata": made.metadata(config_map_name(made.name, made.number)),
        "data": {
            "spec.json": json.dumps(msgspec.to_builtins(spec), sort_keys=True),
            "spark.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
            "executor-template.yaml": json.dumps(template, indent=1),
        },
    }


def _executor_template(made: _Attempt) -> Json:
    """What Spark adds its own part to. Security, account and labels of executors come from here alone."""
    mounts, volumes = _scratch()
    container = {
        "name": "spark-kubernetes-executor",
        "securityContext": _container_security(),
        "volumeMounts": mounts,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": made.labels},
        "spec": {
            **_pod_spec(
                made.installation.executor, made.installation, token=False, grace_s=_EXECUTOR_GRACE_S
            ),
            "containers": [container],
            "volumes": volumes,
        },
    }


def _executor(made: _Attempt, template: Json) -> Json:
    """An executor pod as Spark will make it, as far as admission may look at it."""
    resources, spark = made.resources, {"spark-app-selector": made.app}
    limit = f"{resources.limit_mib(resources.executor_memory_mib)}Mi"
    container = {
        **template["spec"]["containers"][0],
        "image": made.installation.image,
        "imagePullPolicy": made.installation.image_pull_policy,
        "args": ["executor"],
        "resources": {
            "requests": {"cpu": f"{resources.executor_cpu_millis}m", "memory": limit},
            "limits": {"cpu": str(resources.executor_cores), "memory": limit},
        },
    }
    return {
        **template,
        "metadata": made.metadata(f"{made.app}-exec-0", **{ROLE_LABEL: "executor"}, **spark),
        "spec": {**template["spec"], "restartPolicy": "Never", "containers": [container]},
    }


def _driver(made: _Attempt) -> Json:
    labels = {ROLE_LABEL: "driver", "spark-app-selector": made.app, "spark-app-name": made.name}
    mounts, volumes = _driver_volumes(config_map_name(made.name, made.number), made.installation)
    metadata = made.metadata(driver_name(made.name, made.number), **labels)
    metadata["annotations"] = {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }
    metadata["finalizers"] = [DRIVER_FINALIZER]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            **_pod_spec(made.installation.driver, made.installation, token=True, grace_s=DRIVER_GRACE_S),
            "restartPolicy": "Never",
            "containers": [_driver_container(made, mounts)],
            "volumes": volumes,
        },
    }


def _driver_container(made: _Attempt, mounts: list[Json]) -> Json:
    resources, installation = made.resources, made.installation
    limit = f"{resources.limit_mib(resources.driver_memory_mib)}Mi"
    return {
        "name": "spark-kubernetes-driver",
        "image": installation.image,
        "imagePullPolicy": installation.image_pull_policy,
        "args": _driver_arguments(made),
        "env": _driver_environment(made),
        "envFrom": _env_from(installation),
        "ports": [
            {"name": "driver-rpc-port", "containerPort": DRIVER_PORT, "protocol": "TCP"},
            {"name": "blockmanager", "containerPort": BLOCKS_PORT, "protocol": "TCP"},
            {"name": "spark-ui", "containerPort": _UI_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": f"{resources.driver_cpu_millis}m", "memory": limit},
            "limits": {"memory": limit},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": _container_security(),
        "volumeMounts": mounts,
    }


def _driver_arguments(made: _Attempt) -> list[str]:
    """What the image's entrypoint turns into spark-submit in client mode."""
    return [
        "driver",
        "--properties-file",
        f"{CONF_DIR}/spark.properties",
        # The kubelet puts the pod's address here: the driver needs no Service.
        "--conf",
        "spark.driver.host=$(SPARK_DRIVER_BIND_ADDRESS)",
        "--class",
        "org.apache.spark.deploy.PythonRunner",
        _MAIN_FILE,
        made.job,
        "--run",
        made.name,
        "--attempt",
        str(made.number),
        "--parameters",
        f"{CONF_DIR}/spec.json",
    ]


def _driver_environment(made: _Attempt) -> list[Json]:
    values = {
        "SPARK_USER": "app",
        "SPARK_APPLICATION_ID": made.app,
        "SPARK_LOCAL_DIRS": _SCRATCH,
        "SPARK_CONF_DIR": CONF_DIR,
        "HEADRACE_SPARK_MASTER": f"k8s://{MASTER}",
        "HEADRACE_SPARK_SCRATCH_DIR": _SCRATCH,
        "HEADRACE_INSTANCE": made.app,
    }
    address = {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}
    return [
        {"name": "SPARK_DRIVER_BIND_ADDRESS", "valueFrom": address},
        *({"name": name, "value": value} for name, value in values.items()),
    ]


def _env_from(installation: Installation) -> list[Json]:
    settings = installation.settings
    return [
        *({"configMapRef": {"name": name}} for name in settings.config_maps),
        *({"secretRef": {"name": name}} for name in settings.secrets),
    ]


def _driver_volumes(config_map: str, installation: Installation) -> tuple[list[Json], list[Json]]:
    mounts, volumes = _scratch()
    given = installation.settings.mounts
    return (
        [
            {"name": "conf", "mountPath": CONF_DIR, "readOnly": True},
            {"name": "local", "mountPath": _SCRATCH},
            *mounts,
            *(
                {"name": f"files-{n}", "mountPath": each.path, "readOnly": True}
                for n, each in enumerate(given)
            ),
        ],
        [
            {"name": "conf", "configMap": {"name": config_map}},
            {"name": "local", "emptyDir": {}},
            *volumes,
            *({"name": f"files-{n}", "configMap": {"name": each.config_map}} for n, each in enumerate(given)),
        ],
    )


def _pod_spec(place: PodPlace, installation: Installation, *, token: bool, grace_s: int) -> Json:
    """What driver and executors have alike: the restricted Pod Security Standard, and no environment of Services."""
    spec: Json = {
        "serviceAccountName": place.service_account,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if installation.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in installation.image_pull_secrets]
    if place.node_selector:
        spec["nodeSelector"] = dict(place.node_selector)
    if place.tolerations:
        spec["tolerations"] = [dict(each) for each in place.tolerations]
    if place.priority_class_name:
        spec["priorityClassName"] = place.priority_class_name
    return spec


def _container_security() -> Json:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def _scratch() -> tuple[list[Json], list[Json]]:
    return (
        [{"name": name, "mountPath": path} for name, path in _TEMPORARY],
        [{"name": name, "emptyDir": {}} for name, _ in _TEMPORARY],
    )
