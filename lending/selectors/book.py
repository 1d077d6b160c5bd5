"""The book as the desk reads it: what is closest to its next step first, whatever its size."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from lending import coverage
from lending.models import (
    Delivery,
    DepositAddress,
    Draw,
    Loan,
    MarginCall,
    Position,
    Renewal,
    Repayment,
    ReturnAddress,
    Sale,
    Setback,
    Withdrawal,
    WriteOff,
)
from lending.money import DIGITS, money
from lending.selectors.prices import prices_of
from portal.compiled import RowCount
from portal.memo import Remembered
from portal.models import User
from portal.money import Money

PAGE: Final = 20
#: How far the list by nearness goes: whoever looks further searches or filters.
DEEPEST: Final = 20

#: The top of each bucket by `reach`, through the index that the sweep uses; of the few that come out, those of one page
#: by coverage in whole basis points, as `coverage.coverage_bps` cuts it (`div` is exact). Without a price it is unknown.
_NEAREST: Final = """
    SELECT near.loan_id, near.btc_sats, near.eth_wei, near.debt
    FROM generate_series(0, %(last)s) AS bucket
    CROSS JOIN LATERAL (
        SELECT loan_id, btc_sats, eth_wei, debt FROM lending_position
        WHERE currency = %(currency)s AND share_bucket = bucket AND reach IS NOT NULL
        ORDER BY reach DESC LIMIT %(most)s
    ) AS near
    ORDER BY div((CASE WHEN near.btc_sats = 0 THEN 0 ELSE near.btc_sats * %(btc)s::numeric * 1e10 END
                + CASE WHEN near.eth_wei = 0 THEN 0 ELSE near.eth_wei * %(eth)s::numeric END) * %(scale)s,
                 near.debt * 1e18) NULLS LAST, near.loan_id
    OFFSET %(before)s LIMIT %(size)s
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One loan in the list."""

    loan: Loan
    name: str
    debt: Money
    worth: Money | None
    coverage_bps: int | None
    btc_sats: int
    eth_wei: int


@dataclass(frozen=True, slots=True)
class BookPage:
    """One page of the list and whether more follow."""

    lines: list[Line]
    number: int
    has_next: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """The book in one currency."""

    currency: str
    loans: int
    debt: Money
    calls: int
    sales: int


def nearest(*, currency: str, number: int = 1) -> BookPage:
    """Open loans in `currency` by coverage, lowest first. Reads the top of the sweep's index, not the book."""
    number = max(1, min(number, DEEPEST))
    before = (number - 1) * PAGE
    prices = prices_of(currency)
    values: dict[str, Any] = {"last": coverage.BUCKETS - 1, "currency": currency, "most": before + PAGE + 1}
    values |= {"btc": prices.btc, "eth": prices.eth, "scale": coverage.BPS * 10 ** DIGITS[currency]}
    with connection.cursor() as cursor:
        cursor.execute(_NEAREST, values | {"before": before, "size": PAGE + 1})
        rows = cursor.fetchall()
    judged = [_judged(row, prices) for row in rows[:PAGE]]
    loans = _loans([row[0] for row in judged])
    lines = [_line(loans[pk], sats, wei, debt, worth, bps) for pk, sats, wei, debt, worth, bps in judged]
    return BookPage(lines, number, has_next=len(rows) > PAGE and number < DEEPEST)


def _judged(row: tuple[Any, ...], prices: coverage.Prices) -> tuple[int, int, int, int, Decimal | None, int | None]:
    loan_id, sats, wei, debt = row[0], int(row[1]), int(row[2]), int(row[3])
    try:
        worth = coverage.value(btc_sats=sats, eth_wei=wei, prices=prices)
    except ValueError:
        return loan_id, sats, wei, debt, None, None
    return loan_id, sats, wei, debt, worth, coverage.coverage_bps(worth=worth, debt=debt, currency=prices.currency)


#: What the list shows of a loan, and its borrower's name; whatever else is asked of it is read when it is asked.
_SHOWN: Final = """
    SELECT loan.id, loan.reference, loan.state, loan.currency, coalesce(party.name, person.email) AS borrower_name
    FROM lending_loan AS loan JOIN portal_user AS person ON person.id = loan.borrower_id
    LEFT JOIN kyc_party AS party ON party.user_id = person.id
    WHERE loan.id = ANY(%(ids)s)
"""


