"""The holder's word against a recovery of their wallet, carried to the chain by the wallet itself."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.models import Signer
from chain.outside.models import OutsideTransaction
from chain.selectors import was_logged
from chain.services import enqueue, expect, report_hash
from kyc.selectors import wallet_by_address
from portal import audit
from portal.models import User
from tokens.exceptions import ControlRefused
from tokens.models import Recovery
from tokens.types import WalletCall

SUBJECT: Final = "tokens.recovery"
#: An objection that the holder's own wallet sends.
OWN: Final = "tokens.own_objection"


def object_to_recovery(*, recovery_id: int, actor: User) -> Recovery:
    """Ask the chain to stop a recovery: `objectToRecovery` from the wallet that is called lost.

    Only its owner may, and only while it is announced and nothing was moved; the platform must keep the wallet's key.
    Asking again while the first objection is on its way, or stands, changes nothing. WAITING becomes OBJECTED once
    the contract has taken it. Raises `ControlRefused`.
    """
    with transaction.atomic():
        recovery = _locked(recovery_id, actor)
        if recovery.is_objected:
            return recovery
        signer, token = _signer_of(recovery), _open_token(recovery)
        recovery.objection_attempt += 1
        recovery.objection = enqueue(
            call=operations.object_to_recovery(token),
            signer=signer,
            idempotency_key=f"{SUBJECT}:{recovery.pk}:object:{recovery.objection_attempt}",
            purpose="tokens.object_to_recovery",
            subject=f"{SUBJECT}:{recovery.pk}",
        )
        recovery.save(update_fields=["objection", "objection_attempt"])
        _asked(recovery, actor)
    return recovery


def _asked(recovery: Recovery, actor: User) -> None:
    audit.record(
        action=f"{SUBJECT}.objection_requested",
        subject_type=SUBJECT,
        subject_id=recovery.pk,
        actor=actor,
        from_state=recovery.state,
        to_state=recovery.state,
        data={"security": recovery.security_id, "lost": recovery.lost, "replacement": recovery.replacement},
    )


def objection_for_wallet(*, recovery_id: int, actor: User) -> WalletCall:
    """What the wallet that is called lost has to send to object by itself; from now on it is watched for.

    For a wallet whose key its owner keeps; the portal signs nothing. Raises `ControlRefused`, also once an objection
    is on its way, and `NodeUnavailable`.
    """
    with transaction.atomic():
        recovery = _locked(recovery_id, actor)
        token = _open_token(recovery)
        wallet = wallet_by_address(recovery.lost)
        if recovery.is_objected or wallet is None or wallet.signer is not None:
            raise ControlRefused(
                _(
                    "An objection is on its way, or the platform sends it for you. Nothing was changed. Reload the page."
                ),
                code="tokens.recovery.not_by_wallet",
            )
        awaited = recovery.own_objection
        if awaited is None or awaited.state not in (*OutsideTransaction.UNSENT, OutsideTransaction.State.CLAIMED):
            recovery.own_objection = expect(
                call=operations.object_to_recovery(token),
                sender=recovery.lost,
                purpose=OWN,
                subject=f"{SUBJECT}:{recovery.pk}",
            )
            recovery.save(update_fields=["own_objection"])
            _asked(recovery, actor)
        assert recovery.own_objection is not None  # noqa: S101 (made above)
        return WalletCall(sender=recovery.lost, to=token, data=bytes(recovery.own_objection.data))


def report_objection(*, recovery_id: int, actor: User, transaction_hash: str) -> Recovery:
    """The hash under which the wallet sent it. Raises `NotThisTransaction` for a hash of something else.

    OBJECTED follows when the contract's event is read, whoever reported what.
    """
    recovery = Recovery.objects.filter(pk=recovery_id, user=actor).first()
    if recovery is None or recovery.own_objection_id is None:
        raise ControlRefused(
            _("No objection was asked of your wallet. Nothing was recorded."), code="tokens.recovery.not_asked"
        )
    report_hash(outside_id=recovery.own_objection_id, transaction_hash=transaction_hash, actor=actor)
    return recovery


def _locked(recovery_id: int, actor: User) -> Recovery:
    rows = Recovery.objects.select_for_update(of=("self",)).select_related("security", "objection", "own_objection")
    recovery = rows.get(pk=recovery_id)
    if recovery.user_id != actor.pk:
        raise ControlRefused(
            _("This wallet is not yours. Nothing was changed."), code="tokens.recovery.not_your_wallet"
        )
    return recovery


def _open_token(recovery: Recovery) -> str:
    token = recovery.security.token
    if not recovery.may_be_objected_to or token is None:
        raise ControlRefused(
            _("There is nothing left to object to. Nothing was changed."), code="tokens.recovery.not_open"
        )
    return str(token)


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


def objection_stands(recovery: Recovery) -> bool:
    """Whether the chain, as far as it was read, holds an objection to this announcement; from whichever wallet software."""
    announced = recovery.announcement.block_number if recovery.announcement else None
    return was_logged(
        address=recovery.security.token or "",
        event="RecoveryObjected",
        args={"lost": recovery.lost, "replacement": recovery.replacement},
        since_block=announced or 0,
    )


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
