"""A loan from the application to the closing statement, through the services, on the real database."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from kyc.models import Application, Party
from lending import calendar
from lending.defaults import ensure_first_terms
from lending.exceptions import OverTheCap, TwoPersonRule
from lending.models import (
    Account,
    Accrual,
    CreditApplication,
    EntryKind,
    IncomeEvidence,
    Limit,
    Loan,
    LoanDocument,
    Posting,
    Price,
    PricePolicy,
    PriceRound,
    ReturnAddress,
    Withdrawal,
)
from lending.models.prices import Pair
from lending.selectors.ledger import debt_of, house_balances, surplus_of
from lending.services import accrual, credit, documents, draws, endings, loans, positions, repayments
from lending.services.ledger import Line, post
from portal.exceptions import DomainError
from portal.models import Role, User
from portal.notices.models import Notice
from portal.state import WrongState
from portal.testing import make_person

BITCOIN = 10**8


@pytest.fixture
def desk(db: None, settings: Any, tmp_path: Any) -> tuple[User, User]:
    settings.EVIDENCE_KEYS = [Fernet.generate_key().decode()]
    settings.PRIVATE_ROOT = tmp_path
    ensure_first_terms()
    return (
        make_person("officer@example.com", role=Role.LOAN_OFFICER),
        make_person("second@example.com", role=Role.LOAN_OFFICER),
    )


@pytest.fixture
def borrower(desk: Any) -> User:
    user = make_person("alice@example.com", name="Alice")
    Party.objects.create(
        user=user, kind="individual", name="山田花子", is_verified=True, verified_on=date(2026, 1, 5), address="東京都"
    )
    Application.objects.create(
        user=user, kind="individual", state=Application.State.ACTIVE, submitted_at=timezone.now()
    )
    return user


def accept(pair: str, value: int) -> None:
    """An accepted price of this moment."""
    now = timezone.now()
    PricePolicy.objects.get(pk=pair)
    found = PriceRound.objects.create(started_at=now, finished_at=now)
    Price.objects.create(pair=pair, value=Decimal(value), at=now, price_round=found, sources=3)


def give(loan: Loan, sats: int, key: str = "deposit") -> None:
    """Collateral as the deposits book it."""
    with transaction.atomic():
        post(
            kind=EntryKind.DEPOSIT,
            key=f"{key}:{loan.pk}",
            loan_id=loan.pk,
            value_on=timezone.localdate(),
            lines=[Line(Account.CUSTODY, "BTC", sats), Line(Account.COLLATERAL, "BTC", -sats)],
        )


def line_of(borrower: User, desk: tuple[User, User], *, amount: int = 10_000_000, income: int = 30_000_000) -> Any:
    first, second = desk
    application = credit.submit_credit_application(
        actor=borrower, currency="JPY", amount=Decimal(amount), purpose="business", annual_income=Decimal(income)
    )
    IncomeEvidence.objects.create(
        application=application, kind="withholding", sha256="0" * 64, content_type="application/pdf", size=1,
        storage_name=f"x{application.pk}", wrapped_key=b"x", key_id="x",
    )  # fmt: skip
    credit.claim_credit_application(application_id=application.pk, actor=first)
    credit.decide_credit(
        application_id=application.pk, actor=first, verdict="approve", reason="fine", amount=Decimal(amount),
        rate_bps=500, income_verified=Decimal(income),
    )  # fmt: skip
    credit.confirm_credit(application_id=application.pk, actor=second, agrees=True, reason="agreed")
    return CreditApplication.objects.get(pk=application.pk).line


@pytest.fixture
def pending(borrower: User, desk: tuple[User, User]) -> Loan:
    """A contract of ten million yen, accepted; one bitcoin, worth sixteen million, deposited."""
    line = line_of(borrower, desk)
    loan = loans.request_loan(line_id=line.pk, actor=borrower, amount=Decimal(10_000_000), collateral_plan="BTC")
    for officer in desk:
        loans.approve_loan(loan_id=loan.pk, actor=officer)
    contract = LoanDocument.objects.get(loan=loan, kind="contract", language="ja")
    loans.accept_contract(loan_id=loan.pk, actor=borrower, sha256=contract.sha256)
    accept(Pair.BTC_JPY, 16_000_000)
    give(loan, BITCOIN)
    return Loan.objects.get(pk=loan.pk)


def draw(loan: Loan, desk: tuple[User, User], amount: int) -> Loan:
    wanted = draws.request_draw(loan_id=loan.pk, actor=loan.borrower, amount=Decimal(amount), form_key=f"f{amount}")
    draws.release_draw(draw_id=wanted.pk, actor=desk[0], bank_reference=f"OUT-{wanted.pk}")
    return Loan.objects.get(pk=loan.pk)


def days_ago(loan: Loan, days: int) -> None:
    """As if the first draw had been `days` days earlier. The ledger refuses to be changed, so its triggers are held off."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE lending_entry SET value_on = value_on - %s WHERE loan_id = %s", [days, loan.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    Loan.objects.filter(pk=loan.pk).update(started_on=timezone.localdate() - timedelta(days=days))
    Accrual.objects.filter(loan=loan).update(through=timezone.localdate() - timedelta(days=days + 1))


def pay(loan: Loan, desk: tuple[User, User], amount: int, *, on: date | None = None, reference: str = "IN-1") -> Any:
    row = repayments.record_repayment(
        loan_id=loan.pk, actor=desk[0], amount=Decimal(amount), received_on=on or timezone.localdate(),
        reference=reference,
    )  # fmt: skip
    return repayments.confirm_repayment(repayment_id=row.pk, actor=desk[1])


def require_balanced() -> None:
    totals: dict[str, int] = {}
    for (_account, unit), total in house_balances().items():
        totals[unit] = totals.get(unit, 0) + total
    assert not any(totals.values()), totals
    assert positions.rebuild_positions() == 0


def test_a_draw_at_the_very_limit_is_lent_and_one_yen_more_is_not(pending: Loan, desk: Any) -> None:
    with pytest.raises(OverTheCap):
        draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=Decimal(8_000_001), form_key="over")
    loan = draw(pending, desk, 8_000_000)
    assert loan.state == Loan.State.ACTIVE
    with pytest.raises(OverTheCap):
        draws.request_draw(loan_id=loan.pk, actor=loan.borrower, amount=Decimal(1), form_key="one")
    require_balanced()


