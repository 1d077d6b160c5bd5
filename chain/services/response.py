"""What is done about an alarm: containing with the keys that can only reduce, restoring with those that wait.

Every function writes one `ResponseStep` per call with its outbox row and an audit row, in one transaction, and returns
the step. Asked again while it is under way, it returns the step that is there; asked for what already is so on the
chain (as indexed), it leaves a step UNNEEDED. Amounts are base units. All raise `NotPermitted` for people whose role
does not include it; `chain.response` is the outbox purpose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.desk.models import Alarm, ResponseStep
from chain.followups import followup
from chain.models import (
    ChainTransaction,
    Contract,
    Cursor,
    Distrust,
    EventLog,
    Holding,
    SbtRecord,
    TokenState,
)
from chain.registry import desk
from chain.selectors import chain_time, contract_address, signer_for_role
from chain.services.council import council_call
from chain.services.outbox import enqueue
from chain.types import Call, SignerRole
from portal import audit
from portal.exceptions import DomainError, NotPermitted
from portal.models import Role, User
from portal.state import require_transition

Kind = ResponseStep.Kind
State = ResponseStep.State
ChainState = ChainTransaction.State
PURPOSE: Final = "chain.response"
#: A freeze for everything a holder has or may get: nobody can hold more than is authorised. Above it: the contract's
#: own "everything", for a security whose terms have not been read yet.
_EVERYTHING: Final = 2**96 - 2
#: How long an announced operation can be carried out once its time has come (AccessManager.expiration).
EXPIRATION_SECONDS: Final = 7 * 86400


class ResponseRefused(DomainError):
    """This step makes no sense now. Nothing was changed."""


# --- who may ------------------------------------------------------------------------------------------------


def require_duty_officer(actor: User) -> None:
    """Administrators and KYC officers contain."""
    _require(actor, Role.ADMINISTRATOR, Role.KYC_OFFICER)


def require_restorer(actor: User) -> None:
    """Administrators ask the council and the controller; both have a wait or a second person behind them."""
    _require(actor, Role.ADMINISTRATOR)


def _require(actor: User, *roles: Role) -> None:
    if not any(actor.has_role(role) for role in roles):
        raise NotPermitted(
            _("Your role does not include this action. Nothing was changed."), code="chain.response.role_required"
        )


# --- one step ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a step is: its call, and who signs it (None: the council)."""

    kind: str
    call: Call
    signer: str | None
    target: str = ""
    token: str = ""
    function: str = ""
    data: dict[str, Any] | None = None
    scheduled: ResponseStep | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of kind and call."""
        return hashlib.sha256(f"{self.kind}:{self.call.to}:".encode() + self.call.data).hexdigest()


def _take(
    plan: _Plan, *, actor: User | None, reason: str, alarm: Alarm | None, is_so: Callable[[], bool] = lambda: False
) -> ResponseStep:
    """The step for `plan`: the one under way, one that is UNNEEDED because `is_so`, or a new one in the outbox."""
    if not reason.strip():
        raise ResponseRefused(_("Give a reason. It becomes part of the record."), code="chain.response.reason_missing")
    with transaction.atomic():
        # One at a time per manager, so that a second click waits for the first and then finds its step.
        list(Contract.objects.select_for_update().filter(chain_id=settings.CHAIN_ID, kind="AccessManager"))
        known = _under_way(plan)
        if known is not None:
            return joined(known, alarm)
        step = ResponseStep.objects.create(
            chain_id=settings.CHAIN_ID,
            kind=plan.kind,
            fingerprint=plan.fingerprint,
            target=plan.target,
            token=plan.token,
            function=plan.function,
            data=plan.data or {},
            reason=reason.strip()[:300],
            requested_by=actor,
            alarm=alarm,
            scheduled=plan.scheduled,
            state=State.UNNEEDED if is_so() else State.ASKED,
        )
        if step.state == State.ASKED:
            step.transaction = _ask_chain(step, plan, actor)
            step.save(update_fields=["transaction"])
        _mark_contained(step, actor)
        audit_step(step, actor=actor, reason=step.reason)
    return step


def _under_way(plan: _Plan) -> ResponseStep | None:
    open_states = [State.ASKED, State.IN_BLOCK]
    return ResponseStep.objects.filter(
        chain_id=settings.CHAIN_ID, fingerprint=plan.fingerprint, state__in=open_states
    ).first()


def joined(step: ResponseStep, alarm: Alarm | None) -> ResponseStep:
    """The step that is under way already; `alarm` takes it where it had none."""
    if step.alarm_id is None and alarm is not None:
        step.alarm = alarm
        step.save(update_fields=["alarm"])
        _mark_contained(step, None)
    return step


def _ask_chain(step: ResponseStep, plan: _Plan, actor: User | None) -> ChainTransaction:
    name = f"{PURPOSE}:{step.pk}"
    if plan.signer is None:
        return council_call(call=plan.call, actor=actor, idempotency_key=name, purpose=PURPOSE, subject=name)
    signer = signer_for_role(plan.signer)
    return enqueue(call=plan.call, signer=signer, idempotency_key=name, purpose=PURPOSE, subject=name)


def _mark_contained(step: ResponseStep, actor: User | None) -> None:
    """The first containing step takes its alarm from OPEN to CONTAINED."""
    if step.alarm_id is None or step.kind not in ResponseStep.CONTAINING:
        return
    alarm = Alarm.objects.select_for_update().get(pk=step.alarm_id)
    if alarm.state != Alarm.State.OPEN:
        return
    alarm.state = Alarm.State.CONTAINED
    alarm.save(update_fields=["state"])
    audit.record(
        action="chain.alarm.contained",
        subject_type="chain.alarm",
        subject_id=alarm.pk,
        actor=actor or "chain engine",
        from_state=Alarm.State.OPEN,
        to_state=alarm.state,
        data={"step": step.pk},
    )


def audit_step(step: ResponseStep, *, actor: User | str | None, from_state: str = "", reason: str = "") -> None:
    """The audit row of a step that was taken or moved on."""
    audit.record(
        action=f"chain.response.{step.kind}",
        subject_type="chain.response",
        subject_id=step.pk,
        actor=actor or "chain engine",
        from_state=from_state,
        to_state=step.state,
        reason=reason,
        data={"alarm": step.alarm_id, "target": step.target, "token": step.token, "function": step.function},
    )


# --- containing: keys that can only reduce -----------------------------------------------------------------


def suspend_holder_sbt(*, holder: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Stop a holder's verification from counting: nothing leaves or reaches that address. Only the council lifts it."""
    require_duty_officer(actor)
    return _suspend(holder=holder, actor=actor, reason=reason, alarm=alarm)


