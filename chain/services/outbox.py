"""The outbox: asking for a transaction, withdrawing it, and the one place where its state changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError

from chain import abi, followups, signers
from chain.exceptions import IdempotencyConflict, NodeUnavailable, NotCancellable
from chain.models import ChainTransaction, Contract, Signer
from chain.services.incidents import ENGINE, close_if_open, open_incident
from chain.types import Call
from portal import audit
from portal.models import User
from portal.state import require_transition

logger = logging.getLogger(__name__)

State = ChainTransaction.State
#: States in which the transaction is in a block.
IN_BLOCK: Final = (State.MINED, State.REVERTED, State.CANCELLED)
#: States with a nonce and no receipt yet.
UNMINED: Final = (State.SIGNED, State.BROADCAST, State.CANCELLING)
_TOLD: Final = frozenset(
    {State.MINED, State.FINAL, State.REVERTED, State.CANCELLED, State.EXPIRED, State.REFUSED},
)
_NO_BLOCK: Final[dict[str, Any]] = {
    "block_number": None,
    "block_hash": "",
    "mined_hash": "",
    "gas_used": None,
    "mined_at": None,
    "contract_address": None,
    "error_code": "",
}


# --- asking ----------------------------------------------------------------------------------------------


@transaction.atomic
def enqueue(
    *,
    call: Call,
    signer: Signer,
    idempotency_key: str,
    purpose: str,
    subject: str = "",
    depends_on: ChainTransaction | None = None,
    not_before: datetime | None = None,
    valid_until: datetime | None = None,
) -> ChainTransaction:
    """Ask for `call` to happen once. Call it in the transaction of the business row it serves.

    The same key with the same call returns the row that is there; with another call it raises `IdempotencyConflict`.
    Raises `PolicyViolation` if `signer` may not sign it. No node and no Redis is needed: after the commit a worker is
    woken, and the sweeps find the row anyway.
    """
    wanted = ChainTransaction(
        signer=signer,
        idempotency_key=idempotency_key,
        purpose=purpose,
        subject=subject,
        function=call.function,
        to=call.to,
        data=call.data,
        value_wei=call.value_wei,
        depends_on=depends_on,
        not_before=not_before,
        valid_until=valid_until,
    )
    existing = ChainTransaction.objects.filter(idempotency_key=idempotency_key).first()
    if existing is not None:
        return _same_or_conflict(existing, wanted)
    signers.check_policy(signer, call)
    try:
        with transaction.atomic():
            wanted.save(force_insert=True)
    except IntegrityError:
        # Somebody else asked for it between our look and our insert.
        return _same_or_conflict(ChainTransaction.objects.get(idempotency_key=idempotency_key), wanted)
    transaction.on_commit(wake)
    return wanted


def _same_or_conflict(existing: ChainTransaction, wanted: ChainTransaction) -> ChainTransaction:
    def identity(row: ChainTransaction) -> tuple[Any, ...]:
        return (row.signer_id, row.to, bytes(row.data), int(row.value_wei), row.purpose, row.subject)

    if identity(existing) != identity(wanted):
        raise IdempotencyConflict(existing.idempotency_key)
    return existing


_woken_at = 0.0


def wake() -> None:
    """Tell a worker that there is something to submit. A lost wake-up loses nothing: beat sweeps every second or two.

    Many rows in a burst wake once, and a Redis that is down costs one failed connection, not one per row.
    """
    global _woken_at
    if time.monotonic() - _woken_at < 0.5:
        return
    _woken_at = time.monotonic()
    from chain.tasks import submit_task  # tasks import the services

    try:
        submit_task.apply_async(expires=10, retry=False)
    except (BrokerDown, RedisError, OSError) as error:
        logger.warning("no worker could be woken (%s); the next sweep submits", type(error).__name__)


@transaction.atomic
def request_cancellation(*, transaction_id: int, actor: User | str) -> ChainTransaction:
    """Ask that a transaction not happen. What is really mined decides: it may be too late.

    Without a nonce it ends at once as REFUSED (`withdrawn`). With one it becomes CANCELLING, and the reconciler sends
    a payment of nothing to the signer itself under the same nonce and a higher fee. Asking again changes nothing.
    Raises `NotCancellable` once it is in a block or over.
    """
    row = lock_row(transaction_id)
    if row.state == State.CANCELLING:
        return row
    if row.state == State.QUEUED:
        refuse(row, reason="withdrawn", actor=actor)
    elif row.state in (State.SIGNED, State.BROADCAST):
        advance(row, State.CANCELLING, actor=actor)
        transaction.on_commit(wake)
    else:
        raise NotCancellable(
            _("This can no longer be stopped: it is already in a block or over. Nothing was changed."),
            code="chain.transaction.not_cancellable",
            state=row.state,
        )
    return row


# --- changing state ----------------------------------------------------------------------------------------


def lock_row(transaction_id: int) -> ChainTransaction:
    """The row, locked, with its signer (not locked)."""
    return ChainTransaction.objects.select_for_update(of=("self",)).select_related("signer").get(pk=transaction_id)


def advance(row: ChainTransaction, target: str, *, reason: str = "", actor: User | str = ENGINE, **fields: Any) -> None:
    """Take `row`, locked by the caller, along one arrow; set `fields` with it; run its follow-up; write the audit row.

    All of it is the caller's one database transaction. Raises `WrongState` for an arrow that does not exist, and
    whatever the follow-up raises.
    """
    require_transition(
        ChainTransaction.TRANSITIONS, current=row.state, target=target, code="chain.transaction.wrong_state"
    )
    previous, row.state = row.state, target
    left_block = previous in IN_BLOCK and target == State.BROADCAST
    if left_block:
        _forget_contract(row)
        fields = _NO_BLOCK | fields
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=["state", *fields])
    if target == State.MINED and row.to is None:
        _record_contract(row)
    if target in _TOLD or left_block:
        followups.tell(row, target)
    _audit(row, previous=previous, reason=reason, actor=actor)


def settle(row: ChainTransaction) -> None:
    """The block of `row`, locked by the caller, is final: MINED becomes FINAL; REVERTED and CANCELLED are told again.

    Nothing can change the row afterwards.
    """
    fields: dict[str, Any] = {"is_settled": True, "settled_at": timezone.now()}
    if row.state == State.MINED:
        advance(row, State.FINAL, **fields)
        return
    row.is_settled, row.settled_at = True, timezone.now()
    row.save(update_fields=list(fields))
    followups.tell(row, row.state)
    _audit(row, previous=row.state, reason="settled", actor=ENGINE)


def refuse(row: ChainTransaction, *, reason: str, actor: User | str = ENGINE) -> None:
    """End `row`, locked and without a nonce, as REFUSED; `reason` is the decoded error and stays on the row."""
    fields: dict[str, Any] = {"error_code": reason[:120], "is_settled": True, "settled_at": timezone.now()}
    advance(row, State.REFUSED, reason=reason, actor=actor, **fields)


def expire(row: ChainTransaction) -> None:
    """End `row`, locked and without a nonce, as EXPIRED."""
    advance(row, State.EXPIRED, is_settled=True, settled_at=timezone.now())


def change_row(transaction_id: int, change: Callable[[ChainTransaction], None]) -> bool:
    """Run `change` on the locked row in a database transaction of its own; False if it failed and was rolled back.

    A follow-up that raises takes its own row back with it and no other: an incident is opened and the next sweep
    tries again, so neither the state nor what must follow it is lost.
    """
    key = f"change:{transaction_id}"
    try:
        with transaction.atomic():
            change(lock_row(transaction_id))
    except (NodeUnavailable, OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("transaction %s could not be taken further", transaction_id)
        open_incident(
            kind="chain.followup_failed",
            detail=f"Transaction {transaction_id}: {type(error).__name__}. It is tried again by every sweep.",
            dedupe_key=key,
            data={"transaction": transaction_id},
        )
        return False
    close_if_open(dedupe_key=key, reason="succeeded")
    return True


def _audit(row: ChainTransaction, *, previous: str, reason: str, actor: User | str) -> None:
    audit.record(
        action=f"chain.transaction.{row.state}",
        subject_type="chain.transaction",
        subject_id=row.pk,
        actor=actor,
        from_state=previous,
        to_state=row.state,
        reason=reason,
        data={"function": row.function, "subject": row.subject, "hash": row.mined_hash},
    )


def _record_contract(row: ChainTransaction) -> None:
    """A contract of ours now stands at `row.contract_address`: from here on the indexer follows it."""
    kind = signers.deployed_kind(bytes(row.data))
    if kind is None or row.contract_address is None or row.block_number is None:
        return
    Contract.objects.update_or_create(
        chain_id=row.signer.chain_id,
        address=row.contract_address,
        defaults={
            "kind": kind,
            "deployed_block": row.block_number,
            "bytecode_hash": abi.artifact(kind).bytecode_hash,
        },
    )


def _forget_contract(row: ChainTransaction) -> None:
    """The block that deployed it is gone; when it is mined again it is recorded again."""
    if row.to is None and row.contract_address is not None:
        Contract.objects.filter(chain_id=row.signer.chain_id, address=row.contract_address).delete()
