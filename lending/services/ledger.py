"""The one writer of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from lending.exceptions import FormReused
from lending.models import Account, Entry, EntryKind, Posting
from lending.models.ledger import OF_LOAN
from lending.services import positions


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an entry: whole smallest units, positive to the debit."""

    account: Account
    unit: str
    amount: int
    loan_id: int | None = None


def post(
    *,
    kind: EntryKind,
    key: str,
    lines: Iterable[Line],
    value_on: date,
    loan_id: int | None = None,
    memo: Mapping[str, Any] | None = None,
) -> Entry:
    """Add one entry and move the positions of the loans it touches, in the caller's transaction.

    Lines of zero are left out; the rest must add up to zero in each unit (the database judges). The same key again
    returns the entry that is there and changes nothing; with other lines it raises `FormReused`. `loan_id` is filled
    in on lines of loan accounts that name none.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("ledger.post needs the transaction of what it books")
    wanted = [_of_loan(line, loan_id) for line in lines if line.amount]
    if not wanted:
        raise ValueError(f"entry {key} has no lines")
    entry, is_new = Entry.objects.get_or_create(
        key=key, defaults={"kind": kind, "value_on": value_on, "loan_id": loan_id, "memo": dict(memo or {})}
    )
    if not is_new:
        _require_same(entry, wanted)
        return entry
    # One statement: the database judges the balance of an entry by statement.
    Posting.objects.bulk_create(
        Posting(entry=entry, account=line.account, unit=line.unit, amount=line.amount, loan_id=line.loan_id)
        for line in wanted
    )
    positions.apply(_changes(wanted))
    return entry


def _of_loan(line: Line, loan_id: int | None) -> Line:
    if line.loan_id is None and loan_id is not None and line.account in OF_LOAN:
        return Line(line.account, line.unit, line.amount, loan_id)
    return line


def _require_same(entry: Entry, wanted: list[Line]) -> None:
    there = sorted((p.account, p.unit, int(p.amount), p.loan_id or 0) for p in entry.postings.all())
    if there != sorted((str(line.account), line.unit, line.amount, line.loan_id or 0) for line in wanted):
        raise FormReused(
            _("This was booked before with other amounts. Nothing was booked."), code="lending.ledger.key_reused"
        )


def _changes(lines: list[Line]) -> dict[int, positions.Change]:
    changes: dict[int, positions.Change] = {}
    for line in lines:
        if line.loan_id is not None:
            changes[line.loan_id] = changes.get(line.loan_id, positions.Change()).plus(
                line.account, line.unit, line.amount
            )
    return changes