def _suspend(*, holder: str, actor: User | None, reason: str, alarm: Alarm | None) -> ResponseStep:
    plan = _Plan(Kind.SUSPEND, operations.suspend_sbt(holder), SignerRole.SBT_GUARDIAN, target=holder)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: _is_suspended(holder))


def _is_suspended(holder: str) -> bool:
    return SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, address=holder, suspended=True, revoked=False).exists()


def freeze_holder(
    *, holder: str, actor: User, reason: str, token: str | None = None, alarm: Alarm | None = None
) -> list[ResponseStep]:
    """Freeze all a holder has, and may get, of `token`, or of every security they hold or are admitted on."""
    require_duty_officer(actor)
    return _freeze(holder=holder, actor=actor, reason=reason, token=token, alarm=alarm)


@transaction.atomic
def _freeze(
    *, holder: str, actor: User | None, reason: str, token: str | None, alarm: Alarm | None
) -> list[ResponseStep]:
    tokens = [token] if token else tokens_of(holder)
    return [_freeze_on(each, holder, actor=actor, reason=reason, alarm=alarm) for each in tokens]


def tokens_of(holder: str) -> list[str]:
    """The securities this address holds or is admitted on, as indexed."""
    rows = Holding.objects.filter(chain_id=settings.CHAIN_ID, holder=holder)
    in_use = Q(units__gt=0) | Q(final_units__gt=0) | Q(admitted_sbt__gt=0)
    return list(rows.filter(in_use).order_by("token").values_list("token", flat=True))


