"""What this app answers to the incident desk: who approved an issue, how a token is attested again, and what becomes of
an application whose token was suspended there."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from chain.models import ChainTransaction, Signer
from chain.registry import IssueSeen, desk
from kyc.models import Application, AttestationRecord, Decision, OfficerKey, Wallet, WalletRequest
from kyc.services import attestations, own_wallets, wallets
from portal.exceptions import DomainError
from portal.models import User


@desk.register_expected_issue
def is_approved(issue: IssueSeen) -> bool:
    """Whether two officers approved this person and one of ours signed exactly this attestation."""
    records = AttestationRecord.objects.filter(
        holder=issue.holder,
        subject=issue.subject,
        attestor=issue.attestor,
        evidence_hash=issue.evidence_hash,
        signature__isnull=False,
    )
    return any(_has_two_approvals(pk) for pk in set(records.values_list("application_id", flat=True)))


def _has_two_approvals(application_id: int) -> bool:
    verdicts = [Decision.Verdict.APPROVE, Decision.Verdict.CONFIRM]
    standing = Decision.objects.filter(application=application_id, verdict__in=verdicts, is_standing=True)
    return len(set(standing.values_list("officer_id", "verdict"))) >= len(verdicts)


@desk.register_reattestation
def reattest(holder: str, actor: User, reason: str) -> ChainTransaction | None:
    """Renew the holder's token with the actor's own key; the risk rating stays what it was. Raises `DomainError`."""
    wallet = Wallet.objects.filter(address=holder).select_related("request").first()
    if wallet is not None and hasattr(wallet, "request"):
        return _reattest_further(wallet.request, actor)
    application = wallet and Application.objects.filter(user=wallet.user_id).order_by("-id").first()
    if not application:
        raise DomainError(_("Nobody here was verified with this address."), code="kyc.reattest.unknown")
    attestations.renew(application_id=application.pk, officer=actor, reason=reason, risk_rating=application.risk_rating)
    return application.steps.order_by("-id").select_related("transaction")[0].transaction


def _reattest_further(request: WalletRequest, actor: User) -> ChainTransaction | None:
    """A further wallet's token: asked for again if it was there, then signed with the actor's key."""
    with transaction.atomic():
        own_wallets.ask_again_for(request_id=request.pk, actor=actor)
        attestations.attest_wallet(request_id=request.pk, officer=actor)
    request.refresh_from_db()
    return request.transaction


@desk.register_rotation
def give_officer_the_new_key(old: Signer, new: Signer, actor: User | str) -> None:
    """An officer whose attesting key we hold attests with the new one from now on."""
    for key in OfficerKey.objects.filter(address=old.address).select_related("user"):
        wallets.set_officer_key(user=key.user, address=new.address, signer=new, actor=actor)


@desk.register_new_wallet
def give_new_wallet(holder: str, actor: User, _reason: str) -> ChainTransaction | None:
    """A new wallet with a token of its own for the person behind `holder`, attested with the actor's own key."""
    with transaction.atomic():
        request = own_wallets.give_custody_wallet(holder=holder, officer=actor)
        if request.state in WalletRequest.OPEN:
            attestations.attest_wallet(request_id=request.pk, officer=actor)
    request.refresh_from_db()
    return request.transaction
