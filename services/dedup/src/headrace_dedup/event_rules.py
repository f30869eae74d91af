"""The rules of this version of the code: raw records to identity, fingerprint and CleanEvent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from headrace_core.dialects import Mappings, parse
from headrace_core.dialects.mapped import DIALECT as MAPPED
from headrace_core.errors import ConfigurationError
from headrace_core.events import RULES_VERSION, SCHEMA_VERSION, encode_clean_into
from headrace_core.identify import identify
from headrace_core.identity import IdentityIndex, edges_of
from headrace_core.keys import FINGERPRINT_VERSION
from headrace_core.meta import RequestMeta, RerunReference, decode_index, decode_meta, decode_rerun
from headrace_core.normalise import normalise
from headrace_core.parsed import Rejected
from headrace_core.reasons import Reason
from headrace_core.topics import HEADER_INDEX, HEADER_META, HEADER_RERUN
from headrace_dedup.messages import Prepared, RawRecord
from headrace_dedup.ports import Customers

__all__ = ["EventRules"]

_NO_ID: Final = bytes(16)
_KEPT_METAS: Final = 1_024
_INDEX_BYTES: Final = 4
_USUAL_HEADERS: Final = 2
_TYING: Final = ("identify", "alias")
"""Types of the events that make edges."""


class EventRules:
    """`headrace_dedup.ports.Rules` over headrace_core. ``mappings`` are asked only for names that records carry.

    ``customers`` are looked up after normalisation, which knows nothing of them.
    """

    schema_version = SCHEMA_VERSION
    rules_version = RULES_VERSION
    fingerprint_version = FINGERPRINT_VERSION

    def __init__(self, mappings: Mappings, customers: Customers | None = None) -> None:
        self._mappings = mappings
        self._customers: Customers = IdentityIndex() if customers is None else customers
        self._buffer = bytearray()
        self._metas: dict[bytes, RequestMeta] = {}
        self._last: tuple[tuple[str, bytes], RequestMeta] | None = None

    def prepare(self, partition: int, records: Sequence[RawRecord]) -> Prepared:
        """See `headrace_dedup.ports.Rules`."""
        columns = Prepared()
        ids, sizes, fingerprints, reasons, values = (
            columns.ids,
            columns.sizes,
            columns.fingerprints,
            columns.reasons,
            columns.values,
        )
        mappings, buffer = self._mappings, self._buffer
        customer_of = self._customers.customer_of if len(self._customers) else None
        # The hot loop of the service: one frame, local names, nothing kept but the columns.
        for position, record in enumerate(records):
            raw = record.value or b""
            sizes.append(len(raw))
            try:
                meta, index, rerun = self._headers(record.headers)
                if meta.dialect == MAPPED:
                    self._check_mapping(meta)
                parsed = parse(raw, meta, mappings)
                identity = identify(parsed, meta, index, rerun)
                if record.key != identity.dedup_id:
                    raise _other_key(identity.dedup_id)
                ids.append(identity.dedup_id)
                fingerprints.append(identity.fingerprint)
                event = normalise(
                    parsed, identity, meta, rerun, src_partition=partition, src_offset=record.offset
                )
                if event.event_type in _TYING and (edges := edges_of(event, parsed.previous_id)):
                    columns.edges[position] = edges
                if customer_of is not None and (customer := customer_of(event.user_key)) is not None:
                    event.customer_id, event.identity_status = customer, "resolved"
                reasons.append(0)
                encode_clean_into(event, buffer)
                values.append(bytes(buffer))
            except Rejected as rejected:
                _reject(columns, position, record, rejected)
        return columns

    def _check_mapping(self, meta: RequestMeta) -> None:
        if meta.mapping is not None and meta.mapping not in self._mappings:
            raise _mapping_missing(meta.mapping)

    def _headers(
        self, headers: Sequence[tuple[str, bytes | None]]
    ) -> tuple[RequestMeta, int, RerunReference | None]:
        # The records of a request follow each other; comparing is cheaper than hashing.
        if self._last is not None and len(headers) == _USUAL_HEADERS and headers[0] == self._last[0]:
            name, index = headers[1]
            if name == HEADER_INDEX and index is not None and len(index) == _INDEX_BYTES:
                return self._last[1], int.from_bytes(index, "big"), None
        return self._any_headers(headers)

    def _any_headers(
        self, headers: Sequence[tuple[str, bytes | None]]
    ) -> tuple[RequestMeta, int, RerunReference | None]:
        found = {name: value for name, value in headers if value is not None}
        encoded, index, rerun = (found.get(name) for name in (HEADER_META, HEADER_INDEX, HEADER_RERUN))
        if encoded is None or index is None or len(index) != _INDEX_BYTES:
            raise Rejected(Reason.UNREADABLE_META, "header m or i is missing")
        try:
            meta = self._metas.get(encoded) or self._meta(encoded)
            self._last = (HEADER_META, encoded), meta
            return meta, decode_index(index), None if rerun is None else decode_rerun(rerun)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Rejected(Reason.UNREADABLE_META, str(error)) from None

    def _meta(self, encoded: bytes) -> RequestMeta:
        """Decode and keep: the records of a request come close together."""
        if len(self._metas) >= _KEPT_METAS:
            for oldest in list(self._metas)[: _KEPT_METAS // 2]:
                del self._metas[oldest]
        meta = self._metas[encoded] = decode_meta(encoded)
        return meta


def _other_key(dedup_id: bytes) -> Rejected:
    return Rejected(Reason.KEY_MISMATCH, f"the event's dedup id is {dedup_id.hex()}")


def _reject(columns: Prepared, position: int, record: RawRecord, rejected: Rejected) -> None:
    if len(columns.ids) == position:
        key = record.key or b""
        columns.ids.append(key if len(key) == len(_NO_ID) else _NO_ID)
        columns.fingerprints.append(0)
    columns.reasons.append(rejected.reason.number)
    columns.details[position] = rejected.detail
    columns.values.append(None)


def _mapping_missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"A raw record was made for the mapping {name}, which is not deployed here.",
        why="Whether the event is good cannot be known without it, and an order of deployments must not decide.",
        fix=f"Put the file of {name} into the folder of HEADRACE_MAPPINGS_DIR; the worker goes on where it stopped.",
        code="mapping_missing",
    )
