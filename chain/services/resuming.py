"""Letting a halted signer sign again, after a person found out why it was halted."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from chain.models import ChainTransaction, Signer
from chain.rpc import Rpc, as_int, node
from chain.services import outbox
from chain.services.market import look
from chain.services.reconciler import record_receipts
from portal import audit
from portal.models import User

State = ChainTransaction.State


def resume_signer(*, signer_id: int, actor: User, reason: str) -> Signer:
    """Let a halted signer sign again. Resuming one that is not halted changes nothing.

    Its nonces go on after everything the chain has seen of the key; they are never lowered. A row of ours whose nonce
    another transaction used, finally, can never be mined: it ends as CANCELLED, on this person's word that the key's
    other user is known. Raises `NodeUnavailable`: without the chain nobody can say where to go on.
    """
    signer = Signer.objects.get(pk=signer_id)
    if not signer.halted_reason:
        return signer
    rpc = node()
    finalized = look(rpc).finalized
    final, pending = rpc.gather(
        [
            ("eth_getTransactionCount", [signer.address, hex(max(finalized, 0))]),
            ("eth_getTransactionCount", [signer.address, "pending"]),
        ]
    )
    _end_taken(rpc, signer, final=as_int(final), actor=actor)
    return _clear(signer_id, seen=as_int(pending), actor=actor, reason=reason)


def _end_taken(rpc: Rpc, signer: Signer, *, final: int, actor: User) -> None:
    rows = ChainTransaction.objects.filter(signer=signer, state__in=outbox.UNMINED, nonce__lt=final)
    below = list(rows.values_list("pk", flat=True))
    found = record_receipts(rpc, below)
    for pk in below:
        if pk not in found:
            outbox.change_row(pk, lambda row: _cancel_taken(row, actor))


def _cancel_taken(row: ChainTransaction, actor: User) -> None:
    reason = "its nonce was used by another transaction"
    if row.state not in outbox.UNMINED:
        return
    if row.state == State.SIGNED:
        outbox.advance(row, State.CANCELLING, reason=reason, actor=actor)
    settled = {"is_settled": True, "settled_at": timezone.now(), "error_code": reason}
    outbox.advance(row, State.CANCELLED, reason=reason, actor=actor, **settled)


@transaction.atomic
def _clear(signer_id: int, *, seen: int, actor: User, reason: str) -> Signer:
    signer = Signer.objects.select_for_update().get(pk=signer_id)
    was, signer.halted_reason = signer.halted_reason, ""
    signer.next_nonce = max(signer.next_nonce, seen)
    signer.save(update_fields=["halted_reason", "next_nonce"])
    audit.record(
        action="chain.signer.resumed",
        subject_type="chain.signer",
        subject_id=signer.pk,
        actor=actor,
        reason=reason,
        data={"was": was, "next_nonce": signer.next_nonce},
    )
    return signer
