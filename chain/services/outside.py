"""Following what people send from wallets of their own: from the hash they report, or from the event it left.

A hash is believed only after the node has shown the transaction behind it: same sender, same target, same calldata, and a
nonce that was free when it was asked for. Who reports it does not matter, and reporting it again changes nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain import abi, followups, signers
from chain.exceptions import NodeUnavailable
from chain.models import Cursor, Movement
from chain.outside.models import OutsideTransaction
from chain.rpc import Rpc, RpcError, as_hex, as_int, node
from chain.services.market import Market, look
from chain.services.sweeps import set_apart, sweep
from chain.types import Call
from portal import audit
from portal.exceptions import DomainError
from portal.models import User
from portal.state import require_transition

State = OutsideTransaction.State
#: After so long an expected transaction is not searched for any more; reporting its hash still works.
_SEARCHED_FOR: Final = timedelta(days=7)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
ACTOR: Final = "chain.outside"


class NotThisTransaction(DomainError):
    """The reported hash is not the transaction that was asked for. Nothing was recorded."""

    status_code = 400


# --- asking and reporting ----------------------------------------------------------------------------------------


def expect(*, call: Call, sender: str, purpose: str, subject: str) -> OutsideTransaction:
    """AWAITED: `sender` is to make `call` by itself; in the caller's transaction. Raises `NodeUnavailable`."""
    if call.to is None or call.value_wei:
        raise ValueError("only calls to contracts of ours are expected from outside")
    first = as_int(node().call("eth_getTransactionCount", sender, "latest"))
    return OutsideTransaction.objects.create(
        chain_id=settings.CHAIN_ID,
        sender=sender,
        to=call.to,
        data=call.data,
        first_nonce=first,
        purpose=purpose,
        subject=subject,
    )


def report_hash(*, outside_id: int, transaction_hash: str, actor: User) -> OutsideTransaction:
    """AWAITED → BROADCAST, or → CLAIMED while the node does not know the hash yet. The same hash again: no change.

    Raises `NotThisTransaction` for a hash of something else, with what is different.
    """
    wanted = transaction_hash.strip().lower()
    if not _HASH.fullmatch(wanted):
        raise NotThisTransaction(
            _("This is not a transaction's hash: 0x and 64 digits and letters from a to f. Nothing was recorded."),
            code="chain.outside.malformed_hash",
        )
    found = _look_up(wanted)
    with transaction.atomic():
        row = _locked(outside_id)
        if row.hash == wanted:
            return row
        if OutsideTransaction.objects.filter(chain_id=row.chain_id, hash=wanted).exists():
            raise NotThisTransaction(
                _("This hash was reported for something else already. Nothing was recorded."),
                code="chain.outside.hash_in_use",
            )
        if found is not None:
            _require_same(row, found)
        elif row.state not in OutsideTransaction.UNSENT:
            raise _already_sent()
        _take(row, wanted, found, actor=actor)
    return row


def _look_up(transaction_hash: str) -> dict[str, Any] | None:
    """The node's transaction; None while it does not know it, or cannot be asked: the sweep looks again."""
    try:
        found = node().call("eth_getTransactionByHash", transaction_hash)
    except (NodeUnavailable, RpcError):
        return None
    return found if isinstance(found, dict) else None


def _take(row: OutsideTransaction, transaction_hash: str, found: dict[str, Any] | None, *, actor: User | str) -> None:
    """Bind the hash to the row: a first one, or the one that took its place under the same nonce."""
    fields: dict[str, Any] = {"hash": transaction_hash, "error_code": "", "missing_since": None}
    if found is None:
        _move(row, State.CLAIMED, actor=actor, submitted_at=timezone.now(), **fields)
        return
    nonce = as_int(found["nonce"])
    if row.state in OutsideTransaction.UNSENT or row.state == State.CLAIMED:
        _move(row, State.BROADCAST, actor=actor, nonce=nonce, submitted_at=row.submitted_at or timezone.now(), **fields)
    elif row.state == State.BROADCAST and row.nonce == nonce:
        for name, value in fields.items():
            setattr(row, name, value)
        row.save(update_fields=list(fields))
    else:
        raise _already_sent()