def _freeze_on(token: str, holder: str, *, actor: User | None, reason: str, alarm: Alarm | None) -> ResponseStep:
    units = _authorised(token)
    plan = _Plan(
        Kind.FREEZE,
        operations.freeze(token, holder, units),
        SignerRole.TOKEN_AGENT,
        target=holder,
        token=token,
        data={"units": str(units)},
    )
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: _frozen(token, holder) >= units)


def _authorised(token: str) -> int:
    state = TokenState.objects.filter(chain_id=settings.CHAIN_ID, token=token).first()
    return int(state.authorised_units) if state and state.authorised_units else _EVERYTHING


def _frozen(token: str, holder: str) -> int:
    row = Holding.objects.filter(chain_id=settings.CHAIN_ID, token=token, holder=holder).first()
    return int(row.frozen_units) if row else 0


def pause_security(*, token: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Stop transfers, mints and recoveries of a security. Redemption and the controller go on."""
    require_duty_officer(actor)
    plan = _Plan(Kind.PAUSE, operations.pause(token), SignerRole.TOKEN_GUARDIAN, token=token)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: _is_paused(token))


def _is_paused(token: str) -> bool:
    return TokenState.objects.filter(chain_id=settings.CHAIN_ID, token=token, paused=True).exists()


def pause_issuance(*, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Stop issuing and renewing verifications."""
    require_duty_officer(actor)
    plan = _Plan(Kind.PAUSE_ISSUANCE, operations.pause_issuance(), SignerRole.SBT_GUARDIAN)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=issuance_is_paused)


def issuance_is_paused() -> bool:
    """Whether issuing is stopped, as indexed."""
    events = EventLog.objects.filter(
        chain_id=settings.CHAIN_ID, canonical=True, event__in=["IssuancePaused", "IssuanceResumed"]
    )
    newest = events.order_by("-block_number", "-log_index").values_list("event", flat=True).first()
    return newest == "IssuancePaused"


def distrust_key(*, key: str, since: datetime, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Stop everything `key` issued or attested from `since` on from counting, at once. May only widen."""
    require_duty_officer(actor)
    if since > timezone.now():
        raise ResponseRefused(_("The time cannot lie in the future."), code="chain.response.future")
    seconds = int(since.timestamp())
    plan = _Plan(
        Kind.DISTRUST,
        operations.distrust(key, seconds),
        SignerRole.SBT_GUARDIAN,
        target=key,
        data={"since": since.isoformat()},
    )
    known = Distrust.objects.filter(chain_id=settings.CHAIN_ID, key=key, since__lte=since)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=known.exists)


def dismiss_holder(*, holder: str, token: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """End a holder's admission to a security: nothing more reaches them. What they hold they keep."""
    require_duty_officer(actor)
    plan = _Plan(Kind.DISMISS, operations.dismiss(token, [holder]), SignerRole.TOKEN_AGENT, target=holder, token=token)
    admitted = Holding.objects.filter(chain_id=settings.CHAIN_ID, token=token, holder=holder, admitted_sbt__gt=0)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: not admitted.exists())


def cancel_operation(
    *, caller: str, target: str, data: bytes, actor: User, reason: str, alarm: Alarm | None = None
) -> ResponseStep:
    """Ask the council to cancel what `caller` announced in the AccessManager."""
    require_duty_officer(actor)
    call = operations.cancel_scheduled(caller, target, data)
    return _take(_Plan(Kind.CANCEL, call, None, target=caller, token=""), actor=actor, reason=reason, alarm=alarm)


# --- restoring: the council -----------------------------------------------------------------------------------


def lift_pause(*, token: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to let a security's transfers go on."""
    require_restorer(actor)
    plan = _Plan(Kind.UNPAUSE, operations.unpause(token), None, token=token)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: not _is_paused(token))


def lift_suspension(*, holder: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to lift the suspension of a holder's verification."""
    require_restorer(actor)
    plan = _Plan(Kind.REINSTATE, operations.reinstate_sbt(holder), None, target=holder)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: not _is_suspended(holder))


