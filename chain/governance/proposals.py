"""Asking the admin and the council: nothing either may do is done by one key.

`request` hides from the asking app how a role is held. It gets a row of the outbox as from `enqueue`; that row waits
(`is_held`) until enough officers have signed and, for the admin, until the timelock's delay is over. The council can
cancel an admin's announcement in between, and then the row ends as REFUSED.

What the Safe and the timelock say is looked up by `advance_proposals`, the first step of every submit sweep; asking,
signing and withdrawing need no node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from eth_utils.crypto import keccak

from chain import abi, signers
from chain.exceptions import IdempotencyConflict, NotCancellable
from chain.gateway import Gateway
from chain.governance import safe as safes
from chain.models import ChainTransaction, Contract, SafeProposal, SafeSignature, Signer
from chain.profiles import profile
from chain.rpc import Rpc, as_int, node
from chain.services import outbox
from chain.services.incidents import ENGINE
from chain.services.sweeps import set_apart
from chain.types import Call, SignerRole
from portal import audit
from portal.models import User
from portal.state import require_transition

State = SafeProposal.State
TX = ChainTransaction.State
SUBJECT: Final = "chain.proposal"
#: Purpose of the transaction that announces an admin's operation; nothing follows it but the proposal itself.
ANNOUNCE: Final = "chain.announce"
SAFE_OF: Final = {SignerRole.ADMIN: Contract.Kind.ADMIN_SAFE, SignerRole.COUNCIL: Contract.Kind.COUNCIL_SAFE}
_NO_PREDECESSOR: Final = bytes(32)
#: What `TimelockController.getTimestamp` answers for an operation that was carried out; 0 for one it does not know.
_CARRIED_OUT: Final = 1


# --- asking ------------------------------------------------------------------------------------------------------


@transaction.atomic
def request(
    *,
    role: str,
    call: Call,
    idempotency_key: str,
    purpose: str,
    subject: str = "",
    depends_on: ChainTransaction | None = None,
    not_before: datetime | None = None,
    valid_until: datetime | None = None,
    actor: User | None = None,
) -> ChainTransaction:
    """Ask that the holder of `role` (of `SignerRole`) makes `call`, whoever that is: one key, or officers together.

    As `enqueue` otherwise: in the caller's transaction; the same key with the same call returns the row that is there,
    with another call it raises `IdempotencyConflict`. Raises `PolicyViolation` for a call that role is never asked for.
    """
    from chain.selectors import signer_for_role  # selectors read what services write

    options: dict[str, Any] = {"subject": subject, "not_before": not_before, "valid_until": valid_until}
    if role not in SAFE_OF:
        return outbox.enqueue(
            call=call,
            signer=signer_for_role(role),
            idempotency_key=idempotency_key,
            purpose=purpose,
            depends_on=depends_on,
            **options,
        )
    existing = ChainTransaction.objects.filter(idempotency_key=idempotency_key).first()
    if existing is not None:
        return _same_or_conflict(existing, role, call)
    safe = Contract.objects.get(chain_id=settings.CHAIN_ID, kind=SAFE_OF[role])
    signers.check_proposal(role, call)
    relayer = signer_for_role(SignerRole.RELAYER)
    ask: Callable[..., ChainTransaction] = _ask_admin if role == SignerRole.ADMIN else _ask_council
    return ask(
        safe, relayer, call, key=idempotency_key, purpose=purpose, depends_on=depends_on, actor=actor, options=options
    )


def _ask_council(safe: Contract, relayer: Signer, call: Call, **asked: Any) -> ChainTransaction:
    to = str(call.to)
    row = outbox.enqueue(
        call=safes.execution(safe, to=to, data=call.data, signatures=b""),
        signer=relayer,
        idempotency_key=asked["key"],
        purpose=asked["purpose"],
        depends_on=asked["depends_on"],
        **asked["options"],
    )
    _record(safe, call, relay=row, row=row, to=to, data=call.data, operation=b"", actor=asked["actor"])
    return row


def _ask_admin(safe: Contract, relayer: Signer, call: Call, **asked: Any) -> ChainTransaction:
    timelock = _timelock()
    salt = salt_of(asked["key"])
    delay = int(profile().admin_delay.total_seconds())
    data = schedule_data(call, salt=salt, delay=delay)
    relay = outbox.enqueue(
        call=safes.execution(safe, to=timelock, data=data, signatures=b""),
        signer=relayer,
        idempotency_key=f"announce:{salt.hex()}",
        purpose=ANNOUNCE,
        depends_on=asked["depends_on"],
        **asked["options"],
    )
    row = outbox.enqueue(
        call=Call(to=timelock, data=carrying_out(call, salt=salt), function="TimelockController.execute"),
        signer=relayer,
        idempotency_key=asked["key"],
        purpose=asked["purpose"],
        subject=asked["options"]["subject"],
        depends_on=relay,
    )
    operation = operation_id(call, salt=salt)
    _record(safe, call, relay=relay, row=row, to=timelock, data=data, operation=operation, actor=asked["actor"])
    return row


def schedule_data(call: Call, *, salt: bytes, delay: int) -> bytes:
    """`TimelockController.schedule` of `call`, to be carried out `delay` seconds after it was announced."""
    return abi.encode_call("TimelockController", "schedule", call.to, 0, call.data, _NO_PREDECESSOR, salt, delay)


def carrying_out(call: Call, *, salt: bytes) -> bytes:
    """`TimelockController.execute` of what was announced."""
    return abi.encode_call("TimelockController", "execute", call.to, 0, call.data, _NO_PREDECESSOR, salt)


def salt_of(key: str) -> bytes:
    """What tells an operation from another with the same call: the hash of its idempotency key."""
    return bytes(keccak(text=key))


def operation_id(call: Call, *, salt: bytes) -> bytes:
    """The timelock's `hashOperation` of `call`."""
    types = ["address", "uint256", "bytes", "bytes32", "bytes32"]
    return bytes(keccak(abi.encode_values(types, (call.to, 0, call.data, _NO_PREDECESSOR, salt))))


