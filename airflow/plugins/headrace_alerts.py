"""Tells people that a day may not be ready in time, or that a task failed: in the log, and to a webhook where one is set.

`HEADRACE_ALERT_WEBHOOK` takes a POST of {"text": …}, as Slack, Mattermost, Teams workflows and Alertmanager bridges do.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import httpx

__all__ = ["deadline_near", "task_failed"]

_log = logging.getLogger(__name__)
_WITHIN_S = 10.0


async def deadline_near(**context: Any) -> None:
    """Callback of a DeadlineAlert: the daily run has not ended, and the dashboards' deadline is near."""
    run = context.get("dag_run") or context.get("context", {}).get("dag_run") or {}
    name = run.get("dag_id") if isinstance(run, dict) else getattr(run, "dag_id", None)
    text = (
        f"{name or 'headrace_daily'} is not done, and dashboards are due at 08:00. "
        "What runs: kubectl get plrun; what to do: the runbook daily-late."
    )
    _log.warning(text)
    if webhook := os.environ.get("HEADRACE_ALERT_WEBHOOK"):
        async with httpx.AsyncClient(timeout=_WITHIN_S) as client:
            (await client.post(webhook, json={"text": text})).raise_for_status()


def task_failed(context: dict[str, Any]) -> None:
    """`on_failure_callback` of a task: which, and where to look."""
    instance = context["task_instance"]
    text = (
        f"{instance.dag_id}.{instance.task_id} failed (run {instance.run_id}, try {instance.try_number}). "
        "Why: `kubectl describe plrun`, and the log of the task."
    )
    _log.error(text)
    if webhook := os.environ.get("HEADRACE_ALERT_WEBHOOK"):
        try:
            httpx.post(webhook, json={"text": text}, timeout=_WITHIN_S).raise_for_status()
        except httpx.HTTPError as error:
            _log.warning("The alert could not be sent: %s", error)
