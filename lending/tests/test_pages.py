"""The pages of the loan desk: who may open them, what they show, what their forms do."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from lending.models import Account, CreditApplication, EntryKind, Limit, Loan, Price
from lending.services import documents
from lending.services.ledger import Line, post
from lending.tests.world import accept_price, lend, make_loan, person
from portal.models import Role, User
from portal.testing import make_person, sign_in

pytestmark = pytest.mark.django_db

DESK = ("book", "work", "risk", "stress", "terms", "prices", "assurance", "credit-queue")


@pytest.fixture
def loan(db: None) -> Loan:
    """Ten bitcoin stand for twenty million yen, at ten million yen a coin."""
    accept_price("BTC", 10_000_000)
    accept_price("ETH", 500_000)
    made = make_loan(borrower=borrower(1))
    give_collateral(made, btc_sats=5 * 10**8)
    return lend(made, 20_000_000)


def give_collateral(loan: Loan, *, btc_sats: int) -> None:
    """Bitcoin that was counted for the loan."""
    post(
        kind=EntryKind.DEPOSIT,
        key=f"test-deposit:{loan.pk}",
        loan_id=loan.pk,
        value_on=timezone.localdate(),
        lines=[Line(Account.CUSTODY, "BTC", btc_sats), Line(Account.COLLATERAL, "BTC", -btc_sats, loan.pk)],
    )


def borrower(number: int) -> User:
    return make_person(f"borrower{number}@example.jp", second_factor=True)


def url(name: str, *args: Any) -> str:
    return reverse(f"lending:{name}", args=args)


def desk(role: Role = Role.LOAN_OFFICER) -> Client:
    return sign_in(make_person(f"{role.value}@desk.example", role=role, second_factor=True), fresh=True)


@pytest.mark.parametrize("page", DESK)
def test_a_loan_officer_opens_every_page_of_the_desk(loan: Loan, page: str) -> None:
    assert desk().get(url(page)).status_code == 200


@pytest.mark.parametrize("page", DESK)
def test_an_auditor_looks_at_every_page_of_the_desk(loan: Loan, page: str) -> None:
    assert desk(Role.AUDITOR).get(url(page)).status_code == 200


@pytest.mark.parametrize("page", DESK)
def test_nobody_else_opens_a_page_of_the_desk(db: None, page: str) -> None:
    assert sign_in(person(), fresh=True).get(url(page)).status_code == 403
    assert Client().get(url(page)).status_code == 302


def test_the_book_shows_the_lowest_coverage_first(loan: Loan) -> None:
    worse = make_loan()
    give_collateral(worse, btc_sats=3 * 10**8)
    lend(worse, 20_000_000)
    body = desk().get(url("book")).content.decode()
    assert body.index(worse.reference) < body.index(loan.reference)
    assert "150.00%" in body
    assert "250.00%" in body


def test_the_book_asks_the_same_number_of_questions_for_one_loan_and_for_many(loan: Loan) -> None:
    client = desk()
    client.get(url("book"))
    with CaptureQueriesContext(connection) as one:
        client.get(url("book"))
    for _number in range(5):
        other = make_loan()
        give_collateral(other, btc_sats=10**9)
        lend(other, 1_000_000)
    with CaptureQueriesContext(connection) as many:
        client.get(url("book"))
    assert len(many) == len(one)


@pytest.mark.parametrize("page", ["loan", "loan-status", "draw", "repay", "deposit", "withdraw", "history"])
def test_a_borrower_opens_every_page_of_their_loan_and_a_stranger_none(loan: Loan, page: str) -> None:
    mine = sign_in(loan.borrower, fresh=True)
    assert mine.get(url(page, loan.pk)).status_code == 200
    stranger = sign_in(borrower(2), fresh=True)
    assert stranger.get(url(page, loan.pk)).status_code == 404


def test_the_borrower_reads_at_which_price_each_step_comes(loan: Loan) -> None:
    body = sign_in(loan.borrower, fresh=True).get(url("loan", loan.pk)).content.decode()
    # 20,000,000 yen against 5 bitcoin: called below 150 % at 6,000,000, sold from 120 % at 4,800,000 a coin.
    assert "6,000,000" in body
    assert "4,800,000" in body


def test_without_a_price_nothing_is_guessed(loan: Loan) -> None:
    Price.objects.update(at="2026-01-01T00:00:00Z")
    body = sign_in(loan.borrower, fresh=True).get(url("loan", loan.pk)).content.decode()
    assert "gauge" not in body


def test_a_limit_needs_two_officers(db: None) -> None:
    first = make_person("first@desk.example", role=Role.LOAN_OFFICER, second_factor=True)
    client = sign_in(first, fresh=True)
    page = client.get(url("risk")).content.decode()
    assert "limit" in page
    values = {"scope": "book", "currency": "JPY", "asset": "", "amount": "1000000", "reason": "smaller", **once(page)}
    client.post(url("limit-enter"), values)
    entered = Limit.objects.get(amount=Decimal(1_000_000))
    client.post(url("limit-decide", entered.pk), {"verdict": "approve"})
    entered.refresh_from_db()
    assert entered.state == Limit.State.ENTERED
    second = make_person("second@desk.example", role=Role.LOAN_OFFICER, second_factor=True)
    sign_in(second, fresh=True).post(url("limit-decide", entered.pk), {"verdict": "approve"})
    entered.refresh_from_db()
    assert entered.state == Limit.State.APPROVED


def once(page: str) -> dict[str, str]:
    """The token of the page's form."""
    found = re.search(r'name="(once_token)" value="([^"]+)"', page)
    return {found.group(1): found.group(2)} if found else {}


