"""What the desk cannot carry out by itself is seen: after three tries an incident is open, and closes when it worked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from chain.models import Incident
from chain.wording import incident_sentence
from lending.models import Account, Breach, EntryKind, Loan, MarginCall, Position, Sale, Setback, Stage
from lending.services import accrual, calls, monitoring, positions, sales, setbacks
from lending.services.ledger import Line, post
from lending.tests import books
from portal.models import Role
from portal.testing import make_person, sign_in

pytestmark = pytest.mark.django_db
D = Decimal
BTC = 10**8
ROOT = Path(__file__).resolve().parents[1]


def lent_loan() -> Loan:
    """Ten million yen lent against one bitcoin, in the ledger."""
    row = books.loan()
    accrual.open_clock(loan=row, first_day=timezone.localdate())
    with transaction.atomic():
        lines = [Line(Account.COLLATERAL, "BTC", -BTC), Line(Account.CUSTODY, "BTC", BTC)]
        post(kind=EntryKind.DEPOSIT, key=f"d{row.pk}", loan_id=row.pk, value_on=timezone.localdate(), lines=lines)
        lines = [Line(Account.PRINCIPAL, "JPY", 10_000_000), Line(Account.CASH, "JPY", -10_000_000)]
        post(kind=EntryKind.DRAW, key=f"l{row.pk}", loan_id=row.pk, value_on=timezone.localdate(), lines=lines)
        positions.set_stage(loan=row, stage=Stage.REMINDER_FIRST)
    return row


@pytest.fixture
def lent() -> Loan:
    return lent_loan()


def hide(loan: Loan) -> Callable[[], None]:
    """Take the loan's position away, so that whatever is done with the loan fails; the answer puts it back."""
    kept = Position.objects.get(loan=loan)
    Position.objects.filter(loan=loan).delete()
    return lambda: kept.save(force_insert=True)


def open_kinds() -> set[str]:
    return set(Incident.objects.filter(closed_at=None).values_list("kind", flat=True))


def test_a_breach_that_fails_three_times_is_an_incident_until_it_is_carried_out(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    put_back = hide(lent)
    for _number in range(2):
        assert calls.act_on_breaches() == 0
    assert open_kinds() == set()
    assert calls.act_on_breaches() == 0
    assert open_kinds() == {"lending.not_carried_out"}
    row = Setback.objects.get()
    assert (row.kind, row.loan, row.tries, "DoesNotExist" in row.problem) == ("breach", lent, 3, True)
    put_back()
    assert calls.act_on_breaches() == 1
    assert (open_kinds(), Setback.objects.count()) == (set(), 0)


def test_two_failures_and_a_success_are_nobodys_incident(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    put_back = hide(lent)
    for _number in range(2):
        calls.act_on_breaches()
    put_back()
    calls.act_on_breaches()
    assert (Incident.objects.count(), Setback.objects.count()) == (0, 0)


def test_what_failed_goes_to_the_end_of_the_line_and_starves_nobody(lent: Loan) -> None:
    other = lent_loan()
    monitoring.evaluate(tick_id=books.tick(btc=D(11_000_000)).pk)
    hide(lent)
    assert calls.act_on_breaches(limit=1) + calls.act_on_breaches(limit=1) == 1
    assert Loan.objects.get(pk=other.pk).state == Loan.State.IN_SALE


def test_a_breach_that_is_never_tried_for_five_minutes_is_an_incident_too(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    calls.act_on_breaches(limit=0)
    assert open_kinds() == set()
    Breach.objects.update(found_at=timezone.now() - setbacks.LATE - timedelta(seconds=1))
    calls.act_on_breaches(limit=0)
    assert open_kinds() == {"lending.breaches_waiting"}
    calls.act_on_breaches()
    assert open_kinds() == set()


def test_a_call_that_cannot_be_reviewed_is_an_incident_until_it_can(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    calls.act_on_breaches()
    put_back = hide(lent)
    for _number in range(setbacks.TRIES):
        calls.review_calls()
    assert open_kinds() == {"lending.not_carried_out"}
    assert Setback.objects.get().row_id == MarginCall.objects.get().pk
    put_back()
    calls.review_calls()
    assert open_kinds() == set()


def test_a_sale_that_cannot_go_on_is_an_incident_until_it_does(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(12_000_000)).pk)
    calls.act_on_breaches()
    put_back = hide(lent)
    for _number in range(setbacks.TRIES):
        sales.run_sales()
    assert open_kinds() == {"lending.not_carried_out"}
    put_back()
    sales.run_sales()
    assert (open_kinds(), Setback.objects.count()) == (set(), 0)


def test_trouble_with_a_row_that_waits_no_more_is_over(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    hide(lent)
    for _number in range(setbacks.TRIES):
        calls.act_on_breaches()
    Breach.objects.update(state=Breach.State.OVERTAKEN, acted_at=timezone.now())
    calls.act_on_breaches()
    assert (open_kinds(), Setback.objects.count()) == (set(), 0)


def test_a_sale_that_waited_for_its_collateral_and_then_has_no_price_is_an_incident(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(12_000_000)).pk)
    calls.act_on_breaches()
    sale = Sale.objects.get()
    with transaction.atomic():
        sales._pause(sale, Sale.Pause.DELIVERY)
        assert open_kinds() == set()
        sales._pause(sale, Sale.Pause.PRICE)
    sale.refresh_from_db()
    assert (sale.pause, open_kinds()) == ("price", {"lending.sale_paused"})


def test_the_desk_sees_what_could_not_be_carried_out(lent: Loan) -> None:
    monitoring.evaluate(tick_id=books.tick(btc=D(14_900_000)).pk)
    hide(lent)
    calls.act_on_breaches()
    reader = sign_in(make_person("auditor@desk.example", role=Role.AUDITOR, second_factor=True), fresh=True)
    page = reader.get(reverse("lending:work")).content.decode()
    assert lent.reference in page
    assert "DoesNotExist" in page


def test_every_incident_of_the_desk_has_words() -> None:
    sources = [path.read_text() for path in (ROOT / "services").rglob("*.py")]
    kinds = {kind for text in sources for kind in re.findall(r'kind="(lending\.[a-z_]+)",\n\s+detail=', text)}
    assert {"lending.not_carried_out", "lending.sale_paused"} <= kinds
    unknown = incident_sentence("unheard of")
    assert [kind for kind in sorted(kinds) if incident_sentence(kind) == unknown] == []
