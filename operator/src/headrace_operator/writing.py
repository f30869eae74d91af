"""Statuses on their way to the API server, and the objects of an attempt as actions. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import msgspec

from headrace_core.run_status import RunStatus, encode_status
from headrace_operator.actions import (
    Action,
    CreateConfigMap,
    CreateDriver,
    DryRunExecutor,
    WriteStatus,
)
from headrace_operator.conditions import Verdict, events_between, with_conditions
from headrace_operator.driver_objects import AttemptObjects
from headrace_operator.observed import ObservedRun

__all__ = ["Draft", "create_attempt", "write"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A status that is to be written where it differs from the run's."""

    run: ObservedRun
    status: RunStatus
    verdict: Verdict

    @classmethod
    def of(cls, run: ObservedRun, status: RunStatus, verdict: Verdict, now_ms: int) -> Draft:
        """The status with the verdict's conditions; their times go by what the run's status says now."""
        before = msgspec.structs.replace(status, conditions=run.status.conditions)
        return cls(run, with_conditions(before, verdict, run.generation, now_ms), verdict)

    def stalled(self, reason: str, message: str, now_ms: int) -> Draft:
        """The same, but stalled by this."""
        verdict = dataclasses.replace(self.verdict, stalled=reason, stalled_message=message)
        return Draft.of(self.run, self.status, verdict, now_ms)

    @property
    def differs(self) -> bool:
        """Whether there is anything to write."""
        return self.status != self.run.status


def write(draft: Draft) -> tuple[Action, ...]:
    """The status, then the Events that tell of it; nothing where nothing changed."""
    if not draft.differs:
        return ()
    written = WriteStatus(encode_status(draft.status), draft.run.resource_version)
    return (written, *events_between(draft.run.status, draft.status))


def create_attempt(objects: AttemptObjects, *, first: bool) -> tuple[Action, ...]:
    """Creations in their order. What admission refuses of executors is found before the first driver, not by it."""
    trial: tuple[Action, ...] = (DryRunExecutor(objects.executor),) if first else ()
    return (*trial, CreateConfigMap(objects.config_map), CreateDriver(objects.driver))
