"""Addresses of people, and the keys with which officers attest."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from chain import services as chain_services
from chain.models import Signer
from kyc.models import OfficerKey, Wallet
from kyc.services.guards import require_officer
from portal import audit
from portal.exceptions import DomainError
from portal.models import User


@transaction.atomic
def open_custody_wallet(*, user: User, label: str) -> Wallet:
    """The person's primary wallet; a custody one is made if they have none. Asking twice makes one."""
    User.objects.select_for_update().get(pk=user.pk)
    wallet = Wallet.objects.filter(user=user, is_primary=True).first()
    if wallet is not None:
        return wallet
    # The label is for operators of signers; a name does not belong there.
    signer = chain_services.create_custody_signer(label=f"user {user.pk}")
    wallet = Wallet.objects.create(
        user=user, address=signer.address, kind=Wallet.Kind.CUSTODY, signer=signer, is_primary=True
    )
    audit.record(
        action="kyc.wallet.opened",
        subject_type="kyc.wallet",
        subject_id=wallet.pk,
        actor="kyc",
        data={"address": wallet.address, "user": user.pk, "kind": wallet.kind},
    )
    return wallet


@transaction.atomic
def set_officer_key(*, user: User, address: str, actor: User | str, signer: Signer | None = None) -> OfficerKey:
    """Say with which address an officer attests; with `signer` the server holds the key (demo only).

    The chain decides whether it counts: the address needs the ATTESTOR role there.
    """
    require_officer(user)
    if signer is not None and signer.address != address:
        raise DomainError(_("The key and the address do not belong together."), code="kyc.officer_key.mismatch")
    key, _created = OfficerKey.objects.update_or_create(user=user, defaults={"address": address, "signer": signer})
    audit.record(
        action="kyc.officer_key.set",
        subject_type="kyc.officerkey",
        subject_id=key.pk,
        actor=actor,
        data={"user": user.pk, "address": address, "held_here": signer is not None},
    )
    return key