def _record(
    safe: Contract,
    call: Call,
    *,
    relay: ChainTransaction,
    row: ChainTransaction,
    to: str,
    data: bytes,
    operation: bytes,
    actor: User | None,
) -> SafeProposal:
    for held in {relay.pk: relay, row.pk: row}.values():
        held.is_held = True
        held.save(update_fields=["is_held"])
    proposal = SafeProposal.objects.create(
        safe=safe,
        relay=relay,
        transaction=row,
        to=to,
        data=data,
        operation_id="0x" + operation.hex() if operation else "",
        purpose_call=call.function,
        target=str(call.to),
        requested_by=actor,
    )
    _audit(proposal, "asked", actor or ENGINE, to_state=proposal.state)
    return proposal


def _same_or_conflict(row: ChainTransaction, role: str, call: Call) -> ChainTransaction:
    proposal = SafeProposal.objects.filter(transaction=row).select_related("safe").first()
    if proposal is None or proposal.safe.kind != SAFE_OF[role] or inner_call(proposal) != (call.to, call.data):
        raise IdempotencyConflict(row.idempotency_key)
    return row


def inner_call(proposal: SafeProposal) -> tuple[str, bytes]:
    """What is done in the end: target and calldata, out of the Safe's call or the timelock's announcement."""
    if not proposal.operation_id:
        return proposal.to, bytes(proposal.data)
    decoded = abi.decode_arguments("TimelockController", bytes(proposal.data))
    if decoded is None:
        raise ValueError("not an announcement")
    return signers.checksummed(decoded[1][0]), bytes(decoded[1][2])


def _timelock() -> str:
    return Contract.objects.values_list("address", flat=True).get(
        chain_id=settings.CHAIN_ID, kind=Contract.Kind.TIMELOCK
    )


# --- what officers do --------------------------------------------------------------------------------------------


def post_signature(*, proposal_id: int, signature: bytes, actor: User | None = None) -> SafeSignature:
    """Record an officer's signature. Who posts it does not matter; whose key made it does.

    Raises `InvalidSafeSignature` unless a present owner of the Safe signed exactly this proposal under its present
    number, `NodeUnavailable` if the owners cannot be read. Posting it again changes nothing.
    """
    proposal = SafeProposal.objects.select_related("safe").get(pk=proposal_id)
    _require_signable(proposal)
    owner = safes.recover_owner(proposal, signature)
    (owners,) = Gateway(node()).read(proposal.safe.kind, proposal.safe.address, "getOwners")
    if owner not in {signers.checksummed(each) for each in owners}:
        raise safes.InvalidSafeSignature(
            _("%(address)s is no officer of this Safe, or signed something else. Nothing was recorded.")
            % {"address": owner},
            code="chain.proposal.not_an_owner",
        )
    return _keep_signature(proposal, owner, signature, actor)


