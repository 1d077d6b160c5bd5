"""From BROADCAST to FINAL: what the chain made of our transactions, decided by receipts alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chain import abi, signers
from chain.exceptions import SignerUnavailable
from chain.models import Attempt, ChainTransaction, Signer
from chain.rpc import Rpc, RpcError, as_hex, as_int, node
from chain.services import outbox, submitter
from chain.services.incidents import ENGINE, open_incident
from chain.services.market import Fees, Market, fee_cap, look
from chain.services.submitter import Answer
from chain.services.sweeps import set_apart, sweep
from portal import audit

logger = logging.getLogger(__name__)

State = ChainTransaction.State
Receipt = dict[str, Any]
#: The head this process last compared every row's block with: under the same head there is nothing new to find.
_checked_head = ""
#: Rows of one signer whose receipts are asked in one sweep; the next sweep takes the next ones.
BATCH: Final = 500


@sweep("reconcile")
def run_reconcile_sweep() -> None:
    """Compare every transaction that has a nonce and is not settled with the chain. Repeating it is harmless.

    Finality is read before the receipts and block hashes it is applied to, so what counts as final already was.
    Per signer, with N = getTransactionCount(latest): a row below N is looked up by the receipts of all its attempts;
    row N, grown old, is sent again and then raised; rows above N wait for it.
    """
    busy = ChainTransaction.objects.filter(nonce__isnull=False, is_settled=False)
    watched = list(Signer.objects.filter(transactions__in=busy).distinct())
    if not watched:
        return
    rpc = node()
    market = look(rpc)
    check_blocks(rpc, market)
    counts = rpc.gather(
        [("eth_getTransactionCount", [s.address, tag]) for s in watched for tag in ("latest", _final_tag(market))]
    )
    for signer, latest, final in zip(watched, counts[::2], counts[1::2], strict=True):
        with set_apart(f"reconciling {signer}"):
            reconcile_signer(rpc, market, signer, mined=as_int(latest), final=as_int(final))


def _final_tag(market: Market) -> str:
    return hex(max(market.finalized, 0))


def reconcile_signer(rpc: Rpc, market: Market, signer: Signer, *, mined: int, final: int) -> None:
    """Bring the rows of one signer up to date. `mined` and `final` are its transaction counts at head and finality."""
    halt_if_used_elsewhere(signer_id=signer.pk, mined=mined)
    unmined = ChainTransaction.objects.filter(signer=signer, state__in=outbox.UNMINED)
    below = list(unmined.filter(nonce__lt=mined).order_by("nonce")[:BATCH])
    found = record_receipts(rpc, [row.pk for row in below])
    for row in below:
        if row.pk not in found and row.nonce is not None and row.nonce < final:
            _halt(
                signer.pk,
                reason=f"nonce {row.nonce} was used by a transaction that is not ours",
                key=f"nonce-taken:{row.pk}",
            )
            break
    settle_final(rpc, market, signer)
    cancel_requested(rpc, market, signer)
    nudge(rpc, market, signer, mined=mined)


# --- receipts ------------------------------------------------------------------------------------------------


def record_receipts(rpc: Rpc, row_ids: Sequence[int]) -> set[int]:
    """Look up the receipts of every attempt of these rows and write down what was mined; the rows that have one."""
    attempts = list(Attempt.objects.filter(transaction__in=row_ids).order_by("transaction_id", "id"))
    answers = rpc.batch([("eth_getTransactionReceipt", [attempt.hash]) for attempt in attempts])
    found: set[int] = set()
    for attempt, receipt in zip(attempts, answers, strict=True):
        if isinstance(receipt, dict):
            found.add(attempt.transaction_id)
            record_receipt(rpc, attempt, receipt)
    return found


def record_receipt(rpc: Rpc, attempt: Attempt, receipt: Receipt) -> bool:
    """Write down one receipt on the locked row. A receipt in another block than the one recorded goes by BROADCAST."""
    reverted = as_int(receipt["status"]) == 0
    reason = revert_reason(rpc, attempt, receipt) if reverted and not attempt.is_cancellation else ""

    def change(row: ChainTransaction) -> None:
        if row.is_settled or row.state in (State.QUEUED, State.EXPIRED, State.REFUSED):
            return
        if row.state in outbox.IN_BLOCK:
            if (row.block_hash, row.mined_hash) == (receipt["blockHash"], attempt.hash):
                return
            outbox.advance(row, State.BROADCAST, reason="moved to another block")
        outbox.advance(row, _target(attempt, reverted), reason=reason, **_receipt_fields(attempt, receipt, reason))

    return outbox.change_row(attempt.transaction_id, change)


def _target(attempt: Attempt, reverted: bool) -> str:
    if attempt.is_cancellation:
        return State.CANCELLED
    return State.REVERTED if reverted else State.MINED


def _receipt_fields(attempt: Attempt, receipt: Receipt, reason: str) -> dict[str, Any]:
    created = receipt.get("contractAddress")
    now = timezone.now()
    return {
        "block_number": as_int(receipt["blockNumber"]),
        "block_hash": receipt["blockHash"],
        "mined_hash": attempt.hash,
        "gas_used": as_int(receipt["gasUsed"]),
        "contract_address": signers.checksummed(created) if created else None,
        "error_code": reason[:120],
        "mined_at": now,
    }


def revert_reason(rpc: Rpc, attempt: Attempt, receipt: Receipt) -> str:
    """Why it reverted: receipts do not say, so it is replayed on the state before its block, and after it.

    Best effort: what made it fail may be in its own block, and undone there again.
    """
    row = ChainTransaction.objects.select_related("signer").get(pk=attempt.transaction_id)
    if as_int(receipt["gasUsed"]) == row.gas_limit:
        return "out of gas"
    call = {"from": row.signer.address, "data": as_hex(row.data), "value": hex(row.value_wei)}
    number = as_int(receipt["blockNumber"])
    replay = call | ({"to": row.to} if row.to else {})
    answers = rpc.batch([("eth_call", [replay, hex(at)]) for at in (max(number - 1, 0), number)])
    reasons = (abi.decode_error(a.revert_data) for a in answers if isinstance(a, RpcError) and a.is_revert)
    return next(reasons, "reverted")


# --- blocks: reorganisation and finality -------------------------------------------------------------------------


def check_blocks(rpc: Rpc, market: Market) -> None:
    """Find rows whose block is no longer in the chain; look their attempts up again, or send them back to BROADCAST."""
    global _checked_head
    if market.head_hash == _checked_head:
        return
    rows = ChainTransaction.objects.filter(state__in=outbox.IN_BLOCK, is_settled=False)
    blocks = sorted(rows.values_list("block_number", "block_hash").distinct())
    canonical = block_hashes(rpc, {number for number, _ in blocks if number is not None})
    for number, block_hash in blocks:
        if canonical.get(number) != block_hash:
            gone = list(rows.filter(block_hash=block_hash).order_by("nonce").values_list("pk", flat=True))
            _take_out_of_block(rpc, gone, block_hash)
    _checked_head = market.head_hash


def block_hashes(rpc: Rpc, numbers: Iterable[int | None]) -> dict[int | None, str]:
    """Hash of the canonical block of each number; a number above the head is left out."""
    wanted = sorted(number for number in numbers if number is not None)
    blocks = rpc.gather([("eth_getBlockByNumber", [hex(number), False]) for number in wanted])
    return {number: block["hash"] for number, block in zip(wanted, blocks, strict=True) if block is not None}


def _take_out_of_block(rpc: Rpc, row_ids: Sequence[int], block_hash: str) -> None:
    found = record_receipts(rpc, row_ids)
    for pk in row_ids:
        if pk not in found:
            outbox.change_row(pk, lambda row: _back_to_broadcast(row, block_hash))


def _back_to_broadcast(row: ChainTransaction, block_hash: str) -> None:
    if row.is_settled or row.state not in outbox.IN_BLOCK or row.block_hash != block_hash:
        return
    # Not sent since it left its block: the very next look at row N sends it again.
    row.attempts.update(last_sent_at=None)
    outbox.advance(row, State.BROADCAST, reason="its block was reorganised away")


def settle_final(rpc: Rpc, market: Market, signer: Signer) -> None:
    """End rows whose block is final. The block's hash is compared once more, after finality was read."""
    rows = ChainTransaction.objects.filter(
        signer=signer, state__in=outbox.IN_BLOCK, is_settled=False, block_number__lte=market.finalized
    )
    due = list(rows.order_by("nonce").values_list("pk", "block_number", "block_hash")[:BATCH])
    canonical = block_hashes(rpc, {number for _, number, _ in due})
    for pk, number, block_hash in due:
        if canonical.get(number) == block_hash:
            outbox.change_row(pk, lambda row, expected=block_hash: _settle_if_same(row, expected))  # type: ignore[misc]


