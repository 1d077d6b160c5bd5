"""What needs a person, for the dashboard and the menu's counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal.compiled import RowCount
from portal.models import Role, User
from portal.registry import NextStep, Summary
from portal.units import format_units, plural_number
from tokens.models import AdmissionRequest, Recovery, Security, Subscription, Transfer
from tokens.selectors import (
    admission_requests_open,
    open_offers_to,
    open_recoveries_for,
    portfolio_for,
    transfers_for,
)
from tokens.templatetags.securities import state_tone


def open_offers(user: User) -> int:
    """Invitations this person has not answered."""
    return len(open_offers_to(user))


def open_admissions(user: User) -> int:
    """Requests that wait for an issuer."""
    return _open_admissions()


_open_admissions: Final = RowCount(
    lambda _key: admission_requests_open().filter(state=AdmissionRequest.State.REQUESTED),
)


def securities_to_approve(user: User) -> int:
    """Issues that wait for this person as the second one."""
    if not (user.has_role(Role.ISSUER) or user.has_role(Role.ADMINISTRATOR)):
        return 0
    return Security.objects.filter(state=Security.State.AWAITING_APPROVAL).exclude(created_by=user).count()


_ANNOUNCED = (Recovery.State.ANNOUNCING, Recovery.State.WAITING)


def investor_steps(user: User) -> Iterator[NextStep]:
    """Invitations to answer and payments to make."""
    if user.roles:
        return
    announced = [row for row in open_recoveries_for(user) if row.state in _ANNOUNCED]
    for recovery in announced[:5]:
        yield NextStep(
            title=_("A recovery of your wallet was announced"),
            detail=_("An administrator reported the wallet with your units of %(security)s as lost.")
            % {"security": recovery.security_name},
            url=reverse("tokens:recovery-detail", args=[recovery.pk]),
            action=_("Read it, or object"),
            tone="bad",
            priority=5,
        )
    for offer in open_offers_to(user)[:5]:
        yield NextStep(
            title=_("You are invited to subscribe to %(security)s") % {"security": offer.security_name},
            detail=_("Read the terms and documents, then subscribe or decline."),
            url=reverse("tokens:subscription-detail", args=[offer.pk]),
            action=_("Read the offer"),
            priority=25,
        )
    waiting = Subscription.objects.filter(investor=user, state=Subscription.State.SUBSCRIBED)
    for subscription in waiting.select_related("security")[:5]:
        yield NextStep(
            title=_("Pay for your subscription to %(security)s") % {"security": subscription.security.name},
            detail=_("The issuer confirms here when the money has arrived."),
            url=reverse("tokens:subscription-detail", args=[subscription.pk]),
            action=_("See what is due"),
            priority=30,
        )


def staff_steps(user: User) -> Iterator[NextStep]:
    """Approvals for the second person; for issuers also payments, allotments and admissions."""
    waiting = securities_to_approve(user)
    if waiting:
        yield NextStep(
            title=_("Securities waiting for your approval: %(count)d") % {"count": waiting},
            detail=_("A second person reads the terms before the contract is put on the chain."),
            url=f"{reverse('tokens:security-list')}?state={Security.State.AWAITING_APPROVAL}",
            action=_("Read the terms"),
            tone="warn",
            priority=20,
        )
    if user.has_role(Role.ISSUER):
        yield from _issuer_steps(user)


def _issuer_steps(user: User) -> Iterator[NextStep]:
    admissions = open_admissions(user)
    if admissions:
        yield NextStep(
            title=_("Admission requests to decide: %(count)d") % {"count": admissions},
            detail=_("Verified people who want to receive a security from a holder."),
            url=reverse("tokens:admissions"),
            action=_("Decide"),
            priority=30,
        )
    actions = {
        Subscription.State.SUBSCRIBED: (_("Subscriptions waiting for payment: %(count)d"), 60),
        Subscription.State.PAID: (_("Paid subscriptions to allocate: %(count)d"), 30),
        Subscription.State.ALLOCATED: (_("Allocations to issue: %(count)d"), 28),
        Subscription.State.FAILED: (_("Allotments that could not be issued: %(count)d"), 15),
    }
    rows = Subscription.objects.filter(state__in=actions).values_list("state", "security_id")
    by_state: dict[str, list[int]] = {}
    for state, security_id in rows:
        by_state.setdefault(state, []).append(security_id)
    for state, (title, priority) in actions.items():
        securities = by_state.get(state, [])
        if securities:
            yield NextStep(
                title=title % {"count": len(securities)},
                url=reverse("tokens:placement", args=[securities[0]]),
                action=_("Open the placement"),
                tone="bad" if state == Subscription.State.FAILED else "info",
                priority=priority,
            )


def investor_summary(user: User) -> Iterator[Summary]:
    """What an investor holds at face, in how many securities, and how their newest transfer stands."""
    if user.roles:
        return
    portfolio = portfolio_for(user)
    held = [holding for holding in portfolio.holdings if holding.units]
    if held:
        count = len({holding.security.pk for holding in held})
        yield Summary(
            label=_("Value at face"),
            amounts=tuple(portfolio.totals),
            detail=ngettext("%(count)d security", "%(count)d securities", count) % {"count": count},
            url=reverse("tokens:holdings"),
        )
    for view in transfers_for(user, limit=1):
        transfer = view.transfer
        yield Summary(
            label=_("Newest transfer received") if view.is_incoming else _("Newest transfer sent"),
            value=transfer.get_state_display(),
            tone=state_tone(transfer.state),
            detail=_units_of(transfer),
            url=reverse("tokens:transfer-detail", args=[transfer.pk]),
        )


def _units_of(transfer: Transfer) -> str:
    security, units = transfer.security, int(transfer.units)
    number = plural_number(units, decimals=security.decimals)
    text = ngettext("%(count)s unit of %(security)s", "%(count)s units of %(security)s", number)
    return text % {"count": format_units(units, decimals=security.decimals), "security": security.name}
