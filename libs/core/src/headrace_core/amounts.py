"""Money: exact decimal text and currency codes. No float ever holds an amount."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import lru_cache

__all__ = ["currency_code", "decimal_text"]

_NUMBER = re.compile(r"[+-]?\d{1,200}(?:\.\d{1,200})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=500)
_SCALE = Decimal("0.0001")
_DIGITS_BEFORE_POINT = 14


def decimal_text(number: str) -> str | None:
    """The text of decimal(18,4) for a JSON number or numeric text; None where it is no number, has 15 or more digits before the
    point, or more than four decimals that are not zero: an amount is kept exactly or not at all."""
    # What most amounts look like, such as 12.5: nothing to compute, only zeros to add.
    whole, _, fraction = number.partition(".")
    if (
        1 <= len(fraction) <= 4
        and 1 <= len(whole) <= _DIGITS_BEFORE_POINT
        and (whole[0] != "0" or whole == "0")
        and number.isascii()
        and whole.isdigit()
        and fraction.isdigit()
    ):
        return number + "0000"[len(fraction) :]
    text = number.strip()
    return _scaled(Decimal(text)) if _NUMBER.fullmatch(text) else None


def _scaled(value: Decimal) -> str | None:
    if not value:
        return "0.0000"
    if not -5 < value.adjusted() < _DIGITS_BEFORE_POINT:
        return None
    scaled = value.quantize(_SCALE, context=_EXACT)
    return f"{scaled:f}" if scaled == value else None


@lru_cache(maxsize=1_024)
def _currency_of_three(text: str) -> str | None:
    return text.upper() if text.isascii() and text.isalpha() else None


def currency_code(text: str) -> str | None:
    """An ISO 4217 code in upper case; None where the text is not three letters."""
    if len(text) != 3:
        text = text.strip()
    return _currency_of_three(text) if len(text) == 3 else None
