"""The one rule of ``ends_by`` (rule B1): past it a run swaps nothing and writes no rows. Pure."""

from __future__ import annotations

from headrace_core.errors import RetryLater

__all__ = ["check_ends_by", "is_past", "past_deadline"]


def is_past(ends_by_ms: int, now_ms: int) -> bool:
    """Whether the time is over. At ``ends_by`` itself it is not."""
    return now_ms > ends_by_ms


def check_ends_by(ends_by_ms: int, now_ms: int, what: str = "the run") -> None:
    """RetryLater where the time is over: to be called right before anything that others see."""
    if is_past(ends_by_ms, now_ms):
        raise past_deadline(what)


def past_deadline(what: str = "the run") -> RetryLater:
    """The error of a run whose time is over before ``what`` was done."""
    return RetryLater(
        f"The run's time is over before {what} was done; nothing more is swapped or written.",
        why="The spec's deadlineSeconds have passed since the attempt began, and an erasure counts on it that no run goes on.",
        fix="The next attempt goes on where this one stopped; raise deadlineSeconds, or the run's size, if that repeats.",
        code="past_deadline",
    )
