"""The token's life: issue, suspend, reinstate, revoke, renew, and the passing of time.

Every step writes its row, its audit entry and its outbox row in one database transaction. What the chain made of it
arrives in `apply_outcome`, which is safe to be told twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from chain import operations
from chain import selectors as chain_selectors
from chain import services as chain_services
from chain.models import ChainTransaction
from chain.types import Attestation, Call, SbtView, SignerRole, Standing
from kyc.models import Application, AttestationRecord, LifecycleStep, Party, ScreeningHit, Wallet
from kyc.notices import key_for, tell
from kyc.services.guards import locked, move, require_officer
from kyc.services.own_wallets import ask_again, follow_first_token
from portal.exceptions import DomainError
from portal.models import User
from portal.notices.selectors import told
from portal.state import WrongState

logger = logging.getLogger(__name__)
State = Application.State
Kind = LifecycleStep.Kind
Outcome = LifecycleStep.Outcome
ChainState = ChainTransaction.State
SCREENING = "screening"
#: For officers only: to the person a suspension reads the same whatever its cause (the Act, art. 8-3).
SCREENING_REASON = gettext_noop("Undecided sanctions hit")
#: How long a suspension that the chain refused rests before it is asked for again: doubled every time, up to the last.
FIRST_REST, LONGEST_REST = timedelta(seconds=30), timedelta(hours=1)
REVIEW_NOTICE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Move:
    """What one kind of step asks for and where it leads."""

    waiting: str
    done: str
    signer: str


MOVES = {
    Kind.ISSUE: Move(State.ISSUING, State.PENDING, SignerRole.SBT_ISSUER),
    Kind.RENEW: Move(State.RENEWING, State.ACTIVE, SignerRole.SBT_ISSUER),
    Kind.SUSPEND: Move(State.SUSPENDING, State.SUSPENDED, SignerRole.SBT_GUARDIAN),
    Kind.REINSTATE: Move(State.REINSTATING, State.ACTIVE, SignerRole.COUNCIL),
    Kind.REVOKE: Move(State.REVOKING, State.REVOKED, SignerRole.SBT_ISSUER),
}


def purpose_of(kind: str) -> str:
    """The outbox purpose of a kind of step, e.g. kyc.issue_sbt."""
    return f"kyc.{kind}_sbt"


# --- asking ----------------------------------------------------------------------------------------------------


def request_issue(*, application: Application, record: AttestationRecord, officer: User) -> LifecycleStep:
    """attested → issuing with its outbox row; in the caller's transaction, on the locked row."""
    call = operations.issue_sbt(_attestation(record), str(record.attestor), _signature(record))
    return _ask(application, Kind.ISSUE, call, actor=officer, record=record)


def request_renewal(*, application: Application, record: AttestationRecord, officer: User) -> LifecycleStep:
    """active | expired → renewing with its outbox row; in the caller's transaction, on the locked row."""
    call = operations.renew_sbt(_attestation(record), str(record.attestor), _signature(record))
    return _ask(application, Kind.RENEW, call, actor=officer, record=record, reason=record.reason)


def _attestation(record: AttestationRecord) -> Attestation:
    from kyc.services.attestations import as_attestation

    return as_attestation(record)


def _signature(record: AttestationRecord) -> bytes:
    return bytes(record.signature or b"")


def _ask(
    application: Application,
    kind: str,
    call: Call,
    *,
    actor: User | str,
    record: AttestationRecord | None = None,
    reason: str = "",
) -> LifecycleStep:
    source = application.state
    step = LifecycleStep.objects.create(
        application=application,
        kind=kind,
        from_state=source,
        reason=reason,
        requested_by=actor if isinstance(actor, User) else None,
        attestation=record,
    )
    application.problem = ""

    def enqueue() -> None:
        step.transaction = chain_services.request(
            role=MOVES[Kind(kind)].signer,
            call=call,
            idempotency_key=f"kyc.step:{step.pk}",
            purpose=purpose_of(kind),
            subject=f"kyc.application:{application.pk}",
            valid_until=datetime.fromtimestamp(record.deadline, UTC) if record else None,
        )
        step.save(update_fields=["transaction"])
        follow_first_token(application=application, kind=kind, key=step.pk)
        _sync_party(application)

    move(
        application,
        MOVES[Kind(kind)].waiting,
        actor=actor,
        action=f"kyc.token.{kind}_requested",
        reason=reason,
        fields=["problem"],
        data={"step": step.pk},
        before_audit=enqueue,
    )
    return step


