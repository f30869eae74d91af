"""Pages about events say what the code does."""

from pathlib import Path

from tests.support.write_docs import COLUMNS_END, COLUMNS_START, columns_table

from headrace_core.mapping import COLUMN_TARGETS, EVENT_TARGETS

DOCS = Path(__file__).parents[3] / "docs"


def test_the_table_of_columns_is_fresh() -> None:
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    written = text.partition(COLUMNS_START)[2].partition(COLUMNS_END)[0].strip()
    assert written == columns_table(), "run: python -m tests.support.write_docs"


def test_every_target_is_described() -> None:
    text = (DOCS / "mapping.md").read_text(encoding="utf-8")
    assert not [target for target in EVENT_TARGETS + COLUMN_TARGETS if f"`{target}`" not in text]
