"""Being allowed to receive a security somebody else holds: asked by the person, decided by the issuer."""

from __future__ import annotations

from typing import Final

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.models import ChainTransaction
from chain.selectors import balances_for, signer_for_role
from chain.services import enqueue
from chain.types import SignerRole
from portal import audit
from portal.models import User
from portal.state import Transitions, require_transition
from tokens.exceptions import AdmissionRefused
from tokens.models import AdmissionRequest, Security
from tokens.services.guards import require_issuer
from tokens.services.placements import require_effective_wallet, require_standing

State = AdmissionRequest.State
SUBJECT: Final = "tokens.admission"


def request_admission(*, security_id: int, actor: User, wallet: str = "") -> AdmissionRequest:
    """Ask the issuer to admit the actor's wallet at `wallet` (default: the primary). An open request is returned as it is.

    Raises `InvestorNotEligible` for a wallet that is not theirs or has no effective SBT, `AdmissionRefused` when already admitted or when the
    security is not on the chain.
    """
    with transaction.atomic():
        security = Security.objects.select_for_update().get(pk=security_id)
        if not security.is_on_chain:
            raise AdmissionRefused(
                _("This security is not issued yet. Nothing was asked for."), code="tokens.admission.not_on_chain"
            )
        wallet = require_effective_wallet(actor, security, wallet)
        open_request = AdmissionRequest.objects.filter(
            security=security, wallet=wallet, state__in=AdmissionRequest.OPEN
        ).first()
        if open_request is not None:
            return open_request
        if is_admitted(security, wallet):
            raise AdmissionRefused(
                _("Your wallet is already admitted to this security. You can receive it."),
                code="tokens.admission.already",
            )
        request = AdmissionRequest.objects.create(security=security, user=actor, wallet=wallet)
        _log(request, "requested", actor, to_state=State.REQUESTED)
    return request


#: The issuer's arrows to ADMITTING; the one from IN_BLOCK is the chain's own (a reorganisation).
_ADMIT_FROM: Final[Transitions] = {State.REQUESTED: {State.ADMITTING}, State.FAILED: {State.ADMITTING}}


def approve_admission(*, request_id: int, actor: User) -> AdmissionRequest:
    """REQUESTED (or FAILED, once that is settled) → ADMITTING: the admission is put in the outbox."""
    require_issuer(actor)
    with transaction.atomic():
        request = _locked(request_id)
        require_transition(
            _ADMIT_FROM,
            current=request.state,
            target=State.ADMITTING,
            code="tokens.admission.wrong_state",
        )
        _require_settled(request.transaction)
        security = request.security
        if security.token is None:
            raise ValueError("an admission is only asked for once the contract stands")
        require_standing(request.wallet, security)
        request.attempt += 1
        request.decided_by, request.error_code = actor, ""
        request.transaction = enqueue(
            call=operations.admit(security.token, [request.wallet]),
            signer=signer_for_role(SignerRole.TOKEN_AGENT),
            idempotency_key=f"{SUBJECT}:{request.pk}:admit:{request.attempt}",
            purpose="tokens.admit_on_demand",
            subject=f"{SUBJECT}:{request.pk}",
        )
        before, request.state = request.state, State.ADMITTING
        try:
            with transaction.atomic():
                request.save(update_fields=["attempt", "decided_by", "error_code", "transaction", "state"])
        except IntegrityError as error:
            raise AdmissionRefused(
                _("There is a newer request for the same wallet. Decide that one. Nothing was changed."),
                code="tokens.admission.newer_request",
            ) from error
        _log(request, "approved", actor, from_state=before, to_state=request.state)
    return request


def decline_admission(*, request_id: int, actor: User, reason: str) -> AdmissionRequest:
    """REQUESTED → DECLINED with a reason the person reads."""
    require_issuer(actor)
    if not reason.strip():
        raise AdmissionRefused(_("Give a reason. Nothing was changed."), code="tokens.admission.reason_missing")
    with transaction.atomic():
        request = _locked(request_id)
        require_transition(
            AdmissionRequest.TRANSITIONS,
            current=request.state,
            target=State.DECLINED,
            code="tokens.admission.wrong_state",
        )
        before, request.state = request.state, State.DECLINED
        request.decided_by, request.reason = actor, reason.strip()
        request.save(update_fields=["state", "decided_by", "reason"])
        _log(request, "declined", actor, from_state=before, to_state=request.state, reason=reason.strip())
    return request


def is_admitted(security: Security, wallet: str) -> bool:
    """Whether the index says that `wallet` is on the security's admission list."""
    return any(row.token == security.token and row.is_admitted for row in balances_for([wallet]))


def _require_settled(previous: ChainTransaction | None) -> None:
    if previous is not None and not previous.is_settled:
        raise AdmissionRefused(
            _("The last attempt is not over for good yet. Nothing was changed. Try again in a few minutes."),
            code="tokens.admission.not_settled",
        )


def _locked(request_id: int) -> AdmissionRequest:
    rows = AdmissionRequest.objects.select_for_update(of=("self",)).select_related("security", "user", "transaction")
    return rows.get(pk=request_id)


def _log(
    request: AdmissionRequest,
    action: str,
    actor: User,
    *,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
) -> None:
    audit.record(
        action=f"{SUBJECT}.{action}",
        subject_type=SUBJECT,
        subject_id=request.pk,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        data={"security": request.security_id, "wallet": request.wallet},
    )
