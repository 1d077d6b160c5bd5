"""The edges of a loan's life: cents, leap years, holidays, rates that are none, two people at the same moment, late news."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from lending import calendar, interest
from lending.exceptions import CreditRefused, FormReused, LoanRefused, OverTheCap, TermsNotAllowed
from lending.models import (
    CreditApplication,
    CreditLine,
    Draw,
    IncomeEvidence,
    Loan,
    LoanDocument,
    Price,
    ProductTerms,
    Renewal,
    Sale,
)
from lending.selectors.ledger import debt_of, surplus_of
from lending.services import accrual, credit, draws, endings, loans, positions, repayments, sales, terms
from lending.tests import lives
from lending.tests.test_loan_life import accept, borrower, desk, draw, give, pay, pending, require_balanced
from portal.models import User

__all__ = ["borrower", "desk", "pending"]
D = Decimal
S = Loan.State


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> lives.Clock:
    """Before everything else: the days of these tests are their own."""
    turned = lives.Clock()
    monkeypatch.setattr(timezone, "now", turned.now)
    return turned


def on(clock: lives.Clock, day: date) -> None:
    """Noon of `day` in Tokyo, with prices that hold."""
    clock.moment = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)


# --- cents -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def dollars(clock: lives.Clock, borrower: User, desk: tuple[User, User]) -> Loan:
    """A contract of 80,000 dollars; one bitcoin, worth 146,000.02 dollars, deposited."""
    first, second = desk
    application = credit.submit_credit_application(
        actor=borrower, currency="USD", amount=D(80_000), purpose="business", annual_income=D(240_000)
    )
    IncomeEvidence.objects.create(
        application=application, kind="withholding", sha256="0" * 64, content_type="application/pdf", size=1,
        storage_name="usd", wrapped_key=b"x", key_id="x",
    )  # fmt: skip
    credit.claim_credit_application(application_id=application.pk, actor=first)
    credit.decide_credit(
        application_id=application.pk, actor=first, verdict="approve", reason="fine", amount=D(80_000), rate_bps=500,
        income_verified=D(240_000),
    )  # fmt: skip
    credit.confirm_credit(application_id=application.pk, actor=second, agrees=True, reason="agreed")
    line = CreditApplication.objects.get(pk=application.pk).line
    loan = loans.request_loan(line_id=line.pk, actor=borrower, amount=D(80_000), collateral_plan="BTC")
    for officer in desk:
        loans.approve_loan(loan_id=loan.pk, actor=officer)
    contract = LoanDocument.objects.filter(loan=loan, kind="contract")[0]
    loans.accept_contract(loan_id=loan.pk, actor=borrower, sha256=contract.sha256)
    accept_dollars(D("146000.03"))
    give(loan, 10**8)
    return Loan.objects.get(pk=loan.pk)


def accept_dollars(value: Decimal) -> None:
    accept("BTC/USD", 1)
    Price.objects.filter(pair="BTC/USD", value=1).update(value=value)


def test_dollars_are_drawn_to_the_cent_and_no_further(dollars: Loan, desk: Any) -> None:
    ask: dict[str, Any] = {"loan_id": dollars.pk, "actor": dollars.borrower}
    with pytest.raises(OverTheCap):
        draws.request_draw(amount=D("73000.02"), form_key="over", **ask)
    with pytest.raises(CreditRefused) as refused:
        draws.request_draw(amount=D("72999.995"), form_key="half", **ask)
    assert refused.value.code == "lending.amount.not_whole"
    wanted = draws.request_draw(amount=D("73000.01"), form_key="all", **ask)  # half of 146,000.03, the rest cut off
    draws.release_draw(draw_id=wanted.pk, actor=desk[0], bank_reference="OUT")
    assert debt_of(dollars).total == 7_300_001
    require_balanced()


def test_interest_in_dollars_is_right_to_the_cent(clock: lives.Clock, dollars: Loan, desk: Any) -> None:
    wanted = draws.request_draw(loan_id=dollars.pk, actor=dollars.borrower, amount=D("12345.67"), form_key="a")
    draws.release_draw(draw_id=wanted.pk, actor=desk[0], bank_reference="OUT")
    for days, cents in ((1, 169), (2, 338), (100, 16_911), (365, 61_728)):
        # 1,234,567 cents at 5 %: 169.118… cents a day; whatever was booked before, the sum is cut once.
        on(clock, timezone.localdate(lives.BEGINS) + timedelta(days=days))
        accrual.accrue_book()
        assert debt_of(dollars).interest == cents == 1_234_567 * 500 * days // 3_650_000
    require_balanced()


def test_a_sale_in_dollars_is_booked_to_the_cent(dollars: Loan, desk: Any) -> None:
    loan = Loan.objects.get(pk=dollars.pk)
    wanted = draws.request_draw(loan_id=loan.pk, actor=loan.borrower, amount=D("73000.01"), form_key="a")
    draws.release_draw(draw_id=wanted.pk, actor=desk[0], bank_reference="OUT")
    accept_dollars(D("80300.37"))
    with transaction.atomic():
        sale = sales.start_sale(loan=Loan.objects.select_related("terms").get(pk=loan.pk), cause="price")
    exchange = lives.Exchange()
    for _number in range(40):
        sales.step(sale_id=sale.pk, back_end=exchange)
        sale.refresh_from_db()
        if sale.state not in Sale.RUNNING:
            break
    sold = list(exchange.orders.values())
    gross = sum(int(D(order["cost"]) * 100) for order in sold)
    fees = sum(int(D(order["fee"]["cost"]) * 100) for order in sold)
    assert sale.state == "done"
    assert debt_of(loan).total == 7_300_001 - (gross - fees)
    assert sum(int(each.amount * 100) for each in loan.repayments.all()) == gross - fees
    require_balanced()


def test_more_dollars_than_are_owed_are_the_borrowers_to_the_cent(dollars: Loan, desk: Any) -> None:
    wanted = draws.request_draw(loan_id=dollars.pk, actor=dollars.borrower, amount=D("100.01"), form_key="a")
    draws.release_draw(draw_id=wanted.pk, actor=desk[0], bank_reference="OUT")
    row = repayments.record_repayment(
        loan_id=dollars.pk, actor=desk[0], amount=D("100.03"), received_on=timezone.localdate(), reference="IN"
    )
    repayments.confirm_repayment(repayment_id=row.pk, actor=desk[1])
    dollars.refresh_from_db()
    assert (dollars.state, surplus_of(dollars)) == (S.REPAID, 2)


# --- days ------------------------------------------------------------------------------------------------------------


def test_a_leap_year_costs_a_day_more_than_the_yearly_rate(clock: lives.Clock, pending: Loan, desk: Any) -> None:
    """Actual/365 fixed: 366 days cost 366/365 of the yearly rate, and 29 February is a day like any other."""
    on(clock, date(2027, 9, 1))
    accept("BTC/JPY", 16_000_000)
    loan = draw(pending, desk, 7_300_000)
    on(clock, date(2028, 2, 29))
    accrual.accrue_book()
    until_the_28th = debt_of(loan).interest
    on(clock, date(2028, 3, 1))
    accrual.accrue_book()
    assert debt_of(loan).interest - until_the_28th == 1_000
    on(clock, date(2028, 9, 1))
    accrual.accrue_book()
    assert (date(2028, 9, 1) - date(2027, 9, 1)).days == 366
    assert debt_of(loan).interest == 366_000
    assert (loan.matures_on, loan.due_on) == (date(2028, 9, 1), date(2028, 9, 1))


def test_a_year_after_29_february_is_28_february() -> None:
    assert calendar.months_after(date(2028, 2, 29), 12) == date(2029, 2, 28)
    assert calendar.months_after(date(2027, 8, 31), 6) == date(2028, 2, 29)


def test_a_rate_of_zero_or_less_is_no_rate(desk: Any, borrower: User) -> None:
    first = desk[0]
    known = ProductTerms.objects.filter(currency="JPY", borrower_kind="individual")[0]
    same = {
        each.name: getattr(known, each.name)
        for each in ProductTerms._meta.concrete_fields
        if each.name not in {"id", "state", "entered_by", "approved_by", "entered_at", "decided_at", "is_verified"}
    } | {"effective_from": timezone.localdate()}
    for changed in (
        {"rate_min_bps": 0}, {"rate_min_bps": -1}, {"rate_max_bps": 0}, {"late_rate_bps": 0}, {"late_rate_bps": -1500}, {"late_rate_bps": 2001},
    ):  # fmt: skip
        with pytest.raises(TermsNotAllowed):
            terms.enter_terms(actor=first, terms={**same, **changed})
    application = credit.submit_credit_application(
        actor=borrower, currency="JPY", amount=D(5_000_000), purpose="business", annual_income=D(30_000_000)
    )
    credit.claim_credit_application(application_id=application.pk, actor=first)
    for rate in (0, -1, 399, 801):
        with pytest.raises(CreditRefused) as refused:
            credit.decide_credit(
                application_id=application.pk, actor=first, verdict="approve", reason="x", amount=D(5_000_000),
                rate_bps=rate, income_verified=D(30_000_000),
            )  # fmt: skip
        assert refused.value.code == "lending.credit.rate"
    for rate in (0, -1):
        with pytest.raises(ValueError, match="more than zero"):
            interest.parts(principal=1, rate_bps=rate, days=1)


def test_the_database_refuses_a_loan_without_a_rate(pending: Loan) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Loan.objects.filter(pk=pending.pk).update(rate_bps=0)


# --- maturity and renewal --------------------------------------------------------------------------------------------


@pytest.fixture
def new_years_loan(clock: lives.Clock, pending: Loan, desk: Any) -> Loan:
    """7.3 million yen lent on 1 January 2027: matures on a holiday, due on the first bank day of the year."""
    on(clock, date(2027, 1, 1))
    accept("BTC/JPY", 16_000_000)
    return draw(pending, desk, 7_300_000)


def test_interest_runs_at_the_contracts_rate_over_the_holidays_to_the_due_day(
    clock: lives.Clock, new_years_loan: Loan
) -> None:
    loan = new_years_loan
    # 1 January 2028 is a Saturday and a holiday; banks open on Tuesday 4 January.
    assert (loan.matures_on, loan.due_on) == (date(2028, 1, 1), date(2028, 1, 4))
    on(clock, date(2028, 1, 5))
    accrual.accrue_book()
    owed = debt_of(loan)
    assert (owed.interest, owed.late) == (369_000, 0)  # 1 January 2027 to 4 January 2028, both counted
    on(clock, date(2028, 1, 6))
    accrual.accrue_book()
    owed = debt_of(loan)
    assert (owed.interest, owed.late) == (369_000, 3_000)


def renewed(loan: Loan, officer: User) -> Renewal:
    asked = endings.request_renewal(loan_id=loan.pk, actor=loan.borrower)
    return endings.grant_renewal(renewal_id=asked.pk, actor=officer)


def test_a_renewal_begins_at_the_old_maturity_and_ends_on_a_bank_day(
    clock: lives.Clock, new_years_loan: Loan, desk: Any
) -> None:
    loan = new_years_loan
    on(clock, date(2027, 10, 1))
    with pytest.raises(LoanRefused) as refused:
        endings.request_renewal(loan_id=loan.pk, actor=loan.borrower)
    assert refused.value.code == "lending.renewal.too_early"
    on(clock, date(2028, 1, 3))  # matured, not due yet
    accept("BTC/JPY", 16_000_000)
    asked = endings.request_renewal(loan_id=loan.pk, actor=loan.borrower)
    assert endings.request_renewal(loan_id=loan.pk, actor=loan.borrower) == asked
    done = endings.grant_renewal(renewal_id=asked.pk, actor=desk[0])
    assert (done.from_matures_on, done.to_matures_on, done.to_due_on) == (
        date(2028, 1, 1), date(2029, 1, 1), date(2029, 1, 4),
    )  # fmt: skip
    on(clock, date(2028, 1, 10))
    accrual.accrue_book()
    assert debt_of(loan).late == 0
    assert endings.grant_renewal(renewal_id=asked.pk, actor=desk[0]).to_due_on == date(2029, 1, 4)
    require_balanced()


def test_what_stands_against_a_renewal(clock: lives.Clock, new_years_loan: Loan, desk: Any) -> None:
    loan = new_years_loan
    on(clock, date(2027, 12, 20))
    accept("BTC/JPY", 14_000_000)
    asked = endings.request_renewal(loan_id=loan.pk, actor=loan.borrower)
    codes = []

    def refused() -> None:
        with pytest.raises(LoanRefused) as why:
            endings.grant_renewal(renewal_id=asked.pk, actor=desk[0])
        codes.append(why.value.code)

    refused()
    accept("BTC/JPY", 16_000_000)
    CreditLine.objects.update(amount=D(7_299_999))
    refused()
    CreditLine.objects.update(amount=D(10_000_000))
    on(clock, date(2028, 1, 6))
    accept("BTC/JPY", 16_000_000)
    refused()
    assert codes == ["lending.renewal.coverage", "lending.renewal.line", "lending.renewal.late"]
    loan.refresh_from_db()
    assert loan.due_on == date(2028, 1, 4)


def test_money_from_before_a_renewal_does_not_change_interest_at_another_rate(
    clock: lives.Clock, new_years_loan: Loan, desk: Any
) -> None:
    """Days before a renewal cost the old rate. They are not charged again at the new one: it is recorded for a later day."""
    loan = new_years_loan
    on(clock, date(2027, 12, 20))
    accept("BTC/JPY", 16_000_000)
    CreditLine.objects.update(rate_bps=800)
    renewed(loan, desk[0])
    on(clock, date(2027, 12, 25))
    accrual.accrue_book()
    # To the 19th at 5 %, from the 20th at 8 %.
    assert debt_of(loan).interest == 353_000 + 5 * 1_600
    row = repayments.record_repayment(
        loan_id=loan.pk, actor=desk[0], amount=D(1_000), received_on=date(2027, 12, 15), reference="LATE NEWS"
    )
    with pytest.raises(LoanRefused) as refused:
        repayments.confirm_repayment(repayment_id=row.pk, actor=desk[1])
    assert refused.value.code == "lending.repayment.backdated"
    assert debt_of(loan).interest == 353_000 + 5 * 1_600
    booked = pay(loan, desk, 1_000, on=date(2027, 12, 22), reference="FITS")
    assert booked.to_interest == 1_000
    require_balanced()


# --- credit ----------------------------------------------------------------------------------------------------------


def decided(application: CreditApplication, desk: Any, **more: Any) -> CreditApplication:
    credit.claim_credit_application(application_id=application.pk, actor=desk[0])
    return credit.decide_credit(
        application_id=application.pk, actor=desk[0], verdict="approve", reason="home", amount=D(20_000_000), rate_bps=500,
        income_verified=D(30_000_000), **more,
    )  # fmt: skip


def with_evidence(borrower: User, purpose: str) -> CreditApplication:
    application = credit.submit_credit_application(
        actor=borrower, currency="JPY", amount=D(20_000_000), purpose=purpose, annual_income=D(30_000_000)
    )
    IncomeEvidence.objects.create(
        application=application, kind="withholding", sha256="0" * 64, content_type="application/pdf", size=1,
        storage_name=f"e{application.pk}", wrapped_key=b"x", key_id="x",
    )  # fmt: skip
    return application


def test_a_third_of_the_income_is_the_cap_unless_real_estate_is_recorded_by_two(borrower: User, desk: Any) -> None:
    application = with_evidence(borrower, "real_estate")
    with pytest.raises(CreditRefused) as refused:
        decided(application, desk)
    assert refused.value.code == "lending.credit.income_cap"
    decided(application, desk, real_estate_exception="purchase of the house in Kamakura, contract seen")
    credit.confirm_credit(application_id=application.pk, actor=desk[1], agrees=True, reason="contract seen")
    line = CreditApplication.objects.get(pk=application.pk).line
    assert (line.amount, line.real_estate_exception) == (
        D(20_000_000),
        "purchase of the house in Kamakura, contract seen",
    )


def test_the_exception_needs_the_purpose(borrower: User, desk: Any) -> None:
    application = with_evidence(borrower, "business")
    with pytest.raises(CreditRefused) as refused:
        decided(application, desk, real_estate_exception="a house")
    assert refused.value.code == "lending.credit.exception_purpose"


# --- at the same moment ----------------------------------------------------------------------------------------------


def at_once(*actions: Any) -> list[Any]:
    """Each on a connection of its own, at the same moment; what came of each."""
    start = Barrier(len(actions))

    def run(action: Any) -> Any:
        try:
            start.wait(timeout=20)
            return action()
        except (OverTheCap, FormReused, LoanRefused) as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def paying(draw: Draw, officer: User, reference: str) -> Any:
    return lambda: draws.release_draw(draw_id=draw.pk, actor=officer, bank_reference=reference).state


@pytest.mark.django_db(transaction=True)
def test_of_two_releases_of_one_draw_one_pays(transactional_db: None, pending: Loan, desk: Any) -> None:
    wanted = draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=D(5_000_000), form_key="a")
    outcomes = at_once(paying(wanted, desk[0], "OUT-A"), paying(wanted, desk[1], "OUT-B"))
    assert outcomes.count("released") == 1
    assert debt_of(pending).total == 5_000_000
    assert len(set(outcomes)) == 2
    require_balanced()


@pytest.mark.django_db(transaction=True)
def test_of_two_draws_released_at_once_after_a_fall_only_one_still_fits(
    transactional_db: None, pending: Loan, desk: Any
) -> None:
    """Asked for while eight million were free; when both are paid out at the same moment only five are."""
    two = [
        draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=D(4_000_000), form_key=name)
        for name in "ab"
    ]
    accept("BTC/JPY", 10_000_000)
    outcomes = at_once(paying(two[0], desk[0], "OUT-A"), paying(two[1], desk[1], "OUT-B"))
    # Each counts against the other as long as it waits, so neither fits beside the other.
    assert sorted(outcomes) == ["lending.draw.over_cap", "lending.draw.over_cap"]
    draws.cancel_draw(draw_id=two[1].pk, actor=pending.borrower)
    assert at_once(paying(two[0], desk[0], "OUT-A"), paying(two[0], desk[0], "OUT-A")) == ["released", "released"]
    assert debt_of(pending).total == 4_000_000
    require_balanced()


@pytest.mark.django_db(transaction=True)
def test_one_transfer_confirmed_twice_at_once_is_booked_once(transactional_db: None, pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 4_000_000)
    row = repayments.record_repayment(
        loan_id=loan.pk, actor=desk[0], amount=D(1_000_000), received_on=timezone.localdate(), reference="IN"
    )

    def confirm() -> Any:
        return repayments.confirm_repayment(repayment_id=row.pk, actor=desk[1]).state

    assert at_once(confirm, confirm) == ["booked", "booked"]
    assert debt_of(loan).total == 3_000_000
    require_balanced()


# --- sales -----------------------------------------------------------------------------------------------------------


def in_sale(loan: Loan, desk: Any) -> Sale:
    draw(loan, desk, 8_000_000)
    accept("BTC/JPY", 9_600_000)
    with transaction.atomic():
        return sales.start_sale(loan=Loan.objects.select_related("terms").get(pk=loan.pk), cause="price")


def test_what_the_exchange_sold_is_booked_although_the_loan_was_repaid_meanwhile(pending: Loan, desk: Any) -> None:
    """The answer to an order was lost; then the borrower paid everything. Its proceeds are the borrower's."""
    sale, exchange = in_sale(pending, desk), lives.Exchange()
    exchange.mood = "lost"
    sales.step(sale_id=sale.pk, back_end=exchange)
    pay(pending, desk, 8_000_000)
    pending.refresh_from_db()
    assert pending.state == S.REPAID
    exchange.mood = "full"
    for _number in range(3):
        sales.step(sale_id=sale.pk, back_end=exchange)
    sale.refresh_from_db()
    order = sale.orders.get()
    assert (sale.state, order.state, len(exchange.orders)) == ("done", "final", 1)
    assert surplus_of(pending) == int(order.proceeds - order.fee) > 0
    assert positions.open_position(loan=pending).btc_sats == 10**8 - int(order.filled_units)
    require_balanced()


def test_a_fill_too_small_to_bring_a_yen_still_takes_its_coins_out_of_the_books(pending: Loan, desk: Any) -> None:
    sale, exchange = in_sale(pending, desk), lives.Exchange()
    exchange.mood = "crumb"
    sales.step(sale_id=sale.pk, back_end=exchange)
    order = sale.orders.get()
    assert (order.state, int(order.filled_units), order.proceeds) == ("final", 1, D(0))
    assert positions.open_position(loan=pending).btc_sats == 10**8 - 1
    assert debt_of(pending).total == 8_000_000
    require_balanced()
