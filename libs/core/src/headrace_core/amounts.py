"""Money: exact decimal text and currency codes. No float ever holds an amount."""

from __future__ import annotations

import re
from decimal import Context, Decimal

__all__ = ["currency_code", "decimal_text"]

_SIMPLE = re.compile(r"([1-9]\d{0,13}|0)\.(\d{1,4})", re.ASCII)
"""What most amounts look like: nothing to compute, only zeros to add."""
_NUMBER = re.compile(r"[+-]?\d{1,200}(?:\.\d{1,200})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=500)
_SCALE = Decimal("0.0001")
_DIGITS_BEFORE_POINT = 14


def decimal_text(number: str) -> str | None:
    """The text of decimal(18,4) for a JSON number or numeric text; None where it is no number, has 15 or more digits before the
    point, or more than four decimals that are not zero: an amount is kept exactly or not at all."""
    if found := _SIMPLE.fullmatch(number):
        return number + "0000"[found.end(2) - found.start(2) :]
    text = number.strip()
    return _scaled(Decimal(text)) if _NUMBER.fullmatch(text) else None


def _scaled(value: Decimal) -> str | None:
    if not value:
        return "0.0000"
    if not -5 < value.adjusted() < _DIGITS_BEFORE_POINT:
        return None
    scaled = value.quantize(_SCALE, context=_EXACT)
    return f"{scaled:f}" if scaled == value else None


def currency_code(text: str) -> str | None:
    """An ISO 4217 code in upper case; None where the text is not three letters."""
    if len(text) != 3:
        text = text.strip()
    return text.upper() if len(text) == 3 and text.isascii() and text.isalpha() else None
