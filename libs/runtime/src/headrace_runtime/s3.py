"""The object store port on S3 and servers that speak its protocol, by obstore.

Plain requests are repeated until the deadline of the call, and for `_REPEAT_FOR_S` at most. Conditional writes are sent exactly once: a repeated one would be
answered 412 by its own first attempt, and the caller could not tell a lost answer from a lost race.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from headrace_runtime.errors_store import ObjectNotFound, StoreDenied, StoreUnavailable, StoreUnknown
from headrace_runtime.ports_store import ObjectInfo
from headrace_runtime.settings import StoreSettings

__all__ = ["S3ObjectStore"]

_MULTIPART_FROM_BYTES = 64 << 20
_PART_BYTES = 16 << 20
_PAGE = 1_000
_REPEAT_FOR_S = 10.0
"""Longer than a burst of 503 and than most restarts; short enough that a caller with a deadline of a minute hears why the
store failed, and says so, long before it."""
_REPEATS = 1_000
"""No bound of its own: a few quick failures in a row are what a restart looks like, and time decides when to give up."""
_CONNECT_TIMEOUT_S = 3


class S3ObjectStore:
    """`ObjectStore` on one bucket."""

    def __init__(self, settings: StoreSettings) -> None:
        self._bucket = settings.s3_bucket
        self._repeating = _client(settings, retries=_REPEATS)
        self._once = _client(settings, retries=0)

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Self:
        """The store that the settings name. Connects at the first request, not here."""
        return cls(settings)

    async def put(self, key: str, data: bytes, *, deadline_s: float) -> None:
        """See `ObjectStore`. Large objects go in parts: their keys are no other writer's, so no condition is needed."""
        async with self._errors(key, deadline_s):
            await obstore.put_async(
                self._repeating,
                key,
                data,
                use_multipart=len(data) > _MULTIPART_FROM_BYTES,
                chunk_size=_PART_BYTES,
                max_concurrency=4,
            )

    async def put_if_absent(self, key: str, data: bytes, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        try:
            async with self._errors(key, deadline_s, unknown=True):
                await obstore.put_async(self._once, key, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    async def replace_if(self, key: str, data: bytes, *, etag: str, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        try:
            async with self._errors(key, deadline_s, unknown=True):
                await obstore.put_async(self._once, key, data, mode={"e_tag": etag}, use_multipart=False)
        except (PreconditionError, ObjectNotFound):
            return False
        return True

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        """See `ObjectStore`."""
        data, _ = await self.get_with_etag(key, deadline_s=deadline_s)
        return data

    async def get_with_etag(self, key: str, *, deadline_s: float) -> tuple[bytes, str]:
        """See `ObjectStore`."""
        async with self._errors(key, deadline_s):
            found = await obstore.get_async(self._repeating, key)
            return bytes(await found.bytes_async()), found.meta["e_tag"] or ""

    async def get_range(self, key: str, start: int, end: int, *, deadline_s: float) -> bytes:
        """See `ObjectStore`."""
        if not 0 <= start < end:
            raise ValueError(f"the range {start} to {end} holds nothing")
        async with self._errors(key, deadline_s):
            try:
                return bytes(await obstore.get_range_async(self._repeating, key, start=start, end=end))
            except BaseError as error:
                size = (await obstore.head_async(self._repeating, key))["size"]
                if start >= size:
                    raise ValueError(f"the range {start} to {end} holds nothing of {size} bytes") from error
                raise

    async def exists(self, key: str, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        try:
            async with self._errors(key, deadline_s):
                await obstore.head_async(self._repeating, key)
        except ObjectNotFound:
            return False
        return True

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        """See `ObjectStore`."""
        if not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} is no folder: it must end in '/'")
        found: list[ObjectInfo] = []
        async with self._errors(prefix, deadline_s):
            pages = obstore.list(self._repeating, prefix, offset=start_after, chunk_size=_PAGE)
            async for page in pages:
                found += [
                    ObjectInfo(
                        entry["path"],
                        entry["size"],
                        entry["e_tag"] or "",
                        round(entry["last_modified"].timestamp() * 1000),
                    )
                    for entry in page
                ]
                if limit is not None and len(found) >= limit:
                    break
        return found[:limit]

    async def delete(self, keys: Collection[str], *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        if not keys:
            return
        try:
            async with self._errors(next(iter(keys)), deadline_s):
                await obstore.delete_async(self._repeating, [*keys])
        except ObjectNotFound:
            return

    @asynccontextmanager
    async def _errors(self, key: str, deadline_s: float, *, unknown: bool = False) -> AsyncIterator[None]:
        """Hold the deadline and translate foreign errors; of a conditional write a lost answer is `unknown`."""
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except FileNotFoundError as error:
            raise self._missing(key, error) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise self._denied(_first_words(error)) from error
        except (AlreadyExistsError, PreconditionError):
            raise
        except (BaseError, TimeoutError, OSError) as error:
            lost = StoreUnknown if unknown else StoreUnavailable
            raise lost(
                f"The object store did not answer a request for {key} in bucket {self._bucket}.",
                why=_first_words(error) or f"No answer within {deadline_s:g} s.",
                fix="Check that the store is up and reachable; the request is tried again meanwhile.",
                code="store_unavailable",
            ) from error

    def _missing(self, key: str, error: Exception) -> ObjectNotFound | StoreDenied:
        if "NoSuchBucket" in str(error):
            return self._denied(_first_words(error))
        return ObjectNotFound(
            f"There is no object {key} in bucket {self._bucket}.",
            fix="Look for the manifest or pointer that named it.",
            code="object_not_found",
        )

    def _denied(self, why: str) -> StoreDenied:
        return StoreDenied(
            f"The object store refuses this process at bucket {self._bucket}.",
            why=why,
            fix="Check HEADRACE_S3_BUCKET, the credentials and what their policy allows.",
            code="store_denied",
        )


def _first_words(error: Exception) -> str:
    """The message without the client's own structures, which it prints behind it."""
    return str(error).partition("\n\nDebug source:")[0].strip()


def _client(settings: StoreSettings, *, retries: int) -> S3Store:
    """A client; without keys in the settings obstore finds the ambient credentials of the platform."""
    optional: dict[str, str] = {}
    if settings.s3_endpoint is not None:
        optional["endpoint"] = settings.s3_endpoint
    if settings.s3_access_key_id is not None and settings.s3_secret_access_key is not None:
        optional["access_key_id"] = settings.s3_access_key_id.get_secret_value()
        optional["secret_access_key"] = settings.s3_secret_access_key.get_secret_value()
    return S3Store(
        settings.s3_bucket,
        region=settings.s3_region,
        virtual_hosted_style_request=settings.s3_endpoint is None,
        conditional_put="etag",
        client_options={
            "allow_http": (settings.s3_endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
            # Bounds one attempt; the deadline of the call bounds all of them.
            "timeout": timedelta(seconds=60),
        },
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=_REPEAT_FOR_S),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
        **optional,  # type: ignore[arg-type]  # only string options of the bucket's configuration
    )
