"""Arithmetic of units, face values, ISINs and months, over generated values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from portal.money import Money
from tokens.models import TOKYO, Security, start_of_day
from tokens.services.placements import months_before
from tokens.validators import isin_check_digit, validate_isin

faces = st.integers(1, 10**9).map(Decimal)
# Money is exact to 28 digits; the terms' own limits (20 digits an amount) stay below that.
counts = st.integers(0, 10**18)
bodies = st.tuples(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=9, max_size=9),
).map("".join)


def bond(face: Decimal, currency: str = "JPY") -> Security:
    return Security(face_value=face, currency=currency, authorised_units=1, rate_bps=0)


@given(face=faces, units=counts)
def test_what_units_are_worth_pays_for_exactly_those_units(face, units):
    security = bond(face)
    assert security.units_for(security.value_of(units)) == units


@given(face=faces, amount=st.integers(0, 10**26))
def test_money_never_pays_for_more_units_than_it_is_worth(face, amount):
    security = bond(face)
    units = security.units_for(Money(Decimal(amount), "JPY"))
    assert security.value_of(units).amount <= amount < security.value_of(units + 1).amount


@given(face=faces, first=counts, second=counts)
def test_values_add_up_like_units(face, first, second):
    security = bond(face)
    assert security.value_of(first) + security.value_of(second) == security.value_of(first + second)


def test_money_in_another_currency_pays_for_nothing():
    with pytest.raises(ValueError, match="USD"):
        bond(Decimal(100)).units_for(Money(Decimal(100), "USD"))


def test_the_sample_issue_has_ten_thousand_units():
    assert bond(Decimal(100_000)).units_for(Money(Decimal(1_000_000_000), "JPY")) == 10_000


@pytest.mark.parametrize("isin", ["US0378331005", "AU0000XVGZA3", "GB0002634946", "JP3633400001"])
def test_published_isins_are_accepted(isin):
    validate_isin(isin)


@given(body=bodies)
def test_the_check_digit_makes_an_isin_and_no_other_digit_does(body):
    right = isin_check_digit(body)
    validate_isin(body + right)
    for wrong in set("0123456789") - {right}:
        with pytest.raises(ValidationError):
            validate_isin(body + wrong)


@given(body=bodies, place=st.integers(2, 10), digit=st.sampled_from("0123456789"))
def test_one_mistyped_digit_is_always_found(body, place, digit):
    if not body[place].isdigit() or body[place] == digit:
        return
    mistyped = body[:place] + digit + body[place + 1 :]
    with pytest.raises(ValidationError):
        validate_isin(mistyped + isin_check_digit(body))


@given(at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), months=st.integers(0, 36))
def test_months_before_keeps_the_day_or_takes_the_last_of_a_shorter_month(at, months):
    local, earlier = at.astimezone(TOKYO), months_before(at, months)
    assert (local.year * 12 + local.month) - (earlier.year * 12 + earlier.month) == months
    assert earlier.day == local.day or (earlier.day < local.day and (earlier + timedelta(days=1)).day == 1)


@given(day=st.dates(datetime(2000, 1, 1).date(), datetime(2100, 1, 1).date()))
def test_a_day_of_the_terms_begins_at_midnight_in_tokyo(day):
    begins = datetime.fromtimestamp(start_of_day(day), TOKYO)
    assert (begins.date(), begins.hour, begins.minute) == (day, 0, 0)