def _loans(ids: list[int]) -> dict[int, Loan]:
    return {loan.pk: loan for loan in Loan.objects.raw(_SHOWN, {"ids": ids})}


def _name(loan: Loan) -> str:
    party = getattr(loan.borrower, "party", None)
    return str(party.name if party else loan.borrower.email)


def _line(loan: Loan, sats: int, wei: int, debt: int, worth: Decimal | None, bps: int | None) -> Line:
    return Line(
        loan=loan,
        name=getattr(loan, "borrower_name", None) or _name(loan),
        debt=money(debt, loan.currency),
        worth=None if worth is None else Money(worth, loan.currency).truncated(),
        coverage_bps=bps,
        btc_sats=sats,
        eth_wei=wei,
    )


def searched(*, state: str, currency: str, search: str, page: str) -> Page[Loan]:
    """Loans by state, currency, number, name or e-mail; newest first."""
    rows = Loan.objects.select_related("borrower__party", "terms", "position")
    if state:
        rows = rows.filter(state=state)
    if currency:
        rows = rows.filter(currency=currency)
    if search:
        party = Q(borrower__party__name__icontains=search) | Q(borrower__party__name_kana__icontains=search)
        rows = rows.filter(Q(reference=search) | Q(borrower__email__icontains=search) | party)
    return Paginator(rows.order_by("-id"), PAGE).get_page(page)


def lines_of(loans: list[Loan]) -> list[Line]:
    """The list's lines for loans that were found otherwise."""
    prices = {currency: prices_of(currency) for currency in {loan.currency for loan in loans}}
    lines = []
    for loan in loans:
        position = getattr(loan, "position", None) or Position(loan=loan, currency=loan.currency)
        row = _judged((loan.pk, position.btc_sats, position.eth_wei, position.debt), prices[loan.currency])
        lines.append(_line(loan, row[1], row[2], row[3], row[4], row[5]))
    return lines


def _totals() -> list[Totals]:
    calls = _per_currency(MarginCall.objects.filter(state=MarginCall.State.OPEN))
    sales = _per_currency(Sale.objects.filter(state__in=Sale.RUNNING))
    rows = (
        Position.objects.filter(debt__gt=0)
        .order_by("currency")
        .values("currency")
        .annotate(loans=Count("pk"), debt=Sum("debt"))
    )
    return [
        Totals(
            currency=row["currency"],
            loans=row["loans"],
            debt=money(int(row["debt"]), row["currency"]),
            calls=calls.get(row["currency"], 0),
            sales=sales.get(row["currency"], 0),
        )
        for row in rows
    ]


#: Open loans, what they owe, open calls and running sales per currency, as they stood at most ten seconds ago: the sum
#: visits every loan, and the page must not.
totals: Final = Remembered(_totals, seconds=10)


def _per_currency(rows: QuerySet[Any]) -> dict[str, int]:
    return dict(rows.order_by().values_list("loan__currency").annotate(count=Count("pk")))


#: Upper ends of the coverage classes that the distribution shows, in basis points; the last has none.
CLASSES: Final = (12_000, 15_000, 16_000, 17_500, 20_000, 25_000, 30_000)
_DISTRIBUTION: Final = """
    SELECT width_bucket((btc_sats * %(btc)s::numeric / 1e8 + eth_wei * %(eth)s::numeric / 1e18) * %(scale)s / debt, %(ends)s::numeric[]),
           count(*), sum(debt)
    FROM lending_position WHERE currency = %(currency)s AND debt > 0 GROUP BY 1 ORDER BY 1
"""


def distribution(currency: str) -> list[tuple[str, int, Money]]:
    """(class of coverage, loans, what they owe) over the whole book; empty without accepted prices."""
    prices = prices_of(currency)
    if prices.btc is None or prices.eth is None:
        return []
    scale = coverage.BPS * (1 if currency == "JPY" else 100)
    values: dict[str, Any] = {"btc": prices.btc, "eth": prices.eth, "scale": scale}
    values |= {"ends": list(CLASSES), "currency": currency}
    with connection.cursor() as cursor:
        cursor.execute(_DISTRIBUTION, values)
        found = {int(row[0]): (int(row[1]), int(row[2])) for row in cursor.fetchall()}
    names = [f"< {CLASSES[0] // 100} %"]
    names += [f"{low // 100}–{high // 100} %" for low, high in itertools.pairwise(CLASSES)]
    names.append(f"≥ {CLASSES[-1] // 100} %")
    empty = (0, 0)
    return [(name, found.get(at, empty)[0], money(found.get(at, empty)[1], currency)) for at, name in enumerate(names)]


