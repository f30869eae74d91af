"""The status of a PipelineRun: the model that the operator reads, writes and generates the CRD from. Pure.

Times are RFC 3339 in whole seconds, as Kubernetes writes them. Unknown fields are passed over when reading, so that an older
operator understands the status of a newer one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from headrace_core.errors import BadData
from headrace_core.run_policy import FailureClass, StopReason

__all__ = [
    "MESSAGE_CHARACTERS",
    "MOST_ATTEMPTS",
    "AttemptStatus",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "ExecutorCounts",
    "ResultDay",
    "ResultStatus",
    "RunStatus",
    "decode_status",
    "encode_status",
]

MESSAGE_CHARACTERS = 1_024
"""Longest message in a status."""

MOST_ATTEMPTS = 20
"""Most attempts that a status holds; a retry limit of 10 allows eleven."""

ConditionType = Literal["Succeeded", "Reconciling", "Stalled"]
ConditionStatus = Literal["True", "False", "Unknown"]
Message = Annotated[str, msgspec.Meta(max_length=MESSAGE_CHARACTERS)]
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """A part of the status; fields that say nothing are left out."""


class Condition(_Part, frozen=True, kw_only=True):
    """One condition, as Kubernetes defines them."""

    type: Annotated[ConditionType, msgspec.Meta(description="Which condition.")]
    status: Annotated[ConditionStatus, msgspec.Meta(description="Whether it holds.")]
    reason: Annotated[str, msgspec.Meta(max_length=64, description="Why, in one word for programs.")]
    message: Annotated[Message, msgspec.Meta(description="Why, for people.")] = ""
    last_transition_time: Annotated[Time, msgspec.Meta(description="Since when it has this status.")]
    observed_generation: Annotated[int, msgspec.Meta(description="The generation that it is about.")] = 0


class AttemptStatus(_Part, frozen=True, kw_only=True):
    """One attempt; never overwritten by a later one."""

    number: Annotated[int, msgspec.Meta(ge=1, le=MOST_ATTEMPTS, description="Its number, from 1.")]
    driver_pod: Annotated[str, msgspec.Meta(max_length=63, description="The name of its driver pod.")] = ""
    driver_uid: Annotated[str, msgspec.Meta(max_length=64, description="The uid of its driver pod.")] = ""
    start_time: Annotated[Time, msgspec.Meta(description="When it was decided on.")]
    running_time: Annotated[
        Time | None, msgspec.Meta(description="When the driver's container was seen to run.")
    ] = None
    end_time: Annotated[Time | None, msgspec.Meta(description="When it ended.")] = None
    exit_code: Annotated[
        int | None, msgspec.Meta(description="The driver's exit code, where anybody saw it.")
    ] = None
    failure: Annotated[
        FailureClass | None,
        msgspec.Meta(description="Whose fault its failure was; only infrastructure is tried again."),
    ] = None
    stopped: Annotated[StopReason | None, msgspec.Meta(description="Why it was asked to end.")] = None
    reason: Annotated[str, msgspec.Meta(max_length=64, description="How it ended, in one word.")] = ""
    message: Annotated[Message, msgspec.Meta(description="How it ended, for people.")] = ""


class ResultDay(_Part, frozen=True, kw_only=True):
    """What the run did with a day."""

    date: Annotated[str, msgspec.Meta(max_length=10, description="The UTC event date.")]
    outcome: Annotated[str, msgspec.Meta(max_length=16, description="What became of the day.")]
    generation: Annotated[
        Annotated[str, msgspec.Meta(max_length=128)] | None,
        msgspec.Meta(description="The generation that its pointer names now."),
    ] = None
    sequence: Annotated[int | None, msgspec.Meta(description="The pointer's sequence.")] = None


class ResultStatus(_Part, frozen=True, kw_only=True):
    """Counts and pointers of the driver's result."""

    counts: Annotated[dict[str, int], msgspec.Meta(max_length=64, description="Counts over all days.")] = {}
    days: Annotated[tuple[ResultDay, ...], msgspec.Meta(max_length=62, description="Its days.")] = ()


class ExecutorCounts(_Part, frozen=True, kw_only=True, omit_defaults=False):
    """How many executors the attempt has."""

    requested: Annotated[int, msgspec.Meta(ge=0, description="As many as the size asks for.")] = 0
    running: Annotated[int, msgspec.Meta(ge=0, description="As many run.")] = 0
    pending: Annotated[int, msgspec.Meta(ge=0, description="As many wait for a place or an image.")] = 0


class RunStatus(_Part, frozen=True, kw_only=True):
    """The status of a PipelineRun."""

    observed_generation: Annotated[
        int, msgspec.Meta(description="The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[
        tuple[Condition, ...], msgspec.Meta(max_length=8, description="Succeeded, Reconciling and Stalled.")
    ] = ()
    attempts: Annotated[
        tuple[AttemptStatus, ...],
        msgspec.Meta(max_length=MOST_ATTEMPTS, description="All attempts, the first first."),
    ] = ()
    result: Annotated[
        ResultStatus | None, msgspec.Meta(description="What the last attempt with a result did.")
    ] = None
    start_time: Annotated[Time | None, msgspec.Meta(description="When the first attempt began.")] = None
    completion_time: Annotated[Time | None, msgspec.Meta(description="When the run was over.")] = None
    retry_after: Annotated[Time | None, msgspec.Meta(description="When the next attempt begins.")] = None
    executors: Annotated[
        ExecutorCounts | None, msgspec.Meta(description="Executors of the running attempt.")
    ] = None

    def condition(self, name: ConditionType) -> Condition | None:
        """The condition of that type, if it is there."""
        return next((each for each in self.conditions if each.type == name), None)

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        succeeded = self.condition("Succeeded")
        return succeeded is not None and succeeded.status != "Unknown"


def decode_status(status: object) -> RunStatus:
    """A status from decoded JSON; an absent one is empty. BadData where it is none."""
    try:
        return msgspec.convert(status or {}, RunStatus)
    except msgspec.ValidationError as error:
        raise BadData(
            "The status of a run cannot be read.",
            why=str(error),
            fix="Only the operator writes it: delete the run and create it anew.",
            code="status_unreadable",
        ) from error


def encode_status(status: RunStatus) -> dict[str, Any]:
    """A status as JSON that is written whole: fields that are not in it are meant to be absent."""
    encoded = msgspec.to_builtins(status)
    assert isinstance(encoded, dict)
    return encoded
