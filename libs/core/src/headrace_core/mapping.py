"""The mapping file: how rows of a legacy producer become events. The typed model, its checks and its JSON Schema.

A file is YAML for people; who reads it hands the decoded document to ``mapping_from``. Docs: docs/mapping.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec

from headrace_core.amounts import currency_code, decimal_text
from headrace_core.errors import BadData
from headrace_core.events import EventType
from headrace_core.times import UnreadableTime, is_zone, layout_pattern

__all__ = [
    "COLUMN_TARGETS",
    "EVENT_TARGETS",
    "PROPERTY_PREFIX",
    "SENDER_FIELDS",
    "UNIT_LAYOUTS",
    "FieldRule",
    "MappingSpec",
    "TimeRule",
    "Transform",
    "fill_template",
    "json_schema",
    "mapping_from",
    "mapping_key",
    "template_fields",
]

SENDER_FIELDS = ("_file", "_row")
"""Fields that the sender adds to a row where a template names them: file name and row number. Never part of the event."""

EVENT_TARGETS = (
    "event_type",
    "event_name",
    "user_id",
    "anonymous_id",
    "group_id",
    "previous_id",
    "session_id",
)
"""Targets that are fields of an event."""

COLUMN_TARGETS = (
    "revenue",
    "currency",
    "page_url",
    "page_path",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
)
"""Targets that are columns of their own."""

PROPERTY_PREFIX = "properties."
"""A target with this prefix is a property under a new name or with another type."""

UNIT_LAYOUTS = ("iso", "epoch_s", "epoch_ms", "epoch_us")

_TARGET_PATTERN = f"^({'|'.join(EVENT_TARGETS + COLUMN_TARGETS)}|properties\\..+)$(?!\\n)"
_SLUG_PATTERN = "^[a-z0-9][a-z0-9_-]{0,62}$(?!\\n)"

Transform: TypeAlias = Literal["strip", "lower", "upper", "integer_text", "integer", "decimal"]
Slug: TypeAlias = Annotated[str, msgspec.Meta(pattern=_SLUG_PATTERN)]
Target: TypeAlias = Annotated[str, msgspec.Meta(pattern=_TARGET_PATTERN)]
FieldName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
Scalar: TypeAlias = str | int | float | bool


def _about(description: str) -> msgspec.Meta:
    """What an editor shows beside a member."""
    return msgspec.Meta(description=description)


class FieldRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a target's value comes from."""

    source: Annotated[FieldName, _about("A field, or with dots a member of nested objects.")] = msgspec.field(
        name="from"
    )
    transform: Annotated[tuple[Transform, ...], _about("Steps from the text to the value, in order.")] = ()
    default: Annotated[Scalar | None, _about("Stands in for a missing, null or empty value.")] = None


class TimeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the event's time comes from: one field, or a template over several."""

    field: Annotated[FieldName | None, _about("The field; it does not stay in the properties.")] = None
    template: Annotated[FieldName | None, _about("A date and a time in two fields: {date} {time}.")] = None
    format: Annotated[
        FieldName, _about("iso, epoch_s, epoch_ms, epoch_us, or a pattern like %d.%m.%Y %H:%M.")
    ] = "iso"


class MappingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping file. Name and version name it for ever: a changed mapping is a new version."""

    name: Slug
    version: Annotated[int, msgspec.Meta(ge=1)]
    source: Annotated[Slug, _about("Slug of the source (write key) whose rows it maps.")]
    description: str = ""
    zone: Annotated[str | None, _about("IANA zone of times without one; left out: the source's.")] = None
    id: Annotated[
        FieldName | None,
        _about("Template of the event id: {_file}#{_row}. Left out: derived from content and time."),
    ] = None
    time: TimeRule | None = None
    fields: Annotated[dict[Target, FieldName | FieldRule], _about("Target: field, or a rule.")] = {}
    constants: Annotated[dict[Target, Scalar], _about("Target: a value that every row has.")] = {}


def mapping_key(spec: MappingSpec) -> str:
    """``name@version``, as RequestMeta names the mapping."""
    return f"{spec.name}@{spec.version}"


def mapping_from(document: object) -> MappingSpec:
    """The mapping of a decoded file. BadData says which part is wrong."""
    try:
        spec = msgspec.convert(document, MappingSpec)
        _check(spec)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadData(
            "A mapping file cannot be used.",
            why=str(error),
            fix="Correct the file; docs/mapping.md describes the format, docs/mapping.schema.json checks it in an editor.",
            code="mapping_invalid",
        ) from error
    return spec


def _check(spec: MappingSpec) -> None:
    """What types cannot say; ValueError tells."""
    if both := spec.fields.keys() & spec.constants.keys():
        raise ValueError(f"both a field and a constant: {', '.join(sorted(both))}")
    if spec.zone is not None and not is_zone(spec.zone):
        raise ValueError(f"zone: {spec.zone!r} is no zone of the IANA database")
    for template in (spec.id, spec.time.template if spec.time else None):
        if template is not None:
            template_fields(template)
    if spec.time is not None:
        _check_time(spec.time)
    defaults = {target: rule.default for target, rule in spec.fields.items() if isinstance(rule, FieldRule)}
    for target, value in (*defaults.items(), *spec.constants.items()):
        if value is not None and not _fits(target, str(value)):
            raise ValueError(f"{target}: {value!r} does not fit the column")


def _fits(target: str, text: str) -> bool:
    """Whether a fixed value can stand in its column."""
    match target:
        case "event_type":
            return text in get_args(EventType)
        case "revenue":
            return decimal_text(text) is not None
        case "currency":
            return currency_code(text) is not None
        case _:
            return True


def _check_time(rule: TimeRule) -> None:
    if (rule.field is None) == (rule.template is None):
        raise ValueError("time: give either field or template")
    if rule.format not in UNIT_LAYOUTS:
        try:
            layout_pattern(rule.format)
        except UnreadableTime as error:
            raise ValueError(f"time.format: {error}") from None


_TEMPLATE_PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


def template_fields(template: str) -> tuple[str, ...]:
    """The fields that a template names; ``{{`` and ``}}`` stand for braces. ValueError where it is malformed."""
    parts = list(_TEMPLATE_PART.finditer(template))
    if any(part.group() in ("{", "}") for part in parts):
        raise ValueError(f"the template {template!r} has a brace without its other half")
    fields = tuple(part.group(1) for part in parts if part.group(1))
    if not fields:
        raise ValueError(f"the template {template!r} names no field")
    return fields


def fill_template(template: str, value_of: Mapping[str, str]) -> str:
    """The template with its fields' values."""
    return _TEMPLATE_PART.sub(
        lambda part: value_of[part.group(1)] if part.group(1) else part.group()[0], template
    )


def json_schema() -> dict[str, Any]:
    """JSON Schema of mapping files, for editors; it lists the targets, so that they can be completed."""
    schema = msgspec.json.schema(MappingSpec)
    members = schema["$defs"]["MappingSpec"]["properties"]
    targets = {"anyOf": [{"enum": [*EVENT_TARGETS, *COLUMN_TARGETS]}, {"pattern": r"^properties\..+"}]}
    for name in ("fields", "constants"):
        members[name]["propertyNames"] = targets
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Headrace mapping", **schema}
