"""From QUEUED to BROADCAST: estimate, give a nonce and sign under the signer's lock, send outside it."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from chain import abi, signers
from chain.exceptions import PolicyViolation, SignerUnavailable
from chain.governance import proposals
from chain.models import Attempt, ChainTransaction, Signer
from chain.rpc import Rpc, RpcError, as_hex, as_int, node
from chain.services import alarms, judging, outbox
from chain.services.incidents import ENGINE, open_incident
from chain.services.market import Fees, Market, look
from chain.services.sweeps import set_apart, sweep
from portal import audit

logger = logging.getLogger(__name__)

State = ChainTransaction.State
Verdict = ChainTransaction.Verdict
#: Rows taken from one signer in one go: one JSON-RPC batch, and a lock held for well under a second.
BATCH: Final = 100
#: Batches of one signer in one sweep; after that the others have their turn.
ROUNDS: Final = 10


@sweep("submit")
def run_submit_sweep() -> None:
    """Take every queued row as far as it can go now. Repeating it is harmless.

    0. Take proposals on: what officers signed, or the timelock let wait long enough, is released.
    1. End rows that ran out of time or whose dependency is dead (needs no node).
    2. Per signer: ask the apps whether they asked for the rows that are ready, and refuse what nobody asked for. Then
       estimate gas; one that would revert is REFUSED with the decoded reason.
    3. Per signer, under its row's lock, in one database transaction: nonce, bytes, attempt, next_nonce.
    4. Send the stored bytes of everything SIGNED, in nonce order.
    """
    proposals.advance_proposals()
    end_hopeless_rows()
    waiting = list(Signer.objects.filter(transactions__in=ready_rows(), halted_reason="").distinct())
    unsent = Signer.objects.filter(transactions__state=State.SIGNED, halted_reason="").exists()
    if not waiting and not unsent:
        return
    rpc = node()
    market = look(rpc)
    for signer in waiting:
        with set_apart(f"submitting for {signer}"):
            for _round in range(ROUNDS):
                if allocate(rpc, market, signer) < BATCH:
                    break
    broadcast_signed(rpc)


# --- 1. rows that will never be sent ---------------------------------------------------------------------


def end_hopeless_rows() -> None:
    """EXPIRED past `valid_until`, REFUSED when what they depend on can no longer happen."""
    queued = ChainTransaction.objects.filter(state=State.QUEUED)
    for pk in queued.filter(valid_until__lte=timezone.now()).values_list("pk", flat=True):
        outbox.change_row(pk, _expire_if_late)
    dead = queued.filter(depends_on__state__in=ChainTransaction.DEAD, depends_on__is_settled=True)
    for pk in dead.values_list("pk", flat=True):
        outbox.change_row(pk, _refuse_orphan)


def _expire_if_late(row: ChainTransaction) -> None:
    if row.state == State.QUEUED and row.valid_until is not None and row.valid_until <= timezone.now():
        outbox.expire(row)


def _refuse_orphan(row: ChainTransaction) -> None:
    if row.state == State.QUEUED:
        outbox.refuse(row, reason="dependency did not happen")


# --- 2. estimating -------------------------------------------------------------------------------------------


def ready_rows() -> QuerySet[ChainTransaction]:
    """Queued rows whose time has come and whose dependency is in a block."""
    now = timezone.now()
    return ChainTransaction.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now),
        Q(valid_until=None) | Q(valid_until__gt=now),
        Q(depends_on=None) | Q(depends_on__state__in=[State.MINED, State.FINAL]),
        state=State.QUEUED,
        is_held=False,
    )


def allocate(rpc: Rpc, market: Market, signer: Signer) -> int:
    """Estimate the next ready rows of `signer`, give nonces to those that would succeed and can be paid for; how many."""
    rows = _asked_for(signer)
    if not rows:
        return 0
    balance, *estimates = rpc.batch([("eth_getBalance", [signer.address, "latest"]), *map(_estimation(signer), rows)])
    gas: dict[int, int] = {}
    for row, estimate in zip(rows, estimates, strict=True):
        if isinstance(estimate, RpcError):
            _handle_failed_estimate(row, estimate)
        else:
            gas[row.pk] = _with_margin(as_int(estimate))
    if not gas or isinstance(balance, RpcError):
        return 0
    if not market.is_affordable:
        logger.warning("fees are above CHAIN_MAX_FEE_GWEI (base fee %s wei): rows stay queued", market.base_fee)
        return 0
    judged = {row.pk: judging.identity(row) for row in rows}
    return len(sign_rows(signer_id=signer.pk, gas=gas, judged=judged, fees=market.fees, balance=as_int(balance)))


def _asked_for(signer: Signer) -> list[ChainTransaction]:
    """The next ready rows that an app says it asked for. Whatever nobody asked for before them has been refused."""
    for _round in range(ROUNDS):
        found = list(ready_rows().filter(signer=signer).select_related("signer").order_by("id")[:BATCH])
        verdicts = judging.judge(found)
        unasked = [row for row in found if verdicts.get(row.pk) == Verdict.UNASKED]
        for row in unasked:
            alarms.refuse_unasked(row)
        asked = [row for row in found if verdicts.get(row.pk) == Verdict.ASKED]
        if asked or not unasked:
            return asked
    return []


def _estimation(signer: Signer) -> Any:
    def request(row: ChainTransaction) -> tuple[str, list[Any]]:
        call = {"from": signer.address, "data": as_hex(row.data), "value": hex(row.value_wei)}
        return "eth_estimateGas", [call | ({"to": row.to} if row.to else {}), "latest"]

    return request


def _with_margin(estimate: int) -> int:
    """Room for storage that another transaction makes colder or fuller between the estimate and the block."""
    return estimate + estimate // 4


def _handle_failed_estimate(row: ChainTransaction, error: RpcError) -> None:
    if error.is_revert:
        reason = abi.decode_error(error.revert_data) if error.revert_data else error.message

        def refuse(locked: ChainTransaction) -> None:
            if locked.state == State.QUEUED:
                outbox.refuse(locked, reason=reason)

        outbox.change_row(row.pk, refuse)
        return
    # "insufficient funds" and the like: not the call's fault. It stays queued and is tried by every sweep.
    open_incident(
        kind="chain.estimate_failed",
        detail=f"Transaction {row.pk} cannot be estimated: {error.message[:200]}",
        dedupe_key=f"estimate:{row.pk}",
        data={"transaction": row.pk},
    )


# --- 3. nonce and signature ----------------------------------------------------------------------------------


def sign_rows(
    *, signer_id: int, gas: dict[int, int], judged: Mapping[int, tuple[Any, ...]], fees: Fees, balance: int
) -> list[ChainTransaction]:
    """Give nonces to the estimated rows and store their signed bytes, all in one database transaction.

    `gas` maps row ids to gas limits, `judged` to what the apps said they asked for (`judging.identity`); a row that is
    something else by now stays queued and is judged anew. `balance` is the signer's, in wei. A row the balance does not reach keeps its
    gas limit and stays queued: the funding sweep tops the signer up. A rollback gives the nonces back. Nothing
    happens if another worker has the signer, or it is halted.
    """
    try:
        signed, forbidden = _sign_rows(signer_id, gas, judged, fees, balance)
    except SignerUnavailable as error:
        open_incident(
            kind="chain.signer_unavailable",
            detail=f"Signer {signer_id}: {error.reason}",
            dedupe_key=f"signer-unavailable:{signer_id}",
        )
        return []
    for pk, reason in forbidden.items():
        _refuse_forbidden(pk, reason)
    return signed


@transaction.atomic
def _sign_rows(
    signer_id: int, gas: dict[int, int], judged: Mapping[int, tuple[Any, ...]], fees: Fees, balance: int
) -> tuple[list[ChainTransaction], dict[int, str]]:
    signer = (
        Signer.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=signer_id, halted_reason="").first()
    )
    if signer is None:
        return [], {}
    rows = ready_rows().filter(pk__in=gas, signer=signer).select_for_update(of=("self",)).order_by("id")
    left = balance - _owed(signer)
    signed: list[ChainTransaction] = []
    attempts: list[Attempt] = []
    forbidden: dict[int, str] = {}
    for row in rows:
        if judging.identity(row) != judged.get(row.pk):
            continue
        row.gas_limit = gas[row.pk]
        left -= row.gas_limit * fees.max_fee + row.value_wei
        if left < 0:
            row.save(update_fields=["gas_limit"])
            continue
        try:
            # The bytes that are signed are judged, as they stand in the locked row now.
            signers.check_policy(signer, signers.call_of(row))
        except PolicyViolation as violation:
            forbidden[row.pk] = violation.reason
            continue
        row.nonce, row.state, row.verdict = signer.next_nonce, State.SIGNED, Verdict.ASKED
        attempts.append(new_attempt(signer, row, fees))
        signer.next_nonce += 1
        signed.append(row)
    ChainTransaction.objects.bulk_update(signed, ["nonce", "state", "gas_limit", "verdict"])
    Attempt.objects.bulk_create(attempts)
    signer.save(update_fields=["next_nonce"])
    for row in signed:
        _audit_arrow(row, State.QUEUED)
    return signed, forbidden


def _owed(signer: Signer) -> int:
    """The most that rows already sent and not yet in a block can cost, in wei."""
    newest = Attempt.objects.filter(transaction=OuterRef("pk")).order_by("-id").values("max_fee_per_gas")[:1]
    rows = ChainTransaction.objects.filter(signer=signer, state__in=outbox.UNMINED).annotate(fee=Subquery(newest))
    return sum(int(row.fee) * (row.gas_limit or 0) + row.value_wei for row in rows.only("gas_limit", "value_wei"))


def new_attempt(signer: Signer, row: ChainTransaction, fees: Fees, *, cancellation: bool = False) -> Attempt:
    """Signed bytes for `row`, which has its nonce; not saved. A cancellation pays the signer itself nothing."""
    unsigned = signers.Unsigned(
        chain_id=signer.chain_id,
        nonce=_given(row.nonce),
        max_priority_fee_per_gas=fees.priority,
        max_fee_per_gas=fees.max_fee,
        gas_limit=CANCELLATION_GAS if cancellation else _given(row.gas_limit),
        to=signer.address if cancellation else row.to,
        value=0 if cancellation else row.value_wei,
        data=b"" if cancellation else bytes(row.data),
    )
    signed = signers.sign_unsigned(signer, unsigned)
    return Attempt(
        transaction=row,
        hash=signed.hash,
        raw=signed.raw,
        max_fee_per_gas=fees.max_fee,
        max_priority_fee_per_gas=fees.priority,
        is_cancellation=cancellation,
    )


#: A payment without data (Yellow Paper, G_transaction).
CANCELLATION_GAS: Final = 21_000


def _given(value: int | None) -> int:
    if value is None:
        raise ValueError("a row without nonce or gas limit cannot be signed")
    return value


def _refuse_forbidden(pk: int, reason: str) -> None:
    def refuse(row: ChainTransaction) -> None:
        if row.state == State.QUEUED:
            outbox.refuse(row, reason=f"policy: {reason}")

    outbox.change_row(pk, refuse)
    open_incident(
        kind="chain.policy_violation",
        detail=f"Transaction {pk} asked a signer for something outside its policy: {reason}. Nothing was signed.",
        dedupe_key=f"policy:{pk}",
        data={"transaction": pk},
    )


def _audit_arrow(row: ChainTransaction, previous: str) -> None:
    audit.record(
        action=f"chain.transaction.{row.state}",
        subject_type="chain.transaction",
        subject_id=row.pk,
        actor=ENGINE,
        from_state=previous,
        to_state=row.state,
        data={"function": row.function, "subject": row.subject, "hash": ""},
    )


# --- 4. sending ----------------------------------------------------------------------------------------------


class Answer(enum.Enum):
    """What a node's answer to `eth_sendRawTransaction` means."""

    ACCEPTED = "accepted"  # or already in its pool, or already in a block: it has it
    NONCE_TOO_LOW = "nonce too low"  # unknown until every attempt's receipt was looked up
    UNDERPRICED = "underpriced"  # raise the fees
    NONCE_TOO_HIGH = "nonce too high"  # an earlier one is missing: send the lowest again
    REJECTED = "rejected"  # anything else; try again later


