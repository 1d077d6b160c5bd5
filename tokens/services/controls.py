"""What an administrator does to a security in an emergency, and the recovery of a lost wallet."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.gateway import parse_address
from chain.models import ChainTransaction
from chain.selectors import balances_for, sbts_for, signer_for_role
from chain.services import enqueue, request
from chain.types import Call, SignerRole, Standing
from kyc.selectors import wallet_by_address
from portal import audit
from portal.models import User
from portal.notices.services import notify
from portal.state import require_transition
from tokens.exceptions import ControlRefused, FormReused
from tokens.models import ControlAction, Recovery, Security
from tokens.services.guards import require_administrator

Kind = ControlAction.Kind
SUBJECT: Final = "tokens.control"
RECOVERY: Final = "tokens.recovery"


def request_control(
    *,
    security_id: int,
    actor: User,
    kind: str,
    reason: str,
    form_token: UUID,
    holder: str = "",
    units: int | None = None,
) -> ControlAction:
    """Pause, unpause, freeze `units` of a holder, or dismiss a holder: a row with its reason and its outbox row.

    The same form token is the same action; with other contents it raises `FormReused`. Raises `ControlRefused`.
    """
    require_administrator(actor)
    if not reason.strip():
        raise ControlRefused(_("Give a reason. Nothing was changed."), code="tokens.control.reason_missing")
    needs_holder = kind in (Kind.FREEZE, Kind.DISMISS)
    address = parse_address(holder) if needs_holder else None
    if kind == Kind.FREEZE and (units is None or units <= 0):
        raise ControlRefused(_("Enter how many units are to be frozen."), code="tokens.control.units_missing")
    action = ControlAction(
        security_id=security_id,
        kind=kind,
        holder=address,
        units=units if kind == Kind.FREEZE else None,
        reason=reason.strip(),
        form_token=form_token,
        requested_by=actor,
    )
    known = _same_form(action)
    if known is not None:
        return known
    try:
        with transaction.atomic():
            return _carry_out(action, actor)
    except IntegrityError:
        known = _same_form(action)
        if known is None:
            raise
        return known


def _same_form(wanted: ControlAction) -> ControlAction | None:
    known = ControlAction.objects.filter(requested_by=wanted.requested_by, form_token=wanted.form_token).first()
    if known is None:
        return None
    fields = ("security_id", "kind", "holder", "units")
    if any(getattr(known, name) != getattr(wanted, name) for name in fields):
        raise FormReused(
            _("This form was already used for another action. Nothing new was sent. Start again."),
            code="tokens.control.form_reused",
        )
    return known


def _carry_out(action: ControlAction, actor: User) -> ControlAction:
    security = Security.objects.select_for_update().get(pk=action.security_id)
    if not security.is_on_chain or security.token is None:
        raise ControlRefused(
            _("This security is not on the chain. Nothing was changed."), code="tokens.control.not_on_chain"
        )
    action.save(force_insert=True)
    call, role = call_for(action, security.token)
    action.transaction = request(
        role=role,
        call=call,
        idempotency_key=f"{SUBJECT}:{action.pk}",
        purpose="tokens.control",
        subject=f"{SUBJECT}:{action.pk}",
    )
    action.save(update_fields=["transaction"])
    audit.record(
        action=f"{SUBJECT}.{action.kind}",
        subject_type=SUBJECT,
        subject_id=action.pk,
        actor=actor,
        to_state=action.state,
        reason=action.reason,
        data={
            "security": security.pk,
            "holder": action.holder or "",
            "units": "" if action.units is None else str(action.units),
        },
    )
    return action


def call_for(action: ControlAction, token: str) -> tuple[Call, str]:
    """The call and the one role that may make it (CONTRACTS: keys and who holds them)."""
    if action.kind == Kind.PAUSE:
        return operations.pause(token), SignerRole.TOKEN_GUARDIAN
    if action.kind == Kind.UNPAUSE:
        return operations.unpause(token), SignerRole.COUNCIL
    if action.holder is None:
        raise ValueError("freeze and dismiss name a holder")
    if action.kind == Kind.DISMISS:
        return operations.dismiss(token, [action.holder]), SignerRole.TOKEN_AGENT
    return operations.freeze(token, action.holder, action.units or 0), SignerRole.TOKEN_AGENT


# --- recovery --------------------------------------------------------------------------------------------


def announce_recovery(*, security_id: int, actor: User, lost: str, replacement: str, reason: str) -> Recovery:
    """Announce that a lost wallet's units will move to another wallet of the same person.

    Both must be wallets of one account, and the replacement's SBT effective and of the same subject: the contract
    checks the same. An open recovery of the same wallet is returned as it is. Raises `ControlRefused`.
    """
    require_administrator(actor)
    old, new = parse_address(lost), parse_address(replacement)
    if not reason.strip():
        raise ControlRefused(_("Give a reason. Nothing was changed."), code="tokens.recovery.reason_missing")
    owner = _owner_of_both(old, new)
    with transaction.atomic():
        security = Security.objects.select_for_update().get(pk=security_id)
        if security.token is None:
            raise ControlRefused(
                _("This security is not on the chain. Nothing was changed."), code="tokens.recovery.not_on_chain"
            )
        running = security.recoveries.exclude(state__in=[Recovery.State.COMPLETED, Recovery.State.FAILED])
        known = running.filter(lost=old).first()
        if known is not None:
            return known
        recovery = Recovery.objects.create(
            security=security, user=owner, lost=old, replacement=new, reason=reason.strip(), requested_by=actor
        )
        recovery.announcement = enqueue(
            depends_on=_admit_replacement(recovery, security.token),
            call=operations.announce_recovery(security.token, old, new),
            signer=signer_for_role(SignerRole.TOKEN_AGENT),
            idempotency_key=f"{RECOVERY}:{recovery.pk}:announce",
            purpose="tokens.announce_recovery",
            subject=f"{RECOVERY}:{recovery.pk}",
        )
        recovery.save(update_fields=["announcement"])
        notify(
            user=owner,
            kind="tokens.recovery_announced",
            params={
                "security": security.name,
                "lost": old,
                "replacement": new,
            },
            key=recovery.pk,
            path=f"/tokens/recoveries/{recovery.pk}/",
        )
        _log_recovery(recovery, "announced", actor, to_state=recovery.state, reason=recovery.reason)
    return recovery


def complete_recovery(*, recovery_id: int, actor: User) -> Recovery:
    """WAITING → COMPLETING: move the units. While the contract's waiting time runs it refuses, and so WAITING stays."""
    require_administrator(actor)
    with transaction.atomic():
        recovery = (
            Recovery.objects.select_for_update(of=("self",))
            .select_related("security", "completion", "objection", "own_objection")
            .get(pk=recovery_id)
        )
        require_transition(
            Recovery.TRANSITIONS,
            current=recovery.state,
            target=Recovery.State.COMPLETING,
            code="tokens.recovery.wrong_state",
        )
        _require_settled(recovery.completion)
        if recovery.is_objected:
            raise ControlRefused(
                _("The holder objected. Nothing was moved. Only the council can decide now."),
                code="tokens.recovery.objected",
            )
        token = recovery.security.token
        if token is None:
            raise ValueError("a recovery is only announced once the contract stands")
        recovery.attempt += 1
        recovery.error_code = ""
        recovery.completion = enqueue(
            call=operations.recover(token, recovery.lost, recovery.replacement),
            signer=signer_for_role(SignerRole.TOKEN_AGENT),
            idempotency_key=f"{RECOVERY}:{recovery.pk}:complete:{recovery.attempt}",
            purpose="tokens.complete_recovery",
            subject=f"{RECOVERY}:{recovery.pk}",
        )
        before, recovery.state = recovery.state, Recovery.State.COMPLETING
        recovery.save(update_fields=["attempt", "error_code", "completion", "state"])
        _log_recovery(recovery, "completing", actor, from_state=before, to_state=recovery.state)
    return recovery


