"""Exposure against the hard limits. Positions hold what is owed; draws that were asked for count as lent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db import connection
from django.db.models import F, QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from lending.coverage import REFERENCE_RATIO
from lending.exceptions import LimitReached
from lending.models import Asset, GroupMember, Limit, Loan, Position
from lending.money import from_minor, to_minor
from portal.money import Money

#: Of each loan's debt the part that stands on bitcoin, at the fixed reference ratio, so that it needs no price.
_ON_BITCOIN = """
    SELECT coalesce(sum(CASE WHEN eth_wei = 0 THEN debt
                             ELSE debt * (btc_sats * 10000000000::numeric)
                                  / (btc_sats * 10000000000::numeric + %s * eth_wei) END), 0),
           coalesce(sum(debt), 0)
    FROM lending_position WHERE currency = %s AND debt > 0 AND (btc_sats > 0 OR eth_wei > 0)
"""


@dataclass(frozen=True, slots=True)
class Use:
    """One limit and what stands against it, in the currency."""

    scope: str
    asset: str
    name: str
    limit: Money
    used: Money

    @property
    def percent(self) -> int:
        return int(self.used.amount * 100 / self.limit.amount) if self.limit.amount else 100


def limit_in_force(*, scope: str, currency: str, asset: str = "") -> Limit:
    """The newest approved limit of a scope. Raises `LimitReached` if there is none: then nothing is lent."""
    found = (
        Limit.objects.filter(scope=scope, currency=currency, asset=asset, state=Limit.State.APPROVED)
        .order_by(F("decided_at").desc(nulls_last=True), "-id")
        .first()
    )
    if found is None:
        raise LimitReached(
            _("No limit is approved for this, so nothing can be lent. A loan officer has to enter one."),
            code=f"lending.limit.{scope}.none",
        )
    return found


def limits() -> QuerySet[Limit]:
    """Every limit that was entered, the newest of each scope first."""
    return Limit.objects.select_related("entered_by", "approved_by")


def group_subjects(subject: str) -> list[str]:
    """Everybody who counts together with a legal person, that person included; only them without a group."""
    member = GroupMember.objects.filter(subject=subject).first()
    if member is None:
        return [subject]
    return list(GroupMember.objects.filter(group_id=member.group_id).values_list("subject", flat=True))


def owed_by(subjects: list[str], *, currency: str) -> int:
    """Minor units that these legal persons owe in a currency, shortfalls included."""
    found = Position.objects.filter(currency=currency, loan__line__subject__in=subjects).aggregate(total=Sum("debt"))
    return int(found["total"] or 0)


def owed_in_all(currency: str) -> int:
    found = Position.objects.filter(currency=currency).aggregate(total=Sum("debt"))
    return int(found["total"] or 0)


def owed_on_assets(currency: str) -> dict[str, int]:
    """Minor units of debt that stand on each asset; a debt without collateral stands on none."""
    with connection.cursor() as cursor:
        cursor.execute(_ON_BITCOIN, [Decimal(str(REFERENCE_RATIO)), currency])
        on_bitcoin, everything = cursor.fetchone()
    bitcoin = int(on_bitcoin)
    return {Asset.BTC: bitcoin, Asset.ETH: int(everything) - bitcoin}


def require_within_limits(*, loan: Loan, amount: int, btc_sats: int, eth_wei: int) -> None:
    """Pass if lending `amount` minor units more to `loan` breaks no limit. The caller holds the lock of the limits.

    Raises `LimitReached` with the scope in its code.
    """
    currency, subject = loan.currency, loan.line.subject
    _require("borrower", "", currency, owed_by([subject], currency=currency) + amount)
    _require("group", "", currency, owed_by(group_subjects(subject), currency=currency) + amount)
    _require("book", "", currency, owed_in_all(currency) + amount)
    on_assets = owed_on_assets(currency)
    for asset, units in (("BTC", btc_sats), ("ETH", eth_wei)):
        if units:
            # The whole draw counts on each of the loan's assets: rather refused too early than too late.
            _require("asset", asset, currency, on_assets[asset] + amount)


def _require(scope: str, asset: str, currency: str, wanted: int) -> None:
    limit = limit_in_force(scope=scope, currency=currency, asset=asset)
    if wanted > to_minor(limit.amount, currency):
        raise LimitReached(
            _("This would exceed a limit of the desk (%(limit)s). Nothing was lent.") % {"limit": _words(limit)},
            code=f"lending.limit.{scope}",
            wanted=wanted,
        )


def _words(limit: Limit) -> str:
    return f"{limit.get_scope_display()} {limit.asset}".strip()


def limits_in_use(currency: str) -> list[Use]:
    """Whole book and assets against their limits, then the borrowers and groups that use most of theirs."""
    on_assets = owed_on_assets(currency)
    found = [_use("book", "", "", currency, owed_in_all(currency))]
    found += [_use("asset", asset, asset, currency, on_assets[asset]) for asset in (Asset.BTC, Asset.ETH)]
    largest = (
        Position.objects.filter(currency=currency, debt__gt=0)
        .order_by()
        .values_list("loan__line__subject", "loan__borrower__party__name")
        .annotate(total=Sum("debt"))
        .order_by("-total")[:10]
    )
    found += [_use("borrower", "", name or subject, currency, int(total)) for subject, name, total in largest]
    return found + _groups_in_use(currency)


def _groups_in_use(currency: str) -> list[Use]:
    members: dict[str, list[str]] = {}
    for name, subject in GroupMember.objects.values_list("group__name", "subject"):
        members.setdefault(name, []).append(subject)
    return [
        _use("group", "", name, currency, owed_by(subjects, currency=currency)) for name, subjects in members.items()
    ]


def _use(scope: str, asset: str, name: str, currency: str, used: int) -> Use:
    limit = limit_in_force(scope=scope, currency=currency, asset=asset)
    return Use(scope, asset, name, Money(limit.amount, currency), Money(from_minor(used, currency), currency))


def biggest_share(currency: str) -> Decimal:
    """The largest borrower's part of the book, between 0 and 1."""
    everything = owed_in_all(currency)
    top = (
        Position.objects.filter(currency=currency)
        .order_by()
        .values("loan__line__subject")
        .annotate(total=Sum("debt"))
        .order_by("-total")
        .first()
    )
    return Decimal(int(top["total"])) / everything if top and everything else Decimal(0)
