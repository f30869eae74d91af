"""What a broker's answer to a produce request means for the batch. Pure.

The line that matters is between *certainly not appended* and everything else: NOT_LEADER, for one, may come after
the leader had appended the batch and lost its office while it waited for replicas.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Outcome", "outcome_of"]


class Outcome(Enum):
    """Meaning of one partition's error code."""

    APPENDED = "appended"
    RETRY = "retry"
    """May or may not have been appended; sending it again under the same sequence settles it."""
    RETRY_NOT_APPENDED = "retry_not_appended"
    """Certainly not appended; sending it again may succeed."""
    REFUSED = "refused"
    """Certainly not appended and never will be."""
    TOO_LARGE = "too_large"
    """The same, because of its size."""
    UNKNOWN = "unknown"
    """No later answer can settle it."""


_CODES = {
    0: Outcome.APPENDED,
    2: Outcome.RETRY,  # corrupt on arrival: damaged in transit, the same bytes again may pass
    3: Outcome.RETRY,  # unknown topic or partition: metadata is on its way, or the topic was deleted
    5: Outcome.RETRY,  # leader not available
    6: Outcome.RETRY,  # not leader, perhaps only after the append
    7: Outcome.RETRY,  # replication took longer than the request allowed
    9: Outcome.RETRY,  # replica not available
    10: Outcome.TOO_LARGE,
    13: Outcome.RETRY,  # network exception
    17: Outcome.REFUSED,  # invalid topic
    18: Outcome.TOO_LARGE,  # larger than a segment
    19: Outcome.RETRY_NOT_APPENDED,  # not enough replicas before the append
    20: Outcome.RETRY,  # not enough replicas after the append
    21: Outcome.REFUSED,  # acks
    29: Outcome.REFUSED,  # topic authorization
    31: Outcome.REFUSED,  # cluster authorization
    32: Outcome.REFUSED,  # timestamp
    35: Outcome.REFUSED,  # version
    42: Outcome.REFUSED,  # invalid request
    43: Outcome.REFUSED,  # message format
    44: Outcome.REFUSED,  # policy
    45: Outcome.REFUSED,  # out of order sequence: an earlier batch of this producer is missing
    46: Outcome.UNKNOWN,  # appended earlier, and the broker no longer knows where
    47: Outcome.REFUSED,  # producer epoch
    49: Outcome.REFUSED,  # producer id mapping
    56: Outcome.RETRY,  # storage error
    59: Outcome.REFUSED,  # unknown producer id
    72: Outcome.RETRY,  # listener not found
    74: Outcome.RETRY,  # fenced leader epoch
    75: Outcome.RETRY,  # unknown leader epoch
    76: Outcome.REFUSED,  # compression type
    87: Outcome.REFUSED,  # invalid record
    89: Outcome.RETRY_NOT_APPENDED,  # throttling quota exceeded
}


def outcome_of(error_code: int) -> Outcome:
    """Meaning of a code; one that is not listed cannot be settled."""
    return _CODES.get(error_code, Outcome.UNKNOWN)