def _require_signable(proposal: SafeProposal) -> None:
    if proposal.state != State.COLLECTING or proposal.nonce is None:
        raise safes.InvalidSafeSignature(
            _("This proposal does not wait for signatures at the moment. Nothing was recorded."),
            code="chain.proposal.not_collecting",
        )


def _keep_signature(proposal: SafeProposal, owner: str, signature: bytes, actor: User | None) -> SafeSignature:
    with transaction.atomic():
        locked = _locked(proposal.pk)
        _require_signable(locked)
        kept, fresh = SafeSignature.objects.get_or_create(
            proposal=locked,
            owner=owner,
            digest=safes.digest(proposal),
            defaults={"signature": signature, "posted_by": actor},
        )
        if fresh:
            _audit(locked, "signed", actor or ENGINE, data={"owner": owner, "nonce": locked.nonce})
            transaction.on_commit(outbox.wake)
    return kept


@transaction.atomic
def withdraw_proposal(*, proposal_id: int, actor: User, reason: str) -> SafeProposal:
    """COLLECTING → CANCELLED: it is not submitted. Raises `NotCancellable` once it was.

    Signatures that were given stay valid for the Safe under that number, so its next proposal takes the number: the
    Safe carries out one transaction under each.
    """
    proposal = _locked(proposal_id)
    if proposal.state != State.COLLECTING:
        raise NotCancellable(
            _("This was already submitted. The council can still cancel it while its waiting time runs."),
            code="chain.proposal.submitted",
            state=proposal.state,
        )
    _end_rows(proposal, reason="withdrawn", actor=actor)
    _move(proposal, State.CANCELLED, actor=actor, reason=reason)
    return proposal


@transaction.atomic
def propose_cancellation(*, proposal_id: int, actor: User) -> ChainTransaction:
    """Ask the council to cancel what the admin announced. Raises `NotCancellable` if nothing waits.

    Asked again while that is under way it is the same row; after one that came to nothing it is a new one.
    """
    proposal = _locked(proposal_id)
    if not proposal.can_be_cancelled:
        raise NotCancellable(
            _("Nothing of this proposal waits any more. Nothing was changed."),
            code="chain.proposal.nothing_waits",
            state=proposal.state,
        )
    key = f"{SUBJECT}:{proposal.pk}:cancel"
    failed = ChainTransaction.objects.filter(
        Q(idempotency_key=key) | Q(idempotency_key__startswith=f"{key}:"), state__in=ChainTransaction.DEAD
    ).count()
    return request(
        role=SignerRole.COUNCIL,
        call=cancellation_of(proposal),
        idempotency_key=f"{key}:{failed}" if failed else key,
        purpose="chain.cancel_announcement",
        subject=f"{SUBJECT}:{proposal.pk}",
        actor=actor,
    )


def cancellation_of(proposal: SafeProposal) -> Call:
    """The council's call that cancels what the admin announced."""
    data = abi.encode_call("TimelockController", "cancel", bytes.fromhex(proposal.operation_id[2:]))
    return Call(to=proposal.to, data=data, function="TimelockController.cancel")


# --- the sweep ---------------------------------------------------------------------------------------------------


def advance_proposals() -> None:
    """Take every open proposal as far as it can go now. Repeating it is harmless; without open ones it asks nothing.

    1. Follow the rows: announced, carried out, dead.
    2. Number what waits: the Safe's next nonces, in the order they were asked for.
    3. Where this installation signs for its officers (development), sign.
    4. Send what the chain would execute next, if enough of its present owners signed.
    5. Release what the timelock has let wait long enough; end what the council cancelled.
    """
    found = SafeProposal.objects.exclude(state__in=SafeProposal.ENDED).filter(safe__chain_id=settings.CHAIN_ID)
    by_safe: dict[int, list[int]] = defaultdict(list)
    for pk, safe_id in found.order_by("pk").values_list("pk", "safe_id"):
        by_safe[safe_id].append(pk)
    if not by_safe:
        return
    rpc = node()
    for safe in Contract.objects.filter(pk__in=by_safe):
        with set_apart(f"proposals of {safe}"):
            _advance_safe(rpc, safe, by_safe[safe.pk])


def _advance_safe(rpc: Rpc, safe: Contract, pks: list[int]) -> None:
    for pk in pks:
        _follow(pk)
    found = SafeProposal.objects.filter(pk__in=pks).select_related("safe", "relay__depends_on", "transaction")
    proposals = list(found.order_by("pk"))
    waiting = [p for p in proposals if p.state == State.COLLECTING and _is_ready(p.relay)]
    on_its_way = any(p.state == State.SENT and p.relay.state not in (TX.MINED, TX.FINAL) for p in proposals)
    if waiting and not on_its_way:
        _collect(Gateway(rpc), safe, waiting)
    scheduled = [p for p in proposals if p.state == State.SCHEDULED]
    if scheduled:
        _watch(rpc, scheduled)


