"""Which terms and limits are in force."""

from __future__ import annotations

import contextlib
from datetime import date

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from kyc.selectors import party_for
from lending.exceptions import NoTerms
from lending.models import BankDay, Currency, ProductTerms
from portal.models import User


def terms_in_force(*, currency: str, borrower_kind: str, on: date | None = None) -> ProductTerms:
    """The approved terms of the day. Raises `NoTerms`: without terms nothing is lent."""
    found = (
        ProductTerms.objects.filter(
            currency=currency,
            borrower_kind=borrower_kind,
            state=ProductTerms.State.APPROVED,
            effective_from__lte=on or timezone.localdate(),
        )
        .order_by("-effective_from")
        .first()
    )
    if found is None:
        raise NoTerms(
            _("No approved terms are in force for this currency and kind of borrower. Nothing was changed."),
            code="lending.terms.none",
        )
    return found


def terms_for(user: User, *, currency: str = "") -> list[ProductTerms]:
    """The terms in force for this person's kind of borrower, in one currency or all; empty for who is not verified."""
    party = party_for(user)
    if party is None:
        return []
    found = []
    for each in [currency] if currency else list(Currency.values):
        with contextlib.suppress(NoTerms):
            found.append(terms_in_force(currency=each, borrower_kind=party.kind))
    return found


def all_terms() -> QuerySet[ProductTerms]:
    """Every version, newest first within its kind."""
    return ProductTerms.objects.select_related("entered_by", "approved_by")


def bank_days() -> QuerySet[BankDay]:
    return BankDay.objects.select_related("entered_by", "reviewed_by")
