"""Token amounts: integers in base units; the only place that converts them from and to what people type."""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import gettext_lazy as _

from portal.exceptions import DomainError

MAX_UNITS: Final = 2**256 - 1
_MAX_DIGITS: Final = len(str(MAX_UNITS))
_DIGITS: Final = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?")


class InvalidAmount(DomainError):
    """What was typed is not an amount this token can have."""

    status_code = 400


def parse_units(text: str, *, decimals: int) -> int:
    """Base units of what a person typed: digits, optional grouping commas, full-width digits allowed.

    Raises `InvalidAmount` with code `amount.malformed`, `.not_positive`, `.too_fine` or `.too_large`.
    """
    cleaned = text.strip().translate(_FULL_WIDTH).replace(",", "")
    typed = _DIGITS.fullmatch(cleaned)
    if not typed or not (typed["whole"] or typed["fraction"]):
        raise InvalidAmount(_("Enter the amount in digits, for example 100."), code="amount.malformed")
    whole, fraction = typed["whole"].lstrip("0"), (typed["fraction"] or "").rstrip("0")
    if typed["sign"] == "-" or not (whole or fraction):
        raise InvalidAmount(_("The amount must be more than zero."), code="amount.not_positive")
    # Text first, integers after: Decimal's 28 digits of context would round what is larger.
    if len(whole) > _MAX_DIGITS:
        raise InvalidAmount(_("The amount is larger than any holding can be."), code="amount.too_large")
    if len(fraction) > decimals:
        raise InvalidAmount(
            _("This security is counted in whole units only. Enter an amount without a fraction.")
            if decimals == 0
            else _("The amount has more decimal places than this security allows."),
            code="amount.too_fine",
        )
    units = int(whole + fraction.ljust(decimals, "0"))
    if units > MAX_UNITS:
        raise InvalidAmount(_("The amount is larger than any holding can be."), code="amount.too_large")
    return units


def format_units(units: int, *, decimals: int, grouping: bool = True) -> str:
    """Plain decimal text, never an exponent; grouped in threes unless it is for a file."""
    whole, fraction = divmod(abs(units), 10**decimals)
    text = f"{whole:,}" if grouping else str(whole)
    if decimals:
        text = f"{text}.{fraction:0{decimals}d}"
    return f"-{text}" if units < 0 else text


def plural_number(units: int, *, decimals: int) -> int:
    """What decides between “unit” and “units” beside the amount: one is written `1` only when there are no decimals."""
    return abs(units) if decimals == 0 else 2


_FULL_WIDTH = {ord("０") + i: ord("0") + i for i in range(10)} | {
    ord("，"): ord(","),
    ord("．"): ord("."),
    ord("－"): ord("-"),
}