def _is_ready(row: ChainTransaction) -> bool:
    """Whether the row could be submitted but for the signatures: what waits for something else takes no number."""
    now = timezone.now()
    if (row.not_before and row.not_before > now) or row.state != TX.QUEUED:
        return False
    return row.depends_on is None or row.depends_on.state in (TX.MINED, TX.FINAL)


@transaction.atomic
def _follow(pk: int) -> None:
    """Bring the proposal in line with its two rows."""
    proposal = _locked(pk)
    relay, row = proposal.relay, proposal.transaction
    if relay.state in ChainTransaction.DEAD and proposal.state in (State.COLLECTING, State.SENT):
        if relay.is_settled:
            _end_rows(proposal, reason="its announcement did not happen", actor=ENGINE)
            _move(proposal, State.FAILED, reason=relay.error_code)
    elif row.state in ChainTransaction.DEAD and row.is_settled and proposal.state not in SafeProposal.ENDED:
        target = State.FAILED if proposal.state == State.RELEASED else State.CANCELLED
        _end_rows(proposal, reason="withdrawn", actor=ENGINE)
        if target in SafeProposal.TRANSITIONS[proposal.state]:
            _move(proposal, target, reason=row.error_code)
    elif proposal.state == State.SENT and relay.state in (TX.MINED, TX.FINAL):
        if proposal.operation_id:
            _move(proposal, State.SCHEDULED)
        elif relay.state == TX.FINAL:
            _move(proposal, State.DONE)
    elif proposal.state == State.SCHEDULED and relay.state not in (TX.MINED, TX.FINAL):
        _move(proposal, State.SENT, reason="its announcement left its block")
    elif proposal.state == State.RELEASED and row.state == TX.FINAL:
        _move(proposal, State.DONE)


def _collect(gateway: Gateway, safe: Contract, waiting: list[SafeProposal]) -> None:
    (nonce,) = gateway.read(safe.kind, safe.address, "nonce")
    (threshold,) = gateway.read(safe.kind, safe.address, "getThreshold")
    (raw_owners,) = gateway.read(safe.kind, safe.address, "getOwners")
    owners = {signers.checksummed(owner) for owner in raw_owners}
    waiting = _number(safe, waiting, first=nonce)
    if safe.kind == Contract.Kind.ADMIN_SAFE:
        (delay,) = gateway.read("TimelockController", _timelock(), "getMinDelay")
        waiting = [_announcing(proposal, delay) for proposal in waiting]
    if settings.DEMO_SIGNS_FOR_OFFICERS:
        for proposal in waiting:
            _sign_for_officers(proposal, owners, threshold)
    _send_if_signed(waiting[0], owners, threshold)


@transaction.atomic
def _number(safe: Contract, waiting: list[SafeProposal], *, first: int) -> list[SafeProposal]:
    """Nonces `first`, `first` + 1, … in the order of asking. One that changes voids the signatures under the old one."""
    wrong = {p.pk: first + place for place, p in enumerate(waiting) if p.nonce != first + place}
    if not wrong:
        return waiting
    mine = SafeProposal.objects.select_for_update().filter(safe=safe, state=State.COLLECTING)
    # Two steps, or one proposal would for a moment have the number another is about to give up.
    mine.filter(nonce__gte=first).exclude(pk__in=[p.pk for p in waiting if p.pk not in wrong]).update(nonce=None)
    for pk, nonce in wrong.items():
        mine.filter(pk=pk).update(nonce=nonce)
    return list(_with_rows().filter(pk__in=[p.pk for p in waiting], state=State.COLLECTING).order_by("pk"))


def _announcing(proposal: SafeProposal, delay: int) -> SafeProposal:
    """The announcement with the delay that is in force on the chain: a shorter one would be refused."""
    decoded = abi.decode_arguments("TimelockController", bytes(proposal.data))
    if decoded is None or decoded[1][5] == delay:
        return proposal
    proposal.data = abi.encode_call("TimelockController", "schedule", *decoded[1][:5], delay)
    proposal.save(update_fields=["data"])
    return proposal