@transaction.atomic
def suspend(*, application_id: int, officer: User, reason: str) -> Application:
    """pending | active | expired → suspending. The token stops counting once the block is there."""
    application = locked(application_id)
    require_officer(officer, application)
    _require_reason(reason)
    _ask(application, Kind.SUSPEND, operations.suspend_sbt(_holder(application)), actor=officer, reason=reason)
    tell(application=application, kind="suspended", key=_step_key(application))
    return application


def suspend_for_screening(*, application: Application) -> LifecycleStep:
    """The same for an undecided sanctions hit; on the locked row, in the caller's transaction. Never a revocation."""
    call = operations.suspend_sbt(_holder(application))
    step = _ask(application, Kind.SUSPEND, call, actor=SCREENING, reason=SCREENING_REASON)
    tell(application=application, kind="suspended", key=step.pk)
    return step


def rests(application: Application) -> bool:
    """Whether the chain refused the last suspensions for a hit so lately that asking again would only cost gas."""
    refusals = 0
    newest = None
    for step in application.steps.order_by("-id")[:10]:
        if (step.kind, step.outcome, step.reason) != (Kind.SUSPEND, Outcome.FAILED, SCREENING_REASON):
            break
        newest = newest or step
        refusals += 1
    if newest is None:
        return False
    again_at: datetime = newest.changed_at + min(FIRST_REST * 2 ** (refusals - 1), LONGEST_REST)
    return timezone.now() < again_at


@transaction.atomic
def reinstate(*, application_id: int, officer: User, reason: str) -> Application:
    """suspended → reinstating, by the council's key. Refused while a hit is undecided or confirmed."""
    application = locked(application_id)
    require_officer(officer, application)
    _require_reason(reason)
    hits = application.hits.filter(run__round=application.round)
    if hits.exclude(state=ScreeningHit.State.CLEARED).exists():
        raise DomainError(
            _("A screening hit stands against it: undecided, or confirmed as the same person. Nothing was changed."),
            code="kyc.reinstate.hit",
        )
    _ask(application, Kind.REINSTATE, operations.reinstate_sbt(_holder(application)), actor=officer, reason=reason)
    return application


@transaction.atomic
def revoke(*, application_id: int, officer: User, reason: str) -> Application:
    """suspended → revoking. The contract takes it only after a suspension. Cannot be undone; a new application can."""
    application = locked(application_id)
    require_officer(officer, application)
    _require_reason(reason)
    if application.state != State.SUSPENDED:
        raise WrongState(
            _("Only a suspended token can be revoked. Suspend it first. Nothing was changed."),
            code="kyc.revoke.not_suspended",
        )
    _ask(application, Kind.REVOKE, operations.revoke_sbt(_holder(application)), actor=officer, reason=reason)
    return application


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise DomainError(_("Give a reason. It becomes part of the record."), code="kyc.decision.reason")


def _holder(application: Application) -> str:
    return Wallet.objects.values_list("address", flat=True).get(user=application.user_id, is_primary=True)


def _step_key(application: Application) -> int:
    return application.steps.order_by("-id").values_list("pk", flat=True)[0]


# --- what the chain made of it ----------------------------------------------------------------------------------


