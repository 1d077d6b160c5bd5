"""A process that is killed (SIGKILL) between finding breaches and acting on them, or while it charges interest: what is left
is done by the next, once.

The killed process is a real one with its own connection; it reports each step on its standard output.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from lending import interest
from lending.models import Accrual, Breach, Entry, Loan, MarginCall, Posting, PriceTick, Reminder, Sale
from lending.services import accrual, calls, monitoring
from lending.tests import books
from portal.celery import app
from portal.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)
BTC = 10**8
ROOT = Path(__file__).resolve().parents[2]
#: Stops the process at a named point of the code, inside whatever transaction is open there: prints, then waits for its end.
PROGRAM = """
import importlib, sys, time
import django
django.setup()
from django.conf import settings
name, point, skip, work = sys.argv[1:5]
settings.DATABASES["default"]["NAME"] = name
from django.db import connection
from portal.celery import app
connection.settings_dict["NAME"] = name
app.conf.task_always_eager = False
module, attribute = point.rsplit(".", 1)
module = importlib.import_module(module)
real, seen = getattr(module, attribute), [0]
def stop(*args, **kwargs):
    seen[0] += 1
    result = real(*args, **kwargs)
    if seen[0] > int(skip):
        print("stopped", flush=True)
        time.sleep(600)
    return result
setattr(module, attribute, stop)
module, attribute = work.rsplit(".", 1)
getattr(importlib.import_module(module), attribute)()
print("ended", flush=True)
"""


def kill_at(point: str, work: str, *, skip: int = 0) -> None:
    """Run `work` in a process of its own and kill it right after `point` was passed `skip` + 1 times."""
    name = str(connection.settings_dict["NAME"])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, point, str(skip), work],
        cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "stopped" in process.stdout.readline()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(autouse=True)
def _no_worker_is_woken_here() -> Iterator[None]:
    app.conf.task_always_eager = False
    yield
    app.control.purge()
    app.conf.task_always_eager = True


@pytest.fixture
def book() -> list[Loan]:
    """Six loans of which two come to a reminder, two to a call and two to a sale."""
    on = books.terms()
    rows = []
    for debt in (8_000_000, 8_000_001, 9_000_000, 9_000_001, 12_000_000, 12_000_001):
        row = books.loan(on=on)
        books.position(row, btc=BTC, debt=debt)
        rows.append(row)
    books.tick(btc=Decimal(13_300_000))
    return rows


def carried_out(rows: list[Loan]) -> tuple[int, ...]:
    """Every breach found and acted on once: reminders, calls, sales, and their rows in the audit log."""
    assert set(Breach.objects.values_list("state", flat=True)) == {"done"}
    assert sorted(Breach.objects.values_list("loan_id", flat=True)) == sorted(row.pk for row in rows)
    assert AuditEntry.objects.filter(action="lending.breach.done").count() == len(rows)
    return (
        Reminder.objects.filter(kind__in=["first", "second"]).count(),
        MarginCall.objects.count(),
        Sale.objects.count(),
        AuditEntry.objects.filter(action__in=["lending.loan.margin_called", "lending.loan.in_sale"]).count(),
    )


EXPECTED = (2, 2, 2, 4)


def recover() -> None:
    """What the sweeps of the workers that are left do."""
    ends = time.monotonic() + 20
    while not monitoring.run_sweep():  # PostgreSQL frees the dead process's lock as soon as it notices
        assert time.monotonic() < ends
        time.sleep(0.05)
    calls.act_on_breaches()
    calls.act_on_breaches()


def test_killed_after_finding_and_before_anything_was_done(book: list[Loan]) -> None:
    kill_at("lending.services.monitoring.evaluate", "lending.services.monitoring.run_sweep")
    recover()
    assert carried_out(book) == EXPECTED


def test_killed_inside_the_statement_that_finds_nothing_is_found_and_the_next_finds_all(book: list[Loan]) -> None:
    kill_at("lending.services.monitoring.wake", "lending.services.monitoring.run_sweep")
    recover()
    assert carried_out(book) == EXPECTED
    assert not PriceTick.objects.filter(evaluated_at=None).exists()


@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_killed_while_acting_each_breach_is_acted_on_once(book: list[Loan], done: int) -> None:
    monitoring.run_sweep()
    assert Breach.objects.filter(state="pending").count() == len(book)
    # `move` writes the breach's new state and its audit row; the process dies before that is committed.
    kill_at("lending.services.calls.act", "lending.services.calls.act_on_breaches", skip=done)
    assert Breach.objects.filter(state="done").count() == done + 1
    recover()
    assert carried_out(book) == EXPECTED


@pytest.mark.parametrize("point", ["lending.services.calls.move", "lending.services.sales.start_sale"])
def test_killed_inside_the_transaction_that_acts_nothing_half_is_left(book: list[Loan], point: str) -> None:
    monitoring.run_sweep()
    kill_at(point, "lending.services.calls.act_on_breaches")
    assert Breach.objects.filter(state="done").count() == 0
    assert not Sale.objects.exists()
    recover()
    assert carried_out(book) == EXPECTED


@pytest.mark.parametrize(
    ("point", "skip", "batches"), [("_next_id", 0, 0), ("_next_id", 2, 2), ("_accrue_batch", 0, 1)]
)
def test_killed_in_a_run_of_interest_what_is_charged_stays_and_the_rest_is_charged_once(
    point: str, skip: int, batches: int
) -> None:
    """Seven loans in batches of two; the process dies inside a batch, or right after one: `batches` are whole."""
    through, target = accrual.yesterday() - timedelta(days=9), accrual.yesterday()
    on, rows = books.terms(), []
    for number in range(7):
        row = books.loan(on=on)
        books.position(row, btc=BTC, debt=7_654_321 + number)
        due_on = target - timedelta(days=3 if number % 2 else -30)  # every second one is late for three days
        Accrual.objects.create(
            loan=row, currency="JPY", principal=7_654_321 + number, rate_bps=500, late_rate_bps=1_500, due_on=due_on,
            through=through,
        )  # fmt: skip
        rows.append(row)
    kill_at(f"lending.services.accrual.{point}", "lending.tests.test_killed_process.accrue_two_at_a_time", skip=skip)
    charged = Accrual.objects.filter(through=target)
    assert sorted(charged.values_list("loan_id", flat=True)) == [row.pk for row in rows[: 2 * batches]]
    assert Entry.objects.count() == batches
    accrue_two_at_a_time()
    accrue_two_at_a_time()
    assert Entry.objects.count() == batches + ceil((7 - 2 * batches) / 2)
    for clock in Accrual.objects.select_related("loan__position"):
        days = interest.days_between(through=through, target=target, due_on=clock.due_on)
        regular = interest.parts(principal=clock.principal, rate_bps=500, days=days.regular)
        late = interest.parts(principal=clock.principal, rate_bps=1_500, days=days.late)
        assert (clock.through, clock.interest_parts, clock.late_parts) == (target, regular, late)
        owed = Posting.objects.filter(loan=clock.loan).aggregate(total=Sum("amount"))["total"]
        assert owed == interest.whole(regular) + interest.whole(late) == clock.loan.position.debt - clock.principal
    assert Posting.objects.aggregate(total=Sum("amount"))["total"] == 0


def accrue_two_at_a_time() -> None:
    """What the killed process does."""
    accrual.accrue_book(batch=2)