def _require_settled(previous: ChainTransaction | None) -> None:
    if previous is not None and not previous.is_settled:
        raise ControlRefused(
            _("The last attempt is not over for good yet. Nothing was changed. Try again in a few minutes."),
            code="tokens.recovery.not_settled",
        )


def _admit_replacement(recovery: Recovery, token: str) -> ChainTransaction | None:
    """The contract moves units only to an admitted wallet, a replacement included."""
    if any(row.token == token and row.is_admitted for row in balances_for([recovery.replacement])):
        return None
    return enqueue(
        call=operations.admit(token, [recovery.replacement]),
        signer=signer_for_role(SignerRole.TOKEN_AGENT),
        idempotency_key=f"{RECOVERY}:{recovery.pk}:admit",
        purpose="tokens.admit_for_recovery",
        subject=f"{RECOVERY}:{recovery.pk}",
    )


def _owner_of_both(lost: str, replacement: str) -> User:
    old, new = wallet_by_address(lost), wallet_by_address(replacement)
    if old is None or new is None or old.user_id != new.user_id or lost == replacement:
        raise ControlRefused(
            _("Both addresses must be different wallets of the same person. Nothing was changed."),
            code="tokens.recovery.not_one_person",
        )
    sbt = sbts_for([replacement]).get(replacement)
    if sbt is None or sbt.standing is not Standing.EFFECTIVE:
        raise ControlRefused(
            _("The new wallet's verification is not in force yet. Nothing was changed. Try again once it is."),
            code="tokens.recovery.replacement_not_effective",
        )
    owner: User = old.user
    return owner


def _log_recovery(
    recovery: Recovery,
    action: str,
    actor: User,
    *,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
) -> None:
    audit.record(
        action=f"{RECOVERY}.{action}",
        subject_type=RECOVERY,
        subject_id=recovery.pk,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        data={"security": recovery.security_id, "lost": recovery.lost, "replacement": recovery.replacement},
    )
