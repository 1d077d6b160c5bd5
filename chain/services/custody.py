"""Making signers: platform keys and the wallets we hold for investors."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from chain import signers
from chain.exceptions import SignerUnavailable
from chain.models import Signer
from chain.rpc import as_int, node
from chain.services.incidents import ENGINE
from chain.types import SignerRole
from portal import audit
from portal.exceptions import DomainError
from portal.models import User


class SignerExists(DomainError):
    """There already is a signer with this role or address."""


def create_custody_signer(*, label: str) -> Signer:
    """A new wallet that we hold for an investor. Needs no node: nobody can have used an address nobody knew.

    The key's file is on disk before the row is committed; a rollback leaves an unused file and no wallet.
    """
    return _save(role=SignerRole.CUSTODY, address=signers.keystore().create(), label=label, next_nonce=0)


def create_platform_signer(*, role: str, label: str = "") -> Signer:
    """A new key for one of the platform's own roles; the signer that is there, if the role has one on this chain."""
    rows = Signer.objects.filter(chain_id=settings.CHAIN_ID, role=role, state=Signer.State.ACTIVE)
    existing = rows.first()
    if existing is not None and role not in SignerRole.MANY:
        return existing
    return _save(role=role, address=signers.keystore().create(), label=label or role, next_nonce=0)


def create_replacement(*, signer: Signer, actor: User | str = ENGINE) -> Signer:
    """A new key that will take the role of `signer` once the chain gave it to it; until then it signs nothing."""
    return _save(
        role=signer.role,
        address=signers.keystore().create(),
        label=signer.label or signer.role,
        next_nonce=0,
        actor=actor,
        replaces=signer,
    )


def import_signer(*, role: str, private_key: bytes, label: str = "", actor: User | str = ENGINE) -> Signer:
    """Take an existing key into the keystore. Its nonce starts at what the node counts, pending ones included.

    Raises `SignerExists` if the role or the address is taken, `NodeUnavailable` if the count cannot be read.
    """
    address = signers.keystore().store(private_key)
    count = as_int(node().call("eth_getTransactionCount", address, "pending"))
    return _save(role=role, address=address, label=label or role, next_nonce=count, actor=actor)


@transaction.atomic
def _save(
    *,
    role: str,
    address: str,
    label: str,
    next_nonce: int,
    actor: User | str = ENGINE,
    replaces: Signer | None = None,
) -> Signer:
    if not signers.keystore().has(address):
        raise SignerUnavailable(f"no keystore file for {address}")
    try:
        with transaction.atomic():
            signer = Signer.objects.create(
                chain_id=settings.CHAIN_ID,
                address=address,
                role=role,
                label=label[:120],
                next_nonce=next_nonce,
                state=Signer.State.STANDBY if replaces else Signer.State.ACTIVE,
                replaces=replaces,
            )
    except IntegrityError as error:
        raise SignerExists(
            _("This role or this address already has a signing key. Nothing was changed."), code="chain.signer_exists"
        ) from error
    audit.record(
        action="chain.signer.created",
        subject_type="chain.signer",
        subject_id=signer.pk,
        actor=actor,
        data={"role": role, "address": address},
    )
    return signer
