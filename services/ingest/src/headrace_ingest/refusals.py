"""Whole-request refusals: a closed list of codes, each with its status, meaning and fix."""

from __future__ import annotations

from enum import Enum

__all__ = ["Refusal", "RefusalCode"]


class RefusalCode(Enum):
    """Why a request is refused whole. ``status`` is for people's clients, ``sdk_status`` for SDKs, which know fewer."""

    status: int
    sdk_status: int
    title: str
    fix: str

    UNDECODABLE_BODY = (400, 400, "The body could not be decoded.", "Send JSON as the path takes it.")
    EMPTY_BODY = (400, 400, "The request has no body.", "Send at least one event.")
    BROKEN_COMPRESSION = (
        400,
        400,
        "The body could not be decompressed.",
        "Compress the body once, with what Content-Encoding says.",
    )
    MALFORMED_REQUEST = (400, 400, "The request is not valid HTTP.", "Correct the sender's HTTP client.")
    MISSING_WRITE_KEY = (
        401,
        401,
        "The request names no write key.",
        "Send the key as user name of Basic authorization, as Bearer token or in X-Write-Key.",
    )
    UNKNOWN_WRITE_KEY = (401, 401, "The write key is unknown.", "Use a key of this installation's key file.")
    DIALECT_NOT_ALLOWED = (
        403,
        401,
        "The write key may not send this dialect.",
        "Allow the dialect in the key's entry, or use another key.",
    )
    MAPPING_NOT_ALLOWED = (
        403,
        401,
        "The mapping belongs to another source.",
        "Use a key of the source that the mapping names.",
    )
    UNKNOWN_PATH = (404, 404, "There is no such path.", "The paths are listed at /openapi.json.")
    UNKNOWN_MAPPING = (
        404,
        404,
        "There is no such mapping.",
        "Put a file with this name and version into the folder of HEADRACE_MAPPINGS_DIR.",
    )
    METHOD_NOT_ALLOWED = (405, 405, "The path takes POST only.", "Send a POST request.")
    SLOW_BODY = (408, 408, "The body took too long to arrive.", "Send smaller requests.")
    BODY_TOO_LARGE = (
        413,
        413,
        "The body is larger than 1 MiB.",
        "Send fewer events per request, or compress.",
    )
    INFLATED_TOO_LARGE = (
        413,
        413,
        "The body is larger than 8 MiB after decompression.",
        "Send fewer events per request.",
    )
    RATIO_TOO_HIGH = (
        413,
        413,
        "The body is compressed more than 50 times.",
        "Send it with a lower compression, or in smaller requests.",
    )
    TOO_MANY_EVENTS = (
        413,
        413,
        "The request has more than 10,000 events.",
        "Send fewer events per request.",
    )
    CONTEXT_TOO_LARGE = (
        413,
        413,
        "The batch context is too large to be merged into the events.",
        "Send a smaller batch context, or fewer events per request.",
    )
    UNSUPPORTED_ENCODING = (
        415,
        400,
        "The Content-Encoding is not supported.",
        "Use gzip, deflate, zstd or identity.",
    )
    HEADERS_TOO_LARGE = (431, 400, "The header section is too large.", "Send fewer or smaller headers.")
    OVERLOADED = (
        503,
        503,
        "Too many bytes are in flight; nothing was taken.",
        "Send the request again later.",
    )
    LOG_UNAVAILABLE = (503, 503, "The log is down; nothing was taken.", "Send the request again later.")
    NOT_APPENDED = (503, 503, "The log did not take all of the events.", "Send the request again.")
    OUTCOME_UNKNOWN = (
        503,
        503,
        "It is unknown whether the events are durable.",
        "Send the request again; copies are removed.",
    )
    STOPPING = (503, 503, "The process is stopping; nothing was taken.", "Send the request again.")

    def __init__(self, status: int, sdk_status: int, title: str, fix: str) -> None:
        self.status, self.sdk_status, self.title, self.fix = status, sdk_status, title, fix

    @property
    def code(self) -> str:
        """The stable code in lower case."""
        return self.name.lower()


class Refusal(Exception):
    """A request is refused whole for ``code``; ``detail`` tells more where there is more to tell."""

    def __init__(self, code: RefusalCode, detail: str = "") -> None:
        self.code, self.detail = code, detail
        super().__init__(code.title if not detail else f"{code.title} {detail}")