def apply_outcome(*, transaction_row: ChainTransaction, state: str) -> None:
    """Bring step and application in line with the transaction; called inside the engine's database transaction.

    MINED → done (provisional). FINAL → final. REVERTED, CANCELLED, EXPIRED, REFUSED → back to where an officer can
    act, with the decoded reason. BROADCAST again after a reorganisation → waiting again. Told twice: no change.
    """
    step = LifecycleStep.objects.select_related("attestation").filter(transaction=transaction_row).first()
    if step is None:
        return
    application = locked(step.application_id)
    step = LifecycleStep.objects.select_for_update(of=("self",)).select_related("attestation").get(pk=step.pk)
    if state in (ChainState.MINED, ChainState.FINAL):
        _done(application, step, final=state == ChainState.FINAL)
    elif state == ChainState.BROADCAST:
        _waiting_again(application, step)
    elif state in ChainTransaction.DEAD:
        _failed(application, step, transaction_row.error_code or state)


def _done(application: Application, step: LifecycleStep, *, final: bool) -> None:
    outcome = Outcome.FINAL if final else Outcome.DONE
    arrived = step.outcome in (Outcome.DONE, Outcome.FINAL)
    if step.outcome != outcome:
        step.outcome, step.failure = outcome, ""
        step.save(update_fields=["outcome", "failure", "changed_at"])
    if arrived or application.state not in _may_become_done(step):
        return
    if step.kind == Kind.RENEW and step.attestation is not None:
        _take_over_renewal(application, step.attestation)
    target = state_by_time(application) if step.kind == Kind.REINSTATE else MOVES[Kind(step.kind)].done
    advance(application, target, action=f"kyc.token.{step.kind}_done", step=step)
    tell_person(application, step)


def _may_become_done(step: LifecycleStep) -> tuple[str, ...]:
    """The states from which the block's news move the application: waiting, or given up too early (a reorg)."""
    waiting = MOVES[Kind(step.kind)].waiting
    return (waiting, State.ATTESTED) if step.kind == Kind.ISSUE else (waiting,)


def _take_over_renewal(application: Application, record: AttestationRecord) -> None:
    expires = datetime.fromtimestamp(record.expires_at, UTC)
    application.next_review_on = timezone.localdate(expires)
    application.verified_on = timezone.localdate(record.signed_at)
    application.risk_rating = record.risk_rating or application.risk_rating
    application.save(update_fields=["next_review_on", "verified_on", "risk_rating"])
    Party.objects.filter(user=application.user_id).update(verified_on=application.verified_on)
    ask_again(user=application.user, actor="chain")


def state_by_time(application: Application) -> str:
    """Where a token without suspension stands today."""
    if application.next_review_on is not None and application.next_review_on <= timezone.localdate():
        return State.EXPIRED
    return State.ACTIVE if application.effective_from is not None else State.PENDING


def _waiting_again(application: Application, step: LifecycleStep) -> None:
    waiting = MOVES[Kind(step.kind)].waiting
    others = application.steps.filter(pk__gt=step.pk).exclude(outcome=Outcome.FAILED)
    if step.outcome == Outcome.OPEN or others.exists():
        return
    step.outcome, step.failure = Outcome.OPEN, ""
    step.save(update_fields=["outcome", "failure", "changed_at"])
    if waiting in Application.TRANSITIONS[State(application.state)]:
        advance(application, waiting, action=f"kyc.token.{step.kind}_reorganised", step=step)


def _failed(application: Application, step: LifecycleStep, failure: str) -> None:
    if step.outcome == Outcome.FAILED:
        return
    step.outcome, step.failure = Outcome.FAILED, failure[:200]
    step.save(update_fields=["outcome", "failure", "changed_at"])
    back = State.SUSPENDED if step.kind in (Kind.REINSTATE, Kind.REVOKE) else step.from_state
    back = State.ATTESTED if step.kind == Kind.ISSUE else back
    if step.kind == Kind.SUSPEND and "AlreadySuspended" in failure:
        back = State.SUSPENDED  # somebody was faster; it is what was wanted
    if back not in Application.TRANSITIONS[State(application.state)]:
        return
    application.problem = failure
    if step.reason == SCREENING_REASON and back != State.SUSPENDED:
        chain_services.open_incident(
            kind="kyc.suspension_refused",
            detail=f"The suspension of {application.reference} for a screening hit was refused: {failure}.",
            dedupe_key=f"kyc.suspension_refused:{application.pk}",
        )
    advance(application, back, action=f"kyc.token.{step.kind}_failed", step=step, reason=failure, fields=["problem"])


