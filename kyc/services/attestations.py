"""The officer's signature (EIP-712) under a verified person, and what follows from it."""

from __future__ import annotations

import hashlib
from datetime import datetime, time, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from chain import attestation as chain_attestation
from chain.gateway import gateway
from chain.types import Attestation, Category
from kyc import rules
from kyc.exceptions import AttestationExpired, AttestationInvalid
from kyc.models import Application, AttestationRecord, Evidence, OfficerKey, Party, WalletRequest
from kyc.models.application import PartyKind, RiskRating
from kyc.selectors import primary_wallet
from kyc.services.guards import locked, move, require_officer
from kyc.services.lifecycle import request_issue, request_renewal
from kyc.services.own_wallets import application_of, locked_request, request_token
from kyc.services.review import require_verified
from kyc.services.screening import require_screened
from portal.exceptions import DomainError
from portal.models import User
from portal.state import WrongState

State = Application.State
Purpose = AttestationRecord.Purpose
#: How long a signature may wait for its transaction. The contract takes at most 30 days.
VALID_FOR = timedelta(hours=24)
_FROM = {
    Purpose.ISSUE: (State.APPROVED, State.ATTESTED),
    Purpose.RENEW: (State.ACTIVE, State.EXPIRED),
    Purpose.WALLET: (State.ACTIVE, State.RENEWING),
}


@transaction.atomic
def prepare_attestation(
    *, application_id: int, officer: User, purpose: str = Purpose.ISSUE, reason: str = "", risk_rating: str = ""
) -> AttestationRecord:
    """What the officer is to sign, with a fresh nonce and deadline; nothing is sent and no state changes.

    For a renewal the expiry is the next review counted from today by `risk_rating`, and `reason` is required.
    """
    application = locked(application_id)
    require_officer(officer, application)
    if application.state not in _FROM[Purpose(purpose)]:
        raise WrongState(
            _("There is nothing to sign for this case now. Nothing was changed. Reload the page."),
            code="kyc.attestation.wrong_state",
        )
    _require_free_or_mine(application, officer)
    require_screened(application)
    if purpose == Purpose.RENEW:
        _prepare_renewal(application, reason, risk_rating)
    wallet = primary_wallet(application.user)
    party = Party.objects.get(user=application.user)
    if wallet is None or application.next_review_on is None:
        raise DomainError(_("This person has no wallet yet."), code="kyc.attestation.no_wallet")
    return _record(
        application,
        party,
        officer,
        purpose=purpose,
        holder=wallet.address,
        expires_at=_expiry(application, purpose, risk_rating),
        reason=reason.strip(),
        risk_rating=risk_rating,
    )


@transaction.atomic
def prepare_wallet_attestation(*, request_id: int, officer: User) -> AttestationRecord:
    """What the officer is to sign so that a further wallet of a verified person gets a token: same subject, same expiry."""
    request = locked_request(request_id)
    if request.state not in WalletRequest.OPEN:
        raise WrongState(
            _("There is nothing to sign for this case now. Nothing was changed. Reload the page."),
            code="kyc.attestation.wrong_state",
        )
    application = locked(application_of(request).pk)
    require_officer(officer, application)
    require_screened(application)
    party = Party.objects.get(user=application.user)
    return _record(
        application,
        party,
        officer,
        purpose=Purpose.WALLET,
        holder=request.wallet.address,
        expires_at=_expiry(application, Purpose.WALLET, ""),
    )


def _record(
    application: Application, party: Party, officer: User, *, purpose: str, **values: str | int
) -> AttestationRecord:
    return AttestationRecord.objects.create(
        application=application,
        purpose=purpose,
        officer=officer,
        subject=party.subject,
        categories=categories_of(party),
        evidence_hash="0x" + evidence_digest(application),
        nonce=chain_attestation.new_nonce(),
        deadline=int((timezone.now() + VALID_FOR).timestamp()),
        **values,
    )


