"""Specs of runs whose authors want more than a run may have: other pods, accounts, images, properties, names, sizes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

__all__ = ["CLEAN", "FREE_TEXT", "hostile_fields", "hostile_names", "hostile_values"]

Spec = dict[str, Any]

CLEAN: Spec = {
    "job": "daily",
    "date": "2026-11-28",
    "daily": {"catchUp": True},
    "retry": {"limit": 1},
    "overrides": {"executors": 1},
}
"""What the hostile ones are made from."""

_FIELDS: dict[str, object] = {
    "serviceAccountName": "cluster-admin",
    "serviceAccount": "default",
    "image": "registry.example/evil:1",
    "imagePullSecrets": [{"name": "theirs"}],
    "driver": {"pod": {"spec": {"hostPID": True}}},
    "executor": {"instances": 5_000},
    "template": {"spec": {"containers": [{"securityContext": {"privileged": True}}]}},
    "podTemplate": {"spec": {"volumes": [{"hostPath": {"path": "/"}}]}},
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "privileged": True,
    "securityContext": {"runAsUser": 0},
    "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
    "volumeMounts": [{"name": "root", "mountPath": "/host"}],
    "env": [{"name": "LD_PRELOAD", "value": "/tmp/x.so"}],
    "envFrom": [{"secretRef": {"name": "warehouse-admin"}}],
    "sparkConf": {"spark.kubernetes.authenticate.driver.serviceAccountName": "admin"},
    "hadoopConf": {"fs.s3a.access.key": "theirs"},
    "jars": ["https://evil.example/x.jar"],
    "packages": ["com.evil:x:1"],
    "repositories": ["https://evil.example/maven"],
    "pyFiles": ["s3a://evil/x.py"],
    "mainApplicationFile": "https://evil.example/x.py",
    "main": {"file": "local:///bin/sh"},
    "arguments": ["--conf", "spark.master=local"],
    "command": ["/bin/sh", "-c", "id"],
    "javaOptions": "-agentlib:jdwp=transport=dt_socket",
    "namespace": "kube-system",
    "nodeName": "control-plane",
    "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
    "tolerations": [{"operator": "Exists"}],
    "priorityClassName": "system-node-critical",
    "metadata": {"ownerReferences": []},
    "status": {"conditions": []},
    "managedBy": "somebody",
    "kubeConfig": "{}",
    "proxyUser": "admin",
    "labels": {"headrace.io/run-uid": "another"},
    "__proto__": {"image": "x"},
}
_PLACES = ("", "daily", "retry", "overrides")


def hostile_fields() -> Iterator[tuple[str, Spec]]:
    """Fields that there are not, in every block that there is, and the name of the field."""
    for place in _PLACES:
        for field, value in _FIELDS.items():
            spec = copy.deepcopy(CLEAN)
            (spec[place] if place else spec)[field] = value
            yield field, spec


_VALUES: dict[str, tuple[object, ...]] = {
    "job": ("Daily", "daily\n", "../daily", "daily --conf x=y", "", None, 7, ["daily"], {"name": "daily"}),
    "date": (
        "2026-11-28\n", "2026-11-28 --run x", "２０２６-11-28", "2026-02-30", "0000-00-00", "../../etc", 20261128, "", [],
    ),
    "interval": (
        {}, {"start": "2026-11-01"}, "2026", {"start": "0001-01-01", "end": "9999-12-31"}, [1, 2],
    ),
    "size": (None, "", "x" * 64, 1, {"driverMemoryMib": 1 << 30}),
    "overrides": (
        {"executors": 10**9}, {"executors": 0}, {"executors": -1}, {"executors": "2"}, {"executors": 1.5},
        {"driverMemoryMib": 2**63}, {"executorCores": True}, {"executorMemoryMib": "1g"},
    ),
    "retry": ({"limit": 10**6}, {"limit": -1}, {"factor": 0}, {"initialSeconds": 0}, 3),
    "deadlineSeconds": (0, -1, 10**12, "3600", 1e400, None),
    "schedulingDeadlineSeconds": (0, 10**12, "x"),
    "ttlSecondsAfterFinished": (-1, 2**63, "0"),
    "concurrencyPolicy": ("Allow", "", None, True),
    "concurrencyKey": ("", "k" * 201, 7, {}),
    "rerunOf": ("r" * 64, 7),
    "suspend": ("true", 1),
    "cancel": ("yes", 0),
    "dryRun": ("false", None, 1),
    "daily": ({"quality": "never"}, {"catchUp": "yes"}, [], "x"),
    "export": ({"table": "events_minute"}, {"table": "pg_user"}),
}  # fmt: skip


def hostile_values() -> Iterator[tuple[str, Spec]]:
    """Values that fields may not have, and the name of the field."""
    for field, values in _VALUES.items():
        for value in values:
            spec = copy.deepcopy(CLEAN)
            if field == "interval":
                del spec["date"]
            spec[field] = value
            yield field, spec


FREE_TEXT = (
    "x\nspark.master=local[1]",
    "x --conf spark.driver.extraJavaOptions=-javaagent:x",
    "$(SPARK_USER)",
    "'; DROP TABLE events; --",
    "../../../etc/passwd",
    "{{ .Values.secret }}",
    "\u202e\u0000\ud7ff",
)
"""Texts for the fields that take any."""


def hostile_names() -> tuple[str, ...]:
    """Names that no run may have, though an object may."""
    return ("r" * 48, "a.b", "kube-system.r", "r" * 253)