def test_an_application_that_is_not_ones_own_does_not_exist(db: None) -> None:
    mine = make_loan().line.application
    assert sign_in(person(), fresh=True).get(url("credit", mine.pk)).status_code == 404
    assert CreditApplication.objects.filter(pk=mine.pk).exists()


def test_anybody_opens_the_proof_of_collateral(client: Client) -> None:
    assert client.get(url("public-proof")).status_code == 200


def test_the_desk_and_the_borrower_see_the_same_loan(loan: Loan) -> None:
    assert loan.reference in desk().get(url("loan-case", loan.pk)).content.decode()
    assert loan.reference in sign_in(loan.borrower).get(url("loans")).content.decode()


def test_the_borrower_and_the_desk_open_the_contract_as_a_pdf(loan: Loan, settings: Any, tmp_path: Any) -> None:
    settings.EVIDENCE_KEYS, settings.PRIVATE_ROOT = [Fernet.generate_key().decode()], tmp_path
    contract = documents.make_contract(loan=loan)[0]
    for reader in (sign_in(loan.borrower), desk()):
        answer = reader.get(url("document", contract.pk))
        assert answer.status_code == 200
        assert answer.content.startswith(b"%PDF-")
        assert loan.reference in answer["Content-Disposition"]
    assert sign_in(borrower(9)).get(url("document", contract.pk)).status_code == 404


def test_a_loan_looks_again_by_itself_until_it_has_ended(loan: Loan) -> None:
    browser = sign_in(loan.borrower, fresh=True)
    page = browser.get(url("loan-status", loan.pk)).content.decode()
    assert f"?state={loan.state}" in page
    assert "every 5s" in page
    Loan.objects.filter(pk=loan.pk).update(state=Loan.State.REPAID)
    assert "hx-trigger" not in browser.get(url("loan-status", loan.pk)).content.decode()


def test_a_loan_that_went_on_shows_its_page_anew(loan: Loan) -> None:
    """Its buttons and lists belong to another state."""
    browser = sign_in(loan.borrower, fresh=True)
    same = browser.get(url("loan-status", loan.pk), {"state": loan.state})
    assert "HX-Redirect" not in same
    gone_on = browser.get(url("loan-status", loan.pk), {"state": Loan.State.APPROVED})
    assert gone_on["HX-Redirect"] == url("loan", loan.pk)


def test_the_desks_page_of_a_loan_looks_again_by_itself_until_it_has_ended(loan: Loan) -> None:
    browser, status = desk(), url("loan-case-status", loan.pk)
    page = browser.get(url("loan-case", loan.pk)).content.decode()
    assert f'hx-get="{status}?state={loan.state}" hx-trigger="every 5s"' in page
    again = browser.get(status, {"state": loan.state}).content.decode()
    assert f'hx-get="{status}?state={loan.state}" hx-trigger="every 5s"' in again
    assert f'href="{url("loan-case", loan.pk)}"' not in again
    Loan.objects.filter(pk=loan.pk).update(state=Loan.State.REPAID)
    assert "hx-trigger" not in browser.get(status).content.decode()


def test_an_officer_who_may_be_writing_is_told_that_the_loan_went_on(loan: Loan) -> None:
    """Until they look anew, however often the page asks."""
    answer = desk().get(url("loan-case-status", loan.pk), {"state": Loan.State.APPROVED})
    assert "HX-Redirect" not in answer
    page = answer.content.decode()
    assert f'href="{url("loan-case", loan.pk)}"' in page
    assert f"?state={Loan.State.APPROVED}" in page


def test_a_borrower_does_not_ask_the_desk_how_a_loan_stands(loan: Loan) -> None:
    assert sign_in(loan.borrower, fresh=True).get(url("loan-case-status", loan.pk)).status_code == 403


def test_the_state_of_a_loan_comes_before_all_else(loan: Loan) -> None:
    page = sign_in(loan.borrower, fresh=True).get(url("loan", loan.pk)).content.decode()
    assert page.index('id="loan-status"') < page.index('class="record-main')


def test_deposits_are_looked_at_again_while_the_loan_takes_collateral(loan: Loan) -> None:
    browser = sign_in(loan.borrower, fresh=True)
    assert 'hx-select="#deposits"' in browser.get(url("deposit", loan.pk)).content.decode()
    Loan.objects.filter(pk=loan.pk).update(state=Loan.State.REPAID)
    assert "hx-trigger" not in browser.get(url("deposit", loan.pk)).content.decode()


def test_a_credit_application_looks_again_by_itself_until_it_is_decided(db: None) -> None:
    """Only the state: a file chosen for upload beside it stays chosen."""
    loan = make_loan()
    application = loan.line.application
    browser = sign_in(application.applicant, fresh=True)
    page = browser.get(url("credit", application.pk)).content.decode()
    assert "hx-trigger" not in page
    assert url("loan-request", loan.line.pk) in page
    CreditApplication.objects.filter(pk=application.pk).update(state=CreditApplication.State.IN_REVIEW)
    open_page = browser.get(url("credit", application.pk)).content.decode()
    assert 'hx-trigger="every 5s" hx-select="#credit-state"' in open_page
    live = open_page[open_page.index('id="credit-state"') :]
    assert "<form" not in live[: live.index("</div>")]