def _sign_for_officers(proposal: SafeProposal, owners: set[str], threshold: int) -> None:
    """Sign as many times as the Safe wants, with keys that we hold for officers. Only ever in development."""
    held = Signer.objects.filter(chain_id=proposal.safe.chain_id, address__in=owners).order_by("pk")
    digest = safes.digest(proposal)
    signed = set(proposal.signatures.filter(digest=digest).values_list("owner", flat=True))
    for signer in held.exclude(address__in=signed)[: max(threshold - len(signed & owners), 0)]:
        _keep_signature(proposal, signer.address, safes.sign(proposal, signer), None)


@transaction.atomic
def _send_if_signed(proposal: SafeProposal, owners: set[str], threshold: int) -> None:
    """COLLECTING → SENT with the signatures of `threshold` present owners; the outbox does the rest."""
    proposal = _locked(proposal.pk)
    if proposal.state != State.COLLECTING:
        return
    found = proposal.signatures.filter(digest=safes.digest(proposal), owner__in=owners).order_by("pk")
    counted = {each.owner: bytes(each.signature) for each in found[:threshold]}
    if len(counted) < threshold:
        return
    call = safes.execution(proposal.safe, to=proposal.to, data=bytes(proposal.data), signatures=safes.joined(counted))
    relay = outbox.lock_row(proposal.relay_id)
    relay.data, relay.is_held = call.data, False
    relay.save(update_fields=["data", "is_held"])
    _move(proposal, State.SENT, data={"owners": sorted(counted), "nonce": proposal.nonce})


def _watch(rpc: Rpc, scheduled: list[SafeProposal]) -> None:
    """Release what has waited long enough by the chain's own clock; end what the timelock does not know any more."""
    gateway, timelock = Gateway(rpc), _timelock()
    now = as_int(rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"])
    for proposal in scheduled:
        operation = bytes.fromhex(proposal.operation_id[2:])
        (at,) = gateway.read("TimelockController", timelock, "getTimestamp", operation)
        _apply_timestamp(proposal.pk, at, now)


@transaction.atomic
def _apply_timestamp(pk: int, at: int, now: int) -> None:
    proposal = _locked(pk)
    if proposal.state != State.SCHEDULED:
        return
    if at == 0:
        # Unknown to the timelock although its announcement is final: somebody with the right to do so cancelled it.
        if proposal.relay.is_settled:
            _end_rows(proposal, reason="cancelled by the council", actor=ENGINE)
            _move(proposal, State.CANCELLED, reason="cancelled on the chain")
        return
    if at == _CARRIED_OUT:
        _end_rows(proposal, reason="carried out by the officers themselves", actor=ENGINE)
        _move(proposal, State.FAILED, reason="carried out outside the platform")
        return
    effective = datetime.fromtimestamp(at, UTC)
    if proposal.effective_at != effective:
        proposal.effective_at = effective
        proposal.save(update_fields=["effective_at"])
    if now >= at:
        row = outbox.lock_row(proposal.transaction_id)
        row.is_held = False
        row.save(update_fields=["is_held"])
        _move(proposal, State.RELEASED)


# --- one proposal ------------------------------------------------------------------------------------------------


def _with_rows() -> Any:
    return SafeProposal.objects.select_related("safe", "relay", "transaction")


def _locked(pk: int) -> SafeProposal:
    found: SafeProposal = _with_rows().select_for_update(of=("self",)).get(pk=pk)
    return found


def _end_rows(proposal: SafeProposal, *, reason: str, actor: User | str) -> None:
    """End what of the proposal was not submitted, so that the app that asked is told."""
    for pk in {proposal.relay_id, proposal.transaction_id}:
        row = outbox.lock_row(pk)
        if row.state == TX.QUEUED:
            outbox.refuse(row, reason=reason, actor=actor)


def _move(
    proposal: SafeProposal,
    target: str,
    *,
    actor: User | str = ENGINE,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    require_transition(
        SafeProposal.TRANSITIONS, current=proposal.state, target=target, code="chain.proposal.wrong_state"
    )
    before, proposal.state = proposal.state, target
    if target in SafeProposal.ENDED:
        proposal.ended_at = timezone.now()
    proposal.save(update_fields=["state", "ended_at"])
    _audit(proposal, str(target), actor, from_state=before, to_state=target, reason=reason, data=data)


def _audit(proposal: SafeProposal, action: str, actor: User | str, **more: Any) -> None:
    data = {"call": proposal.purpose_call, "target": proposal.target, "safe": proposal.safe.kind}
    data |= more.pop("data", None) or {}
    audit.record(
        action=f"{SUBJECT}.{action}", subject_type=SUBJECT, subject_id=proposal.pk, actor=actor, data=data, **more
    )
