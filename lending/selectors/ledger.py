"""Balances: sums of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db.models import Prefetch, QuerySet, Sum

from lending import money
from lending.models import Account, Entry, Loan, Posting
from lending.models.ledger import DEBT
from portal.money import Money


@dataclass(frozen=True, slots=True)
class Debt:
    """What a loan owes, in minor units of its currency."""

    currency: str
    principal: int = 0
    interest: int = 0
    late: int = 0
    charges: int = 0
    shortfall: int = 0

    @property
    def total(self) -> int:
        return self.principal + self.interest + self.late + self.charges + self.shortfall

    @property
    def money(self) -> Money:
        return money.money(self.total, self.currency)


def balances(*, loan_id: int, until: date | None = None) -> dict[tuple[str, str], int]:
    """Balance of every account of a loan by (account, unit), at the end of `until` by value date if given (one query)."""
    postings = Posting.objects.filter(loan_id=loan_id)
    if until is not None:
        postings = postings.filter(entry__value_on__lte=until)
    rows = postings.order_by().values_list("account", "unit").annotate(total=Sum("amount"))
    return {(account, unit): int(total) for account, unit, total in rows}


def debt_of(loan: Loan, *, until: date | None = None) -> Debt:
    """What `loan` owes as booked (one query). Services charge the days up to yesterday first."""
    found = balances(loan_id=loan.pk, until=until)
    owed = {str(account): found.get((str(account), loan.currency), 0) for account in DEBT}
    return Debt(currency=loan.currency, **owed)


def surplus_of(loan: Loan) -> int:
    """Minor units that are the borrower's and with us."""
    return -balances(loan_id=loan.pk).get((str(Account.SURPLUS), loan.currency), 0)


def house_balances() -> dict[tuple[str, str], int]:
    """The whole book by (account, unit); all of it adds up to zero in each unit."""
    rows = Posting.objects.order_by().values_list("account", "unit").annotate(total=Sum("amount"))
    return {(account, unit): int(total) for account, unit, total in rows}


def collateral_total(asset: str) -> int:
    """Base units of an asset that are owed back to all borrowers together."""
    found = Posting.objects.filter(account=Account.COLLATERAL, unit=asset).aggregate(total=Sum("amount"))["total"]
    return -int(found or 0)


def entries_of(loan: Loan, *, since: date | None = None, until: date | None = None) -> QuerySet[Entry]:
    """The loan's entries with their lines, oldest first, by value date. A run's entry shows with this loan's lines only."""
    own = Posting.objects.filter(loan=loan)
    entries = Entry.objects.filter(postings__loan=loan).distinct().order_by("value_on", "id")
    if since is not None:
        entries = entries.filter(value_on__gte=since)
    if until is not None:
        entries = entries.filter(value_on__lte=until)
    return entries.prefetch_related(Prefetch("postings", queryset=own))


def outstanding_principal(loan_ids: Iterable[int]) -> int:
    """Minor units of principal over several loans of one currency."""
    found = Posting.objects.filter(loan_id__in=list(loan_ids), account=Account.PRINCIPAL).aggregate(total=Sum("amount"))
    return int(found["total"] or 0)
