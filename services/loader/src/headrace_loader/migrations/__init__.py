"""The warehouse's history as alembic revisions. Each revision runs the SQL frozen beside it and never what the code
renders today, so that later changes of `headrace_core.tables` cannot rewrite what an installation went through.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["frozen_statements", "separator"]

separator = ";\n\n"
"""Between the statements of a frozen file; the last one ends in a semicolon and a newline."""


def frozen_statements(revision: str, dialect: str) -> list[str]:
    """The statements of a revision for postgresql or redshift."""
    text = files(__name__).joinpath("frozen", f"{revision}.{dialect}.sql").read_text()
    return text.removesuffix(";\n").split(separator)
