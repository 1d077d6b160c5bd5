"""Where a borrower's coins may go: asked for, approved by somebody else, and, if it is a change, good only after a wait.

Whoever takes over a borrower's account can therefore not send coins away before the borrower had time to object.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from chain.gateway import parse_address
from kyc.selectors import search_listed_wallets
from lending.bitcoin.addresses import parse_bitcoin_address
from lending.exceptions import LoanRefused, NotFound
from lending.models import Asset, DepositAddress, ReturnAddress
from lending.services.guards import move, require_officer, require_other
from portal import audit
from portal.models import User

_SUBJECT = "lending.returnaddress"


@transaction.atomic
def request_return_address(*, actor: User, asset: str, address: str) -> ReturnAddress:
    """Ask that coins of an asset go to `address` from now on. One request at a time; the same again is the same row.

    Raises InvalidBitcoinAddress, InvalidAddress (chain), or LoanRefused: an address of the desk's own would go in circles.
    """
    User.objects.select_for_update().get(pk=actor.pk)
    parsed = parse_bitcoin_address(address) if asset == Asset.BTC else parse_address(address)
    if DepositAddress.objects.filter(address=parsed).exists():
        raise LoanRefused(
            _("This is an address for deposits to the loan desk. Enter an address of your own. Nothing was changed."),
            code="lending.return_address.ours",
        )
    waiting = ReturnAddress.objects.filter(borrower=actor, asset=asset, state=ReturnAddress.State.REQUESTED).first()
    if waiting is not None and waiting.address == parsed:
        return waiting
    if waiting is not None:
        _move(waiting, ReturnAddress.State.CANCELLED, actor, "replaced")
    row = ReturnAddress.objects.create(borrower=actor, asset=asset, address=parsed, requested_by=actor)
    audit.record(
        action="lending.return_address.requested",
        subject_type=_SUBJECT,
        subject_id=row.pk,
        actor=actor,
        data={"asset": asset, "address": parsed},
    )
    return row


@transaction.atomic
def approve_return_address(*, address_id: int, actor: User) -> ReturnAddress:
    """A second person's approval. The first address is good at once, a change after the wait in the settings.

    Raises LoanRefused while the address is on a sanctions list, or no list is loaded to look at.
    """
    require_officer(actor)
    row = _locked(address_id)
    require_other(actor, row.requested_by_id, row.borrower_id)
    require_not_listed(row.address)
    earlier = ReturnAddress.objects.filter(
        borrower=row.borrower_id, asset=row.asset, state=ReturnAddress.State.APPROVED
    ).exists()
    wait = timedelta(hours=settings.LENDING_RETURN_ADDRESS_WAIT_HOURS) if earlier else timedelta(0)
    row.approved_by, row.effective_at = actor, timezone.now() + wait
    _move(row, ReturnAddress.State.APPROVED, actor, "approved", "approved_by", "effective_at")
    return row


@transaction.atomic
def refuse_return_address(*, address_id: int, actor: User, reason: str) -> ReturnAddress:
    """An officer's no; the address before stays good."""
    require_officer(actor)
    row = _locked(address_id)
    row.reason = reason.strip()[:300]
    _move(row, ReturnAddress.State.REFUSED, actor, "refused", "reason", reason=row.reason)
    return row


@transaction.atomic
def cancel_return_address(*, address_id: int, actor: User, reason: str = "") -> ReturnAddress:
    """Stop an address that is not in effect yet: its borrower, or an officer whom the borrower rang up."""
    row = _locked(address_id)
    if row.borrower_id != actor.pk:
        require_officer(actor)
    if row.effective_at is not None and row.effective_at <= timezone.now():
        raise LoanRefused(
            _("This address is in effect already. Ask for another one to replace it. Nothing was changed."),
            code="lending.return_address.in_effect",
        )
    row.reason = reason.strip()[:300]
    _move(row, ReturnAddress.State.CANCELLED, actor, "cancelled", "reason", reason=row.reason)
    return row


def require_not_listed(address: str) -> None:
    """Pass if lists were searched and `address` is on none. Raises LoanRefused."""
    search = search_listed_wallets([address])
    if not search.is_possible or search.hits:
        raise LoanRefused(
            _(
                "This address could not be cleared against the sanctions lists. Nothing was changed. Ask the KYC officers."
            ),
            code="lending.return_address.not_cleared",
        )


def _locked(address_id: int) -> ReturnAddress:
    row = ReturnAddress.objects.select_for_update(of=("self",)).select_related("borrower").filter(pk=address_id).first()
    if row is None:
        raise NotFound(_("There is no such address."), code="lending.return_address.not_found")
    return row


def _move(
    row: ReturnAddress, target: ReturnAddress.State, actor: User, step: str, *fields: str, reason: str = ""
) -> None:
    move(
        row,
        target,
        actor=actor,
        action=f"lending.return_address.{step}",
        subject=_SUBJECT,
        reason=reason,
        also=list(fields),
        data={"asset": row.asset, "address": row.address},
    )
