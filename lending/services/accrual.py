"""Interest by the day: one loan before anything happens to it, and the whole book in one statement per batch."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from lending import interest
from lending.models import Account, Accrual, AccrualRun, Currency, Entry, EntryKind, Loan
from lending.money import from_minor
from lending.services.ledger import Line, post

#: So few loans are locked at once, and well under a second: a price that comes meanwhile waits no longer for them.
BATCH: Final = 5_000


def yesterday() -> date:
    """The last day that can be charged: today's principal is not known before today ends (Tokyo)."""
    return timezone.localdate() - timedelta(days=1)


def open_clock(*, loan: Loan, first_day: date) -> Accrual:
    """Start charging `loan` from `first_day` on. Its principal follows with the entry of the draw."""
    if loan.due_on is None:
        raise ValueError("a clock of interest needs a due day")
    return Accrual.objects.get_or_create(
        loan=loan,
        defaults={
            "currency": loan.currency,
            "rate_bps": loan.rate_bps,
            "late_rate_bps": loan.terms.late_rate_bps,
            "due_on": loan.due_on,
            "through": first_day - timedelta(days=1),
        },
    )[0]


def catch_up(*, loan: Loan, through: date | None = None) -> Accrual | None:
    """Charge `loan` up to and with `through` (yesterday) and book it; None if it has no clock. Twice is once.

    Every service that changes principal or takes money calls this first, on the locked loan.
    """
    target = min(through or yesterday(), yesterday())
    clock = Accrual.objects.select_for_update().filter(loan=loan).first()
    if clock is None or not clock.is_running or clock.through >= target:
        return clock
    days = interest.days_between(through=clock.through, target=target, due_on=clock.due_on)
    _charge(clock, regular=days.regular, late=days.late, through=target, kind=EntryKind.ACCRUAL)
    return clock


def rewind(*, loan: Loan, to: date) -> None:
    """Take back what was charged after `to`, exactly: money that arrived earlier than it was recorded.

    The caller has made sure that principal has not changed since.
    """
    clock = Accrual.objects.select_for_update().get(loan=loan)
    if clock.through <= to:
        return
    days = interest.days_between(through=to, target=clock.through, due_on=clock.due_on)
    _charge(clock, regular=-days.regular, late=-days.late, through=to, kind=EntryKind.CORRECTION)


def _charge(clock: Accrual, *, regular: int, late: int, through: date, kind: EntryKind) -> None:
    """Add (or, with negative days, take back) days and book the change in whole minor units."""
    sign = -1 if regular < 0 or late < 0 else 1
    day_parts = interest.parts(principal=clock.principal, rate_bps=clock.rate_bps, days=abs(regular))
    late_parts = interest.parts(principal=clock.principal, rate_bps=clock.late_rate_bps, days=abs(late))
    clock.interest_parts = int(clock.interest_parts) + sign * day_parts
    clock.late_parts = int(clock.late_parts) + sign * late_parts
    interest_now, late_now = interest.whole(clock.interest_parts), interest.whole(clock.late_parts)
    booked = interest_now - clock.interest_booked, late_now - clock.late_booked
    since = clock.through
    clock.interest_booked, clock.late_booked, clock.through = interest_now, late_now, through
    clock.save(update_fields=["interest_parts", "late_parts", "interest_booked", "late_booked", "through"])
    if any(booked):
        n = Entry.objects.filter(loan_id=clock.loan_id, kind=kind).count()
        post(
            kind=kind,
            key=f"{kind}:{clock.loan_id}:{since}:{through}:{n}",
            loan_id=clock.loan_id,
            value_on=max(since, through),
            lines=_lines(clock, *booked),
        )


def _lines(clock: Accrual, regular: int, late: int) -> list[Line]:
    return [
        Line(Account.INTEREST, clock.currency, regular),
        Line(Account.INTEREST_INCOME, clock.currency, -regular),
        Line(Account.LATE, clock.currency, late),
        Line(Account.LATE_INCOME, clock.currency, -late),
    ]


def accrue_book(*, target: date | None = None, batch: int = BATCH) -> list[AccrualRun]:
    """Charge every running loan up to and with `target` (yesterday), days that were missed included.

    Set-based: each batch is one statement that moves clocks, positions and ledger together, and one transaction, so a
    killed run leaves whole batches and the next one does the rest. Run again on the same day it charges nothing.
    Raises `ValueError` for a day that has not ended.
    """
    target = target or yesterday()
    if target > yesterday():
        raise ValueError("a day is charged after it has ended")
    return [_accrue_currency(currency, target, batch) for currency in Currency.values]


def _accrue_currency(currency: str, target: date, batch: int) -> AccrualRun:
    run = AccrualRun.objects.create(target=target, currency=currency)
    after, totals = 0, [0, 0, 0]
    while True:
        counted = _accrue_batch(run, currency, target, after, batch)
        if counted is None:
            break
        after = counted[0]
        totals = [have + more for have, more in zip(totals, counted[1:], strict=True)]
    run.loans = totals[0]
    run.interest, run.late = from_minor(totals[1], currency), from_minor(totals[2], currency)
    run.finished_at = timezone.now()
    run.save(update_fields=["loans", "interest", "late", "finished_at"])
    return run


