"""Golden SQL of rule B3: a change of any statement shows in review."""

from pathlib import Path

import pytest
from tests.support.day_statements import day_statements, rendered

GOLDEN = Path(__file__).parents[2] / "data" / "sql" / "day.postgresql.sql"


def test_statements_are_the_golden_ones() -> None:
    assert rendered() == GOLDEN.read_text(), "if the change is meant, write rendered() to the golden file"


@pytest.mark.parametrize("name", sorted(day_statements()))
def test_parameters_are_placeholders_and_no_data_is_rendered(name: str) -> None:
    text = day_statements()[name]
    assert "{" not in text
    assert "}" not in text
    assert text.count("%") == text.count("%s")