def _require_free_or_mine(application: Application, officer: User) -> None:
    from kyc.exceptions import NotYourCase

    if application.assigned_to_id not in (None, officer.pk):
        raise NotYourCase(
            _("%(officer)s is working on this case. Nothing was changed.") % {"officer": application.assigned_to},
            code="kyc.case.taken",
        )


def _prepare_renewal(application: Application, reason: str, risk_rating: str) -> None:
    if not reason.strip():
        raise DomainError(_("Give a reason. It becomes part of the record."), code="kyc.decision.reason")
    if risk_rating not in RiskRating.values:
        raise DomainError(_("Choose the risk rating. It sets the next review."), code="kyc.decision.risk")
    require_verified(application)


def _expiry(application: Application, purpose: str, risk_rating: str) -> int:
    """Unix seconds of the first moment (Japan time) of the day of the next review (DOMAIN §2)."""
    day = application.next_review_on
    if purpose == Purpose.RENEW:
        day = rules.next_review(rating=risk_rating, day=timezone.localdate())
    assert day is not None  # noqa: S101 (checked by the caller)
    return int(datetime.combine(day, time.min, tzinfo=timezone.get_default_timezone()).timestamp())


def categories_of(party: Party) -> int:
    """The SBT's category flags."""
    flags = Category.CORPORATE if party.kind == PartyKind.CORPORATE else Category.INDIVIDUAL
    return int(flags) | (Category.QUALIFIED_INSTITUTIONAL if party.is_qii else 0)


def evidence_digest(application: Application) -> str:
    """SHA-256 (hex) over the sorted hashes of the documents in force: binds the attestation to them, tells nothing."""
    stored = application.evidence.filter(state=Evidence.State.STORED).values_list("sha256", flat=True)
    return hashlib.sha256("\n".join(sorted(stored)).encode()).hexdigest()


def as_attestation(record: AttestationRecord) -> Attestation:
    """The value that is signed."""
    return Attestation(
        holder=record.holder,
        subject=bytes.fromhex(record.subject[2:]),
        categories=record.categories,
        expires_at=record.expires_at,
        evidence_hash=bytes.fromhex(record.evidence_hash[2:]),
        nonce=int(record.nonce),
        deadline=record.deadline,
    )


@transaction.atomic
def submit_attestation(*, attestation_id: int, officer: User, signature: bytes) -> Application:
    """Take the signature an officer made in their own wallet; the token is asked for in the same transaction.

    The same signature again changes nothing. Raises AttestationExpired (sign again), AttestationInvalid (another
    key, or a key the contract does not know as an attestor), NodeUnavailable while that cannot be asked.
    """
    record, application = _locked_record(attestation_id, officer)
    if record.signature is not None:
        return application
    attestor = chain_attestation.recover_attestor(as_attestation(record), signature)
    key = OfficerKey.objects.filter(user=officer).first()
    if key is None or key.address != attestor:
        raise AttestationInvalid(
            _("This signature was made by %(address)s, which is not your registered key. Nothing was recorded.")
            % {"address": attestor},
            code="kyc.attestation.other_key",
        )
    if not gateway().is_attestor(attestor):
        raise AttestationInvalid(
            _("Your key may not attest on this chain. Nothing was recorded. Ask an administrator for the role."),
            code="kyc.attestation.not_attestor",
        )
    return _accept(record, application, officer, attestor, signature)


@transaction.atomic
def attest(*, application_id: int, officer: User) -> Application:
    """approved | attested → issuing, signed with the key this server holds for the officer (demo)."""
    record = prepare_attestation(application_id=application_id, officer=officer)
    return _sign_here(record, officer)


@transaction.atomic
def renew(*, application_id: int, officer: User, reason: str, risk_rating: str) -> Application:
    """active | expired → renewing: a new attestation to the next review, signed with the key held here (demo)."""
    record = prepare_attestation(
        application_id=application_id, officer=officer, purpose=Purpose.RENEW, reason=reason, risk_rating=risk_rating
    )
    return _sign_here(record, officer)


