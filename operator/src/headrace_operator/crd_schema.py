"""Models as the structural schemas that Kubernetes wants: no references, no null, a description on every field. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_operator.crd_descriptions import DESCRIPTIONS

__all__ = ["structural_schema"]

Json = dict[str, Any]
_DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
_LIST_KEYS = {"conditions": "type", "attempts": "number"}


def structural_schema(model: type[msgspec.Struct], *, defaults: bool) -> Json:
    """The schema of a model, with or without its defaults. ValueError where a field has no description."""
    schema = msgspec.json.schema(model)
    converted = _convert(schema, schema.get("$defs", {}), model.__name__)
    return converted if defaults else _without_defaults(converted)


def _without_defaults(schema: Json) -> Json:
    """What a status lacks stays absent: a default would be stored with every object."""
    nested = {
        name: {field: _without_defaults(each) for field, each in inner.items()}
        if name == "properties"
        else _without_defaults(inner)
        for name, inner in schema.items()
        if isinstance(inner, dict)
    }
    return {name: value for name, value in {**schema, **nested}.items() if name != "default"}


def _convert(schema: Json, models: dict[str, Json], where: str) -> Json:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _with_outer(_convert(models[name], models, name), schema)
    if "anyOf" in schema:
        (only,) = [each for each in schema["anyOf"] if each != {"type": "null"}]
        return _with_outer(_convert(only, models, where), schema)
    if schema.get("type") == "object" and "properties" in schema:
        return _object(schema, models, where)
    return _value(schema, models, where)


def _with_outer(inner: Json, outer: Json) -> Json:
    """What stands beside a reference belongs to the field, not to what it refers to."""
    default = outer.get("default")
    return {
        **inner,
        **({"description": outer["description"]} if "description" in outer else {}),
        **({"default": default} if default is not None else {}),
    }


def _object(schema: Json, models: dict[str, Json], where: str) -> Json:
    texts = DESCRIPTIONS.get(where, {})
    properties = {}
    for name, field in schema["properties"].items():
        converted = _convert(field, models, where)
        description = texts.get(name) or converted.get("description")
        if not description:
            raise ValueError(f"{where}.{name} has no description")
        properties[name] = {**converted, "description": description}
        if name in _LIST_KEYS:
            properties[name] |= {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": [_LIST_KEYS[name]],
            }
    required = {"required": list(schema["required"])} if schema.get("required") else {}
    return {"type": "object", "description": _sentence(schema), "properties": properties, **required}


def _value(schema: Json, models: dict[str, Json], where: str) -> Json:
    kept = {key: value for key, value in schema.items() if key not in ("title", "additionalProperties")}
    if "enum" in kept:
        kept.setdefault("type", "string")
    if kept.get("type") == "integer":
        kept["format"] = "int64"
    if kept.get("pattern") == _DATE_PATTERN:
        kept["format"] = "date"
    if "items" in kept:
        kept["items"] = _convert(kept["items"], models, where)
    if isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = _convert(schema["additionalProperties"], models, where)
        kept["maxProperties"] = kept.pop("maxProperties", 64)
        kept.pop("default", None)
    return kept


def _sentence(schema: Json) -> str:
    """The first sentence of a model's docstring, without the marks of code."""
    first = str(schema.get("description", "")).split("\n\n")[0].replace("``", "")
    return " ".join(first.split())
