"""Builds the RequestMeta of a request from its headers, its address and the key file's entry. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from headrace_core.meta import RequestMeta
from headrace_core.write_keys import IpPolicy, SourceEntry
from headrace_ingest.routes import Route

__all__ = ["build_meta", "client_address", "kept_address", "request_id", "traceparent_of"]

_USER_AGENT_LIMIT_CHARS = 512
_SENT_AT_LIMIT_CHARS = 64
_RETRY_COUNT_DIGITS = 6
_MAX_HOPS = 16
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NOT_SAMPLED = "00"


def request_id(now_ms: int, randomness: bytes) -> str:
    """32 hex digits that sort by time: 12 of milliseconds since 1970, 20 of ``randomness`` (10 bytes)."""
    return f"{now_ms:012x}{randomness.hex()}"


def traceparent_of(headers: Mapping[bytes, bytes], identifier: str) -> str:
    """The sender's W3C traceparent; without a valid one a new trace, not sampled, made of the request id."""
    given = headers.get(b"traceparent")
    if given is not None and _TRACEPARENT.fullmatch(given):
        return given.decode("ascii")
    return f"00-{identifier}-{identifier[-16:]}-{_NOT_SAMPLED}"


def client_address(peer: str | None, headers: Mapping[bytes, bytes], trusted_hops: int) -> str | None:
    """The sender's address: the peer's, or behind ``trusted_hops`` proxies the one that the outermost of them saw."""
    if not trusted_hops:
        return peer
    seen = headers.get(b"x-forwarded-for", b"").decode("latin-1").rsplit(",", _MAX_HOPS)
    hop = seen[-trusted_hops].strip() if len(seen) >= trusted_hops else ""
    return hop or peer


@lru_cache(maxsize=4096)
def kept_address(address: str | None, policy: IpPolicy) -> str | None:
    """What is kept of an address; None where it is no address or nothing is to be kept."""
    if address is None or policy == "none":
        return None
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if policy == "full":
        return str(parsed)
    prefix = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)


def build_meta(
    route: Route,
    entry: SourceEntry,
    headers: Mapping[bytes, bytes],
    *,
    address: str | None,
    received_at: int,
    identifier: str,
    traceparent: str,
    sent_at: str | float | None = None,
    context: msgspec.Raw | None = None,
) -> RequestMeta:
    """RequestMeta v1. A sent time longer than any time is none; a user agent is cut."""
    agent = headers.get(b"user-agent")
    retries = headers.get(b"x-retry-count", b"")
    if isinstance(sent_at, str) and len(sent_at) > _SENT_AT_LIMIT_CHARS:
        sent_at = None
    return RequestMeta(
        source=entry.source,
        dialect=route.dialect,
        path=route.path,
        received_at=received_at,
        request_id=identifier,
        sent_at=sent_at,
        ip=kept_address(address, entry.ip),
        user_agent=agent[:_USER_AGENT_LIMIT_CHARS].decode("utf-8", "replace") if agent else None,
        retry_count=int(retries) if retries.isdigit() and len(retries) <= _RETRY_COUNT_DIGITS else None,
        traceparent=traceparent,
        context=context,
        mapping=route.mapping,
        naive_zone=entry.naive_zone,
        skew_correction=entry.skew_correction,
    )