def test_what_was_asked_for_counts_as_drawn(pending: Loan) -> None:
    draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=Decimal(5_000_000), form_key="a")
    with pytest.raises(OverTheCap):
        draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=Decimal(3_000_001), form_key="b")


def test_the_same_form_is_one_draw_and_the_same_release_one_payment(pending: Loan, desk: Any) -> None:
    one = draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=Decimal(4_000_000), form_key="a")
    assert draws.request_draw(
        loan_id=pending.pk, actor=pending.borrower, amount=Decimal(4_000_000), form_key="a"
    ).pk == one.pk  # fmt: skip
    for _ in range(2):
        draws.release_draw(draw_id=one.pk, actor=desk[0], bank_reference="OUT")
    assert debt_of(pending).total == 4_000_000


def test_a_limit_of_the_book_refuses_when_lending(pending: Loan, desk: Any) -> None:
    Limit.objects.filter(scope="book", currency="JPY").update(amount=7_999_999)
    wanted = draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=Decimal(8_000_000), form_key="a")
    with pytest.raises(DomainError) as refused:
        draws.release_draw(draw_id=wanted.pk, actor=desk[0], bank_reference="OUT")
    assert refused.value.code == "lending.limit.book"
    assert not Posting.objects.filter(account="principal").exists()


def test_without_an_accepted_price_nothing_is_drawn(pending: Loan) -> None:
    Price.objects.update(at=timezone.now() - timedelta(days=2))
    with pytest.raises(DomainError) as refused:
        draws.request_draw(loan_id=pending.pk, actor=pending.borrower, amount=Decimal(1_000_000), form_key="a")
    assert refused.value.code == "lending.price.none"