_MEANINGS: Final = (
    ("already known", Answer.ACCEPTED),
    ("known transaction", Answer.ACCEPTED),
    ("already imported", Answer.ACCEPTED),
    ("alreadyknown", Answer.ACCEPTED),
    ("nonce too low", Answer.NONCE_TOO_LOW),
    ("oldnonce", Answer.NONCE_TOO_LOW),
    ("underpriced", Answer.UNDERPRICED),
    ("max fee per gas less than block base fee", Answer.UNDERPRICED),
    ("nonce too high", Answer.NONCE_TOO_HIGH),
    ("nonce gap", Answer.NONCE_TOO_HIGH),
)


def meaning_of(answer: Any) -> Answer:
    """Classify by the words geth, erigon, nethermind, besu, reth and anvil use; there are no agreed codes."""
    return meaning_of_text(answer.message) if isinstance(answer, RpcError) else Answer.ACCEPTED


def meaning_of_text(message: str) -> Answer:
    """The meaning of an error's words; no words, no error."""
    text = message.lower()
    return next((m for words, m in _MEANINGS if words in text), Answer.REJECTED if text else Answer.ACCEPTED)


def broadcast_signed(rpc: Rpc) -> None:
    """Send everything SIGNED, signer by signer in nonce order, from the stored bytes. Holds no lock while sending."""
    rows = ChainTransaction.objects.filter(state=State.SIGNED, signer__halted_reason="").order_by("signer", "nonce")
    send(rpc, rows.values_list("pk", flat=True))


