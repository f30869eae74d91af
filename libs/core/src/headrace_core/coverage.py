"""How much of a legacy producer's rows a mapping uses: which fields become columns, which stay properties, which rows fail."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from headrace_core.dialects import compile_mapping, mapped, parse
from headrace_core.dialects.fields import decode_object
from headrace_core.mapping import SENDER_FIELDS, MappingSpec, mapping_key, template_fields
from headrace_core.meta import RequestMeta
from headrace_core.parsed import Rejected

__all__ = ["Coverage", "FieldCoverage", "RowFailure", "coverage"]

_EMPTY_TOKENS = (b"null", b'""')


class FieldCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the rows. ``targets`` are what it becomes; without any it stays a property under its own name."""

    field: str
    rows: int
    """Rows in which it has a value, neither null nor empty."""
    targets: tuple[str, ...] = ()


class RowFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the sample that would go to quarantine, and why."""

    row: int
    reason: str
    detail: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping makes of a sample. ``mapped_share`` is mapped fields / fields; ``absent`` are fields that the mapping names
    and no row has."""

    rows: int
    fields: tuple[FieldCoverage, ...]
    mapped_share: float
    absent: tuple[str, ...]
    failures: tuple[RowFailure, ...]


def coverage(spec: MappingSpec, rows: Sequence[bytes]) -> Coverage:
    """Apply a mapping to sample rows, JSON objects as they would be sent."""
    targets = _targets(spec)
    meta = _sample_meta(spec)
    mappings = {mapping_key(spec): compile_mapping(spec)}
    seen: dict[str, None] = {}
    filled: Counter[str] = Counter()
    failures = []
    for number, row in enumerate(rows):
        try:
            members = decode_object(row)
            parse(row, meta, mappings)
        except Rejected as error:
            failures.append(RowFailure(row=number, reason=error.reason.code, detail=error.detail))
            continue
        seen.update(dict.fromkeys(members))
        filled.update(name for name, raw in members.items() if bytes(raw) not in _EMPTY_TOKENS)
    names = [name for name in seen if name not in SENDER_FIELDS]
    fields = tuple(
        FieldCoverage(field=name, rows=filled[name], targets=tuple(targets.get(name, ()))) for name in names
    )
    with_target = sum(bool(field.targets) for field in fields)
    return Coverage(
        rows=len(rows),
        fields=fields,
        mapped_share=with_target / len(fields) if fields else 0.0,
        absent=tuple(name for name in targets if name not in seen and name not in SENDER_FIELDS),
        failures=tuple(failures),
    )


def _targets(spec: MappingSpec) -> dict[str, list[str]]:
    """The targets of each top-level field that the mapping names."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for target, rule in spec.fields.items():
        found[_top(rule if isinstance(rule, str) else rule.source)].append(target)
    if spec.time is not None:
        for field in (spec.time.field,) if spec.time.field else template_fields(spec.time.template or ""):
            found[_top(field)].append("time")
    for field in template_fields(spec.id) if spec.id else ():
        found[_top(field)].append("id")
    return dict(found)


def _top(path: str) -> str:
    return path.partition(".")[0]


def _sample_meta(spec: MappingSpec) -> RequestMeta:
    return RequestMeta(
        source=spec.source,
        dialect=mapped.DIALECT,
        path="",
        received_at=0,
        request_id="",
        mapping=mapping_key(spec),
    )