def test_interest_is_right_to_the_yen_however_it_is_run(pending: Loan, desk: Any) -> None:
    # 7,300,000 yen at 5 % cost exactly 1,000 yen a day.
    loan = draw(pending, desk, 7_300_000)
    days_ago(loan, 100)
    for back in (70, 30, 30, 1):
        accrual.accrue_book(target=timezone.localdate() - timedelta(days=back))
    assert debt_of(loan).interest == 100_000
    accrual.accrue_book()
    assert debt_of(loan).interest == 100_000
    require_balanced()


def test_one_run_after_a_gap_and_the_loans_own_catching_up_agree(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 7_654_321)
    days_ago(loan, 73)
    accrual.accrue_book(target=timezone.localdate() - timedelta(days=40))
    with transaction.atomic():
        accrual.catch_up(loan=loan)
    assert debt_of(loan).interest == 7_654_321 * 500 * 73 // 3_650_000
    require_balanced()


def test_after_the_due_day_the_late_rate_takes_the_place_of_the_rate(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 7_300_000)
    days_ago(loan, 20)
    Accrual.objects.filter(loan=loan).update(due_on=timezone.localdate() - timedelta(days=11))
    accrual.accrue_book()
    owed = debt_of(loan)
    # Days −20 … −11 at 5 %, −10 … −1 at 15 %.
    assert (owed.interest, owed.late) == (10_000, 30_000)


def test_money_pays_charges_then_interest_then_principal(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 7_300_000)
    days_ago(loan, 10)
    endings.charge_loan(loan_id=loan.pk, actor=desk[0], amount=Decimal(500), reason="certificate", form_key="c")
    booked = pay(loan, desk, 1_010_500)
    assert (booked.to_charges, booked.to_interest, booked.to_principal) == (500, 10_000, 1_000_000)
    require_balanced()


def test_money_that_came_earlier_takes_back_later_interest_exactly(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 7_300_000)
    days_ago(loan, 10)
    accrual.accrue_book()
    booked = pay(loan, desk, 3_655_000, on=timezone.localdate() - timedelta(days=5))
    assert (booked.to_interest, booked.to_principal) == (5_000, 3_650_000)
    # Five days more on half of the principal.
    assert debt_of(loan).interest == 2_500
    require_balanced()


def test_more_than_is_owed_closes_the_loan_and_is_the_borrowers(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 4_000_000)
    booked = pay(loan, desk, 4_000_700)
    loan.refresh_from_db()
    assert (loan.state, booked.surplus, surplus_of(loan)) == (Loan.State.REPAID, 700, 700)
    assert repayments.pay_out_surplus(loan_id=loan.pk, actor=desk[0], reference="BACK") == 700
    assert repayments.pay_out_surplus(loan_id=loan.pk, actor=desk[0], reference="BACK") == 0
    closing = LoanDocument.objects.get(loan=loan, kind="closing", language="en")
    assert documents.open_document(document_id=closing.pk, reader=loan.borrower).content.startswith(b"%PDF")
    require_balanced()


def test_repaying_with_collateral_more_than_is_owed_is_refused(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 4_000_000)
    with pytest.raises(OverTheCap):
        repayments.request_repayment_from_collateral(loan_id=loan.pk, actor=loan.borrower, amount=Decimal(4_000_001))


def test_a_sale_that_brings_too_little_leaves_a_shortfall_in_the_open(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 8_000_000)
    Loan.objects.filter(pk=loan.pk).update(state=Loan.State.IN_SALE)
    for _ in range(2):
        repayments.book_sale(
            loan_id=loan.pk, proceeds=repayments.Proceeds("BTC", BITCOIN, 7_000_000, 70_000), reference="SLICE-1",
            value_on=timezone.localdate(), actor="test",
        )  # fmt: skip
    repayments.finish_sale(loan_id=loan.pk, actor="test")
    loan.refresh_from_db()
    assert (loan.state, debt_of(loan).shortfall) == (Loan.State.SOLD_OUT, 1_070_000)
    require_balanced()
    proposal = endings.propose_write_off(loan_id=loan.pk, actor=desk[0], reason="bankrupt")
    with pytest.raises(TwoPersonRule):
        endings.decide_write_off(write_off_id=proposal.pk, actor=desk[0], approve=True)
    endings.decide_write_off(write_off_id=proposal.pk, actor=desk[1], approve=True)
    loan.refresh_from_db()
    assert (loan.state, house_balances()[("loss", "JPY")]) == (Loan.State.WRITTEN_OFF, 1_070_000)
    require_balanced()


