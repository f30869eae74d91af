"""Dialects: how the senders' shapes become ParsedEvent. Ingest and dedup call ``parse``, the same function.

A dialect is a module with a pure ``parse(value, meta, mappings)``; the registry below is the list of those that exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from headrace_core.dialects import mapped, native, segment
from headrace_core.dialects.body import BodyRejected
from headrace_core.dialects.mapped import CompiledMapping, Mappings, compile_mapping
from headrace_core.meta import RequestMeta
from headrace_core.parsed import ParsedEvent, Rejected
from headrace_core.reasons import Reason
from headrace_core.validate import check_bytes

__all__ = ["DIALECTS", "BodyRejected", "CompiledMapping", "Mappings", "compile_mapping", "parse"]

_PARSERS: Mapping[str, Callable[[bytes, RequestMeta, Mappings], ParsedEvent]] = MappingProxyType(
    {native.DIALECT: native.parse, segment.DIALECT: segment.parse, mapped.DIALECT: mapped.parse}
)

DIALECTS = frozenset(_PARSERS)
"""Names of the dialects, as RequestMeta carries them."""


def parse(value: bytes, meta: RequestMeta, mappings: Mappings) -> ParsedEvent:
    """Read an event's own bytes in its request's dialect. Raises Rejected, and nothing else, whatever the bytes are."""
    check_bytes(value)
    parser = _PARSERS.get(meta.dialect)
    if parser is None:
        raise Rejected(
            Reason.UNKNOWN_DIALECT, f"{meta.dialect[:80]!r} is none of {', '.join(sorted(DIALECTS))}"
        )
    return parser(value, meta, mappings)
