"""The rules of this version of the code: raw records to identity, fingerprint and CleanEvent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from headrace_core.dialects import Mappings, parse
from headrace_core.dialects.mapped import DIALECT as MAPPED
from headrace_core.errors import ConfigurationError
from headrace_core.events import RULES_VERSION, SCHEMA_VERSION, encode_clean
from headrace_core.identify import identify
from headrace_core.keys import FINGERPRINT_VERSION
from headrace_core.meta import RequestMeta, RerunReference, decode_index, decode_meta, decode_rerun
from headrace_core.normalise import normalise
from headrace_core.parsed import Rejected
from headrace_core.reasons import Reason
from headrace_core.topics import HEADER_INDEX, HEADER_META, HEADER_RERUN
from headrace_dedup.messages import Prepared, RawRecord

__all__ = ["EventRules"]

_NO_ID: Final = bytes(16)
_KEPT_METAS: Final = 1_024
_INDEX_BYTES: Final = 4


class EventRules:
    """`headrace_dedup.ports.Rules` over headrace_core. ``mappings`` are asked only for names that records carry."""

    schema_version = SCHEMA_VERSION
    rules_version = RULES_VERSION
    fingerprint_version = FINGERPRINT_VERSION

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings
        self._metas: dict[bytes, RequestMeta] = {}

    def prepare(self, partition: int, records: Sequence[RawRecord]) -> Prepared:
        """See `headrace_dedup.ports.Rules`."""
        columns = Prepared()
        for position, record in enumerate(records):
            try:
                self._prepare(partition, record, columns)
            except Rejected as rejected:
                _reject(columns, position, record, rejected)
        return columns

    def _prepare(self, partition: int, record: RawRecord, columns: Prepared) -> None:
        """Appends to ``ids`` first and to the other columns only where the event is good."""
        meta, index, rerun = self._headers(record)
        if meta.dialect == MAPPED and meta.mapping is not None and meta.mapping not in self._mappings:
            raise _mapping_missing(meta.mapping)
        parsed = parse(record.value or b"", meta, self._mappings)
        identity = identify(parsed, meta, index, rerun)
        dedup_id = identity.dedup_id
        if record.key != dedup_id:
            raise Rejected(Reason.KEY_MISMATCH, f"the event's dedup id is {dedup_id.hex()}")
        columns.ids.append(dedup_id)
        columns.fingerprints.append(identity.fingerprint)
        event = normalise(parsed, identity, meta, rerun, src_partition=partition, src_offset=record.offset)
        columns.reasons.append(0)
        columns.values.append(encode_clean(event))

    def _headers(self, record: RawRecord) -> tuple[RequestMeta, int, RerunReference | None]:
        meta = rerun = None
        index = -1
        try:
            for name, value in record.headers:
                if value is None:
                    continue
                if name == HEADER_META:
                    meta = self._metas.get(value) or self._meta(value)
                elif name == HEADER_INDEX and len(value) == _INDEX_BYTES:
                    index = decode_index(value)
                elif name == HEADER_RERUN:
                    rerun = decode_rerun(value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Rejected(Reason.UNREADABLE_META, str(error)) from None
        if meta is None or index < 0:
            raise Rejected(Reason.UNREADABLE_META, "header m or i is missing")
        return meta, index, rerun

    def _meta(self, encoded: bytes) -> RequestMeta:
        """Decode and keep: the records of a request come close together."""
        if len(self._metas) >= _KEPT_METAS:
            for oldest in list(self._metas)[: _KEPT_METAS // 2]:
                del self._metas[oldest]
        meta = self._metas[encoded] = decode_meta(encoded)
        return meta


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
