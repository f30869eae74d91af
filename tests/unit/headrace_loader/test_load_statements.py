"""Golden SQL of the load: a change of any statement shows in review."""

from pathlib import Path

import pytest
from tests.support.load_statements import load_statements, rendered

from headrace_core.tables import stage_table
from headrace_loader import warehouse_sql as sql

GOLDEN = Path(__file__).parents[2] / "data" / "sql" / "load.postgresql.sql"


def test_statements_are_the_golden_ones() -> None:
    assert rendered() == GOLDEN.read_text(), "if the change is meant, write rendered() to the golden file"


@pytest.mark.parametrize("name", sorted(load_statements()))
def test_parameters_are_placeholders_and_no_data_is_rendered(name: str) -> None:
    text = load_statements()[name]
    assert "{" not in text
    assert "}" not in text
    assert text.count("%") == text.count("%s")


def test_workers_have_stage_tables_of_their_own() -> None:
    assert sql.staged_rows(stage_table(0)) != sql.staged_rows(stage_table(1))
