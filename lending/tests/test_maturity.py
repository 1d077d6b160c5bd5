"""A borrower is reminded of the due day thirty, seven and one day before it, or as the terms say: each once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.core import mail

from lending.models import Loan, ProductTerms
from lending.services.maturity import remind_of_maturity
from lending.tests import world
from portal.notices.models import Notice
from portal.notices.services import send_notices

pytestmark = pytest.mark.django_db


@pytest.fixture
def loan() -> Loan:
    return world.lend(world.make_loan(), 1_000_000)


def due(loan: Loan) -> date:
    assert loan.due_on is not None
    return loan.due_on


def told() -> int:
    return Notice.objects.filter(kind="lending.maturity_near").count()


def test_each_of_the_three_reminders_comes_once(loan: Loan) -> None:
    counts = []
    for left in (31, 30, 30, 29, 8, 7, 6, 2, 1, 1, 0):
        remind_of_maturity(today=due(loan) - timedelta(days=left))
        counts.append(told())
    assert counts == [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_after_a_week_in_which_nobody_ran_only_the_nearest_is_told(loan: Loan) -> None:
    remind_of_maturity(today=due(loan) - timedelta(days=5))
    remind_of_maturity(today=due(loan) - timedelta(days=4))
    assert told() == 1


def test_it_is_told_in_the_portal_and_by_mail_with_the_day_and_what_is_owed(loan: Loan) -> None:
    remind_of_maturity(today=due(loan) - timedelta(days=7))
    send_notices()
    (letter,) = [each for each in mail.outbox if loan.borrower.email in each.to]
    assert loan.reference in letter.body
    assert "1,000,000" in letter.body
    assert Notice.objects.get(kind="lending.maturity_near").user == loan.borrower


def test_the_days_are_those_of_the_loans_own_terms(loan: Loan) -> None:
    ProductTerms.objects.filter(pk=loan.terms_id).update(maturity_notice_days=[60])
    remind_of_maturity(today=due(loan) - timedelta(days=60))
    remind_of_maturity(today=due(loan) - timedelta(days=30))
    assert told() == 1
    ProductTerms.objects.update(maturity_notice_days=[])
    assert remind_of_maturity(today=due(loan) - timedelta(days=1)) == 0


def test_a_new_due_day_after_a_renewal_is_reminded_of_again(loan: Loan) -> None:
    remind_of_maturity(today=due(loan) - timedelta(days=1))
    renewed = due(loan) + timedelta(days=365)
    Loan.objects.update(due_on=renewed)
    remind_of_maturity(today=due(loan))
    assert told() == 1
    remind_of_maturity(today=renewed - timedelta(days=30))
    assert told() == 2


@pytest.mark.parametrize("state", [Loan.State.REPAID, Loan.State.COLLATERAL_PENDING, Loan.State.SOLD_OUT])
def test_a_loan_that_is_not_open_is_not_reminded_of(loan: Loan, state: str) -> None:
    Loan.objects.update(state=state)
    remind_of_maturity(today=due(loan) - timedelta(days=7))
    assert told() == 0


def test_past_the_due_day_it_is_no_longer_near(loan: Loan) -> None:
    remind_of_maturity(today=due(loan) + timedelta(days=1))
    assert told() == 0