def _accrue_batch(
    run: AccrualRun, currency: str, target: date, after: int, batch: int
) -> tuple[int, int, int, int] | None:
    """One batch of loans after id `after`: (last id, loans, interest, late), or None when there are no more."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # The statement is told where the batch ends, or each would read the whole book to join it.
            cursor.execute(_LAST_SQL, {"currency": currency, "target": target, "after": after, "batch": batch})
            last = cursor.fetchone()[0]
        if last is None:
            return None
        entry_id = _next_id("lending_entry")
        with connection.cursor() as cursor:
            cursor.execute(
                _BATCH_SQL,
                {
                    "currency": currency,
                    "target": target,
                    "after": after,
                    "last": last,
                    "parts": interest.PARTS,
                    "entry": entry_id,
                    "key": f"{EntryKind.ACCRUAL}:run:{run.pk}:{after}",
                },
            )
            row: tuple[Any, ...] = cursor.fetchone()
    loans, regular, late = row
    return last, int(loans), int(regular), int(late)


def _next_id(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [table])
        return int(cursor.fetchone()[0])


_LAST_SQL: Final = """
SELECT max(loan_id) FROM (
    SELECT loan_id FROM lending_accrual
    WHERE currency = %(currency)s AND is_running AND loan_id > %(after)s AND through < %(target)s
    ORDER BY loan_id LIMIT %(batch)s
) AS batch
"""

# One statement, so the ledger's own check sees the lines of the entry together. Arithmetic as in `lending.interest`:
# whole numbers only, and `div` cuts like `//`. Reach grows in proportion to the debt, as `lending.coverage.reach` says.
_BATCH_SQL: Final = """
WITH due AS (
    SELECT loan_id, principal, rate_bps, late_rate_bps, interest_parts, late_parts, interest_booked, late_booked,
           GREATEST(0, %(target)s::date - GREATEST(through, due_on)) AS late_days,
           (%(target)s::date - through) - GREATEST(0, %(target)s::date - GREATEST(through, due_on)) AS days
    FROM lending_accrual
    WHERE currency = %(currency)s AND is_running AND through < %(target)s
        AND loan_id > %(after)s AND loan_id <= %(last)s
    ORDER BY loan_id
    FOR UPDATE
), counted AS (
    SELECT loan_id, interest_booked, late_booked,
           interest_parts + principal::numeric * rate_bps * days AS interest_parts,
           late_parts + principal::numeric * late_rate_bps * late_days AS late_parts
    FROM due
), whole AS (
    SELECT loan_id, interest_parts, late_parts,
           div(interest_parts, %(parts)s)::bigint AS interest_now, div(late_parts, %(parts)s)::bigint AS late_now,
           div(interest_parts, %(parts)s)::bigint - interest_booked AS interest,
           div(late_parts, %(parts)s)::bigint - late_booked AS late
    FROM counted
), clocks AS (
    UPDATE lending_accrual AS clock
    SET interest_parts = whole.interest_parts, late_parts = whole.late_parts, interest_booked = interest_now,
        late_booked = late_now, through = %(target)s
    FROM whole WHERE clock.loan_id = whole.loan_id AND clock.loan_id > %(after)s AND clock.loan_id <= %(last)s
), moved AS (
    UPDATE lending_position AS position
    SET debt = position.debt + whole.interest + whole.late,
        reach = position.reach * ((position.debt + whole.interest + whole.late)::float8 / position.debt),
        cure_reach = position.cure_reach * ((position.debt + whole.interest + whole.late)::float8 / position.debt)
    FROM whole
    WHERE position.loan_id = whole.loan_id AND position.loan_id > %(after)s AND position.loan_id <= %(last)s
        AND whole.interest + whole.late > 0 AND position.debt > 0
), lines AS (
    SELECT 'interest' AS account, loan_id, interest AS amount FROM whole WHERE interest > 0
    UNION ALL SELECT 'late', loan_id, late FROM whole WHERE late > 0
    UNION ALL SELECT 'interest_income', NULL, -sum(interest) FROM whole HAVING sum(interest) > 0
    UNION ALL SELECT 'late_income', NULL, -sum(late) FROM whole HAVING sum(late) > 0
), entry AS (
    INSERT INTO lending_entry (id, kind, key, loan_id, value_on, created_at, memo)
    SELECT %(entry)s, 'accrual', %(key)s, NULL, %(target)s, now(), '{}'
    WHERE EXISTS (SELECT 1 FROM lines)
), posted AS (
    INSERT INTO lending_posting (entry_id, account, loan_id, unit, amount)
    SELECT %(entry)s, account, loan_id, %(currency)s, amount FROM lines
)
SELECT count(*), coalesce(sum(interest), 0), coalesce(sum(late), 0) FROM whole
"""