def test_one_person_does_not_record_and_confirm(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 4_000_000)
    row = repayments.record_repayment(
        loan_id=loan.pk, actor=desk[0], amount=Decimal(1), received_on=timezone.localdate(), reference="X"
    )
    with pytest.raises(TwoPersonRule):
        repayments.confirm_repayment(repayment_id=row.pk, actor=desk[0])


def test_a_line_above_a_third_of_the_income_is_refused(borrower: User, desk: Any) -> None:
    with pytest.raises(DomainError) as refused:
        line_of(borrower, desk, amount=10_000_001, income=30_000_000)
    assert refused.value.code == "lending.credit.income_cap"


def test_the_ledger_refuses_what_does_not_balance_and_what_changes(pending: Loan) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        post(
            kind=EntryKind.CHARGE, key="bad", loan_id=pending.pk, value_on=timezone.localdate(),
            lines=[Line(Account.CHARGES, "JPY", 5), Line(Account.FEE_INCOME, "JPY", -4)],
        )  # fmt: skip
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE lending_posting SET amount = amount + 1")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM lending_entry")


def test_the_same_contract_is_the_same_bytes(pending: Loan) -> None:
    first = {row.language: row.sha256 for row in pending.documents.filter(kind="contract")}
    LoanDocument.objects.filter(loan=pending).delete()
    again = {row.language: row.sha256 for row in documents.make_contract(loan=pending)}
    assert first == again
    assert len(set(first.values())) == 2


@pytest.mark.parametrize(
    ("matures", "due"),
    [
        (date(2026, 12, 31), date(2027, 1, 4)),
        (date(2027, 5, 3), date(2027, 5, 6)),
        (date(2026, 11, 21), date(2026, 11, 24)),
        (date(2026, 11, 25), date(2026, 11, 25)),
    ],
)
def test_what_matures_on_a_closed_day_is_due_on_the_next_bank_day(db: None, matures: date, due: date) -> None:
    assert calendar.due_day(matures) == due


_ENDS = (Loan.State.ACTIVE, Loan.State.REPAID, Loan.State.APPROVED)
_WRONG = [(start, end) for start in Loan.State.values for end in _ENDS if end not in Loan.TRANSITIONS[start]]


@pytest.mark.parametrize(("start", "target"), _WRONG)
def test_arrows_that_are_not_in_the_table_are_refused(pending: Loan, start: str, target: str) -> None:
    pending.state = start
    with pytest.raises(WrongState):
        loans.move_loan(pending, target, "test", "tried")


def test_a_repaid_loans_collateral_is_asked_back_for_the_borrower(pending: Loan, desk: Any) -> None:
    home = ReturnAddress.objects.create(
        borrower=pending.borrower, asset="BTC", address="bcrt1qhome", state=ReturnAddress.State.APPROVED,
        requested_by=pending.borrower, approved_by=desk[0], effective_at=timezone.now(),
    )  # fmt: skip
    loan = draw(pending, desk, 4_000_000)
    pay(loan, desk, 4_000_000)
    row = Withdrawal.objects.get(loan=loan)
    assert (row.kind, int(row.units), row.state, row.destination) == ("release", BITCOIN, "requested", home)
    assert row.requested_by == loan.borrower
    require_balanced()


def test_without_a_return_address_the_loan_is_repaid_and_the_borrower_is_told(pending: Loan, desk: Any) -> None:
    loan = draw(pending, desk, 4_000_000)
    pay(loan, desk, 4_000_000)
    loan.refresh_from_db()
    assert loan.state == Loan.State.REPAID
    assert not Withdrawal.objects.filter(loan=loan).exists()
    assert Notice.objects.filter(user=loan.borrower, kind="lending.collateral_waits").count() == 1
