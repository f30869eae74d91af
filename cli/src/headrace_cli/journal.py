"""The sender's own record of what it sent and what was acknowledged: the other side of every reconciliation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from headrace_cli.traffic import Fate

__all__ = ["Journal"]


class Journal:
    """Counts by fate, appended to a file before and after each request, so that they survive the sender."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self.intended: Counter[Fate] = Counter()
        self.acknowledged: Counter[Fate] = Counter()
        self.repeated_requests = 0
        """Requests sent again since their outcome was unknown: each may have added duplicates."""

    def intend(self, request: str, fates: Counter[Fate]) -> None:
        """The request is about to be sent."""
        self.intended += fates
        self._write("intent", request, fates)

    def acknowledge(self, request: str, fates: Counter[Fate]) -> None:
        """The service said that everything of the request is durable."""
        self.acknowledged += fates
        self._write("ack", request, fates)

    def repeat(self, request: str, why: str) -> None:
        """The outcome is unknown and the request is sent again."""
        self.repeated_requests += 1
        self._write("repeat", request, Counter(), why=why)

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def _write(self, kind: str, request: str, fates: Counter[Fate], **more: str) -> None:
        entry = {
            "kind": kind,
            "request": request,
            **{fate.value: count for fate, count in fates.items()},
            **more,
        }
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
