"""The holder's word against a recovery of their wallet, carried to the chain by the wallet itself."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.models import Signer
from chain.services import enqueue
from kyc.selectors import wallet_by_address
from portal import audit
from portal.models import User
from tokens.exceptions import ControlRefused
from tokens.models import Recovery

SUBJECT: Final = "tokens.recovery"


def object_to_recovery(*, recovery_id: int, actor: User) -> Recovery:
    """Ask the chain to stop a recovery: `objectToRecovery` from the wallet that is called lost.

    Only its owner may, and only while it is announced and nothing was moved; the platform must keep the wallet's key.
    Asking again while the first objection is on its way, or stands, changes nothing. WAITING becomes OBJECTED once
    the contract has taken it. Raises `ControlRefused`.
    """
    with transaction.atomic():
        recovery = (
            Recovery.objects.select_for_update(of=("self",)).select_related("security", "objection").get(pk=recovery_id)
        )
        if recovery.user_id != actor.pk:
            raise ControlRefused(
                _("This wallet is not yours. Nothing was changed."), code="tokens.recovery.not_your_wallet"
            )
        if recovery.is_objected:
            return recovery
        signer, token = _signer_of(recovery), recovery.security.token
        if not recovery.may_be_objected_to or token is None:
            raise ControlRefused(
                _("There is nothing left to object to. Nothing was changed."), code="tokens.recovery.not_open"
            )
        recovery.objection_attempt += 1
        recovery.objection = enqueue(
            call=operations.object_to_recovery(token),
            signer=signer,
            idempotency_key=f"{SUBJECT}:{recovery.pk}:object:{recovery.objection_attempt}",
            purpose="tokens.object_to_recovery",
            subject=f"{SUBJECT}:{recovery.pk}",
        )
        recovery.save(update_fields=["objection", "objection_attempt"])
        audit.record(
            action=f"{SUBJECT}.objection_requested",
            subject_type=SUBJECT,
            subject_id=recovery.pk,
            actor=actor,
            from_state=recovery.state,
            to_state=recovery.state,
            data={"security": recovery.security_id, "lost": recovery.lost, "replacement": recovery.replacement},
        )
    return recovery


def _signer_of(recovery: Recovery) -> Signer:
    wallet = wallet_by_address(recovery.lost)
    if wallet is None or wallet.signer is None:
        raise ControlRefused(
            _("The key of this wallet is with you, so the objection has to be sent from it. Nothing was changed."),
            code="tokens.recovery.own_wallet",
        )
    signer: Signer = wallet.signer
    return signer


def note_objection(*, recovery: Recovery, actor: str) -> None:
    """WAITING → OBJECTED on the locked row: the contract has taken an objection. Anything else is left alone."""
    _take(recovery, Recovery.State.WAITING, Recovery.State.OBJECTED, actor=actor)


def forget_objection(*, recovery: Recovery, actor: str, reason: str) -> None:
    """OBJECTED → WAITING on the locked row: the objection did not reach the chain, or a reorganisation undid it."""
    _take(recovery, Recovery.State.OBJECTED, Recovery.State.WAITING, actor=actor, reason=reason)


def call_off(*, recovery: Recovery, actor: str) -> None:
    """WAITING | OBJECTED → FAILED on the locked row: the council called the recovery off, the wallet is free again."""
    for source in (Recovery.State.WAITING, Recovery.State.OBJECTED):
        _take(recovery, source, Recovery.State.FAILED, actor=actor, reason="called off by the council")


def _take(recovery: Recovery, source: str, target: str, *, actor: str, reason: str = "") -> None:
    if recovery.state != source:
        return
    recovery.state, recovery.error_code = target, reason[:120]
    recovery.save(update_fields=["state", "error_code"])
    audit.record(
        action=f"{SUBJECT}.{target}",
        subject_type=SUBJECT,
        subject_id=recovery.pk,
        actor=actor,
        from_state=source,
        to_state=target,
        reason=reason,
    )
