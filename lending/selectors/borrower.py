"""One loan as its borrower and the desk look at it: what is owed, what stands for it, what happens at which price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from lending import coverage
from lending.exceptions import NoAcceptedPrice
from lending.models import (
    CreditLine,
    Deposit,
    DepositAddress,
    Loan,
    MarginCall,
    Position,
    ReturnAddress,
    Sale,
    Withdrawal,
)
from lending.money import ASSET_DIGITS, EXACT, from_minor, money
from lending.selectors.ledger import Debt, balances, debt_of
from lending.selectors.prices import prices_of
from lending.selectors.valuation import Valuation, value_loan, value_position
from lending.services.draws import Room, room_for
from portal.models import User
from portal.money import Money

BPS = coverage.BPS


@dataclass(frozen=True, slots=True)
class Step:
    """What a falling price brings: at which coverage, and at which price of one coin (one asset) or fall (both).

    `is_next` marks the step that comes next; `is_past` those that were reached.
    """

    name: Any
    threshold_bps: int
    price: Money | None
    fall_bps: int | None
    is_next: bool = False
    is_past: bool = False


@dataclass(frozen=True, slots=True)
class TopUp:
    """How much of one asset brings coverage to `target_bps` at the prices of now."""

    target_bps: int
    asset: str
    units: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A loan at one moment. Without an accepted price `valuation` is None and nothing here is guessed."""

    loan: Loan
    debt: Debt
    btc_sats: int
    eth_wei: int
    valuation: Valuation | None
    steps: tuple[Step, ...]
    top_ups: tuple[TopUp, ...]

    @property
    def coverage_bps(self) -> int | None:
        return self.valuation.coverage_bps if self.valuation else None

    @property
    def coverage_percent(self) -> Decimal | None:
        return None if self.coverage_bps is None else Decimal(self.coverage_bps) / 100

    @property
    def ltv_bps(self) -> int | None:
        """Loan to value: 200 % coverage is 50 %."""
        return BPS * BPS // self.coverage_bps if self.coverage_bps else None

    @property
    def worth(self) -> Money | None:
        if self.valuation is None:
            return None
        return Money(self.valuation.worth, self.loan.currency).truncated()

    @property
    def principal(self) -> Money:
        return money(self.debt.principal, self.loan.currency)

    @property
    def interest(self) -> Money:
        return money(self.debt.interest, self.loan.currency)

    @property
    def charges(self) -> Money:
        return money(self.debt.charges + self.debt.late, self.loan.currency)

    @property
    def collateral(self) -> list[tuple[str, int]]:
        """(asset, base units) of what stands for the loan."""
        return [(asset, units) for asset, units in (("BTC", self.btc_sats), ("ETH", self.eth_wei)) if units]


def loans_for(user: User) -> QuerySet[Loan]:
    """One's own loans, newest first."""
    return Loan.objects.filter(borrower=user).select_related("terms", "line", "position")


def standing_of(loan: Loan) -> Standing:
    """The loan with its debt, collateral and steps. A constant number of queries."""
    position = _position(loan)
    valuation = _valued(position)
    debt = debt_of(loan)
    return Standing(
        loan=loan,
        debt=debt,
        btc_sats=int(position.btc_sats),
        eth_wei=int(position.eth_wei),
        valuation=valuation,
        steps=tuple(_steps(loan, position, valuation)),
        top_ups=tuple(_top_ups(loan, position, valuation)),
    )


def _position(loan: Loan) -> Position:
    return getattr(loan, "position", None) or Position(loan=loan, currency=loan.currency)


def _valued(position: Position) -> Valuation | None:
    try:
        return value_position(position)
    except NoAcceptedPrice:
        return None


def steps_of_terms(loan: Loan) -> list[tuple[Any, int]]:
    """(name, coverage) of each step that a falling price brings, from the loan's terms."""
    terms = loan.terms
    return [
        (_("First reminder"), terms.reminder_first_bps),
        (_("Second reminder"), terms.reminder_second_bps),
        (_("More collateral is called"), terms.call_bps),
        (_("Collateral is sold"), terms.sale_bps),
    ]


