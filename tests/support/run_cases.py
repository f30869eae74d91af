"""Specs of runs that must be taken, and specs that must be refused: by the decoder, and by the CRD on a real API server."""

from __future__ import annotations

from typing import Any

__all__ = ["REFUSED", "TAKEN"]

Spec = dict[str, Any]
_DAILY: Spec = {"job": "daily", "date": "2026-11-28"}
_SPAN = {"start": "2026-11-01", "end": "2026-11-03"}

TAKEN: dict[str, Spec] = {
    "a day": _DAILY,
    "days": {"job": "daily", "interval": _SPAN},
    "a job that finds its days": {"job": "retention"},
    "an undo": {"job": "reprocess", "reprocess": {"undo": "reprocess-1"}},
    "an erasure": {"job": "erase", "erase": {"request": "r-1"}},
    "an extract": {"job": "export", "date": "2026-11-28", "export": {"table": "sessions", "format": "hyper"}},
    "the longest interval": {"job": "quality", "interval": {"start": "2026-01-01", "end": "2026-03-04"}},
    "all of how to run it": {
        **_DAILY,
        "retry": {"limit": 10, "initialSeconds": 1, "factor": 10, "maxSeconds": 86_400},
        "deadlineSeconds": 60,
        "schedulingDeadlineSeconds": 10,
        "concurrencyPolicy": "Queue",
        "concurrencyKey": "mine",
        "dryRun": True,
        "suspend": True,
        "ttlSecondsAfterFinished": 0,
    },
}

REFUSED: dict[str, Spec] = {
    "no job": {"date": "2026-11-28"},
    "a job that there is not": {"job": "mine"},
    "no day": {"job": "daily"},
    "both day and days": {**_DAILY, "interval": _SPAN},
    "an interval that ends before it begins": {
        "job": "daily",
        "interval": {"start": "2026-11-03", "end": "2026-11-01"},
    },
    "an empty interval": {"job": "daily", "interval": {"start": "2026-11-01", "end": "2026-11-01"}},
    "63 days": {"job": "daily", "interval": {"start": "2026-01-01", "end": "2026-03-05"}},
    "a day of another form": {"job": "daily", "date": "28.11.2026"},
    "a day that no calendar has": {"job": "daily", "date": "2026-02-30"},
    "parameters of another job": {**_DAILY, "export": {"table": "sessions"}},
    "an erasure of nobody": {"job": "erase"},
    "an extract of nothing": {"job": "export", "date": "2026-11-28"},
    "a reprocess of no day": {"job": "reprocess"},
    "too many retries": {**_DAILY, "retry": {"limit": 11}},
    "a deadline too short": {**_DAILY, "deadlineSeconds": 59},
    "a policy that there is not": {**_DAILY, "concurrencyPolicy": "Allow"},
    "an image": {**_DAILY, "image": "registry.example/evil"},
    "a Spark property": {**_DAILY, "sparkConf": {"spark.kubernetes.driver.pod.name": "x"}},
    "a service account": {**_DAILY, "serviceAccountName": "admin"},
    "a pod template": {**_DAILY, "template": {"spec": {"hostPID": True}}},
}
