"""What this app adds to everybody's pages: next steps, menu entries, who may see which transaction, names."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from chain.registry import visibility
from kyc import progress, selectors
from kyc.models import Application
from kyc.selectors import InvestorStatus
from portal.models import Role, User
from portal.registry import INVESTOR, MenuItem, NextStep, Summary, menu_items, next_steps, summaries
from portal.templatetags.musubi import day

_S = InvestorStatus


@next_steps.register
def steps_for(user: User) -> Iterable[NextStep]:
    """What the person has to do about their verification, or the officer about the queue."""
    if user.has_role(Role.KYC_OFFICER):
        return _officer_steps(user)
    return [] if user.roles else _investor_steps(user)


def _investor_steps(user: User) -> Iterable[NextStep]:
    application = selectors.current_application(user)
    if application is None:
        yield NextStep(
            title=_("Verify your identity"),
            detail=_("Only verified people can hold securities here. It takes about ten minutes."),
            url=reverse("kyc:application-start"),
            action=_("Start the application"),
            priority=10,
        )
        return
    status = selectors.investor_status(user)
    if status == _S.DRAFT:
        yield NextStep(
            title=_("Finish your application"),
            detail=_("Everything you entered is kept."),
            url=reverse("kyc:application"),
            action=pgettext("application", "Go on"),
            priority=10,
        )
    elif status == _S.SENT_BACK:
        yield NextStep(
            title=_("We need one document again"),
            detail=_("The officer says why. Everything else is kept."),
            url=reverse("kyc:application"),
            action=_("See what is needed"),
            tone="warn",
            priority=5,
        )
    elif status == _S.REJECTED:
        yield NextStep(
            title=_("We could not accept your application"),
            url=reverse("kyc:status"),
            action=_("Look"),
            tone="bad",
            priority=30,
        )
    elif status != _S.ACTIVE:
        yield NextStep(
            title=_("Your verification: %(status)s") % {"status": status.label},
            detail=progress.sentence(application),
            url=reverse("kyc:status"),
            action=_("See where it is"),
            tone=progress.TONES[status],
            priority=65 if status in (_S.SUBMITTED, _S.IN_REVIEW, _S.APPROVED_PENDING) else 8,
        )


@summaries.register
def summary_for(user: User) -> Iterable[Summary]:
    """How an investor's verification stands, once it is in force."""
    application = None if user.roles else selectors.current_application(user)
    if application is None or selectors.investor_status(user) != _S.ACTIVE:
        return
    until = application.next_review_on
    yield Summary(
        label=_("Verification"),
        value=_S.ACTIVE.label,
        tone=progress.TONES[_S.ACTIVE],
        detail=format_html(_("Valid until {day}"), day=day(until)) if until else "",
        url=reverse("kyc:status"),
    )


def _officer_steps(user: User) -> Iterable[NextStep]:
    waiting = selectors.waiting_for(user)
    if waiting:
        yield NextStep(
            title=_("Applications wait: %(count)s") % {"count": waiting},
            detail=_("The oldest you may take comes first."),
            url=reverse("kyc:case-next"),
            action=_("Take the next case"),
            priority=15,
        )
    wallets = selectors.wallet_requests_waiting(user)
    if wallets:
        yield NextStep(
            title=_("Further wallets wait for your signature: %(count)s") % {"count": wallets},
            detail=_("Verified people who showed that they hold the key."),
            url=reverse("kyc:wallet-requests"),
            action=_("See them"),
            priority=16,
        )
    mine = Application.objects.filter(assigned_to=user, state__in=Application.WITH_OFFICERS)[:99].count()
    if mine:
        yield NextStep(
            title=_("Cases you have claimed: %(count)s") % {"count": mine},
            url=reverse("kyc:queue") + "?owner=me",
            action=_("See them"),
            priority=12,
        )


menu_items.register(
    MenuItem(gettext_lazy("Verification"), "kyc:status", frozenset({INVESTOR}), order=40, section="/kyc/")
)
menu_items.register(
    MenuItem(gettext_lazy("Wallets"), "kyc:wallets", frozenset({INVESTOR}), order=26, section="/kyc/wallets/")
)
menu_items.register(
    MenuItem(
        gettext_lazy("Further wallets"),
        "kyc:wallet-requests",
        frozenset({Role.KYC_OFFICER}),
        order=22,
        section="/kyc/wallet-requests/",
        count=selectors.wallet_requests_waiting,
    )
)
menu_items.register(
    MenuItem(
        gettext_lazy("Applications"),
        "kyc:queue",
        frozenset({Role.KYC_OFFICER, Role.AUDITOR}),
        order=20,
        section="/kyc/",
        count=selectors.waiting_for,
    )
)


def _may_see(user: User, subject: str) -> bool:
    """The applicant and staff who work with applications see its transactions."""
    if user.roles & {Role.KYC_OFFICER, Role.AUDITOR, Role.ADMINISTRATOR}:
        return True
    _kind, _separator, pk = subject.partition(":")
    return pk.isdigit() and Application.objects.filter(pk=int(pk), user=user).exists()


def _addresses(user: User) -> list[str]:
    return [wallet.address for wallet in selectors.wallets_for(user)]


def _names(user: User, addresses: Iterable[str]) -> dict[str, str]:
    """Staff see whose an address is; people see their own."""
    people = selectors.people_by_address(addresses)
    return {address: person.name for address, person in people.items() if user.roles or person.user_id == user.pk}


visibility.register("kyc.application", _may_see)
visibility.register_addresses(_addresses)
visibility.register_names(_names)
