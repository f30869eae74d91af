"""More than two hundred specs that ask for too much: refused with the reason, or without any effect on what runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.hostile_specs import CLEAN, FREE_TEXT, hostile_fields, hostile_names, hostile_values
from tests.support.plan_world import INSTALLATION

from headrace_core.errors import BadData
from headrace_core.pipeline_run import RunSpec, decode_spec
from headrace_operator.crd import crd
from headrace_operator.driver_objects import AttemptObjects, attempt_objects
from headrace_operator.observed import observe_run
from headrace_operator.sizes import resources_of

_FIELDS, _VALUES = list(hostile_fields()), list(hostile_values())


def _decode(spec: object) -> RunSpec:
    return decode_spec(json.dumps(spec).encode())


def _objects(spec: RunSpec) -> AttemptObjects:
    return attempt_objects(
        name="r", namespace="n", uid="u", attempt=1, spec=spec,
        resources=resources_of(spec, INSTALLATION), installation=INSTALLATION,
    )  # fmt: skip


def _bytes(made: AttemptObjects) -> list[bytes]:
    return [json.dumps(each).encode() for each in (made.config_map, made.driver, made.executor)]


def _prune(value: Any, schema: dict[str, Any]) -> Any:
    """What an API server keeps where the client did not ask for strict validation."""
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return {name: _prune(each, known[name]) for name, each in value.items() if name in known}
    return value


def _spec_schema() -> dict[str, Any]:
    [version] = crd()["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def test_there_are_enough_of_them() -> None:
    assert len(_FIELDS) + len(_VALUES) >= 200


@pytest.mark.parametrize(("field", "spec"), _FIELDS)
def test_a_field_that_there_is_not_is_refused_by_name(field: str, spec: dict[str, Any]) -> None:
    with pytest.raises(BadData) as caught:
        _decode(spec)
    assert field in caught.value.why


@pytest.mark.parametrize(("field", "spec"), _VALUES)
def test_a_value_that_may_not_be_is_refused_and_says_why(field: str, spec: dict[str, Any]) -> None:
    with pytest.raises(BadData) as caught:
        _decode(spec)
    assert len(caught.value.why) > 10, field


def test_pruned_the_pods_are_those_of_the_clean_spec_to_the_byte() -> None:
    schema, clean = _spec_schema(), _bytes(_objects(_decode(CLEAN)))
    for _, spec in _FIELDS:
        assert _bytes(_objects(_decode(_prune(spec, schema)))) == clean


@pytest.mark.parametrize("text", FREE_TEXT)
def test_free_text_reaches_nothing_but_the_jobs_own_spec(text: str) -> None:
    clean = _objects(_decode(CLEAN))
    made = _objects(_decode({**CLEAN, "concurrencyKey": text, "rerunOf": text[:63]}))
    assert made.driver == clean.driver
    assert made.executor == clean.executor
    for name in ("spark.properties", "executor-template.yaml"):
        assert made.config_map["data"][name] == clean.config_map["data"][name]
    assert json.loads(made.config_map["data"]["spec.json"])["concurrencyKey"] == text


@pytest.mark.parametrize("name", hostile_names())
def test_a_name_whose_children_would_not_fit_is_refused(name: str) -> None:
    seen = observe_run({"metadata": {"name": name}, "spec": CLEAN})
    assert seen.spec is None
    assert "DNS label" in seen.invalid


def test_a_spec_without_an_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    seen = observe_run({"metadata": {"name": "r"}, "spec": {"job": deep}})
    assert seen.spec is None
    assert seen.invalid
