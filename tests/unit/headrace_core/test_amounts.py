"""Amounts are exact or not there."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.amounts import currency_code, decimal_text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("9.5", "9.5000"),
        ("0", "0.0000"),
        ("-0", "0.0000"),
        ("-0.0", "0.0000"),
        ("0.0001", "0.0001"),
        ("-12.34", "-12.3400"),
        ("+5", "5.0000"),
        ("007", "7.0000"),
        ("1.50000", "1.5000"),
        ("1e3", "1000.0000"),
        ("1.5E-3", "0.0015"),
        ("99999999999999.9999", "99999999999999.9999"),
        ("-99999999999999.9999", "-99999999999999.9999"),
        (" 12 ", "12.0000"),
        ("0e99", "0.0000"),
        ("0." + "0" * 150, "0.0000"),
        ("0.00001", None),
        ("0.30000000000000004", None),
        ("1.23456", None),
        ("100000000000000", None),
        ("1e14", None),
        ("1e400", None),
        ("1e999", None),
        ("1e-999", None),
        ("1" * 5000, None),
        ("", None),
        ("1,5", None),
        ("1_000", None),
        ("$5", None),
        ("NaN", None),
        ("Infinity", None),
        ("٣", None),
        ("true", None),
        ("null", None),
        ("{}", None),
        (".5", None),
        ("5.", None),
    ],
)
def test_decimal_text(number: str, text: str | None) -> None:
    assert decimal_text(number) == text


@given(st.decimals(min_value=-(10**14), max_value=10**14, places=4, allow_nan=False))
def test_every_amount_that_fits_is_kept_exactly(amount: Decimal) -> None:
    text = decimal_text(str(amount))
    if abs(amount) >= 10**14:
        assert text is None
    else:
        assert text is not None
        assert Decimal(text) == amount
        assert len(text.partition(".")[2]) == 4


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("EUR", "EUR"),
        ("usd", "USD"),
        (" gbp ", "GBP"),
        ("€", None),
        ("EURO", None),
        ("E1R", None),
        ("ÄÖÜ", None),
        ("", None),
    ],
)
def test_currency_code(text: str, code: str | None) -> None:
    assert currency_code(text) == code
