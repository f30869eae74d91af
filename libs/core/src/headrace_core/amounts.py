"""Money: exact decimal text and currency codes. No float ever holds an amount."""

from __future__ import annotations

import re
from decimal import Context, Decimal

__all__ = ["currency_code", "decimal_text"]

_SIMPLE = re.compile(r"(-?)0*(\d{1,14})(?:\.(\d{1,4}))?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,200}(?:\.\d{1,200})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=500)
_SCALE = Decimal("0.0001")
_LIMIT = Decimal(10) ** 14
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)


def decimal_text(number: str) -> str | None:
    """The text of decimal(18,4) for a JSON number or numeric text; None where it is no number, has 15 or more digits before the
    point, or more than four decimals that are not zero: an amount is kept exactly or not at all."""
    if found := _SIMPLE.fullmatch(number):
        sign, whole, decimals = found.groups()
        plain = f"{whole}.{decimals or '':0<4}"
        return plain if plain == "0.0000" else sign + plain
    text = number.strip()
    return _scaled(Decimal(text)) if _NUMBER.fullmatch(text) else None


def _scaled(value: Decimal) -> str | None:
    if value.adjusted() > 13 or (value and value.adjusted() < -4):
        return None if value else "0.0000"
    scaled = value.quantize(_SCALE, context=_EXACT)
    if scaled != value:
        return None
    return f"{scaled if scaled else abs(scaled):f}"


def currency_code(text: str) -> str | None:
    """An ISO 4217 code in upper case; None where the text is not three letters."""
    code = text.strip()
    return code.upper() if _CURRENCY.fullmatch(code) else None
