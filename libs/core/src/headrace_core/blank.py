"""Text that stands for no value. Broken clients write these words where they have nothing to say."""

from __future__ import annotations

__all__ = ["LONGEST_BLANK", "is_blank"]

_BLANKS = frozenset({"", "null", "undefined", "none", "nan", "(null)"})

LONGEST_BLANK = 9
"""Characters of the longest such word; a longer text is blank only where it is all white space."""


def is_blank(value: str) -> bool:
    """Whether a text stands for no value: nothing, white space, or what a broken client writes for null, in any case."""
    if len(value) > LONGEST_BLANK:
        return value.isspace()
    return value.strip().lower() in _BLANKS
