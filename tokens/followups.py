"""What becomes of a row when its transaction does: run by the outbox in the same database transaction.

Every handler is safe to call twice: a row that is already there, or that cannot get there, is left alone.
"""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone

from chain.followups import followup, on_event, on_event_undone, outside_followup
from chain.models import ChainTransaction, EventLog
from chain.outside.models import OutsideTransaction
from kyc.selectors import wallet_by_address
from portal import audit
from portal.notices.services import notify
from portal.units import format_units
from tokens.models import AdmissionRequest, ControlAction, Recovery, Security, Subscription, Transfer
from tokens.services.objections import call_off, forget_objection, note_objection, objection_stands
from tokens.services.securities import enqueue_configuration
from tokens.services.transfers import OWN, notice_params

ACTOR: Final = "chain.outbox"
TX = ChainTransaction.State
#: Nothing happened on chain (save for a reorganisation that undoes a revert).
DEAD: Final = frozenset({TX.REVERTED, TX.CANCELLED, TX.EXPIRED, TX.REFUSED})


Row = Security | Subscription | Transfer | AdmissionRequest | ControlAction | Recovery


def _move(row: Row, target: str, *, subject: str, also: dict[str, Any] | None = None, reason: str = "") -> bool:
    """Take the arrow to `target` if there is one from here, with its audit row; False if there is none."""
    if row.state == target or target not in row.TRANSITIONS.get(row.state, ()):
        return False
    before, row.state = row.state, target
    changes = also or {}
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(update_fields=["state", *changes])
    audit.record(
        action=f"{subject}.{target}",
        subject_type=subject,
        subject_id=row.pk,
        actor=ACTOR,
        from_state=before,
        to_state=target,
        reason=reason,
    )
    return True


# --- securities ------------------------------------------------------------------------------------------


@followup("tokens.deploy_security")
def security_was_deployed(transaction: ChainTransaction, state: str) -> None:
    """In a block: keep the address (a nonce fixes it, so a reorganisation cannot change it) and ask for the roles."""
    security = Security.objects.select_for_update().filter(deployment=transaction).first()
    if security is None:
        return
    if state in DEAD:
        _move(
            security,
            Security.State.FAILED,
            subject="tokens.security",
            also={"token": None},
            reason=transaction.error_code,
        )
    elif state in (TX.MINED, TX.FINAL):
        _move(security, Security.State.DEPLOYING, subject="tokens.security")
        if security.token is None and transaction.contract_address:
            security.token = transaction.contract_address
            security.save(update_fields=["token"])
            enqueue_configuration(security)


@followup("tokens.configure_security")
def security_was_configured(transaction: ChainTransaction, state: str) -> None:
    """Final: the contract stands with its roles and can be offered."""
    security = Security.objects.select_for_update().filter(configuration=transaction).first()
    if security is None:
        return
    if state in DEAD:
        _move(security, Security.State.FAILED, subject="tokens.security", reason=transaction.error_code)
    elif state == TX.MINED:
        _move(security, Security.State.DEPLOYING, subject="tokens.security")
    elif state == TX.FINAL:
        _move(security, Security.State.DEPLOYING, subject="tokens.security")
        _move(security, Security.State.OFFERED, subject="tokens.security")


# --- placements ------------------------------------------------------------------------------------------


@followup("tokens.admit_for_allotment")
def allotment_was_admitted(transaction: ChainTransaction, state: str) -> None:
    """Refused: the mint that waits for it cannot happen either."""
    if state not in DEAD:
        return
    subscription = Subscription.objects.select_for_update().filter(admission=transaction).first()
    if subscription is not None:
        _subscription(subscription, Subscription.State.FAILED, error_code=transaction.error_code)


@followup("tokens.mint_allotment")
def allotment_was_minted(transaction: ChainTransaction, state: str) -> None:
    subscription = Subscription.objects.select_for_update().filter(mint=transaction).first()
    if subscription is None:
        return
    states = Subscription.State
    if state == TX.MINED:
        _subscription(subscription, states.IN_BLOCK)
    elif state == TX.BROADCAST:
        _subscription(subscription, states.ISSUING)
    elif state == TX.FINAL:
        _subscription(subscription, states.ALLOTTED, allotted_at=timezone.now())
    elif state in DEAD:
        _subscription(subscription, states.FAILED, error_code=transaction.error_code)


