"""What a sender is told, in the sender's own convention. Pure: from outcomes and offsets to status, type and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from headrace_ingest.accept import Accepted
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_ingest.routes import Convention

__all__ = ["Answer", "native_answer", "refusal_answer", "segment_answer"]

_JSON = b"application/json"
_PROBLEM = b"application/problem+json"
_DOCUMENTATION = "https://headrace.io/errors/"
_RETRY_AFTER_S = 2
_SEGMENT_SUCCESS = b'{"success":true}'
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """One response. ``retry_after_s`` 0 sends no Retry-After; ``close`` ends the connection after it."""

    status: int
    content_type: bytes
    body: bytes
    request_id: str
    retry_after_s: int = 0
    close: bool = False


def native_answer(accepted: Accepted, offsets: Sequence[int], request_id: str) -> Answer:
    """200 with a receipt per event; ``offsets`` are those of the accepted events in order."""
    receipts: list[str | None] = [
        f"{partition}-{offset}" for partition, offset in zip(accepted.raw.partitions, offsets, strict=True)
    ]
    told: dict[str, object] = {"request_id": request_id, "receipts": receipts}
    if accepted.rejections:
        for rejection in accepted.rejections:
            receipts.insert(rejection.index, None)
        told["rejected"] = accepted.rejections
    if accepted.made_ids:
        told["ids"] = accepted.made_ids
    return Answer(200, _JSON, _encode(told), request_id)


def segment_answer(accepted: Accepted, request_id: str) -> Answer:
    """200 as Segment answers it, rejected events included."""
    if not accepted.rejections:
        return Answer(200, _JSON, _SEGMENT_SUCCESS, request_id)
    return Answer(200, _JSON, _encode({"success": True, "rejected": accepted.rejections}), request_id)


def refusal_answer(refusal: Refusal, convention: Convention, request_id: str) -> Answer:
    """The answer to a request that is refused whole; ``request_id`` is empty where the request got none."""
    code = refusal.code
    told: dict[str, object]
    close = code in {RefusalCode.SLOW_BODY, RefusalCode.STOPPING}
    if convention == "segment":
        told = {
            "success": False,
            "code": code.code,
            "message": f"{refusal} {code.fix}",
        }
        status, content_type = code.sdk_status, _JSON
    else:
        told = {
            "type": _DOCUMENTATION + code.code,
            "title": code.title,
            "status": code.status,
            "detail": refusal.detail,
            "fix": code.fix,
            "code": code.code,
        }
        status, content_type = code.status, _PROBLEM
    if request_id:
        told["request_id"] = request_id
    return Answer(
        status, content_type, _encode(told), request_id, _RETRY_AFTER_S if status == 503 else 0, close
    )
