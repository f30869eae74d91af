"""Schema and table of the chart's values, made from helm/headrace/values.yaml and the comments in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["CHART", "Value", "read_values", "values_schema", "values_table"]

CHART = Path(__file__).parents[2] / "helm" / "headrace"

_COMPONENTS = ("dedup", "loader.stage", "loader.load", "loader.archive", "api", "operator")
_MODEL = "ingest"
"""The component whose comments the others take where they have none of their own."""

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):(?: (?P<rest>.*))?$")
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


@dataclass(slots=True)
class Value:
    """A key of the values by its path; ``children`` of a section, ``default`` of anything else."""

    path: tuple[str, ...]
    description: str
    schema: dict[str, Any]
    default: Any = None
    children: dict[str, Value] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path as Helm writes it."""
        return ".".join(self.path)


@dataclass(slots=True)
class _Comment:
    words: list[str] = field(default_factory=list)
    schema: dict[str, Any] = field(default_factory=dict)

    def add(self, line: str) -> None:
        if line.startswith("@schema "):
            self.schema |= json.loads(line.removeprefix("@schema "))
        elif line.startswith("-- "):
            self.words = [line.removeprefix("-- ")]
        elif self.words:
            self.words.append(line)


def read_values(text: str | None = None) -> Value:
    """The tree of values under a nameless root. Raises ValueError where a value has no comment."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8") if text is None else text
    documents = yaml.safe_load(text)
    root = Value((), "", {})
    stack: list[tuple[int, Value]] = [(-1, root)]
    comment = _Comment()
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.add(stripped.lstrip("#").strip())
            continue
        found = _KEY.match(line)
        if found:
            while stack[-1][0] >= len(found["indent"]):
                stack.pop()
            parent = stack[-1][1]
            value = Value((*parent.path, found["key"]), " ".join(comment.words), comment.schema)
            parent.children[found["key"]] = value
            stack.append((len(found["indent"]), value))
            if found["rest"] is not None:
                value.default = _at(documents, value.path)
        comment = _Comment()
    _inherit(root)
    return root


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def _inherit(root: Value) -> None:
    """Give each component's keys what the model says of them; nobody may stay silent."""
    model = (
        {value.path[1:]: value for value in _walk(root.children[_MODEL])} if _MODEL in root.children else {}
    )
    for value in _walk(root):
        depth = next((name.count(".") + 1 for name in _COMPONENTS if value.name.startswith(f"{name}.")), None)
        same = None if depth is None else model.get(value.path[depth:])
        if same is not None:
            value.description = value.description or same.description
            value.schema = value.schema or same.schema
        if value.path and not value.children and not value.description:
            raise ValueError(f"values.yaml: {value.name} has no comment.")


def _walk(value: Value) -> Iterator[Value]:
    yield value
    for child in value.children.values():
        yield from _walk(child)


def values_schema() -> dict[str, Any]:
    """The JSON schema of the values: everything described, nothing else allowed."""
    root = read_values()
    schema = _schema(root)
    schema["properties"]["global"] = {"type": "object", "description": "Values of a parent chart; not used."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the Headrace chart",
        **schema,
    }


def _schema(value: Value) -> dict[str, Any]:
    described = {"description": value.description} if value.description else {}
    if value.children:
        properties = {name: _schema(child) for name, child in value.children.items()}
        return {"type": "object", **described, "additionalProperties": False, "properties": properties}
    return {"type": _TYPES[type(value.default)], **described, "default": value.default, **value.schema}


def values_table() -> str:
    """The values as a Markdown table; of components after the first only what differs from it."""
    root = read_values()
    model = {value.path[1:]: value for value in _walk(root.children[_MODEL])}
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in _walk(root):
        if value.children or not value.path or _same(value, model):
            continue
        default = json.dumps(value.default, ensure_ascii=False)
        rows.append(f"| `{value.name}` | `{_cell(default)}` | {_cell(value.description)} |")
    return "\n".join(rows)


def _same(value: Value, model: dict[tuple[str, ...], Value]) -> bool:
    """Whether a component's value is the model's, so that saying it again says nothing."""
    depth = next((name.count(".") + 1 for name in _COMPONENTS if value.name.startswith(f"{name}.")), None)
    same = None if depth is None else model.get(value.path[depth:])
    return same is not None and same.default == value.default and same.description == value.description


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
