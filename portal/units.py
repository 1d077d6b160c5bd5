"""Token amounts: integers in base units; the only place that converts them from and to what people type."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from django.utils.translation import gettext_lazy as _

from portal.exceptions import DomainError

MAX_UNITS: Final = 2**256 - 1


class InvalidAmount(DomainError):
    """What was typed is not an amount this token can have."""

    status_code = 400


def parse_units(text: str, *, decimals: int) -> int:
    """Base units of what a person typed: digits, optional grouping commas, full-width digits allowed.

    Raises `InvalidAmount` with code `amount.malformed`, `.not_positive`, `.too_fine` or `.too_large`.
    """
    cleaned = text.strip().translate(_FULL_WIDTH).replace(",", "")
    if not cleaned or any(c not in "0123456789.-+" for c in cleaned):
        raise InvalidAmount(_("Enter the amount in digits, for example 100."), code="amount.malformed")
    try:
        value = Decimal(cleaned)
    except InvalidOperation as error:
        raise InvalidAmount(_("Enter the amount in digits, for example 100."), code="amount.malformed") from error
    if value <= 0:
        raise InvalidAmount(_("The amount must be more than zero."), code="amount.not_positive")
    if len(cleaned) > 90 or value > MAX_UNITS:
        raise InvalidAmount(_("The amount is larger than any holding can be."), code="amount.too_large")
    units = value.scaleb(decimals)
    if units != units.to_integral_value():
        raise InvalidAmount(
            _("This security is counted in whole units only. Enter an amount without a fraction.")
            if decimals == 0
            else _("The amount has more decimal places than this security allows."),
            code="amount.too_fine",
        )
    if units > MAX_UNITS:
        raise InvalidAmount(_("The amount is larger than any holding can be."), code="amount.too_large")
    return int(units)


def format_units(units: int, *, decimals: int, grouping: bool = True) -> str:
    """Plain decimal text, never an exponent; grouped in threes unless it is for a file."""
    whole, fraction = divmod(abs(units), 10**decimals)
    text = f"{whole:,}" if grouping else str(whole)
    if decimals:
        text = f"{text}.{fraction:0{decimals}d}"
    return f"-{text}" if units < 0 else text


_FULL_WIDTH = {ord("０") + i: ord("0") + i for i in range(10)} | {
    ord("，"): ord(","),
    ord("．"): ord("."),
    ord("－"): ord("-"),
}
