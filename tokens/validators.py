"""Shapes of codes in the terms."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]\Z")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9-]{1,11}\Z")


def isin_check_digit(body: str) -> str:
    """The twelfth character of an ISIN from its first eleven (ISO 6166: Luhn over letters as 10 to 35)."""
    digits = "".join(str(int(character, 36)) for character in body)
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return str(-total % 10)


def validate_isin(value: str) -> None:
    """Two letters, nine letters or digits, and the check digit they give."""
    if not _ISIN.match(value):
        raise ValidationError(
            _("An ISIN has two letters, nine letters or digits and one check digit, for example JP3000000012."),
            code="isin_shape",
        )
    if isin_check_digit(value[:11]) != value[11]:
        raise ValidationError(
            _("The check digit of this ISIN is not right. Look for a mistyped character."), code="isin_check"
        )


def validate_symbol(value: str) -> None:
    if not _SYMBOL.match(value):
        raise ValidationError(_("Use 2 to 12 capital letters, digits or hyphens."), code="symbol_shape")