@transaction.atomic
def attest_wallet(*, request_id: int, officer: User) -> Application:
    """REQUESTED | FAILED → ISSUING for a further wallet, signed with the key held here (demo)."""
    return _sign_here(prepare_wallet_attestation(request_id=request_id, officer=officer), officer)


def _sign_here(record: AttestationRecord, officer: User) -> Application:
    key = OfficerKey.objects.select_related("signer").filter(user=officer).first()
    if key is None or key.signer is None:
        raise AttestationInvalid(
            _("No key is held here for you. Sign with your own wallet."), code="kyc.attestation.no_key"
        )
    record, application = _locked_record(record.pk, officer)
    signature = chain_attestation.sign(as_attestation(record), key.signer)
    # Whether the contract takes this key is asked before anything is sent (estimation), so a node that is down
    # does not stop the officer here.
    return _accept(record, application, officer, key.address, signature)


def _locked_record(attestation_id: int, officer: User) -> tuple[AttestationRecord, Application]:
    application_id = AttestationRecord.objects.values_list("application_id", flat=True).get(pk=attestation_id)
    application = locked(application_id)
    require_officer(officer, application)
    record = AttestationRecord.objects.select_for_update().get(pk=attestation_id)
    if record.officer_id != officer.pk:
        raise AttestationInvalid(
            _("Somebody else was asked for this signature. Nothing was recorded."), code="kyc.attestation.not_yours"
        )
    return record, application


def _accept(
    record: AttestationRecord, application: Application, officer: User, attestor: str, signature: bytes
) -> Application:
    """Store the signature and ask the chain, in one transaction."""
    _require_time_left(record)
    if application.state not in _FROM[Purpose(record.purpose)]:
        raise WrongState(
            _("There is nothing to sign for this case now. Nothing was changed. Reload the page."),
            code="kyc.attestation.wrong_state",
        )
    require_screened(application)
    record.attestor, record.signature, record.signed_at = attestor, signature, timezone.now()
    record.save(update_fields=["attestor", "signature", "signed_at"])
    if record.purpose == Purpose.WALLET:
        request_token(record=record, officer=officer)
        return application
    if record.purpose == Purpose.RENEW:
        request_renewal(application=application, record=record, officer=officer)
        return application
    if application.state == State.ATTESTED:
        move(application, State.APPROVED, actor=officer, action="kyc.attestation.replaced")
    move(
        application,
        State.ATTESTED,
        actor=officer,
        action="kyc.application.attested",
        data={"attestation": record.pk, "attestor": attestor, "deadline": record.deadline},
    )
    request_issue(application=application, record=record, officer=officer)
    return application


def _require_time_left(record: AttestationRecord) -> None:
    if timezone.now().timestamp() >= record.deadline:
        raise AttestationExpired(
            _("The time to use this signature is over. Nothing was submitted. Please sign again."),
            code="kyc.attestation.expired",
        )


@transaction.atomic
def retry_issue(*, application_id: int, officer: User) -> Application:
    """attested → issuing with the signature that is there, after the chain refused or could not take it.

    Raises AttestationExpired once its deadline has passed: sign again.
    """
    application = locked(application_id)
    require_officer(officer, application)
    if application.state != State.ATTESTED:
        raise WrongState(
            _("There is nothing to submit for this case now. Nothing was changed. Reload the page."),
            code="kyc.attestation.wrong_state",
        )
    record = application.attestations.filter(purpose=Purpose.ISSUE, signature__isnull=False).order_by("-id").first()
    if record is None:
        raise AttestationInvalid(_("There is no signature yet."), code="kyc.attestation.missing")
    _require_time_left(record)
    require_screened(application)
    request_issue(application=application, record=record, officer=officer)
    return application