def resume_issuance(*, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to let verifications be issued again."""
    require_restorer(actor)
    plan = _Plan(Kind.RESUME_ISSUANCE, operations.resume_issuance(), None)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: not issuance_is_paused())


def restore_trust(*, key: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to trust a key again, for everything it ever did. Only for a key that was distrusted wrongly."""
    require_restorer(actor)
    plan = _Plan(Kind.RESTORE_TRUST, operations.restore_trust(key), None, target=key)
    distrusted = Distrust.objects.filter(chain_id=settings.CHAIN_ID, key=key)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=lambda: not distrusted.exists())


def cancel_recovery(*, token: str, lost: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask the council to call a recovery off; the wallet is unlocked."""
    require_restorer(actor)
    plan = _Plan(Kind.CANCEL_RECOVERY, operations.cancel_recovery(token, lost), None, target=lost, token=token)
    return _take(plan, actor=actor, reason=reason, alarm=alarm)


# --- restoring: the controller, announced first --------------------------------------------------------------------


def reason_hash(reason: str) -> bytes:
    """What stands on the chain for a written reason: its SHA-256."""
    return hashlib.sha256(reason.strip().encode()).digest()


def schedule_forced_transfer(
    *, token: str, holder: str, recipient: str, units: int, actor: User, reason: str, alarm: Alarm | None = None
) -> ResponseStep:
    """Announce that `units` go from `holder` to `recipient` by authority; frozen units too, to admitted addresses only."""
    data = {"holder": holder, "recipient": recipient, "units": str(units), "reason": reason.strip()}
    call = operations.forced_transfer(token, holder, recipient, units, reason_hash(reason))
    return _schedule(call, token, holder, data, actor=actor, reason=reason, alarm=alarm)


def schedule_unfreeze(
    *, token: str, holder: str, actor: User, reason: str, units: int = 0, alarm: Alarm | None = None
) -> ResponseStep:
    """Announce that only `units` of the holder stay frozen; none by default."""
    data = {"holder": holder, "units": str(units), "reason": reason.strip()}
    call = operations.set_frozen(token, holder, units)
    return _schedule(call, token, holder, data, actor=actor, reason=reason, alarm=alarm)


def schedule_burn(
    *, token: str, holder: str, units: int, actor: User, reason: str, alarm: Alarm | None = None
) -> ResponseStep:
    """Announce that wrongly minted units of `holder` are burned; they may be minted again."""
    data = {"holder": holder, "units": str(units), "reason": reason.strip()}
    call = operations.burn(token, holder, units, reason_hash(reason))
    return _schedule(call, token, holder, data, actor=actor, reason=reason, alarm=alarm)


def schedule_reversal(
    *, token: str, holder: str, units: int, actor: User, reason: str, alarm: Alarm | None = None
) -> ResponseStep:
    """Announce that units redeemed wrongly are given back to `holder`."""
    data = {"holder": holder, "units": str(units), "reason": reason.strip()}
    call = operations.reverse_redemption(token, holder, units, reason_hash(reason))
    return _schedule(call, token, holder, data, actor=actor, reason=reason, alarm=alarm)


def _schedule(
    call: Call, token: str, holder: str, data: dict[str, Any], *, actor: User, reason: str, alarm: Alarm | None
) -> ResponseStep:
    require_restorer(actor)
    data = data | {"to": call.to, "calldata": "0x" + call.data.hex()}
    plan = _Plan(
        Kind.SCHEDULE,
        operations.schedule_call(call),
        SignerRole.TOKEN_CONTROLLER,
        target=holder,
        token=token,
        function=call.function,
        data=data,
    )
    return _take(plan, actor=actor, reason=reason, alarm=alarm)


def executable_at(step: ResponseStep) -> datetime | None:
    """When what `step` announced may be carried out, as indexed; None while it is not in a block or was cancelled."""
    from chain.desk.selectors import scheduled_operations

    wanted = (signer_for_role(SignerRole.TOKEN_CONTROLLER).address, step.data["to"], step.data["calldata"])
    found = (each for each in scheduled_operations() if (each.caller, each.target, each.data) == wanted)
    return next((each.ready_at for each in found), None)


def execute_scheduled(*, step: ResponseStep, actor: User) -> ResponseStep:
    """Carry out what `step` announced, directly, once its waiting time is over. Raises `ResponseRefused` before."""
    require_restorer(actor)
    if step.kind != Kind.SCHEDULE:
        raise ValueError("only an announced operation is carried out")
    call = Call(to=step.data["to"], data=bytes.fromhex(step.data["calldata"][2:]), function=step.function)
    plan = _Plan(
        Kind.EXECUTE,
        call,
        SignerRole.TOKEN_CONTROLLER,
        target=step.target,
        token=step.token,
        function=step.function,
        data=step.data,
        scheduled=step,
    )
    known = _under_way(plan) or ResponseStep.objects.filter(scheduled=step, state=State.DONE).first()
    if known is not None:
        return known
    ready = executable_at(step)
    if ready is None:
        raise ResponseRefused(
            _("This is not announced on the chain: not yet, or it was cancelled. Nothing was changed."),
            code="chain.response.not_scheduled",
        )
    cursor = Cursor.objects.filter(chain_id=settings.CHAIN_ID).first() or Cursor(chain_id=settings.CHAIN_ID)
    if ready > chain_time(cursor):
        raise ResponseRefused(
            _("The waiting time still runs. Nothing was changed. Try again when it is over."),
            code="chain.response.too_early",
        )
    return _take(plan, actor=actor, reason=step.reason, alarm=step.alarm)


def execute_forced_transfer(*, step: ResponseStep, actor: User) -> ResponseStep:
    """`execute_scheduled` for a forced transfer."""
    return execute_scheduled(step=step, actor=actor)


def execute_unfreeze(*, step: ResponseStep, actor: User) -> ResponseStep:
    """`execute_scheduled` for an unfreeze."""
    return execute_scheduled(step=step, actor=actor)


def execute_burn(*, step: ResponseStep, actor: User) -> ResponseStep:
    """`execute_scheduled` for a burn."""
    return execute_scheduled(step=step, actor=actor)


# --- restoring: sound verifications again ------------------------------------------------------------------------


@transaction.atomic
def reattest_batch(
    *, holders: Sequence[str], actor: User, reason: str, alarm: Alarm | None = None
) -> list[ResponseStep]:
    """Ask for a fresh attestation, by the actor's own key, of every holder's verification: all of them or none.

    Raises `ResponseRefused` naming the holder that cannot be attested.
    """
    _require(actor, Role.KYC_OFFICER)
    if desk.reattest is None:
        raise ResponseRefused(_("Nothing here can attest. Nothing was changed."), code="chain.response.no_attesting")
    steps = []
    for holder in holders:
        try:
            row = desk.reattest(holder, actor, reason)
        except DomainError as error:
            raise ResponseRefused(
                _("%(holder)s cannot be attested again: %(message)s Nobody was.")
                % {"holder": holder, "message": error.message},
                code="chain.response.reattest_refused",
                holder=holder,
            ) from error
        steps.append(_record_reattestation(holder, row, actor=actor, reason=reason, alarm=alarm))
    return steps


@transaction.atomic
def give_new_wallet(*, holder: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask for a new wallet, attested with the actor's own key, for the person whose key is stolen.

    Raises `ResponseRefused` where that cannot be: the person is suspended, or keeps their own key.
    """
    _require(actor, Role.KYC_OFFICER)
    if desk.new_wallet is None:
        raise ResponseRefused(_("Nothing here can attest. Nothing was changed."), code="chain.response.no_attesting")
    try:
        row = desk.new_wallet(holder, actor, reason)
    except DomainError as error:
        raise ResponseRefused(error.message, code="chain.response.new_wallet_refused", holder=holder) from error
    return _record_reattestation(holder, row, actor=actor, reason=reason, alarm=alarm, kind=Kind.NEW_WALLET)


def admit_new_wallet(
    *, holder: str, former: str, token: str, actor: User, reason: str, alarm: Alarm | None = None
) -> ResponseStep:
    """Admit `holder` to a security because another wallet of the same person, `former`, stands on it.

    Only ever another wallet of one who holds it or is admitted: the desk opens no security to anybody new.
    """
    require_restorer(actor)
    if not is_same_person(holder, former) or token not in tokens_of(former):
        raise ResponseRefused(
            _("This is no other wallet of somebody who stands on this security. Nothing was changed."),
            code="chain.response.not_same_person",
        )
    plan = _Plan(Kind.ADMIT, operations.admit(token, [holder]), SignerRole.TOKEN_AGENT, target=holder, token=token)
    admitted = Holding.objects.filter(chain_id=settings.CHAIN_ID, token=token, holder=holder, admitted_sbt__gt=0)
    return _take(plan, actor=actor, reason=reason, alarm=alarm, is_so=admitted.exists)


def is_same_person(one: str, other: str) -> bool:
    """Whether two addresses carry verifications of one subject, as indexed."""
    rows = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, address__in=[one, other], revoked=False)
    subjects = list(rows.values_list("subject", flat=True))
    return one != other and len(subjects) == len({one, other}) and len(set(subjects)) == 1


