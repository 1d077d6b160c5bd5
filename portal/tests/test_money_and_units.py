"""Money and token amounts: exact, never mixed, never an exponent."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.money import MINOR_DIGITS, Money
from portal.templatetags.musubi import format_amount
from portal.units import MAX_UNITS, InvalidAmount, format_units, parse_units

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=6)
currencies = st.sampled_from(sorted(MINOR_DIGITS))


@given(units=st.integers(1, MAX_UNITS), decimals=st.integers(0, 18), grouping=st.booleans())
def test_what_is_written_reads_back_as_the_same_units(units, decimals, grouping):
    written = format_units(units, decimals=decimals, grouping=grouping)
    assert "e" not in written.lower()
    assert parse_units(written, decimals=decimals) == units


@given(units=st.integers(1, 10**18))
def test_full_width_digits_read_like_narrow_ones(units):
    wide = str(units).translate({ord("0") + i: ord("０") + i for i in range(10)})
    assert parse_units(wide, decimals=0) == units


@given(units=st.integers(-(10**30), 10**30), decimals=st.integers(0, 18))
def test_a_negative_balance_is_written_with_its_sign(units, decimals):
    written = format_units(units, decimals=decimals, grouping=False)
    assert Fraction(written) * 10**decimals == units


@pytest.mark.parametrize(
    ("text", "decimals", "code"),
    [
        ("", 0, "amount.malformed"),
        ("abc", 0, "amount.malformed"),
        ("1e5", 0, "amount.malformed"),
        ("0x10", 0, "amount.malformed"),
        ("1.2.3", 2, "amount.malformed"),
        ("--5", 0, "amount.malformed"),
        (".", 0, "amount.malformed"),
        ("٣", 0, "amount.malformed"),
        ("NaN", 0, "amount.malformed"),
        ("0", 0, "amount.not_positive"),
        ("-5", 0, "amount.not_positive"),
        ("-0", 0, "amount.not_positive"),
        ("1.5", 0, "amount.too_fine"),
        ("0.001", 2, "amount.too_fine"),
        (str(MAX_UNITS + 1), 0, "amount.too_large"),
        (str(MAX_UNITS), 1, "amount.too_large"),
        ("9" * 5000, 0, "amount.too_large"),
    ],
)
def test_what_is_no_amount_is_refused_with_its_reason(text, decimals, code):
    with pytest.raises(InvalidAmount) as refused:
        parse_units(text, decimals=decimals)
    assert refused.value.code == code


@given(text=st.text(max_size=40), decimals=st.integers(0, 18))
def test_whatever_is_typed_either_reads_or_is_refused(text, decimals):
    try:
        units = parse_units(text, decimals=decimals)
    except InvalidAmount:
        return
    assert 0 < units <= MAX_UNITS


@given(first=amounts, second=amounts, currency=currencies)
def test_money_adds_and_subtracts_exactly(first, second, currency):
    total = Money(first, currency) + Money(second, currency)
    assert total - Money(second, currency) == Money(first, currency)


@given(amount=amounts, currency=currencies)
def test_truncating_never_gives_more_than_there_was(amount, currency):
    cut = Money(amount, currency).truncated().amount
    assert abs(cut) <= abs(amount)
    assert abs(amount - cut) < Decimal(1).scaleb(-MINOR_DIGITS[currency])


def test_currencies_do_not_mix():
    with pytest.raises(ValueError, match="do not mix"):
        Money(Decimal(1), "JPY") + Money(Decimal(1), "USD")


@pytest.mark.parametrize("bad", [1, 1.5, Decimal("NaN"), Decimal("Infinity")])
def test_money_is_a_finite_decimal(bad):
    with pytest.raises(ValueError, match="finite Decimal"):
        Money(bad, "JPY")


def test_a_figure_without_its_currency_is_not_shown():
    with pytest.raises(ValueError, match="currency"):
        format_amount(Decimal(1))


@given(amount=amounts, currency=currencies)
def test_no_figure_shown_is_rounded(amount, currency):
    assert Decimal(format_amount(amount, currency).replace(",", "")) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1000000000", "JPY", "1,000,000,000"),
        ("1E+9", "JPY", "1,000,000,000"),
        ("12.5", "USD", "12.50"),
        ("12", "USD", "12.00"),
        ("0.5", "JPY", "0.5"),
        ("-1234.5", "USD", "-1,234.50"),
    ],
)
def test_yen_have_no_decimals_and_dollars_two(amount, currency, shown):
    assert format_amount(Decimal(amount), currency) == shown