def _settle_if_same(row: ChainTransaction, block_hash: str) -> None:
    if not row.is_settled and row.state in outbox.IN_BLOCK and row.block_hash == block_hash:
        outbox.settle(row)


# --- row N: again, and dearer ------------------------------------------------------------------------------------


def nudge(rpc: Rpc, market: Market, signer: Signer, *, mined: int) -> None:
    """Look after the lowest unmined row: send it again when it is old, raise its fees when it is older still.

    The rows above it are sent again (never raised) only once the node has taken the lowest.
    """
    if Signer.objects.filter(pk=signer.pk).exclude(halted_reason="").exists():
        return
    unmined = ChainTransaction.objects.filter(signer=signer, state__in=outbox.UNMINED)
    lowest = unmined.filter(nonce=mined).first()
    if lowest is None and unmined.filter(nonce__gt=mined).exists():
        _report_lost_history(signer, mined)
    newest = submitter.newest_attempts([lowest.pk]).get(lowest.pk) if lowest else None
    if lowest is None or newest is None or not _is_due(newest, settings.CHAIN_RESEND_AFTER_SECONDS):
        return
    if _wants_raise(newest):
        raise_fees(signer_id=signer.pk, transaction_id=lowest.pk, market_fees=market.fees)
    if submitter.send(rpc, [lowest.pk]) == [Answer.ACCEPTED]:
        above = unmined.filter(nonce__gt=mined).order_by("nonce").values_list("pk", flat=True)[: submitter.BATCH]
        attempts = submitter.newest_attempts(above)
        stale = [pk for pk in above if _is_due(attempts[pk], settings.CHAIN_RESEND_AFTER_SECONDS)]
        submitter.send(rpc, stale)