def _subscription(subscription: Subscription, target: str, **also: Any) -> None:
    if not _move(subscription, target, subject="tokens.subscription", also=also):
        return
    if target == Subscription.State.ALLOTTED:
        security = subscription.security
        value = security.value_of(subscription.allocated_units)
        notify(
            user=subscription.investor,
            kind="tokens.allotted",
            params={
                "security": security.name,
                "units": format_units(int(subscription.allocated_units), decimals=security.decimals),
                "value": value.truncated(),
            },
            key=subscription.pk,
            path=f"/tokens/subscriptions/{subscription.pk}/",
        )


@followup("tokens.admit_on_demand")
def request_was_admitted(transaction: ChainTransaction, state: str) -> None:
    request = AdmissionRequest.objects.select_for_update().filter(transaction=transaction).first()
    if request is None:
        return
    states = AdmissionRequest.State
    target = _target(
        state, broadcast=states.ADMITTING, mined=states.IN_BLOCK, final=states.ADMITTED, dead=states.FAILED
    )
    if target is None:
        return
    moved = _move(request, target, subject="tokens.admission", also=_error(transaction, state))
    if moved and target == states.ADMITTED:
        notify(
            user=request.user,
            kind="tokens.admitted",
            params={"security": request.security.name},
            key=request.pk,
            path="/tokens/holdings/",
        )


# --- transfers -------------------------------------------------------------------------------------------


@followup("tokens.transfer")
def transfer_went_on(transaction: ChainTransaction, state: str) -> None:
    """REQUESTED → SUBMITTED → IN_BLOCK → FINAL, or refused, or failed; back to SUBMITTED by a reorganisation."""
    transfer = (
        Transfer.objects.select_for_update(of=("self",))
        .select_related("security", "requested_by")
        .filter(transaction=transaction)
        .first()
    )
    if transfer is None:
        return
    states = Transfer.State
    # Refused and expired never had a nonce: nothing was ever sent.
    dead = states.REFUSED if state in (TX.REFUSED, TX.EXPIRED) else states.FAILED
    target = _target(state, broadcast=states.SUBMITTED, mined=states.IN_BLOCK, final=states.FINAL, dead=dead)
    if target is None:
        return
    ended = timezone.now() if target in Transfer.ENDED else None
    if _move(transfer, target, subject="tokens.transfer", also={**_error(transaction, state), "ended_at": ended}):
        _tell_both(transfer)
    if target == states.FAILED and transaction.is_settled:
        _tell_sender(transfer, "transfer_failed")


_OUTSIDE: Final = {
    OutsideTransaction.State.AWAITED: Transfer.State.REQUESTED,
    OutsideTransaction.State.CLAIMED: Transfer.State.SUBMITTED,
    OutsideTransaction.State.BROADCAST: Transfer.State.SUBMITTED,
    OutsideTransaction.State.MINED: Transfer.State.IN_BLOCK,
    OutsideTransaction.State.FINAL: Transfer.State.FINAL,
    OutsideTransaction.State.REVERTED: Transfer.State.FAILED,
    OutsideTransaction.State.REPLACED: Transfer.State.NOT_SENT,
    OutsideTransaction.State.WITHDRAWN: Transfer.State.NOT_SENT,
}


@outside_followup(OWN)
def own_transfer_went_on(row: OutsideTransaction, state: str) -> None:
    """The same states as a custody transfer, and NOT_SENT where the holder's wallet sent nothing or something else."""
    transfer = (
        Transfer.objects.select_for_update(of=("self",))
        .select_related("security", "requested_by")
        .filter(outside=row)
        .first()
    )
    if transfer is None:
        return
    target = _OUTSIDE[OutsideTransaction.State(state)]
    ended = timezone.now() if target in Transfer.ENDED else None
    if _move(transfer, target, subject="tokens.transfer", also={"error_code": row.error_code, "ended_at": ended}):
        _tell_both(transfer)
    if target == Transfer.State.FAILED and row.is_settled:
        _tell_sender(transfer, "transfer_failed")


def _tell_both(transfer: Transfer) -> None:
    """E-mails are for what cannot be undone; the status page shows what is still provisional."""
    if transfer.state == Transfer.State.FINAL:
        _tell_sender(transfer, "transfer_final")
        receiver = wallet_by_address(transfer.recipient)
        if receiver is not None:
            notify(
                user=receiver.user,
                kind="tokens.transfer_received",
                params=notice_params(transfer, counterparty=transfer.sender),
                key=transfer.pk,
                path=f"/tokens/transfers/{transfer.pk}/",
            )
    elif transfer.state == Transfer.State.REFUSED:
        _tell_sender(transfer, "transfer_failed")


