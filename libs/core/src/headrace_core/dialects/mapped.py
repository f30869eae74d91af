"""The mapped dialect: a row of a legacy producer as JSON object, read by a compiled mapping.

The raw record holds the row as it came; the mapping is applied here, so a better mapping repairs old rows (ADR 0005).
Row fields that no rule consumes stay in the properties.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

import msgspec

from headrace_core.amounts import currency_code, decimal_text
from headrace_core.blank import is_blank
from headrace_core.dialects.fields import Extras, context_with, decode_object
from headrace_core.events import EventType
from headrace_core.keys import content_of
from headrace_core.mapping import (
    COLUMN_TARGETS,
    PROPERTY_PREFIX,
    SENDER_FIELDS,
    FieldRule,
    MappingSpec,
    Transform,
    fill_template,
    mapping_key,
    template_fields,
)
from headrace_core.meta import RequestMeta
from headrace_core.parsed import EMPTY_OBJECT, ParsedEvent, Rejected
from headrace_core.reasons import Reason

__all__ = ["DIALECT", "CompiledMapping", "Mappings", "compile_mapping", "parse"]

DIALECT = "mapped"

Row: TypeAlias = dict[str, msgspec.Raw]

_TYPES = frozenset(get_args(EventType))
_WITHOUT_COLUMN = ("group_id", "previous_id")
_ID_TARGETS = ("user_id", "anonymous_id", "group_id", "previous_id", "session_id")


@dataclass(frozen=True, slots=True)
class _Rule:
    """A target's source field and the steps from its text to the value."""

    target: str
    source: str
    steps: tuple[Callable[[str], str], ...]
    is_number: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A mapping made ready. ``consumed`` are the row fields that do not stay in the properties."""

    spec: MappingSpec
    key: str
    rules: tuple[_Rule, ...]
    constants: dict[str, str]
    constant_properties: dict[str, Any]
    id_fields: tuple[str, ...]
    time_fields: tuple[str, ...]
    consumed: frozenset[str]


Mappings: TypeAlias = Mapping[str, CompiledMapping]
"""Compiled mappings by ``name@version``."""


def _failed(target: str, why: str) -> Rejected:
    return Rejected(Reason.MAPPING_FAILED, f"{target}: {why}")


_INTEGER = re.compile(r"([+-]?\d+)(?:\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def _integer(text: str) -> str:
    if found := _INTEGER.fullmatch(text.strip()):
        return _json_number(found.group(1))
    raise ValueError(f"{text[:80]!r} is no whole number")


def _decimal(text: str) -> str:
    if found := _DECIMAL.fullmatch(text.strip()):
        return _json_number(found.group())
    raise ValueError(f"{text[:80]!r} is no decimal number")


def _json_number(text: str) -> str:
    """A number without the plus and the leading zeros that JSON does not know."""
    sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text.removeprefix("+"))
    stripped = digits.lstrip("0")
    return sign + (stripped if stripped[:1].isdigit() else "0" + stripped)


_STEPS: dict[Transform, Callable[[str], str]] = {
    "strip": str.strip,
    "lower": str.lower,
    "upper": str.upper,
    "integer_text": _integer,
    "integer": _integer,
    "decimal": _decimal,
}


def compile_mapping(spec: MappingSpec) -> CompiledMapping:
    """Make a checked mapping ready to be applied."""
    rules = tuple(_compile_rule(target, rule) for target, rule in spec.fields.items())
    time_fields = _time_fields(spec)
    consumed = {rule.source for rule in rules} | set(SENDER_FIELDS)
    if spec.time is not None and spec.time.field is not None:
        consumed.add(spec.time.field)
    return CompiledMapping(
        spec=spec,
        key=mapping_key(spec),
        rules=rules,
        constants={
            name: _scalar_text(value)
            for name, value in spec.constants.items()
            if not name.startswith(PROPERTY_PREFIX)
        },
        constant_properties={
            name.removeprefix(PROPERTY_PREFIX): value
            for name, value in spec.constants.items()
            if name.startswith(PROPERTY_PREFIX)
        },
        id_fields=template_fields(spec.id) if spec.id else (),
        time_fields=time_fields,
        consumed=frozenset(consumed),
    )


def _compile_rule(target: str, rule: str | FieldRule) -> _Rule:
    given = FieldRule(source=rule) if isinstance(rule, str) else rule
    default = None if given.default is None else _scalar_text(given.default)
    is_number = bool(given.transform) and given.transform[-1] in ("integer", "decimal")
    return _Rule(target, given.source, tuple(_STEPS[step] for step in given.transform), is_number, default)


def _scalar_text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _time_fields(spec: MappingSpec) -> tuple[str, ...]:
    if spec.time is None:
        return ()
    return (spec.time.field,) if spec.time.field is not None else template_fields(spec.time.template or "")


def _lookup(row: Row, path: str) -> msgspec.Raw | None:
    """A field by its name, or by a path of names through nested objects."""
    if path in row or "." not in path:
        return row.get(path)
    head, _, rest = path.partition(".")
    inner = row.get(head)
    if inner is None or bytes(inner)[:1] != b"{":
        return None
    return _lookup(decode_object(inner), rest)


def _text_of(raw: msgspec.Raw | None, field: str) -> str | None:
    """A scalar as text, numbers as they are written; None for null and a missing field."""
    if raw is None:
        return None
    token = bytes(raw)
    if token[:1] == b'"':
        return msgspec.json.decode(token, type=str)
    if token == b"null":
        return None
    if token[:1] in (b"{", b"["):
        raise _failed(field, "a scalar is needed, not an object or array")
    return token.decode()


def _value_of(rule: _Rule, row: Row) -> str | None:
    text = _text_of(_lookup(row, rule.source), f"{rule.target} from {rule.source}")
    if text is None or not text.strip():
        return rule.default
    try:
        for step in rule.steps:
            text = step(text)
    except ValueError as error:
        raise _failed(f"{rule.target} from {rule.source}", str(error)) from None
    return text


def _filled(template: str, fields: tuple[str, ...], row: Row, target: str) -> str:
    """A filled template; every field must have a value, since ids made of empty parts would collide."""
    values = {}
    for field in fields:
        text = _text_of(_lookup(row, field), f"{target} from {field}")
        if text is None or not text.strip():
            raise _failed(target, f"the row has no value in {field}")
        values[field] = text
    return fill_template(template, values)


def parse(value: bytes, meta: RequestMeta, mappings: Mappings) -> ParsedEvent:
    """Read a row by the mapping that the request names. Rejected(MAPPING_FAILED) names the target, the field and why."""
    mapping = mappings.get(meta.mapping or "")
    if mapping is None:
        raise Rejected(Reason.MAPPING_FAILED, f"there is no mapping {meta.mapping or ''!r} here")
    row = decode_object(value)
    extras: Extras = {}
    found, properties = _apply(mapping, row, extras)
    return _event(mapping, row, found, properties, context_with(EMPTY_OBJECT, meta.context, extras))


def _apply(mapping: CompiledMapping, row: Row, extras: Extras) -> tuple[dict[str, str], msgspec.Raw]:
    """The values of targets, and the properties: unconsumed fields and mapped ones."""
    found = dict(mapping.constants)
    properties: dict[str, Any] = {name: raw for name, raw in row.items() if name not in mapping.consumed}
    made: dict[str, Any] = dict(mapping.constant_properties)
    for rule in mapping.rules:
        if rule.target.startswith(PROPERTY_PREFIX):
            if rule.default is not None or _lookup(row, rule.source) is not None:
                made[rule.target.removeprefix(PROPERTY_PREFIX)] = _property(rule, row)
            continue
        text = _value_of(rule, row)
        is_known = text is not None and not is_blank(text)
        if text is not None and is_known:
            found[rule.target] = text
        if not is_known or rule.target in _WITHOUT_COLUMN:
            _keep(rule.source, row, extras)
    if both := properties.keys() & made.keys():
        raise _failed(PROPERTY_PREFIX + sorted(both)[0], "the row has a field of this name too")
    properties.update(made)
    return found, msgspec.Raw(msgspec.json.encode(properties)) if properties else EMPTY_OBJECT


def _keep(source: str, row: Row, extras: Extras) -> None:
    """Show what the row said where no column does."""
    raw = _lookup(row, source)
    if raw is not None and bytes(raw) != b"null":
        extras[source] = raw


def _property(rule: _Rule, row: Row) -> Any:
    """A property as it came, or by its steps: a number after a numeric step, else text."""
    if not rule.steps and rule.default is None:
        return _lookup(row, rule.source)
    text = _value_of(rule, row)
    return msgspec.Raw(text.encode()) if text is not None and rule.is_number else text


def _event(
    mapping: CompiledMapping, row: Row, found: dict[str, str], properties: msgspec.Raw, context: msgspec.Raw
) -> ParsedEvent:
    spec = mapping.spec
    name = found.get("event_name")
    event_type = _checked_type(found.get("event_type"), name)
    ids = [found.get(target) for target in _ID_TARGETS]
    time = _time(mapping, row)
    columns = {target: _column(target, found[target]) for target in COLUMN_TARGETS if target in found}
    return ParsedEvent(
        event_type=event_type,
        event_name=name,
        client_id=_filled(spec.id, mapping.id_fields, row, "id") if spec.id else None,
        user_id=ids[0],
        anonymous_id=ids[1],
        group_id=ids[2],
        previous_id=ids[3],
        session_id=ids[4],
        time=time,
        properties=properties,
        context=context,
        content=content_of(
            (event_type, name, *ids, time, *map(columns.get, COLUMN_TARGETS), memoryview(properties))
        ),
        time_layout=spec.time.format if spec.time else None,
        naive_zone=spec.zone,
        columns=columns or None,
    )


def _checked_type(given: str | None, name: str | None) -> str:
    event_type = given or "track"
    if event_type not in _TYPES:
        raise Rejected(
            Reason.UNKNOWN_EVENT_TYPE,
            f"event_type: {event_type[:80]!r} is none of {', '.join(sorted(_TYPES))}",
        )
    if event_type == "track" and name is None:
        raise Rejected(Reason.MISSING_FIELD, "event_name: a track event has a name")
    return event_type


def _time(mapping: CompiledMapping, row: Row) -> str | None:
    rule = mapping.spec.time
    if rule is None:
        return None
    if rule.template is not None:
        return _filled(rule.template, mapping.time_fields, row, "time")
    text = _text_of(_lookup(row, rule.field or ""), f"time from {rule.field}")
    return None if text is None or is_blank(text) else text


_CHECKS: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {"revenue": decimal_text, "currency": currency_code}
)


def _column(target: str, text: str) -> str:
    """A column's value, checked: what a mapping names as amount must be one, or the value would be lost."""
    check = _CHECKS.get(target)
    if check is None:
        return text
    checked = check(text)
    if checked is None:
        raise _failed(target, f"{text[:80]!r} does not fit the column")
    return checked