def _record_reattestation(
    holder: str,
    row: ChainTransaction | None,
    *,
    actor: User,
    reason: str,
    alarm: Alarm | None,
    kind: str = Kind.REATTEST,
) -> ResponseStep:
    step = ResponseStep.objects.create(
        chain_id=settings.CHAIN_ID,
        kind=kind,
        # Another app follows that transaction, so this step is recorded as handed over.
        state=State.DONE,
        fingerprint=hashlib.sha256(f"{kind}:{holder}:{row.pk if row else 0}".encode()).hexdigest(),
        target=holder,
        data={"transaction": row.pk if row else None},
        reason=reason.strip()[:300],
        requested_by=actor,
        alarm=alarm,
    )
    audit_step(step, actor=actor, reason=step.reason)
    return step


def record_rotation(*, key: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Note in the checklist that a key we do not hold was replaced by its owner; nothing happens on the chain."""
    require_restorer(actor)
    step = ResponseStep.objects.create(
        chain_id=settings.CHAIN_ID,
        kind=Kind.ROTATE,
        state=State.DONE,
        fingerprint=hashlib.sha256(f"rotate:{key}:{timezone.now().isoformat()}".encode()).hexdigest(),
        target=key,
        reason=reason.strip()[:300],
        requested_by=actor,
        alarm=alarm,
    )
    audit_step(step, actor=actor, reason=step.reason)
    return step


# --- what the chain made of it ------------------------------------------------------------------------------------

_OUTCOMES: Final = {
    ChainState.MINED: State.IN_BLOCK,
    ChainState.FINAL: State.DONE,
    ChainState.BROADCAST: State.ASKED,
    ChainState.REVERTED: State.FAILED,
    ChainState.CANCELLED: State.FAILED,
    ChainState.EXPIRED: State.FAILED,
    ChainState.REFUSED: State.FAILED,
}


@followup(PURPOSE)
def step_went_on(transaction_row: ChainTransaction, state: str) -> None:
    """Bring the step in line with its transaction. Told twice: no change."""
    kind, _separator, pk = transaction_row.subject.partition(":")
    step = ResponseStep.objects.select_for_update(of=("self",)).filter(pk=int(pk)).first() if kind == PURPOSE else None
    if step is None:
        return
    if step.kind == Kind.ROTATE:
        from chain.services.rotation import follow_rotation  # which asks with what stands here

        follow_rotation(step, transaction_row)
    target = _OUTCOMES[ChainState(state)]
    if step.state == target:
        return
    require_transition(ResponseStep.TRANSITIONS, current=step.state, target=target, code="chain.response.wrong_state")
    before, step.state = step.state, target
    step.error_code = transaction_row.error_code if target == State.FAILED else ""
    step.transaction = transaction_row
    step.save(update_fields=["state", "error_code", "transaction", "changed_at"])
    audit_step(step, actor="chain engine", from_state=before, reason=step.error_code)


def manager_address() -> str:
    """Where the AccessManager stands."""
    return contract_address(Contract.Kind.ACCESS_MANAGER)
