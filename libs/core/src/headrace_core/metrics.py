"""The closed list of metrics: name, kind, unit, meaning, labels. A recorder takes nothing else.

Names follow the conventions of Prometheus: a counter ends in _total, a unit is part of the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric", "MetricName"]

MetricName = Literal[
    "headrace_ingest_requests_total",
    "headrace_ingest_events_total",
    "headrace_ingest_refused_requests_total",
    "headrace_ingest_body_bytes_total",
    "headrace_ingest_bytes_in_flight",
    "headrace_ingest_request_seconds",
    "headrace_dedup_records_total",
    "headrace_dedup_quarantined_total",
    "headrace_dedup_void_blocks_total",
    "headrace_dedup_range_seconds",
    "headrace_dedup_table_entries",
    "headrace_dedup_lag_records",
    "headrace_dedup_identity_aliases",
    "headrace_dedup_identity_passed_over_total",
    "headrace_stage_rows_total",
    "headrace_stage_repeats_dropped_total",
    "headrace_stage_files_total",
    "headrace_stage_bytes_total",
    "headrace_stage_lost_races_total",
    "headrace_stage_cut_seconds",
    "headrace_stage_lag_records",
    "headrace_load_rows_total",
    "headrace_load_files_set_aside_total",
    "headrace_load_transaction_seconds",
    "headrace_load_retries_total",
    "headrace_load_freshness_seconds",
    "headrace_api_requests_total",
    "headrace_operator_leader",
    "headrace_operator_queue_keys",
    "headrace_operator_queue_age_seconds",
    "headrace_operator_watch_age_seconds",
    "headrace_operator_reconcile_seconds",
    "headrace_operator_api_calls_total",
    "headrace_operator_runs",
    "headrace_operator_runs_finished_total",
    "headrace_operator_submit_seconds",
    "headrace_operator_schedule_seconds",
    "headrace_operator_run_seconds",
    "headrace_dependency_errors_total",
    "headrace_ready",
]


_SHORT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LONG_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 10_800.0, 21_600.0)
"""Up to the longest deadline of a run."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the list. ``labels`` are closed too: their values come from code, never from events."""

    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _SHORT_S
    """Upper bounds of a histogram, in its unit."""


METRICS: dict[MetricName, Metric] = {
    "headrace_ingest_requests_total": Metric("counter", "1", "requests answered", ("dialect", "status")),
    "headrace_ingest_events_total": Metric("counter", "1", "events acknowledged", ("dialect", "outcome")),
    "headrace_ingest_refused_requests_total": Metric("counter", "1", "requests refused whole", ("code",)),
    "headrace_ingest_body_bytes_total": Metric("counter", "By", "request bytes as received"),
    "headrace_ingest_bytes_in_flight": Metric("gauge", "By", "bytes waiting for acknowledgement"),
    "headrace_ingest_request_seconds": Metric("histogram", "s", "request received to answered", ("dialect",)),
    "headrace_dedup_records_total": Metric("counter", "1", "raw records decided", ("verdict",)),
    "headrace_dedup_quarantined_total": Metric("counter", "1", "records quarantined", ("reason",)),
    "headrace_dedup_void_blocks_total": Metric("counter", "1", "own blocks that landed at another offset"),
    "headrace_dedup_range_seconds": Metric("histogram", "s", "range read to all outputs acknowledged"),
    "headrace_dedup_table_entries": Metric("gauge", "1", "ids held, live and expired", ("partition",)),
    "headrace_dedup_lag_records": Metric("gauge", "1", "raw records not decided yet", ("partition",)),
    "headrace_dedup_identity_aliases": Metric("gauge", "1", "aliases that the map of customers holds"),
    "headrace_dedup_identity_passed_over_total": Metric(
        "counter", "1", "edges that the map of customers did not learn", ("reason",)
    ),
    "headrace_stage_rows_total": Metric("counter", "1", "rows made readable", ("kind",)),
    "headrace_stage_repeats_dropped_total": Metric(
        "counter", "1", "records at or below the running maximum", ("kind",)
    ),
    "headrace_stage_files_total": Metric("counter", "1", "data objects named by a manifest", ("kind",)),
    "headrace_stage_bytes_total": Metric("counter", "By", "bytes of named data objects", ("kind",)),
    "headrace_stage_lost_races_total": Metric(
        "counter", "1", "manifests that another writer made first", ("kind",)
    ),
    "headrace_stage_cut_seconds": Metric("histogram", "s", "cut to manifest", ("kind",)),
    "headrace_stage_lag_records": Metric("gauge", "1", "records not staged yet", ("kind", "partition")),
    "headrace_load_rows_total": Metric("counter", "1", "staged rows by what became of them", ("outcome",)),
    "headrace_load_files_set_aside_total": Metric("counter", "1", "files set aside", ("error",)),
    "headrace_load_transaction_seconds": Metric("histogram", "s", "lock to commit"),
    "headrace_load_retries_total": Metric("counter", "1", "transactions tried again", ("error",)),
    "headrace_load_freshness_seconds": Metric(
        "gauge", "s", "age of the newest received event that is loaded"
    ),
    "headrace_api_requests_total": Metric("counter", "1", "requests answered", ("route", "status")),
    "headrace_operator_leader": Metric("gauge", "1", "1 where the process holds the Lease"),
    "headrace_operator_queue_keys": Metric(
        "gauge", "1", "runs that are ready, worked on or waiting for a time"
    ),
    "headrace_operator_queue_age_seconds": Metric("gauge", "s", "how long the next run has waited"),
    "headrace_operator_watch_age_seconds": Metric(
        "gauge", "s", "since the watch last gave a sign of life", ("resource",)
    ),
    "headrace_operator_reconcile_seconds": Metric("histogram", "s", "one reconciliation", ("outcome",)),
    "headrace_operator_api_calls_total": Metric(
        "counter", "1", "answers of the Kubernetes API", ("verb", "resource", "status")
    ),
    "headrace_operator_runs": Metric("gauge", "1", "runs that exist", ("state",)),
    "headrace_operator_runs_finished_total": Metric(
        "counter", "1", "runs that came to their end", ("job", "reason")
    ),
    "headrace_operator_submit_seconds": Metric(
        "histogram", "s", "resource created to first attempt decided", buckets=_LONG_S
    ),
    "headrace_operator_schedule_seconds": Metric(
        "histogram", "s", "attempt decided to driver running", buckets=_LONG_S
    ),
    "headrace_operator_run_seconds": Metric(
        "histogram", "s", "first attempt to the end of the run", ("job",), buckets=_LONG_S
    ),
    "headrace_dependency_errors_total": Metric("counter", "1", "failed calls", ("dependency",)),
    "headrace_ready": Metric("gauge", "1", "1 where the process takes work"),
}
