"""Loans and people for the tests of collateral, made as rows: how a loan comes about is tested elsewhere."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.utils import timezone

from kyc.management.commands.load_sanctions_list import SAMPLE
from kyc.models import SanctionsEntry, SanctionsList, SanctionsWallet
from kyc.screening.ofac import address_key
from kyc.services import load_sanctions_list
from lending.models import (
    Account,
    Accrual,
    CreditApplication,
    CreditLine,
    EntryKind,
    Loan,
    Price,
    PricePolicy,
    PriceRound,
    ProductTerms,
    Stage,
)
from lending.services import positions
from lending.services.ledger import Line, post
from portal.models import Role, User
from portal.testing import make_person

_numbers = count(1)

TERMS: dict[str, Any] = {
    "rate_min_bps": 400,
    "rate_max_bps": 800,
    "late_rate_bps": 1500,
    "term_months": 12,
    "origination_bps": 20_000,
    "reminder_first_bps": 17_500,
    "reminder_second_bps": 16_000,
    "call_bps": 15_000,
    "sale_bps": 12_000,
    "call_target_bps": 20_000,
    "sale_target_bps": 15_000,
    "withdrawal_floor_bps": 20_000,
    "call_deadline_hours": 48,
    "sale_cost_bps": 100,
    "deposit_min_sats": 100_000,
    "deposit_min_wei": 10**16,
    "amount_min": Decimal(2_000_000),
    "amount_max": Decimal(500_000_000),
    "slice_limit": Decimal(50_000_000),
    "close_out_below": Decimal(100_000),
}


def person(role: Role | None = None) -> User:
    number = next(_numbers)
    return make_person(f"person{number}@example.jp", role=role)


def officer() -> User:
    return person(Role.LOAN_OFFICER)


def make_loan(*, state: str = Loan.State.COLLATERAL_PENDING, borrower: User | None = None) -> Loan:
    """A loan in yen that two officers approved and whose contract was accepted."""
    borrower = borrower or person()
    first, second = officer(), officer()
    now = timezone.now()
    terms = ProductTerms.objects.filter(currency="JPY", borrower_kind="individual", state="approved").first()
    if terms is None:
        terms = ProductTerms.objects.create(
            currency="JPY", borrower_kind="individual", effective_from=date(2026, 1, 1), state="approved", **TERMS
        )
    application = CreditApplication.objects.create(
        applicant=borrower,
        subject=f"0x{borrower.pk:064x}",
        borrower_kind="individual",
        currency="JPY",
        amount=Decimal(10_000_000),
        purpose="other",
        submitted_at=now,
        state="approved",
    )
    line = CreditLine.objects.create(
        borrower=borrower,
        subject=application.subject,
        borrower_kind="individual",
        currency="JPY",
        amount=Decimal(10_000_000),
        rate_bps=500,
        application=application,
        first_officer=first,
        second_officer=second,
    )
    started = timezone.localdate()
    loan = Loan.objects.create(
        reference=f"L-{next(_numbers):06d}",
        borrower=borrower,
        borrower_kind="individual",
        line=line,
        terms=terms,
        currency="JPY",
        amount=Decimal(10_000_000),
        rate_bps=500,
        state=state,
        first_approval_by=first,
        approved_by=second,
        approved_at=now,
        accepted_at=now,
        started_on=started,
        matures_on=started + timedelta(days=365),
        due_on=started + timedelta(days=365),
    )
    positions.open_position(loan=loan)
    return loan


def lend(loan: Loan, yen: int) -> Loan:
    """Money was paid out: the loan is running and owes it."""
    Accrual.objects.get_or_create(
        loan=loan,
        defaults={
            "currency": "JPY",
            "principal": 0,
            "rate_bps": 500,
            "late_rate_bps": 1500,
            "due_on": loan.due_on or timezone.localdate(),
            "through": timezone.localdate(),
        },
    )
    Loan.objects.filter(pk=loan.pk).update(state=Loan.State.ACTIVE)
    post(
        kind=EntryKind.DRAW,
        key=f"test-draw:{loan.pk}:{next(_numbers)}",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[Line(Account.PRINCIPAL, "JPY", yen, loan.pk), Line(Account.CASH, "JPY", -yen)],
    )
    loan.refresh_from_db()
    positions.set_stage(loan=loan, stage=Stage.REMINDER_FIRST)
    return loan


def accept_price(asset: str, yen: int) -> Price:
    """An accepted price of one coin, valid for an hour."""
    pair = f"{asset}/JPY"
    PricePolicy.objects.update_or_create(pair=pair, defaults={"valid_seconds": 3600})
    now = timezone.now()
    return Price.objects.create(
        pair=pair,
        value=Decimal(yen),
        at=now,
        price_round=PriceRound.objects.create(started_at=now, finished_at=now),
        sources=3,
        is_cross_checked=True,
    )


def load_list() -> SanctionsList:
    return load_sanctions_list(
        kind="ofac", directory=SAMPLE, name="OFAC sample", published_on=date(2026, 11, 2), is_sample=True
    )


def list_address(address: str) -> None:
    """Put an address on the list in force."""
    entry = SanctionsEntry.objects.filter(sanctions_list__is_current=True).order_by("pk")[0]
    SanctionsWallet.objects.create(entry=entry, currency="XBT", address=address, address_key=address_key(address))
