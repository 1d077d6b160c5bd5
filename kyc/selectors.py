"""What other parts may ask about people: who they are, where their wallets are, whether they are verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from kyc.models import Application, Party, Wallet
from portal.models import User


class InvestorStatus(models.TextChoices):
    """Where a person stands, in the words of pages. Only `active` may hold and receive."""

    NOT_STARTED = "not_started", _("Not started")
    DRAFT = "draft", _("Application not finished")
    SUBMITTED = "submitted", _("Application received")
    IN_REVIEW = "in_review", _("In review")
    SENT_BACK = "sent_back", _("Needs something from you")
    APPROVED_PENDING = "approved_pending", _("Approved, not yet effective")
    ACTIVE = "active", _("Verified")
    SUSPENDED = "suspended", _("Suspended")
    EXPIRED = "expired", _("Expired")
    REJECTED = "rejected", _("Not accepted")
    REVOKED = "revoked", _("Revoked")


_STATE = Application.State
_STATUS_OF = {
    _STATE.DRAFT: InvestorStatus.DRAFT,
    _STATE.SUBMITTED: InvestorStatus.SUBMITTED,
    _STATE.IN_REVIEW: InvestorStatus.IN_REVIEW,
    _STATE.APPROVED_FIRST: InvestorStatus.IN_REVIEW,
    _STATE.SENT_BACK: InvestorStatus.SENT_BACK,
    _STATE.APPROVED: InvestorStatus.APPROVED_PENDING,
    _STATE.ATTESTED: InvestorStatus.APPROVED_PENDING,
    _STATE.ISSUING: InvestorStatus.APPROVED_PENDING,
    _STATE.PENDING: InvestorStatus.APPROVED_PENDING,
    _STATE.ACTIVE: InvestorStatus.ACTIVE,
    # The chain still lets these hold, but somebody decided otherwise: pages already say so.
    _STATE.SUSPENDING: InvestorStatus.SUSPENDED,
    _STATE.SUSPENDED: InvestorStatus.SUSPENDED,
    _STATE.REINSTATING: InvestorStatus.SUSPENDED,
    _STATE.REVOKING: InvestorStatus.SUSPENDED,
    _STATE.REVOKED: InvestorStatus.REVOKED,
    # The running token stays effective while its renewal is on the way.
    _STATE.RENEWING: InvestorStatus.ACTIVE,
    _STATE.EXPIRED: InvestorStatus.EXPIRED,
    _STATE.REJECTED: InvestorStatus.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who stands behind an address, for staff pages."""

    user_id: int
    name: str
    kind: str
    email: str
    address: str


def wallets_for(user: User) -> list[Wallet]:
    """The person's wallets, primary first, with their signers (one query)."""
    return list(Wallet.objects.filter(user=user).select_related("signer"))


def primary_wallet(user: User) -> Wallet | None:
    """The wallet that new securities go to; None before the first approval."""
    return Wallet.objects.filter(user=user, is_primary=True).select_related("signer").first()


def wallet_by_address(address: str) -> Wallet | None:
    """The wallet of a checksummed address, with its user; None if it is nobody's here."""
    return Wallet.objects.filter(address=address).select_related("signer", "user").first()


def people_by_address(addresses: Iterable[str]) -> dict[str, Person]:
    """Names behind addresses, for staff pages; unknown addresses are left out (one query)."""
    wallets = Wallet.objects.filter(address__in=set(addresses)).select_related("user", "user__party")
    return {wallet.address: _person(wallet) for wallet in wallets}


def _person(wallet: Wallet) -> Person:
    party = getattr(wallet.user, "party", None)
    return Person(
        user_id=wallet.user_id,
        name=party.name if party else str(wallet.user),
        kind=party.kind if party else "",
        email=wallet.user.email,
        address=wallet.address,
    )


def current_application(user: User) -> Application | None:
    """The application that counts for this person: the open one, else the latest closed one."""
    applications = Application.objects.filter(user=user)
    return applications.exclude(state__in=Application.CLOSED).first() or applications.order_by("-id").first()


def investor_status(user: User) -> InvestorStatus:
    """Where the person stands, from our own records. Who may hold is decided by the chain alone."""
    application = current_application(user)
    return _STATUS_OF[Application.State(application.state)] if application else InvestorStatus.NOT_STARTED


def party_for(user: User) -> Party | None:
    """The person or company behind the account as two officers verified it; None before the first approval."""
    return Party.objects.filter(user=user).select_related("user").first()


def verified_parties(*, search: str = "") -> list[Party]:
    """Parties whose token is effective, by name; `search` looks in names and e-mail. At most 200."""
    parties = Party.objects.filter(is_verified=True).select_related("user")
    if search:
        parties = parties.filter(
            models.Q(name__icontains=search)
            | models.Q(name_kana__icontains=search)
            | models.Q(name_romaji__icontains=search)
            | models.Q(user__email__icontains=search)
        )
    return list(parties.order_by("name", "id")[:200])


def names_by_user(user_ids: Iterable[int]) -> dict[int, str]:
    """The verified names behind accounts, for staff pages; accounts without one are left out (one query)."""
    return dict(Party.objects.filter(user_id__in=set(user_ids)).values_list("user_id", "name"))
