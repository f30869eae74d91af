"""Asks an S3 server whether it serves: a small object is written, read and removed with the real credentials.

It has content, since SeaweedFS takes an empty object without any of the volumes that all others stand in.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from obstore.exceptions import BaseError
from obstore.store import S3Store

__all__ = ["S3Access", "s3_accepts_objects"]

_KEY = ".headrace-ready"
_CONTENT = b"ready"


@dataclass(frozen=True, slots=True)
class S3Access:
    """One bucket of one server, and the credentials that may use it."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str


async def s3_accepts_objects(access: S3Access) -> bool:
    """True once the bucket takes an object, gives it back and removes it; an error or refusal means not yet."""
    store = S3Store(
        access.bucket,
        endpoint=access.endpoint,
        access_key_id=access.access_key,
        secret_access_key=access.secret_key,
        region=access.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": "2s", "connect_timeout": "1s"},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=2)},
    )
    try:
        await store.put_async(_KEY, _CONTENT)
        found = bytes(await (await store.get_async(_KEY)).bytes_async())
        await store.delete_async(_KEY)
    except (BaseError, OSError):
        return False
    return found == _CONTENT
