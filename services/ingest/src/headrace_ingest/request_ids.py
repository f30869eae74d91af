"""Makes request ids: unpredictable, unique over all instances, in the order of time."""

from __future__ import annotations

import os

from headrace_core.clock import Clock
from headrace_ingest.request_meta import request_id

__all__ = ["RequestIds"]

_RANDOM_BYTES = 10
_IDS_PER_READ = 400


class RequestIds:
    """Takes randomness from the system for many ids at once: a system call for each costs more than the rest of an id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._randomness, self._used = b"", 0

    def next(self) -> str:
        """A new id."""
        start = self._used
        if start >= len(self._randomness):
            self._randomness, start = os.urandom(_RANDOM_BYTES * _IDS_PER_READ), 0
        self._used = start + _RANDOM_BYTES
        return request_id(self._clock.now_ms(), self._randomness[start : self._used])
