"""What the end of a driver pod means: exit code, whose fault, and what to tell people. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headrace_core.errors import BadData, ExitCode
from headrace_core.pipeline_run import RunResult, decode_result
from headrace_core.run_policy import FailureClass, StopReason, failure_class
from headrace_core.run_status import MESSAGE_CHARACTERS
from headrace_operator.observed import ObservedPod, Terminated

__all__ = ["Ending", "cut", "ending_of", "lost_ending", "never_starts"]

_TRACEBACK = "Traceback (most recent call last):"
_EXECUTOR_FAILURES, _JVM_OUT_OF_MEMORY, _NO_CLASS, _NO_COMMAND = 11, 52, 101, 127
_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_SETUP = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_CANNOT_RUN = frozenset({"ContainerCannotRun", "StartError"})
_GONE_NODE = frozenset({"Evicted", "NodeLost", "NodeShutdown", "NodeAffinity", "Preempting", "Terminated"})
_REASONS: dict[FailureClass, str] = {
    "application": "DriverFailed",
    "infrastructure": "Interrupted",
    "configuration": "InvalidConfiguration",
    "data": "BadData",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended. ``failure`` is None after success; ``result`` is the driver's own word where it left one."""

    exit_code: int | None
    failure: FailureClass | None
    reason: str
    message: str = ""
    ended_ms: int
    result: RunResult | None = None


def ending_of(pod: ObservedPod, stopped: StopReason | None, now_ms: int) -> Ending:
    """The end of a driver pod that is over. ``stopped``: what the operator asked it to end for."""
    end = pod.terminated
    code = None if end is None else end.exit_code
    result = None if end is None else _result(end.message)
    failure, reason, message = _judge(pod, end, stopped, result)
    ended_ms = (None if end is None else end.finished_ms) or now_ms
    return Ending(
        exit_code=code,
        failure=failure,
        reason=reason,
        message=cut(message),
        ended_ms=min(ended_ms, now_ms),
        result=result,
    )


def lost_ending(now_ms: int, driver: str) -> Ending:
    """The end of a driver pod that is gone, and nobody saw it end."""
    message = (
        f"The driver pod {driver} is gone, and nobody saw it end: it was deleted by force, or with its node."
    )
    return Ending(
        exit_code=None, failure="infrastructure", reason="DriverLost", message=message, ended_ms=now_ms
    )


def never_starts(waiting: str) -> bool:
    """Whether a container that waits for this reason waits for people: for an image, or an object that it names."""
    return waiting in _PULL | _SETUP


def cut(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    """A text that fits into a status; what is left out is shown as …"""
    return text if len(text) <= most else text[: most - 1] + "…"


def _judge(
    pod: ObservedPod, end: Terminated | None, stopped: StopReason | None, result: RunResult | None
) -> tuple[FailureClass | None, str, str]:
    """Failure, reason and message."""
    if end is not None and end.exit_code == ExitCode.OK:
        return None, "DriverSucceeded", ""
    if stopped is not None:
        return _when_stopped(pod, stopped)
    said = result is not None and end is not None and result.exit_code == end.exit_code
    if not said and (interrupted := _interrupted(pod)) is not None:
        return "infrastructure", *interrupted
    if end is None:
        return (
            "infrastructure",
            "DriverLost",
            pod.message or "The pod ended, and nobody saw its container end.",
        )
    return _container(end, result)


def _when_stopped(pod: ObservedPod, stopped: StopReason) -> tuple[FailureClass | None, str, str]:
    messages = {
        "Cancelled": "It was stopped, because the run was cancelled.",
        "DeadlineExceeded": "It was stopped, because the run's deadlineSeconds had passed.",
        "SchedulingDeadlineExceeded": "It found no place to run within schedulingDeadlineSeconds.",
    }
    failure: FailureClass = "configuration" if never_starts(pod.waiting) else "infrastructure"
    cause = " ".join(filter(None, (pod.waiting or pod.unschedulable, pod.waiting_message)))
    message = messages[stopped] + (f" The driver: {cause}" if cause else "")
    return (failure if stopped == "SchedulingDeadlineExceeded" else None), stopped, message


def _interrupted(pod: ObservedPod) -> tuple[str, str] | None:
    """Reason and message where the cluster ended the pod, not its job."""
    if pod.disruption:
        return pod.disruption, pod.message or f"The pod was disrupted: {pod.disruption}."
    if pod.reason in _GONE_NODE:
        return pod.reason, pod.message or f"The pod was ended by its node: {pod.reason}."
    if pod.deletion_ms is not None:
        return "DriverDeleted", "The driver pod was deleted by somebody else than the operator."
    return None


def _container(end: Terminated, result: RunResult | None) -> tuple[FailureClass, str, str]:
    if end.reason == "OOMKilled" or end.exit_code == _JVM_OUT_OF_MEMORY:
        fix = "Fix: give the run a larger size, or raise overrides.driverMemoryMib."
        return "infrastructure", "OutOfMemory", f"The driver needed more memory than its pod may have. {fix}"
    text = _text(end, result)
    if end.reason in _CANNOT_RUN or end.exit_code in (_NO_CLASS, _NO_COMMAND):
        return "configuration", "CannotRun", text
    if end.exit_code == _EXECUTOR_FAILURES:
        return "infrastructure", "ExecutorsFailed", f"Too many executors failed. {text}".strip()
    failure = failure_class(end.exit_code)
    return failure, _REASONS[failure], text


def _text(end: Terminated, result: RunResult | None) -> str:
    """What the job says of its failure; else its traceback; else the end of its log."""
    if result is not None and result.error is not None:
        error = result.error
        parts = [error.what, error.why and f"Why: {error.why}", error.fix and f"Fix: {error.fix}"]
        return " ".join(filter(None, parts))
    text = end.message.strip()
    if _TRACEBACK in text:
        return _traceback(text[text.rindex(_TRACEBACK) :])
    return text[-MESSAGE_CHARACTERS:] or f"The driver ended with exit code {end.exit_code}."


def _traceback(text: str) -> str:
    """A traceback up to its error, whose line comes first where not all of it fits: a status is read from its start."""
    lines = text.splitlines()
    last = next(
        (n for n, line in enumerate(lines[1:], 1) if line and not line.startswith((" ", "\t"))),
        len(lines) - 1,
    )
    whole = "\n".join(lines[: last + 1])
    return whole if len(whole) <= MESSAGE_CHARACTERS else f"{lines[last]}\n{whole}"


def _result(message: str) -> RunResult | None:
    try:
        return decode_result(message.encode())
    except BadData:
        return None
