"""The handlers that AWS Lambda calls: files that appear in S3, and rows posted to a function URL.

Rows are read by the same mapping code as everywhere and go through the ingest service, so a handler that is repeated, as
Lambda does after any failure, changes nothing.
"""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any, Protocol

import msgspec

from headrace_core.dialects.body import BodyRejected
from headrace_core.dialects.native import split_body
from headrace_core.errors import HeadraceError
from headrace_core.rows import batch_rows, needs_sender_fields, rows_of, with_sender_fields
from headrace_lambda.ingest_client import IngestClient, Sent
from headrace_lambda.objects import created_objects, object_lines
from headrace_lambda.settings import LambdaSettings, read_settings

__all__ = ["LambdaContext", "object_created", "rows_posted"]

_BATCH_ROWS = 500
_BATCH_BYTES = 700_000


class LambdaContext(Protocol):
    """What the runtime hands to a handler."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        ...


def _client(settings: LambdaSettings, context: LambdaContext) -> IngestClient:
    return IngestClient(settings, time.monotonic() + context.get_remaining_time_in_millis() / 1000)


def object_created(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """S3 ObjectCreated: send the rows of each new object. Returns the counts; raises where an object was not sent whole."""
    settings = read_settings(os.environ)
    client = _client(settings, context)
    report = {}
    for bucket, key in created_objects(event):
        sent = Sent()
        with object_lines(bucket, key, settings.s3_endpoint) as lines:
            rows = rows_of(key, lines, sender_fields=needs_sender_fields(settings.mapping))
            for group in batch_rows(rows, max_rows=_BATCH_ROWS, max_bytes=_BATCH_BYTES):
                client.send(group, sent)
        report[f"{bucket}/{key}"] = {"rows": sent.rows, "rejected": sent.rejected}
    return report


def rows_posted(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Function URL: one row, an array or NDJSON in the body; 200 with receipts once all rows are durable."""
    settings = read_settings(os.environ)
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    try:
        rows = [bytes(row) for row in split_body(content, headers.get("content-type", ""))]
        if needs_sender_fields(settings.mapping):
            rows = [
                with_sender_fields(row, context.aws_request_id, number) for number, row in enumerate(rows, 1)
            ]
        sent = Sent()
        client = _client(settings, context)
        for group in batch_rows(rows, max_rows=_BATCH_ROWS, max_bytes=_BATCH_BYTES):
            client.send(group, sent)
    except BodyRejected as error:
        return _answer(400, {"code": "undecodable_body", "message": str(error)})
    except HeadraceError as error:
        return _answer(503, {"code": error.code, "message": str(error)})
    return _answer(200, msgspec.to_builtins(sent))


def _answer(status: int, content: dict[str, Any]) -> dict[str, Any]:
    headers = {"content-type": "application/json"}
    if status == 503:
        headers["retry-after"] = "2"
    return {"statusCode": status, "headers": headers, "body": json.dumps(content)}