def _report_lost_history(signer: Signer, mined: int) -> None:
    """The nonce the chain waits for belongs to a row that was final: its block is gone, and nothing after it can go on."""
    lost = ChainTransaction.objects.filter(signer=signer, nonce=mined, is_settled=True).first()
    if lost is not None:
        open_incident(
            kind="chain.final_block_lost",
            detail=f"Transaction {lost.pk} was final in block {lost.block_number}, and the chain no longer has it.",
            dedupe_key=f"final-lost:{lost.pk}",
            data={"transaction": lost.pk},
        )


def _is_due(attempt: Attempt, seconds: float) -> bool:
    """Whether it was never sent, was answered with trouble, or was last sent `seconds` ago."""
    if attempt.last_sent_at is None or attempt.last_error:
        return True
    return timezone.now() - attempt.last_sent_at >= timedelta(seconds=seconds)


def _wants_raise(attempt: Attempt) -> bool:
    if submitter.meaning_of_text(attempt.last_error) is Answer.UNDERPRICED:
        return True
    sent = attempt.first_sent_at
    return sent is not None and timezone.now() - sent >= timedelta(seconds=settings.CHAIN_RAISE_AFTER_SECONDS)


def raise_fees(*, signer_id: int, transaction_id: int, market_fees: Fees) -> Attempt | None:
    """Store a dearer attempt of a row under the same nonce; None if it is at the cap, mined, or its signer busy.

    Both fees rise by an eighth of the newest attempt's, or to the market's if that is more, up to the cap. A row that
    is being cancelled raises its cancellation. The new bytes are sent by the caller, outside the lock.
    """
    try:
        attempt, at_cap = _raise_fees(signer_id, transaction_id, market_fees)
    except SignerUnavailable as error:
        logger.error("signer %s: %s", signer_id, error.reason)
        return None
    if at_cap:
        open_incident(
            kind="chain.fee_cap_reached",
            detail=f"Transaction {transaction_id} is not mined at the highest fee CHAIN_MAX_FEE_GWEI allows.",
            dedupe_key=f"fee-cap:{transaction_id}",
            data={"transaction": transaction_id},
        )
    return attempt