def _steps(loan: Loan, position: Position, valuation: Valuation | None) -> Iterable[Step]:
    if position.debt <= 0 or not (position.btc_sats or position.eth_wei):
        return
    reached = valuation.coverage_bps if valuation else None
    found_next = False
    for name, threshold in steps_of_terms(loan):
        is_past = reached is not None and reached < threshold
        is_next = reached is not None and not is_past and not found_next
        found_next = found_next or is_next
        fall = None
        if reached:
            fall = max(0, BPS - threshold * BPS // reached)
        yield Step(name, threshold, _trigger_price(position, threshold), fall, is_next, is_past)


def _trigger_price(position: Position, threshold: int) -> Money | None:
    """The price of one coin at which coverage is `threshold`; None with both assets, which no single price decides."""
    held = [("BTC", int(position.btc_sats)), ("ETH", int(position.eth_wei))]
    held = [(asset, units) for asset, units in held if units]
    if len(held) != 1:
        return None
    asset, units = held[0]
    needed = EXACT.multiply(from_minor(position.debt, position.currency), Decimal(threshold))
    price = EXACT.divide(needed, EXACT.multiply(from_minor(units, asset), Decimal(BPS)))
    return Money(price, position.currency).truncated()


_TYPED_UNITS: Final = {"BTC": 1, "ETH": 10**12}


def _top_ups(loan: Loan, position: Position, valuation: Valuation | None) -> Iterable[TopUp]:
    """For each target not reached yet: how much bitcoin, or how much ether, reaches it."""
    if valuation is None or position.debt <= 0:
        return
    for target in (loan.terms.call_bps, loan.terms.reminder_first_bps, loan.terms.origination_bps):
        if valuation.reaches(target):
            continue
        owed = EXACT.multiply(from_minor(position.debt, loan.currency), Decimal(target))
        missing = EXACT.divide(owed, Decimal(BPS)) - valuation.worth
        for asset, price in _prices(loan).items():
            units = EXACT.divide(missing, price)
            exact = int(EXACT.scaleb(units, ASSET_DIGITS[asset])) + 1
            # Rounded up to what people type: a satoshi, a millionth of an ether.
            step = _TYPED_UNITS[asset]
            yield TopUp(target, asset, -(-exact // step) * step)


def _prices(loan: Loan) -> dict[str, Decimal]:
    found = prices_of(loan.currency)
    return {asset: price for asset, price in (("BTC", found.btc), ("ETH", found.eth)) if price}


def chart_of(standing: Standing) -> list[tuple[int, Decimal]]:
    """Coverage in percent if all prices moved together, from 40 to 150 % of now: (price in percent, coverage)."""
    reached = standing.coverage_bps
    if reached is None:
        return []
    return [(part, Decimal(reached) * part / 100 / 100) for part in range(40, 155, 5)]


def marks_of(loan: Loan) -> list[int]:
    """The coverages in percent that decide, from the loan's terms: draw from, call below, sell from."""
    terms = loan.terms
    return [bps // 100 for bps in (terms.origination_bps, terms.call_bps, terms.sale_bps)]


# --- what belongs to a loan ----------------------------------------------------------------------------------------


def addresses_of(loan: Loan) -> list[DepositAddress]:
    return list(loan.deposit_addresses.filter(purpose=DepositAddress.Purpose.DEPOSIT).order_by("asset"))


def deposits_of(loan: Loan) -> QuerySet[Deposit]:
    return loan.deposits.order_by("-id")


def withdrawals_of(loan: Loan) -> QuerySet[Withdrawal]:
    return Withdrawal.objects.filter(loan=loan).order_by("-id")


def open_call(loan: Loan) -> MarginCall | None:
    """The call that waits for the borrower, if there is one."""
    return loan.calls.filter(state=MarginCall.State.OPEN).first()


def sales_of(loan: Loan) -> QuerySet[Sale]:
    return loan.sales.prefetch_related("orders", "deliveries").order_by("-id")


def return_addresses_of(user: User) -> QuerySet[ReturnAddress]:
    """Every address one asked for, newest first."""
    return ReturnAddress.objects.filter(borrower=user).order_by("-id")


def draw_room(loan: Loan) -> Room | None:
    """What may be drawn now and the caps it comes from; None without an accepted price. Writes nothing."""
    try:
        return room_for(loan, value_loan(loan), line=open_line(loan))
    except NoAcceptedPrice:
        return None


def open_line(loan: Loan) -> CreditLine | None:
    """The borrower's line in the loan's currency that is not closed."""
    lines = CreditLine.objects.filter(subject=loan.line.subject, currency=loan.currency)
    return lines.exclude(state=CreditLine.State.CLOSED).first()


def surplus_owed(loan: Loan) -> Money:
    """What is the borrower's and still with us."""
    return money(-balances(loan_id=loan.pk).get(("surplus", loan.currency), 0), loan.currency)