def _already_sent() -> NotThisTransaction:
    return NotThisTransaction(
        _("This was sent already, under another hash. Nothing was recorded."), code="chain.outside.already_sent"
    )


def _require_same(row: OutsideTransaction, found: dict[str, Any]) -> None:
    difference = difference_of(row, found)
    if difference:
        raise NotThisTransaction(_DIFFERENCES[difference], code=f"chain.outside.{difference}")


_DIFFERENCES: Final = {
    "other_sender": _("This transaction was sent by another account. Nothing was recorded."),
    "other_target": _("This transaction calls something else. Nothing was recorded."),
    "other_call": _(
        "This transaction has another recipient or another amount than asked for. Nothing was recorded here; what it "
        "moved stands in your history."
    ),
    "too_old": _("This transaction is older than what was asked for. Nothing was recorded."),
}


def difference_of(row: OutsideTransaction, found: dict[str, Any]) -> str:
    """How the node's transaction differs from the expected one; "" if it is the one."""
    if signers.checksummed(found["from"]) != row.sender:
        return "other_sender"
    if not found.get("to") or signers.checksummed(found["to"]) != row.to:
        return "other_target"
    if found["input"].lower() != as_hex(row.data) or as_int(found["value"]):
        return "other_call"
    return "too_old" if as_int(found["nonce"]) < row.first_nonce else ""


@transaction.atomic
def withdraw(*, outside_id: int, actor: User) -> OutsideTransaction:
    """AWAITED → WITHDRAWN: it is not wanted any more. Raises `WrongState` once it was sent."""
    row = _locked(outside_id)
    _move(row, State.WITHDRAWN, actor=actor)
    return row


# --- the sweep -----------------------------------------------------------------------------------------------------


@sweep("outside")
def run_outside_sweep() -> None:
    """Compare every unsettled row with the chain. Repeating it is harmless; without rows it asks nothing."""
    since = timezone.now() - _SEARCHED_FOR
    open_rows = OutsideTransaction.objects.filter(chain_id=settings.CHAIN_ID, is_settled=False)
    open_rows = open_rows.exclude(state__in=OutsideTransaction.UNSENT, created_at__lt=since)
    by_sender: dict[str, list[int]] = defaultdict(list)
    for pk, sender in open_rows.order_by("pk").values_list("pk", "sender"):
        by_sender[sender].append(pk)
    if not by_sender:
        return
    rpc = node()
    market = look(rpc)
    for sender, pks in by_sender.items():
        with set_apart(f"following {sender}"):
            _follow_sender(rpc, market, sender, pks)


def _follow_sender(rpc: Rpc, market: Market, sender: str, pks: list[int]) -> None:
    latest, final = (
        as_int(count)
        for count in rpc.gather(
            [("eth_getTransactionCount", [sender, tag]) for tag in ("latest", hex(max(market.finalized, 0)))]
        )
    )
    for pk in pks:
        row = OutsideTransaction.objects.get(pk=pk)
        if row.state in OutsideTransaction.UNSENT:
            _search(rpc, row)
        elif row.state == State.CLAIMED:
            _verify_claim(rpc, row)
        row.refresh_from_db()
        if row.state == State.BROADCAST:
            _look_for_receipt(rpc, row, latest=latest, final=final, finalized=market.finalized)
        elif row.state in OutsideTransaction.IN_BLOCK:
            _check_block(rpc, row)
        row.refresh_from_db()
        if row.state in OutsideTransaction.IN_BLOCK and (row.block_number or 0) <= market.finalized:
            _settle(rpc, row)


