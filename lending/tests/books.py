"""Books of open loans for tests of the sweep, calls and sales: rows as the life of a loan leaves them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.utils import timezone

from lending.models import (
    CreditApplication,
    CreditLine,
    Loan,
    Position,
    Price,
    PriceRound,
    PriceTick,
    ProductTerms,
    Stage,
)
from lending.services import positions
from portal.models import User

_numbers = count(1)
START = {
    "BTC/JPY": Decimal(15_000_000),
    "ETH/JPY": Decimal(500_000),
    "BTC/USD": Decimal(100_000),
    "ETH/USD": Decimal(3_300),
}


def terms(currency: str = "JPY", **changes: Any) -> ProductTerms:
    values: dict[str, Any] = {
        "rate_min_bps": 400, "rate_max_bps": 800, "late_rate_bps": 1500, "term_months": 12, "amount_min": 1,
        "amount_max": 10**12, "origination_bps": 20_000, "reminder_first_bps": 17_500, "reminder_second_bps": 16_000,
        "call_bps": 15_000, "sale_bps": 12_000, "call_target_bps": 20_000, "sale_target_bps": 15_000,
        "withdrawal_floor_bps": 20_000, "call_deadline_hours": 48, "sale_cost_bps": 100, "slice_limit": Decimal(50_000_000),
        "close_out_below": Decimal(1_000), "deposit_min_sats": 1, "deposit_min_wei": 1, **changes,
    }  # fmt: skip
    day = timezone.localdate() - timedelta(days=next(_numbers))
    return ProductTerms.objects.create(
        currency=currency, borrower_kind="individual", effective_from=day, state="entered", **values
    )


def _people() -> tuple[User, User, User]:
    names = ("borrower", "first", "second")
    return tuple(User.objects.get_or_create(email=f"{name}@books.example")[0] for name in names)  # type: ignore[return-value]


def loan(*, currency: str = "JPY", on: ProductTerms | None = None, state: str = "active") -> Loan:
    """An open loan without money in the ledger; `position` gives it what the sweep reads."""
    borrower, first, second = _people()
    number = next(_numbers)
    common = {"borrower_kind": "individual", "currency": currency, "amount": Decimal(10**9)}
    subject = f"0x{number}"
    application = CreditApplication.objects.create(
        applicant=borrower, subject=subject, purpose="other", state="approved", submitted_at=timezone.now(), **common
    )
    line = CreditLine.objects.create(
        borrower=borrower, subject=subject, rate_bps=500, application=application,
        first_officer=first, second_officer=second, **common,
    )  # fmt: skip
    today, now = timezone.localdate(), timezone.now()
    return Loan.objects.create(
        reference=f"T{number}", borrower=borrower, line=line, terms=on or terms(currency), rate_bps=500, state=state,
        first_approval_by=first, approved_by=second, approved_at=now, accepted_at=now, started_on=today,
        matures_on=today + timedelta(days=365), due_on=today + timedelta(days=365), **common,
    )  # fmt: skip


def position(row: Loan, *, btc: int = 0, eth: int = 0, debt: int = 0, stage: int = Stage.REMINDER_FIRST) -> Position:
    found = Position(loan=row, currency=row.currency, btc_sats=btc, eth_wei=eth, debt=debt, stage=stage)
    found.threshold_bps = positions.threshold(row.terms, stage)
    positions.reindex(found)
    found.save()
    return found


def tick(currency: str = "JPY", *, btc: Decimal | None = None, eth: Decimal | None = None) -> PriceTick:
    """Accepted prices and the evaluation that waits for them."""
    now = timezone.now()
    price_round = PriceRound.objects.create(started_at=now, finished_at=now)
    rows = {
        asset: Price.objects.create(pair=f"{asset}/{currency}", value=value, at=now, price_round=price_round, sources=3)
        for asset, value in (("BTC", btc), ("ETH", eth))
        if value is not None
    }
    return PriceTick.objects.create(
        price_round=price_round, currency=currency, btc=rows.get("BTC"), eth=rows.get("ETH")
    )
