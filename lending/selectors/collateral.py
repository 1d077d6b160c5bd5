"""What the collateral of loans looks like: addresses, deposits, returns, and what may leave."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Final

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from lending import coverage
from lending.coverage import BPS, Prices
from lending.models import (
    Account,
    Asset,
    Delivery,
    Deposit,
    DepositAddress,
    Loan,
    Position,
    Posting,
    ReturnAddress,
    SaleOrder,
    Withdrawal,
)
from lending.money import ASSET_DIGITS, EXACT, from_minor
from portal.compiled import RowCount
from portal.models import User


@dataclass(frozen=True, slots=True)
class Holding:
    """One asset of one loan, in base units."""

    asset: str
    counted: int
    leaving: int


def collateral_of(loan: Loan) -> dict[str, Holding]:
    """What the ledger says is owed back, per asset (one query)."""
    rows = (
        Posting.objects.filter(loan=loan, account__in=[Account.COLLATERAL, Account.LEAVING])
        .order_by()
        .values_list("unit", "account")
        .annotate(total=Sum("amount"))
    )
    sums = {(unit, account): -int(total) for unit, account, total in rows}
    return {
        asset: Holding(asset, sums.get((asset, Account.COLLATERAL), 0), sums.get((asset, Account.LEAVING), 0))
        for asset in Asset.values
    }


def deposit_address(loan: Loan, asset: str) -> DepositAddress | None:
    """The address the borrower sends an asset to, if it was given out."""
    return (
        DepositAddress.objects.filter(loan=loan, asset=asset, purpose=DepositAddress.Purpose.DEPOSIT)
        .order_by("-id")
        .first()
    )


def deposits_of(loan: Loan) -> QuerySet[Deposit]:
    """Every deposit of a loan, newest first."""
    return Deposit.objects.filter(loan=loan).select_related("address").order_by("-id")


def is_frozen(loan: Loan) -> bool:
    """Whether a deposit of the loan that was here already was found on a sanctions list and nobody has cleared it."""
    return Deposit.objects.filter(loan=loan, listed_at__isnull=False).exists()


def held_deposits() -> QuerySet[Deposit]:
    """What waits for two people: held or found on a list after it counted, not blocked, oldest first."""
    return (
        Deposit.objects.filter(Q(state=Deposit.State.HELD) | Q(listed_at__isnull=False), is_blocked=False)
        .select_related("loan__borrower")
        .prefetch_related("dispositions__proposed_by", "hand_returns__recorded_by")
        .order_by("id")
    )


def listed_deposits() -> QuerySet[Deposit]:
    """What waits for two KYC officers: its sender is on a list, found before it counted or after."""
    return held_deposits().filter(
        Q(hold=Deposit.Hold.SANCTIONED, state=Deposit.State.HELD) | Q(listed_at__isnull=False)
    )


def listed_count(_user: User) -> int:
    """How many wait, for the menu."""
    return _listed()


_listed: Final = RowCount(lambda _key: listed_deposits())


def open_withdrawals() -> QuerySet[Withdrawal]:
    """What is on its way to leave, oldest first."""
    return (
        Withdrawal.objects.filter(state__in=Withdrawal.OPEN)
        .select_related("loan__borrower", "destination", "transaction")
        .order_by("id")
    )


def withdrawals_of(loan: Loan) -> QuerySet[Withdrawal]:
    return Withdrawal.objects.filter(loan=loan).select_related("destination", "transaction").order_by("-id")


def current_return_address(borrower: User, asset: str) -> ReturnAddress | None:
    """Where coins of an asset go today: the newest approved address whose wait is over."""
    return (
        ReturnAddress.objects.filter(
            borrower=borrower, asset=asset, state=ReturnAddress.State.APPROVED, effective_at__lte=timezone.now()
        )
        .order_by("-effective_at", "-id")
        .first()
    )


def promised_units(loan: Loan, asset: str, *, but: int | None = None) -> int:
    """Counted units that requests still open, and not yet approved, would take away."""
    rows = Withdrawal.objects.filter(
        loan=loan,
        asset=asset,
        state__in=[Withdrawal.State.REQUESTED, Withdrawal.State.CHECKED],
        kind__in=[Withdrawal.Kind.EXCESS, Withdrawal.Kind.RELEASE],
    )
    if but is not None:
        rows = rows.exclude(pk=but)
    return int(rows.aggregate(total=Sum("units"))["total"] or 0)


def away_units(loan: Loan, asset: str) -> int:
    """Counted units that are not in custody: on their way to the exchange, there, or on their way back."""
    state, rows = Delivery.State, Delivery.objects.filter(sale__loan=loan, asset=asset)
    gone = rows.filter(direction=Delivery.Direction.OUT).exclude(state=state.FAILED)
    back = rows.filter(direction=Delivery.Direction.BACK, state=state.ARRIVED)
    sold = SaleOrder.objects.filter(sale__loan=loan, asset=asset).aggregate(total=Sum("filled_units"))["total"]
    sums = [int(each.aggregate(total=Sum("units"))["total"] or 0) for each in (gone, back)]
    # Orders filled where nothing was delivered are of no delivery's coins.
    return max(0, sums[0] - sums[1] - int(sold or 0))


def excess(*, position: Position, asset: str, prices: Prices, floor_bps: int) -> int:
    """Base units of `asset` that may leave so that coverage stays at `floor_bps` or more; never below zero.

    Rounded against the borrower. Raises ValueError when a price that is needed is missing.
    """
    held = position.btc_sats if asset == Asset.BTC else int(position.eth_wei)
    if position.debt == 0:
        return held
    price = prices.btc if asset == Asset.BTC else prices.eth
    worth = coverage.value(btc_sats=position.btc_sats, eth_wei=int(position.eth_wei), prices=prices)
    needed = EXACT.divide(
        EXACT.multiply(from_minor(position.debt, position.currency), Decimal(floor_bps)), Decimal(BPS)
    )
    spare = EXACT.subtract(worth, needed)
    if spare <= 0 or price is None or price <= 0:
        return 0
    keep = EXACT.subtract(from_minor(held, asset), EXACT.divide(spare, price))
    kept = int(EXACT.scaleb(keep, ASSET_DIGITS[asset]).to_integral_value(rounding=ROUND_UP, context=EXACT))
    return max(0, held - max(0, kept))