def _candidates(row: OutsideTransaction) -> list[str]:
    """Hashes of indexed movements out of the sender's wallet by this contract that belong to no other row, oldest first."""
    known = OutsideTransaction.objects.exclude(hash="").exclude(pk=row.pk).values("hash")
    moved = Movement.objects.filter(
        chain_id=row.chain_id, token=row.to, sender=row.sender, at__gte=row.created_at - _SKEW
    )
    return list(
        moved.exclude(transaction_hash__in=known).order_by("log_id").values_list("transaction_hash", flat=True)[:50]
    )


#: A block's clock may be behind ours; the nonce decides what is too old.
_SKEW: Final = timedelta(hours=1)


def _search(rpc: Rpc, row: OutsideTransaction, *, nonce: int | None = None) -> bool:
    """Adopt what the index shows was sent: nobody reported it, or the wallet sent it again with a higher fee."""
    for candidate in _candidates(row):
        found = rpc.call("eth_getTransactionByHash", candidate)
        if not isinstance(found, dict) or difference_of(row, found):
            continue
        if nonce is None or as_int(found["nonce"]) == nonce:
            return _change(row.pk, lambda locked, h=candidate, f=found: _take(locked, h, f, actor=ACTOR))  # type: ignore[misc]
    return False


def _verify_claim(rpc: Rpc, row: OutsideTransaction) -> None:
    found = rpc.call("eth_getTransactionByHash", row.hash)
    if isinstance(found, dict):
        difference = difference_of(row, found)
        if difference:
            _change(row.pk, lambda locked: _let_go(locked, difference))
        else:
            _change(row.pk, lambda locked: _take(locked, locked.hash, found, actor=ACTOR))
    else:
        _note_missing(row, "never_seen")


def _note_missing(row: OutsideTransaction, reason: str) -> None:
    """The node does not know the hash. A moment is nothing; for long, and it is not coming."""
    now = timezone.now()
    if row.missing_since is None:
        OutsideTransaction.objects.filter(pk=row.pk, hash=row.hash).update(missing_since=now)
        row.missing_since = now
    if (now - row.missing_since).total_seconds() >= settings.CHAIN_DROPPED_AFTER_SECONDS:
        _change(row.pk, lambda locked: _let_go(locked, reason))


def _let_go(row: OutsideTransaction, reason: str) -> None:
    if row.state in (State.CLAIMED, State.BROADCAST):
        _move(
            row,
            State.AWAITED,
            hash="",
            nonce=None,
            submitted_at=None,
            missing_since=None,
            error_code=f"outside.{reason}",
        )


def _look_for_receipt(rpc: Rpc, row: OutsideTransaction, *, latest: int, final: int, finalized: int) -> None:
    receipt = rpc.call("eth_getTransactionReceipt", row.hash)
    if isinstance(receipt, dict):
        _record(rpc, row, receipt)
        return
    nonce = row.nonce if row.nonce is not None else latest
    if latest <= nonce:
        if rpc.call("eth_getTransactionByHash", row.hash) is None:
            _note_missing(row, "dropped")
        elif row.missing_since is not None:
            OutsideTransaction.objects.filter(pk=row.pk).update(missing_since=None)
        return
    # Its nonce is used: sent again with another fee, or something else was sent in its place.
    if _search(rpc, row, nonce=row.nonce):
        row.refresh_from_db()
        replacement = rpc.call("eth_getTransactionReceipt", row.hash)
        if isinstance(replacement, dict):
            _record(rpc, row, replacement)
    elif final > nonce and _indexed_to(finalized):
        _change(row.pk, _replaced)


def _indexed_to(number: int) -> bool:
    return Cursor.objects.filter(chain_id=settings.CHAIN_ID, number__gte=number).exists()


def _replaced(row: OutsideTransaction) -> None:
    if row.state == State.BROADCAST:
        _move(row, State.REPLACED, is_settled=True, settled_at=timezone.now(), error_code="outside.replaced")