@transaction.atomic
def _raise_fees(signer_id: int, transaction_id: int, market_fees: Fees) -> tuple[Attempt | None, bool]:
    signer = _locked_signer(signer_id)
    if signer is None:
        return None, False
    row = outbox.lock_row(transaction_id)
    if row.state not in outbox.UNMINED:
        return None, False
    last = row.attempts.order_by("-id")[0]
    fees = _next_fees(last, market_fees)
    if fees is None:
        return None, True
    attempt = submitter.new_attempt(signer, row, fees, cancellation=last.is_cancellation)
    attempt.save(force_insert=True)
    return attempt, False


def _next_fees(last: Attempt, market: Fees) -> Fees | None:
    """The fees a replacement of `last` must offer; None if that is above the cap."""
    fees = Fees(max_fee=int(last.max_fee_per_gas), priority=int(last.max_priority_fee_per_gas)).raised()
    if fees.max_fee > fee_cap():
        return None
    return fees.at_least(market)


def _locked_signer(signer_id: int) -> Signer | None:
    rows = Signer.objects.select_for_update(skip_locked=True, no_key=True)
    return rows.filter(pk=signer_id, halted_reason="").first()


# --- cancelling ------------------------------------------------------------------------------------------------------


def cancel_requested(rpc: Rpc, market: Market, signer: Signer) -> None:
    """Give every CANCELLING row of `signer` its cancelling attempt, once, and send it."""
    rows = ChainTransaction.objects.filter(signer=signer, state=State.CANCELLING)
    bare = rows.exclude(attempts__is_cancellation=True).order_by("nonce").values_list("pk", flat=True)
    made = [pk for pk in list(bare) if _make_cancellation(signer.pk, pk, market.fees)]
    if made:
        submitter.send(rpc, made)


@transaction.atomic
def _make_cancellation(signer_id: int, transaction_id: int, market_fees: Fees) -> bool:
    signer = _locked_signer(signer_id)
    if signer is None:
        return False
    row = outbox.lock_row(transaction_id)
    if row.state != State.CANCELLING or row.attempts.filter(is_cancellation=True).exists():
        return False
    last = row.attempts.order_by("-id")[0]
    fees = _next_fees(last, market_fees) or Fees(max_fee=fee_cap(), priority=int(last.max_priority_fee_per_gas))
    submitter.new_attempt(signer, row, fees, cancellation=True).save(force_insert=True)
    return True


# --- a key used elsewhere ---------------------------------------------------------------------------------------------


def halt_if_used_elsewhere(*, signer_id: int, mined: int) -> None:
    """Halt the signer if the chain counts more transactions than we ever gave nonces.

    `next_nonce` is read after the chain's count and is committed before anything is sent, so ours are all counted.
    """
    next_nonce = Signer.objects.values_list("next_nonce", flat=True).get(pk=signer_id)
    if mined > next_nonce:
        _halt(
            signer_id,
            reason=f"the chain counts {mined} transactions, we gave {next_nonce} nonces: the key is used elsewhere",
            key=f"used-elsewhere:{signer_id}:{mined}",
        )


def _halt(signer_id: int, *, reason: str, key: str) -> None:
    with transaction.atomic():
        signer = Signer.objects.select_for_update().get(pk=signer_id)
        if signer.halted_reason:
            return
        signer.halted_reason = reason[:200]
        signer.save(update_fields=["halted_reason"])
        audit.record(
            action="chain.signer.halted", subject_type="chain.signer", subject_id=signer.pk, actor=ENGINE, reason=reason
        )
    open_incident(
        kind="chain.signer_halted",
        detail=f"Signer {signer.address} ({signer.role}) is halted: {reason}. It signs nothing until it is cleared.",
        dedupe_key=key,
        data={"signer": signer_id},
    )
