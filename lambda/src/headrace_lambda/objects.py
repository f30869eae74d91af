"""Objects of S3 as lines of text, streamed and inflated on the way."""

from __future__ import annotations

import gzip
import io
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import zstandard
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from headrace_core.errors import Unavailable

__all__ = ["created_objects", "object_lines"]

_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 5, "mode": "standard"})


def created_objects(event: dict[str, Any]) -> list[tuple[str, str]]:
    """(bucket, key) of each ObjectCreated record; keys arrive URL-encoded."""
    return [
        (record["s3"]["bucket"]["name"], urllib.parse.unquote_plus(record["s3"]["object"]["key"]))
        for record in event.get("Records", [])
        if record.get("eventName", "").startswith("ObjectCreated")
    ]


@contextmanager
def object_lines(bucket: str, key: str, endpoint: str | None) -> Iterator[io.TextIOBase]:
    """The text of an object. Unavailable where S3 does not give it."""
    client = boto3.client("s3", endpoint_url=endpoint, config=_CONFIG)
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        with _inflated(key, body) as binary:
            yield io.TextIOWrapper(binary, encoding="utf-8", newline="")
    except (BotoCoreError, ClientError) as error:
        fix = "Check the function's role and the bucket; the trigger repeats the event."
        raise Unavailable(f"The object {bucket}/{key} cannot be read.", why=str(error), fix=fix) from error
    finally:
        client.close()


@contextmanager
def _inflated(key: str, body: Any) -> Iterator[Any]:
    if key.endswith(".gz"):
        with gzip.open(body) as inflated:
            yield inflated
    elif key.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(body) as inflated:
            yield inflated
    else:
        with io.BufferedReader(body) as plain:
            yield plain
