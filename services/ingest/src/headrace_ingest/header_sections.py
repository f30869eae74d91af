"""Encodes the headers of a request's records: RequestMeta once, the index from a table. Pure."""

from __future__ import annotations

from headrace_core.meta import encode_index
from headrace_core.topics import HEADER_INDEX, HEADER_META, HEADER_QUARANTINE
from headrace_runtime.record_headers import header_section, header_value, varint

__all__ = ["HeaderSections"]


_META_NAME = varint(len(HEADER_META)) + HEADER_META.encode()
_TWO_HEADERS = varint(2)


_TABLE_SIZE = 2048


def _index_header(index: int) -> bytes:
    return header_value(HEADER_INDEX, encode_index(index))


_INDEX_HEADERS = [_index_header(index) for index in range(_TABLE_SIZE)]


class HeaderSections:
    """The header sections of one request's records, in the form that a batch takes."""

    __slots__ = ("_meta", "_prefix")

    def __init__(self, encoded_meta: bytes) -> None:
        self._meta = b"".join((_META_NAME, varint(len(encoded_meta)), encoded_meta))
        self._prefix = _TWO_HEADERS + self._meta

    def of(self, index: int) -> bytes:
        """Headers ``m`` and ``i`` of an accepted event."""
        return self._prefix + (_INDEX_HEADERS[index] if index < _TABLE_SIZE else _index_header(index))

    def quarantined(self, index: int, note: bytes) -> bytes:
        """Headers ``m``, ``i`` and ``q`` of a rejected one."""
        return header_section((self._meta, _index_header(index), header_value(HEADER_QUARANTINE, note)))
