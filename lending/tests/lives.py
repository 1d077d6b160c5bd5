"""What the test of whole lives works with: a clock that can be turned, loans as the desk makes them, a market, an exchange.

Everything is done by services. Only three things are put in place by hand: verified people, a document that shows an
income, and the Ether address of a loan, which is given out by the vault on the chain (`test_collateral_ether`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import count
from typing import Any, Final

from django.utils import timezone

from kyc.models import Application, Party
from lending.bitcoin.simulator.chain import Chain
from lending.defaults import ensure_first_terms
from lending.execution.venues import OrderRefused, Outcome, Smallest, Ticket, VenueUnavailable, judged
from lending.models import (
    Asset,
    Breaker,
    CreditApplication,
    DepositAddress,
    IncomeEvidence,
    Loan,
    LoanDocument,
    PriceSource,
    ProductTerms,
)
from lending.money import ASSET_DIGITS
from lending.prices.acceptance import Quote
from lending.prices.asking import Answer
from lending.selectors.prices import accepted_price
from lending.services import credit, loans, terms
from lending.services.collateral import approve_return_address, give_deposit_address, request_return_address
from lending.services.collateral.addresses import ether_network
from lending.services.prices import record_round, reset_breaker
from lending.tests import world
from portal.models import Role, User
from portal.testing import make_person

D = Decimal
_numbers = count(1)
#: A Wednesday; a year later is a Wednesday too.
BEGINS: Final = datetime(2026, 4, 1, 3, 0, tzinfo=timezone.get_fixed_timezone(0))
USD_JPY: Final = D(150)
START: Final = {"BTC": D(15_000_000), "ETH": D(450_000)}


class Clock:
    """What `timezone.now` answers. Only ever goes on."""

    def __init__(self) -> None:
        self.moment = BEGINS

    def now(self) -> datetime:
        return self.moment

    def goes_on(self, **by: float) -> None:
        self.moment += timedelta(**by)


@dataclass(frozen=True)
class Desk:
    one: User
    two: User
    three: User
    kyc_one: User
    kyc_two: User


@dataclass
class Variety:
    """Two loans of one borrower under one line that is smaller than both together, under terms of their own."""

    name: str
    currency: str
    borrower: User
    line_id: int
    loan_ids: list[int] = field(default_factory=list)


#: What each variety changes of the first terms of its currency and kind.
VARIETIES: Final[dict[str, dict[str, Any]]] = {
    "JPY individual": {"slice_limit": D(2_000_000)},
    "USD individual": {"slice_limit": D(20_000), "origination_fee_bps": 150, "sale_fee_bps": 100},
    "JPY corporate": {"slice_limit": D(3_000_000), "call_cured_by_price": False, "sale_target_bps": 18_000},
}
AMOUNTS: Final = {"JPY": D(10_000_000), "USD": D(70_000)}


def make_desk() -> Desk:
    people = [make_person(f"desk{n}@lives.example", role=Role.LOAN_OFFICER) for n in range(3)]
    people += [make_person(f"kyc{n}@lives.example", role=Role.KYC_OFFICER) for n in range(2)]
    world.load_list()
    ensure_first_terms()
    return Desk(*people)


def make_variety(name: str, desk: Desk) -> Variety:
    """From the verified person to two accepted contracts, everything by services with two people."""
    currency, kind = name.split()
    first = ProductTerms.objects.filter(currency=currency, borrower_kind=kind, state="approved").order_by("id")[0]
    kept = {
        each.name: getattr(first, each.name)
        for each in ProductTerms._meta.concrete_fields
        if each.name
        not in {"id", "state", "entered_by", "approved_by", "entered_at", "decided_at", "is_verified", "effective_from"}
    }
    row = terms.enter_terms(actor=desk.one, terms={**kept, **VARIETIES[name], "effective_from": timezone.localdate()})
    terms.decide_terms(terms_id=row.pk, actor=desk.two, approve=True)
    borrower = _verified(kind)
    amount = AMOUNTS[currency]
    line_id = _line(borrower, desk, currency, amount * D("1.4"))
    made = Variety(name, currency, borrower, line_id)
    for _number in range(2):
        made.loan_ids.append(_accepted(borrower, desk, line_id, amount).pk)
    home = request_return_address(actor=borrower, asset="BTC", address=HOME)
    approve_return_address(address_id=home.pk, actor=desk.one)
    return made


#: An address of the borrowers' own.
HOME: Final = Chain().wallet("home")


def _verified(kind: str) -> User:
    user = make_person(f"borrower{next(_numbers)}@lives.example")
    Party.objects.create(
        user=user, kind=kind, name="山田花子", is_verified=True, verified_on=date(2026, 1, 5), address="東京都"
    )
    Application.objects.create(user=user, kind=kind, state=Application.State.ACTIVE, submitted_at=timezone.now())
    return user


def _line(borrower: User, desk: Desk, currency: str, amount: Decimal) -> int:
    application = credit.submit_credit_application(
        actor=borrower, currency=currency, amount=amount, purpose="business", annual_income=amount * 3
    )
    IncomeEvidence.objects.create(
        application=application, kind="withholding", sha256="0" * 64, content_type="application/pdf", size=1,
        storage_name=f"lives{application.pk}", wrapped_key=b"x", key_id="x",
    )  # fmt: skip
    credit.claim_credit_application(application_id=application.pk, actor=desk.one)
    credit.decide_credit(
        application_id=application.pk, actor=desk.one, verdict="approve", reason="fine", amount=amount, rate_bps=500,
        income_verified=amount * 3,
    )  # fmt: skip
    credit.confirm_credit(application_id=application.pk, actor=desk.two, agrees=True, reason="agreed")
    return CreditApplication.objects.get(pk=application.pk).line.pk


def _accepted(borrower: User, desk: Desk, line_id: int, amount: Decimal) -> Loan:
    loan = loans.request_loan(line_id=line_id, actor=borrower, amount=amount, collateral_plan="BTC")
    for officer in (desk.one, desk.two):
        loans.approve_loan(loan_id=loan.pk, actor=officer)
    contract = LoanDocument.objects.filter(loan=loan, kind="contract")[0]
    loans.accept_contract(loan_id=loan.pk, actor=borrower, sha256=contract.sha256)
    give_deposit_address(loan_id=loan.pk, asset="BTC", actor=borrower)
    DepositAddress.objects.create(
        loan=loan, asset=Asset.ETH, network=ether_network(), address=f"0x{loan.pk:040x}", account=f"0x{loan.pk:064x}"
    )
    return loan


class Market:
    """Every source of every pair, saying the same unless something is broken."""

    def __init__(self, clock: Clock, desk: Desk) -> None:
        self.clock, self.desk = clock, desk
        self.values = dict(START)
        # Two of each pair: as many as it takes.
        self.sources = [
            source
            for pair in PriceSource.objects.order_by().values_list("pair", flat=True).distinct()
            for source in PriceSource.objects.filter(kind="exchange", pair=pair).order_by("id")[:2]
        ]

    def quote(self, pair: str) -> Decimal:
        asset, currency = pair.split("/")
        if asset == "USD":
            return USD_JPY
        value = self.values[asset]
        return value if currency == "JPY" else (value / USD_JPY).quantize(D("0.00000001"))

    def price(self, asset: str, currency: str) -> Decimal | None:
        found = accepted_price(f"{asset}/{currency}")
        return found.value if found else None

    def round(self, say: Any = None) -> None:
        """All sources are asked once. `say(source, honest value)` may change or leave out (None) an answer."""
        self.clock.goes_on(seconds=1)
        now = self.clock.now()
        answers = []
        for source in self.sources:
            value = self.quote(source.pair)
            value = say(source, value) if say else value
            answers.append(
                Answer(source.pk, now, None, "timeout") if value is None else Answer(source.pk, now, Quote(value, None))
            )
        record_round(answers=answers, started_at=now)

    def agree(self) -> None:
        """Rounds until the present values are accepted; the desk confirms a jump that rounds cannot."""
        for number in range(12):
            self.round()
            if all(
                self.price(asset, currency) == self.quote(f"{asset}/{currency}")
                for asset in START
                for currency in ("JPY", "USD")
            ):
                return
            if number >= 3:
                for breaker in Breaker.objects.filter(state="open", cause="jump", accept_next=False):
                    reset_breaker(pair=breaker.pair, actor=self.desk.one, reason="looked")
        raise AssertionError(f"no agreement: {list(Breaker.objects.values())}")


class Exchange:
    """A back end with moods. What it carried out it remembers, and its answers go through the real judgement."""

    name = "chance"

    def __init__(self) -> None:
        self.mood, self.share = "full", D(1)
        self.orders: dict[str, dict[str, Any]] = {}

    def smallest(self, symbol: str) -> Smallest:
        return Smallest()

    def place(self, ticket: Ticket) -> Outcome | None:
        assert ticket.client_order_id not in self.orders, "sent twice"
        if self.mood == "refuse":
            raise OrderRefused("no funds")
        if self.mood == "down":
            raise VenueUnavailable("503")
        self.orders[ticket.client_order_id] = self._carried_out(ticket)
        if self.mood == "lost":
            raise VenueUnavailable("connection reset")
        return self.find(ticket)

    def _carried_out(self, ticket: Ticket) -> dict[str, Any]:
        share = {"partial": self.share, "nothing": D(0), "crumb": D(0)}.get(self.mood, D(1))
        units = int(ticket.units * share) + (1 if self.mood == "crumb" else 0)
        filled = D(units).scaleb(-ASSET_DIGITS[ticket.asset])
        cost = filled * ticket.limit_price
        fee = (cost * D("0.0026")).quantize(D("0.00000001"), rounding=ROUND_DOWN)
        return {
            "id": f"X{len(self.orders)}", "clientOrderId": ticket.client_order_id, "symbol": ticket.symbol, "side": "sell",
            "status": "closed" if units == ticket.units else "canceled", "filled": str(filled), "cost": str(cost),
            "fee": {"cost": str(fee), "currency": ticket.symbol.partition("/")[2]},
        }  # fmt: skip

    def find(self, ticket: Ticket) -> Outcome | None:
        if self.mood in ("down", "mute"):
            raise VenueUnavailable("503")
        order = self.orders.get(ticket.client_order_id)
        if order is None:
            return None
        if self.mood == "nonsense":
            order = {**order, **NONSENSE[len(self.orders) % len(NONSENSE)](order)}
        return judged(order, ticket)


#: Answers that cannot be true.
NONSENSE: Final[list[Any]] = [
    lambda order: {"filled": str(D(order["filled"]) * 2 + 1)},
    lambda order: {"filled": "-1"},
    lambda order: {"cost": "NaN"},
    lambda order: {"cost": "0.01", "filled": "0"},
    lambda order: {"fee": {"cost": str(D(order["cost"]) + 1)}},
    lambda order: {"side": "buy"},
    lambda order: {"status": "fine"},
    lambda order: {"symbol": "DOGE/JPY"},
]