def send(rpc: Rpc, row_ids: Iterable[int]) -> list[Answer]:
    """Send the newest attempt of each row, in the given order, and write down what the node said."""
    ids = list(row_ids)
    answers: list[Answer] = []
    for start in range(0, len(ids), BATCH):
        answers.extend(_send_batch(rpc, ids[start : start + BATCH]))
    return answers


def _send_batch(rpc: Rpc, row_ids: Sequence[int]) -> list[Answer]:
    newest = newest_attempts(row_ids)
    attempts = [newest[pk] for pk in row_ids if pk in newest]
    answers = rpc.batch([("eth_sendRawTransaction", [as_hex(attempt.raw)]) for attempt in attempts])
    _record_answers(attempts, answers, at=timezone.now())
    return [meaning_of(answer) for answer in answers]


def newest_attempts(row_ids: Iterable[int]) -> dict[int, Attempt]:
    """The newest attempt of each row, by row id."""
    found = Attempt.objects.filter(transaction__in=list(row_ids)).order_by("transaction_id", "-id")
    return {attempt.transaction_id: attempt for attempt in found.distinct("transaction_id")}


@transaction.atomic
def _record_answers(attempts: Sequence[Attempt], answers: Sequence[Any], *, at: datetime) -> None:
    ids = [attempt.transaction_id for attempt in attempts]
    locked = ChainTransaction.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("id").in_bulk()
    arrived: list[ChainTransaction] = []
    for attempt, answer in zip(attempts, answers, strict=True):
        attempt.last_sent_at = at
        attempt.first_sent_at = attempt.first_sent_at or at
        attempt.last_error = str(answer)[:300] if isinstance(answer, RpcError) else ""
        row = locked[attempt.transaction_id]
        if row.state == State.SIGNED and meaning_of(answer) is Answer.ACCEPTED:
            row.state, row.submitted_at = State.BROADCAST, row.submitted_at or at
            arrived.append(row)
    Attempt.objects.bulk_update(attempts, ["last_sent_at", "first_sent_at", "last_error"])
    ChainTransaction.objects.bulk_update(arrived, ["state", "submitted_at"])
    for row in arrived:
        _audit_arrow(row, State.SIGNED)
