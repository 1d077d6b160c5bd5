"""Rules about single answers. The model fields carry them, so a form and a script meet the same ones."""

from __future__ import annotations

import re
from datetime import date

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

ADULT_YEARS = 18  # Civil Code art. 4
_KANA = re.compile(r"^[ァ-ヺー・ 　]+$")
_LATIN = re.compile(r"^[A-Za-zÀ-ÖØ-öø-ÿ '’.\-]+$")
_COMPANY_LATIN = re.compile(r"^[A-Za-zÀ-ÖØ-öø-ÿ0-9 '’.,&()/\-]+$")


def validate_katakana(value: str) -> None:
    if value and not _KANA.match(value):
        raise ValidationError(_("Enter it in katakana, for example ヤマダ."), code="kana")


def validate_latin(value: str) -> None:
    if value and not _LATIN.match(value):
        raise ValidationError(_("Enter it in Latin letters as in a passport, for example YAMADA."), code="latin")


def validate_company_latin(value: str) -> None:
    if value and not _COMPANY_LATIN.match(value):
        raise ValidationError(_("Enter it in Latin letters, for example Musubi Trading Co., Ltd."), code="latin")


def validate_birth_date(value: date) -> None:
    today = timezone.localdate()
    if value >= today:
        raise ValidationError(_("The date of birth must be in the past."), code="future")
    if today.year - value.year > 120:
        raise ValidationError(_("Check the year of birth."), code="too_old")


def validate_adult(value: date) -> None:
    validate_birth_date(value)
    today = timezone.localdate()
    years = today.year - value.year - ((today.month, today.day) < (value.month, value.day))
    if years < ADULT_YEARS:
        raise ValidationError(_("You must be 18 or older to apply."), code="minor")


def validate_corporate_number(value: str) -> None:
    """13 digits, the first a check digit: 9 − (Σ digit × weight) mod 9, weights 1, 2, 1, … from the right.

    Source: Ordinance on the designation of corporate numbers (法人番号の指定等に関する省令) art. 2.
    """
    if not value:
        return
    if not re.fullmatch(r"\d{13}", value):
        raise ValidationError(_("A corporate number has 13 digits."), code="length")
    total = sum(int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(value[1:])))
    if int(value[0]) != 9 - total % 9:
        raise ValidationError(_("This is not a corporate number: check the digits."), code="check_digit")


def validate_country(value: str) -> None:
    from kyc.countries import CODES

    if value and value not in CODES:
        raise ValidationError(_("Choose a country from the list."), code="country")


def validate_phone(value: str) -> None:
    if value and not re.fullmatch(r"\+?[0-9]{9,15}", value):
        raise ValidationError(_("Enter the telephone number in digits, for example 0312345678."), code="phone")