# --- what waits for an officer -------------------------------------------------------------------------------------


def setbacks() -> QuerySet[Setback]:
    """What the desk could not carry out by itself and tries again, the oldest first."""
    return Setback.objects.select_related("loan__borrower__party").order_by("since")


def calls_open() -> QuerySet[MarginCall]:
    """Open calls, the earliest deadline first."""
    rows = MarginCall.objects.filter(state=MarginCall.State.OPEN)
    return rows.select_related("loan__borrower__party", "btc_price", "eth_price").order_by("deadline")


def sales_running() -> QuerySet[Sale]:
    rows = Sale.objects.filter(state__in=Sale.RUNNING).select_related("loan__borrower__party")
    return rows.prefetch_related("orders", "deliveries").order_by("started_at")


def deliveries_open() -> QuerySet[Delivery]:
    """Collateral on its way to or from the exchange, and what failed and was not asked for again. `home`: where it comes back to."""
    later = Delivery.objects.filter(
        sale=OuterRef("sale"), asset=OuterRef("asset"), direction=OuterRef("direction"), pk__gt=OuterRef("pk")
    )
    wanted = Q(sale__state__in=Sale.RUNNING) | Q(direction=Delivery.Direction.BACK)
    failed = Q(state=Delivery.State.FAILED) & wanted & ~Exists(later)
    rows = Delivery.objects.filter(Q(state__in=[Delivery.State.REQUESTED, Delivery.State.SENT]) | failed)
    home = DepositAddress.objects.filter(
        loan=OuterRef("sale__loan"), asset=OuterRef("asset"), purpose=DepositAddress.Purpose.DEPOSIT
    )
    return rows.annotate(home=Subquery(home.values("address")[:1])).select_related("sale__loan").order_by("id")


def loans_to_approve() -> QuerySet[Loan]:
    rows = Loan.objects.filter(state=Loan.State.APPLIED)
    return rows.select_related("borrower__party", "line", "first_approval_by").order_by("id")


def draws_to_release() -> QuerySet[Draw]:
    rows = Draw.objects.filter(state=Draw.State.REQUESTED)
    return rows.select_related("loan__borrower__party").order_by("id")


def repayments_to_confirm() -> QuerySet[Repayment]:
    rows = Repayment.objects.filter(state=Repayment.State.RECORDED)
    return rows.select_related("loan__borrower__party", "recorded_by").order_by("id")


def renewals_to_decide() -> QuerySet[Renewal]:
    rows = Renewal.objects.filter(state=Renewal.State.REQUESTED)
    return rows.select_related("loan__borrower__party").order_by("id")


def write_offs_to_decide() -> QuerySet[WriteOff]:
    rows = WriteOff.objects.filter(state=WriteOff.State.PROPOSED)
    return rows.select_related("loan__borrower__party", "proposed_by").order_by("id")


def withdrawals_open() -> QuerySet[Withdrawal]:
    """Returns of collateral on which an officer has to do something."""
    waiting = Q(state__in=["requested", "checked", "prepared"]) | Q(state="approved", asset="BTC")
    rows = Withdrawal.objects.filter(waiting).select_related("loan__borrower__party", "destination")
    return rows.order_by("id")


def return_addresses_to_approve() -> QuerySet[ReturnAddress]:
    rows = ReturnAddress.objects.filter(state=ReturnAddress.State.REQUESTED)
    return rows.select_related("borrower__party").order_by("id")


def past_due() -> QuerySet[Loan]:
    """Open loans whose due day is over: charged the late rate; what happens next a person decides."""
    rows = Loan.objects.filter(state__in=Loan.OPEN, due_on__lt=timezone.localdate())
    return rows.select_related("borrower__party").order_by(F("due_on").asc())


def work_count(_user: User) -> int:
    """How much waits at the desk, for the menu (one query)."""
    return _work()


def _everything_waiting(_key: int) -> QuerySet[Any]:
    waiting: tuple[QuerySet[Any], ...] = (
        draws_to_release(),
        repayments_to_confirm(),
        withdrawals_open(),
        sales_running(),
        setbacks(),
    )
    each = [rows.order_by().values("pk") for rows in waiting]
    return loans_to_approve().order_by().values("pk").union(*each, all=True)


_work: Final = RowCount(_everything_waiting)
