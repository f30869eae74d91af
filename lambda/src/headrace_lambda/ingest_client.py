"""Sends rows to the ingest service and waits for their receipts. Standard library only: a function starts cold often."""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence

import msgspec

from headrace_core.errors import BadData, Unavailable
from headrace_core.mapping import mapping_key
from headrace_lambda.settings import LambdaSettings

__all__ = ["IngestClient", "Sent"]

_REQUEST_TIMEOUT_S = 20.0
_RETRY_WAIT_S = 0.5
_LAST_MOMENT_S = 2.0
"""What is left of a function's time for its answer."""


class _Rejection(msgspec.Struct):
    index: int
    reason: str
    detail: str = ""


class _Answer(msgspec.Struct):
    receipts: list[str | None]
    rejected: list[_Rejection] = []


class Sent(msgspec.Struct, kw_only=True):
    """What became of rows: acknowledged ones are durable, rejected ones are in quarantine by reason."""

    rows: int = 0
    receipts: list[str | None] = []
    rejected: dict[str, int] = {}


_decode = msgspec.json.Decoder(_Answer).decode


class IngestClient:
    """Posts rows until they are acknowledged or ``deadline_s`` (monotonic seconds) is near."""

    def __init__(self, settings: LambdaSettings, deadline_s: float) -> None:
        self._url = f"{settings.ingest_url}/v1/import/{mapping_key(settings.mapping)}"
        self._authorization = "Basic " + base64.b64encode(f"{settings.write_key}:".encode()).decode()
        self._deadline_s = deadline_s

    def send(self, rows: Sequence[bytes], sent: Sent) -> None:
        """Send one group of rows and add to ``sent``. Unavailable when time runs out: the trigger repeats the event, and rows
        that arrived already are recognised by their ids."""
        answer = _decode(self._post(b"\n".join(rows)))
        reasons = Counter(rejection.reason for rejection in answer.rejected)
        sent.rows += len(answer.receipts)
        sent.receipts += answer.receipts
        for reason, count in reasons.items():
            sent.rejected[reason] = sent.rejected.get(reason, 0) + count

    def _post(self, body: bytes) -> bytes:
        why = "the function's time was over"
        while (left_s := self._deadline_s - _LAST_MOMENT_S - time.monotonic()) > 0:
            try:
                return self._attempt(body, min(left_s, _REQUEST_TIMEOUT_S))
            except urllib.error.HTTPError as error:
                why = f"{error.code} {error.read(300).decode(errors='replace')}"
                error.close()
                if error.code < 429:
                    raise BadData(
                        "The ingest service refused rows.", why=why, code="batch_refused"
                    ) from error
            except OSError as error:
                why = repr(error)
            time.sleep(_RETRY_WAIT_S)
        raise Unavailable(
            "The ingest service did not acknowledge rows in time.",
            why=why,
            fix="Nothing is lost: the trigger repeats the event. See what /readyz of the service says.",
            code="ingest_unavailable",
        )

    def _attempt(self, body: bytes, timeout_s: float) -> bytes:
        request = urllib.request.Request(  # noqa: S310  (the address is the function's own setting)
            self._url,
            body,
            {"authorization": self._authorization, "content-type": "application/x-ndjson"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content