def advance(
    application: Application,
    target: str,
    *,
    action: str,
    step: LifecycleStep,
    reason: str = "",
    fields: list[str] | None = None,
) -> None:
    move(
        application,
        target,
        actor="chain",
        action=action,
        reason=reason,
        fields=fields,
        data={"step": step.pk, "transaction": step.transaction_id},
        before_audit=lambda: _sync_party(application),
    )


def _sync_party(application: Application) -> int:
    """Lists of verified people follow the state at once, before the chain has caught up."""
    verified = application.state in (State.ACTIVE, State.RENEWING)
    return Party.objects.filter(user=application.user_id).update(is_verified=verified)


def tell_person(application: Application, step: LifecycleStep) -> None:
    template = {Kind.ISSUE: "issued", Kind.REINSTATE: "reinstated", Kind.REVOKE: "revoked", Kind.RENEW: "renewed"}
    if step.kind in template:
        tell(application=application, kind=template[Kind(step.kind)], key=step.pk)


# --- the passing of time ---------------------------------------------------------------------------------------------


def activate_due() -> int:
    """pending → active for tokens that are effective and final on chain, as indexed. Number activated."""
    activated = 0
    pending = Application.objects.filter(state=State.PENDING).order_by("pk").values_list("pk", "user_id")
    for batch in _batches(pending.iterator(chunk_size=500)):
        wallets = Wallet.objects.filter(user__in=[user for _pk, user in batch], is_primary=True)
        address_of = dict(wallets.values_list("user_id", "address"))
        tokens = chain_selectors.sbts_for(address_of.values())
        for pk, user in batch:
            sbt = tokens.get(address_of.get(user, ""))
            if sbt is not None and sbt.is_final and sbt.standing == Standing.EFFECTIVE:
                activated += _activate(pk, sbt)
    return activated


def _batches(rows: Iterator[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    while batch := list(islice(rows, 500)):
        yield batch


@transaction.atomic
def _activate(application_id: int, sbt: SbtView) -> int:
    application = locked(application_id)
    if application.state != State.PENDING:
        return 0
    application.effective_from = sbt.effective_from

    def follow() -> None:
        _sync_party(application)
        ask_again(user=application.user, actor="clock")
        tell(application=application, kind="active", key=sbt.token_id)

    move(
        application,
        State.ACTIVE,
        actor="clock",
        action="kyc.token.active",
        fields=["effective_from"],
        data={"token_id": str(sbt.token_id)},
        before_audit=follow,
    )
    return 1


def expire_due() -> int:
    """active → expired on the day of the next review; the contract stops counting it at the same moment. Number."""
    due = Application.objects.filter(state=State.ACTIVE, next_review_on__lte=timezone.localdate())
    return sum(_expire(pk) for pk in list(due.values_list("pk", flat=True)))


@transaction.atomic
def _expire(application_id: int) -> int:
    application = locked(application_id)
    if application.state != State.ACTIVE or (application.next_review_on or timezone.localdate()) > timezone.localdate():
        return 0
    move(
        application,
        State.EXPIRED,
        actor="clock",
        action="kyc.token.expired",
        before_audit=lambda: (
            _sync_party(application),
            tell(application=application, kind="expired", key=application.next_review_on),
        ),
    )
    return 1


def announce_reviews() -> int:
    """Tell people 30 days ahead that their verification is due; each review date once. Number asked."""
    today = timezone.localdate()
    due = Application.objects.filter(
        state=State.ACTIVE, next_review_on__gt=today, next_review_on__lte=today + REVIEW_NOTICE
    )
    count = 0
    waiting = {key_for(row, row.next_review_on): row for row in due.select_related("user")}
    for key in waiting.keys() - told(kind="kyc.review_due", keys=waiting):
        application = waiting[key]
        with transaction.atomic():
            tell(application=application, kind="review_due", key=application.next_review_on)
        count += 1
    return count