def _record(rpc: Rpc, row: OutsideTransaction, receipt: dict[str, Any]) -> None:
    reverted = as_int(receipt["status"]) == 0
    reason = _revert_reason(rpc, row, receipt) if reverted else ""

    def change(locked: OutsideTransaction) -> None:
        if locked.is_settled or locked.hash != receipt["transactionHash"]:
            return
        if locked.state in OutsideTransaction.IN_BLOCK:
            if locked.block_hash == receipt["blockHash"]:
                return
            _move(locked, State.BROADCAST, block_hash="", block_number=None, mined_at=None)
        _move(
            locked,
            State.REVERTED if reverted else State.MINED,
            block_number=as_int(receipt["blockNumber"]),
            block_hash=receipt["blockHash"],
            mined_at=timezone.now(),
            error_code=reason[:120],
            missing_since=None,
        )

    _change(row.pk, change)


def _revert_reason(rpc: Rpc, row: OutsideTransaction, receipt: dict[str, Any]) -> str:
    """Why it reverted: replayed on the state before its block. Best effort."""
    before = max(as_int(receipt["blockNumber"]) - 1, 0)
    call = {"from": row.sender, "to": row.to, "data": as_hex(row.data)}
    (answer,) = rpc.batch([("eth_call", [call, hex(before)])])
    return abi.decode_error(answer.revert_data) if isinstance(answer, RpcError) and answer.is_revert else "reverted"


def _check_block(rpc: Rpc, row: OutsideTransaction) -> None:
    """A reorganisation took its block away: look its receipt up again, or wait for it again."""
    if _canonical_hash(rpc, row) == row.block_hash:
        return
    receipt = rpc.call("eth_getTransactionReceipt", row.hash)
    if isinstance(receipt, dict):
        _record(rpc, row, receipt)
        return

    def back(locked: OutsideTransaction) -> None:
        if locked.state in OutsideTransaction.IN_BLOCK and locked.block_hash == row.block_hash:
            _move(locked, State.BROADCAST, block_hash="", block_number=None, mined_at=None, error_code="")

    _change(row.pk, back)


def _canonical_hash(rpc: Rpc, row: OutsideTransaction) -> str:
    block = rpc.call("eth_getBlockByNumber", hex(row.block_number or 0), False)
    return str(block["hash"]) if isinstance(block, dict) else ""


def _settle(rpc: Rpc, row: OutsideTransaction) -> None:
    """Its block is final. The hash is compared once more, after finality was read."""
    if _canonical_hash(rpc, row) != row.block_hash:
        return

    def end(locked: OutsideTransaction) -> None:
        if locked.is_settled or locked.block_hash != row.block_hash:
            return
        settled: dict[str, Any] = {"is_settled": True, "settled_at": timezone.now()}
        if locked.state == State.MINED:
            _move(locked, State.FINAL, **settled)
        elif locked.state == State.REVERTED:
            locked.is_settled, locked.settled_at = True, settled["settled_at"]
            locked.save(update_fields=list(settled))
            followups.tell_outside(locked, State.REVERTED)

    _change(row.pk, end)


# --- one row -------------------------------------------------------------------------------------------------------


def _locked(outside_id: int) -> OutsideTransaction:
    return OutsideTransaction.objects.select_for_update().get(pk=outside_id)


def _change(outside_id: int, change: Callable[[OutsideTransaction], None]) -> bool:
    """Change one locked row; False when what was found belongs to another row already."""
    try:
        with transaction.atomic():
            change(_locked(outside_id))
    except (IntegrityError, NotThisTransaction):
        return False
    return True


def _move(row: OutsideTransaction, target: str, *, actor: User | str = ACTOR, **fields: Any) -> None:
    """One arrow, its fields, its follow-up and its audit row, in one database transaction."""
    source = row.state
    require_transition(OutsideTransaction.TRANSITIONS, current=source, target=target, code="chain.outside.wrong_state")
    row.state = target
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=["state", *fields])
    followups.tell_outside(row, target)
    audit.record(
        action=f"chain.outside.{target}",
        subject_type="chain.outside",
        subject_id=row.pk,
        actor=actor,
        from_state=source,
        to_state=target,
        reason=row.error_code,
        data={"subject": row.subject, "hash": row.hash, "sender": row.sender},
    )
