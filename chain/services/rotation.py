"""Replacing a key that holds a role on the chain: a new one is made, gets the role, and the old one loses it.

The two happen in one transaction of ADMIN: officers sign, the timelock waits, the council can cancel. Until that is
final the new key waits (STANDBY) and signs nothing; from then on the platform submits with it, and the old one is
RETIRED for good: an address is never given a role twice. What had been asked for and not been given a nonce goes
on under the new key.
"""

from __future__ import annotations

import hashlib
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.desk.models import Alarm, ResponseStep
from chain.governance.proposals import request
from chain.models import ChainTransaction, Incident, Signer
from chain.profiles import profile
from chain.registry import desk
from chain.services.custody import create_replacement
from chain.services.deployment import HOLDERS
from chain.services.incidents import ENGINE, close_incident
from chain.services.response import PURPOSE, ResponseRefused, audit_step, joined, require_restorer
from chain.types import Call, ChainRole, SignerRole
from portal import audit
from portal.models import User
from portal.state import require_transition

State = Signer.State
Step = ResponseStep
#: Role of a signer → its role on the chain. Keys of any other signer have no power there that could be handed on.
CHAIN_ROLES: Final = {**{name: role for role, name in HOLDERS.items()}, SignerRole.ATTESTOR: ChainRole.ATTESTOR}


@transaction.atomic
def replace_key(*, key: str, actor: User, reason: str, alarm: Alarm | None = None) -> ResponseStep:
    """Ask ADMIN to give the role of `key` to a new key of ours and to take it from `key`.

    Asked again while that is under way it is the same step. Raises `ResponseRefused` for an address whose key we do
    not hold, that has no role on the chain, or that was replaced already.
    """
    require_restorer(actor)
    if not reason.strip():
        raise ResponseRefused(_("Give a reason. It becomes part of the record."), code="chain.response.reason_missing")
    old = _locked_active(key)
    under_way = Step.objects.filter(
        chain_id=settings.CHAIN_ID, kind=Step.Kind.ROTATE, target=key, state__in=[Step.State.ASKED, Step.State.IN_BLOCK]
    ).first()
    if under_way is not None:
        return joined(under_way, alarm)
    new = create_replacement(signer=old, actor=actor)
    step = Step.objects.create(
        chain_id=settings.CHAIN_ID,
        kind=Step.Kind.ROTATE,
        fingerprint=hashlib.sha256(f"{Step.Kind.ROTATE}:{key}".encode()).hexdigest(),
        target=key,
        data={"replacement": new.address, "role": old.role},
        reason=reason.strip()[:300],
        requested_by=actor,
        alarm=alarm,
    )
    step.transaction = _ask_admin(step, old=old, new=new, actor=actor)
    step.save(update_fields=["transaction"])
    audit_step(step, actor=actor, reason=step.reason)
    return step


def _locked_active(key: str) -> Signer:
    rows = Signer.objects.select_for_update().filter(chain_id=settings.CHAIN_ID, address=key, state=State.ACTIVE)
    signer = rows.first()
    if signer is None or signer.role not in CHAIN_ROLES:
        raise ResponseRefused(
            _("This key is not one of ours with a role on the chain, or it was replaced already. Nothing was changed."),
            code="chain.rotation.not_replaceable",
            key=key,
        )
    return signer


def _ask_admin(step: ResponseStep, *, old: Signer, new: Signer, actor: User) -> ChainTransaction:
    name = f"{PURPOSE}:{step.pk}"
    return request(
        role=SignerRole.ADMIN,
        call=handing_over(old.role, old=old.address, new=new.address),
        idempotency_key=name,
        purpose=PURPOSE,
        subject=name,
        actor=actor,
    )


def handing_over(name: str, *, old: str, new: str) -> Call:
    """ADMIN's call that gives the role of a signer called `name` to another key, with the delay such a role has."""
    role = CHAIN_ROLES[name]
    delay = int(profile().controller_delay.total_seconds()) if role == ChainRole.TOKEN_CONTROLLER else 0
    return operations.replace_role_holder(role, old=old, new=new, delay=delay)


def can_be_replaced(signer: Signer) -> bool:
    """Whether `replace_key` would take it."""
    return signer.state == State.ACTIVE and signer.role in CHAIN_ROLES


# --- what the chain made of it ---------------------------------------------------------------------------------


def follow_rotation(step: ResponseStep, row: ChainTransaction) -> None:
    """Final: the new key takes over. Over without that: the new key is thrown away. Told twice: no change."""
    new = Signer.objects.select_for_update().get(chain_id=step.chain_id, address=step.data["replacement"])
    if row.state == ChainTransaction.State.FINAL and new.state == State.STANDBY:
        _take_over(new, step)
    elif row.state in ChainTransaction.DEAD and row.is_settled and new.state == State.STANDBY:
        _move(new, State.RETIRED, step=step, reason=row.error_code)


def _take_over(new: Signer, step: ResponseStep) -> None:
    assert new.replaces_id is not None  # noqa: S101 (made so)
    # Locked as the submitter locks it before it gives a nonce: a row is either the old key's with one, or goes on.
    old = Signer.objects.select_for_update().get(pk=new.replaces_id)
    _move(old, State.RETIRED, step=step, reason=step.reason)
    _move(new, State.ACTIVE, step=step, reason=step.reason)
    waiting = ChainTransaction.objects.filter(signer=old, state=ChainTransaction.State.QUEUED)
    waiting.update(signer=new, gas_limit=None)
    for incident in Incident.objects.filter(kind="chain.signer_halted", data__signer=old.pk, closed_at=None):
        close_incident(incident_id=incident.pk, actor=None, reason=f"the key was replaced by {new.address}")
    for tell in desk.rotation_followers:
        tell(old, new, step.requested_by or ENGINE)


def _move(signer: Signer, target: str, *, step: ResponseStep, reason: str) -> None:
    require_transition(Signer.TRANSITIONS, current=signer.state, target=target, code="chain.signer.wrong_state")
    before, signer.state = signer.state, target
    signer.save(update_fields=["state"])
    audit.record(
        action=f"chain.signer.{target}",
        subject_type="chain.signer",
        subject_id=signer.pk,
        actor=step.requested_by or ENGINE,
        from_state=before,
        to_state=target,
        reason=reason,
        data={"address": signer.address, "role": signer.role, "step": step.pk},
    )
