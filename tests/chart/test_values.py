"""values.yaml is the one source: the schema and the README's table are made of it, and are fresh."""

from __future__ import annotations

import json

import pytest
from tests.support.chart_values import CHART, read_values, values_schema, values_table
from tests.support.write_docs import VALUES_END, VALUES_START


def test_the_schema_is_fresh() -> None:
    kept = (CHART / "values.schema.json").read_text(encoding="utf-8")
    assert json.loads(kept) == values_schema(), "run `python -m tests.support.write_docs`"


def test_the_table_is_fresh() -> None:
    page = (CHART / "README.md").read_text(encoding="utf-8")
    table = page.partition(VALUES_START)[2].partition(VALUES_END)[0].strip()
    assert table == values_table(), "run `python -m tests.support.write_docs`"


def test_components_have_the_same_keys() -> None:
    root = read_values()
    model = set(root.children["ingest"].children) - {"ingress"}
    loader = root.children["loader"].children
    for component in (
        root.children["dedup"],
        *loader.values(),
        root.children["api"],
        root.children["operator"],
    ):
        assert set(component.children) >= model, component.name


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.b has no comment"):
        read_values("a:\n  b: 1\n")


def test_a_comment_of_several_lines_is_one_description() -> None:
    root = read_values('# -- One\n# two.\n# @schema {"minimum": 1}\na: 1\n')
    assert (root.children["a"].description, root.children["a"].schema) == ("One two.", {"minimum": 1})
