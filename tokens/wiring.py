"""What this app tells the others about itself at start-up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.utils.translation import gettext_lazy as _

from chain.registry import public_securities, visibility
from kyc.selectors import wallets_for
from portal.models import Role, User
from portal.registry import INVESTOR, MenuItem, PublicPart, menu_items, next_steps, public_parts, summaries
from tokens import notices, published, steps
from tokens.models import AdmissionRequest, PlacementRule, Recovery, Subscription, Transfer
from tokens.selectors import may_see_transfer, names_for
from tokens.services.guards import looks_after_securities

MENU = (
    MenuItem(_("Holdings"), "tokens:holdings", frozenset({INVESTOR}), order=20),
    MenuItem(_("Transfers"), "tokens:transfers", frozenset({INVESTOR}), order=22),
    MenuItem(_("Offers"), "tokens:subscriptions", frozenset({INVESTOR}), order=24, count=steps.open_offers),
    MenuItem(
        _("Securities"),
        "tokens:security-list",
        frozenset({Role.ISSUER, Role.ADMINISTRATOR, Role.AUDITOR}),
        order=30,
        count=steps.securities_to_approve,
    ),
    MenuItem(_("Admissions"), "tokens:admissions", frozenset({Role.ISSUER}), order=32, count=steps.open_admissions),
)


def connect() -> None:
    """Register who may see which transaction, whose addresses are whose, and what a person should do next."""
    visibility.register("tokens.security", lambda user, subject: looks_after_securities(user))
    visibility.register("tokens.control", lambda user, subject: looks_after_securities(user))
    visibility.register("tokens.subscription", _sees_subscription)
    visibility.register("tokens.transfer", _sees_transfer)
    visibility.register("tokens.admission", _sees_admission)
    visibility.register("tokens.recovery", _sees_recovery)
    visibility.register_addresses(_addresses_of)
    visibility.register_names(_names_of)
    for item in MENU:
        menu_items.register(item)
    notices.connect()
    next_steps.register(steps.investor_steps)
    next_steps.register(steps.staff_steps)
    summaries.register(steps.investor_summary)
    public_securities.register(published.public_names)
    public_parts.register(PublicPart("tokens/public/part.html", published.public_part, order=10))


def ensure_first_placement_rule(**kwargs: Any) -> None:
    """The rule in force at the first release, unless somebody entered rules already (DOMAIN §3)."""
    if kwargs.get("using", "default") == "default" and not PlacementRule.objects.exists():
        PlacementRule.objects.create(
            effective_from=date(2022, 1, 1),
            source="Financial Instruments and Exchange Act, art. 2(3); Order for Enforcement, arts. 1-5, 1-6",
        )


def _pk(subject: str) -> int:
    value = subject.partition(":")[2]
    return int(value) if value.isdigit() else 0


def _sees_subscription(user: User, subject: str) -> bool:
    mine = Subscription.objects.filter(pk=_pk(subject), investor=user)
    return looks_after_securities(user) or mine.exists()


def _sees_transfer(user: User, subject: str) -> bool:
    transfer = Transfer.objects.filter(pk=_pk(subject)).first()
    return transfer is not None and may_see_transfer(user, transfer)


def _sees_admission(user: User, subject: str) -> bool:
    return looks_after_securities(user) or AdmissionRequest.objects.filter(pk=_pk(subject), user=user).exists()


def _sees_recovery(user: User, subject: str) -> bool:
    return looks_after_securities(user) or Recovery.objects.filter(pk=_pk(subject), user=user).exists()


def _addresses_of(user: User) -> Iterable[str]:
    return [wallet.address for wallet in wallets_for(user)]


def _names_of(user: User, addresses: Iterable[str]) -> dict[str, str]:
    return names_for(user, addresses)