def _tell_sender(transfer: Transfer, template: str) -> None:
    notify(
        user=transfer.requested_by,
        kind=f"tokens.{template}",
        params=notice_params(transfer, counterparty=transfer.recipient),
        key=transfer.pk,
        path=f"/tokens/transfers/{transfer.pk}/",
    )


# --- control and recovery --------------------------------------------------------------------------------


@followup("tokens.control")
def control_went_on(transaction: ChainTransaction, state: str) -> None:
    action = ControlAction.objects.select_for_update().filter(transaction=transaction).first()
    if action is None:
        return
    states = ControlAction.State
    target = _target(state, broadcast=states.REQUESTED, mined=states.IN_BLOCK, final=states.FINAL, dead=states.FAILED)
    if target is not None:
        _move(action, target, subject="tokens.control", also=_error(transaction, state))


@followup("tokens.announce_recovery")
def recovery_was_announced(transaction: ChainTransaction, state: str) -> None:
    recovery = Recovery.objects.select_for_update().filter(announcement=transaction).first()
    if recovery is None:
        return
    states = Recovery.State
    target = _target(state, broadcast=states.ANNOUNCING, mined=states.WAITING, final=None, dead=states.FAILED)
    if target is not None:
        _move(recovery, target, subject="tokens.recovery", also=_error(transaction, state))


@followup("tokens.complete_recovery")
def recovery_was_completed(transaction: ChainTransaction, state: str) -> None:
    """Refused (the waiting time runs, or the holder objected): back to waiting, with the contract's reason."""
    recovery = Recovery.objects.select_for_update().filter(completion=transaction).first()
    if recovery is None:
        return
    states = Recovery.State
    target = _target(state, broadcast=None, mined=None, final=states.COMPLETED, dead=states.WAITING)
    if target is None or recovery.state == states.OBJECTED:
        return
    _move(recovery, target, subject="tokens.recovery", also=_error(transaction, state))
    if objection_stands(recovery):
        note_objection(recovery=recovery, actor=ACTOR)


@followup("tokens.object_to_recovery")
def objection_went_on(transaction: ChainTransaction, state: str) -> None:
    """In a block: nothing moves. Taken out of it, or refused: the recovery waits as before."""
    recovery = Recovery.objects.select_for_update().filter(objection=transaction).first()
    if recovery is None:
        return
    if state in (TX.MINED, TX.FINAL):
        note_objection(recovery=recovery, actor=ACTOR)
    elif state == TX.BROADCAST or state in DEAD:
        forget_objection(recovery=recovery, actor=ACTOR, reason=transaction.error_code if state in DEAD else "")


@on_event("RecoveryObjected")
def objection_was_seen(log: EventLog) -> None:
    """An objection sent from a wallet whose key the holder keeps."""
    recovery = _open_recovery(log)
    if recovery is not None:
        note_objection(recovery=recovery, actor="chain.index")


@on_event_undone("RecoveryObjected")
def objection_was_undone(log: EventLog) -> None:
    """A reorganisation took the objection back: the recovery waits as before, until the objection is in a block again."""
    recovery = _open_recovery(log)
    if recovery is not None and not objection_stands(recovery):
        forget_objection(recovery=recovery, actor="chain.index", reason="")


@on_event("RecoveryCancelled")
def recovery_was_called_off(log: EventLog) -> None:
    """The council unlocked the wallet; a new recovery may be announced for it."""
    recovery = _open_recovery(log)
    if recovery is not None:
        call_off(recovery=recovery, actor="chain.index")


def _open_recovery(log: EventLog) -> Recovery | None:
    rows = Recovery.objects.select_for_update(of=("self",)).filter(state__in=Recovery.OPEN)
    return rows.filter(security__token=log.address, lost=log.args["lost"], replacement=log.args["replacement"]).first()


def _target(state: str, *, broadcast: str | None, mined: str | None, final: str | None, dead: str | None) -> str | None:
    """Where a row goes for a state of its transaction; None: stay."""
    if state in DEAD:
        return dead
    return {TX.BROADCAST.value: broadcast, TX.MINED.value: mined, TX.FINAL.value: final}.get(str(state))


def _error(transaction: ChainTransaction, state: str) -> dict[str, Any]:
    return {"error_code": transaction.error_code if state in DEAD else ""}
