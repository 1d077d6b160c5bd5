"""A security from its draft to its maturity. Two people issue it; the chain carries it out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import filetype
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.selectors import signer_for_role
from chain.services import enqueue, request
from chain.types import Call, SignerRole
from portal import audit
from portal.models import Role, User
from portal.money import MINOR_DIGITS
from portal.state import require_transition
from tokens.exceptions import TermsNotAllowed, TwoPersonRule
from tokens.models import TOKYO, Security, SecurityDocument
from tokens.services.guards import require_issuer, require_role

State = Security.State
SUBJECT: Final = "tokens.security"
#: What `create_security` and `update_security` accept.
TERMS: Final = frozenset(
    {
        "name",
        "symbol",
        "isin",
        "issuer_name",
        "currency",
        "face_value",
        "authorised_units",
        "rate_bps",
        "issue_date",
        "record_date",
        "maturity_date",
        "placement_type",
        "minimum_lot_units",
        "whole_balance_only",
        "lock_up_until",
        "holder_cap",
    }
)
DOCUMENT_MAX_BYTES: Final = 10 * 1024 * 1024


def create_security(*, actor: User, terms: Mapping[str, Any]) -> Security:
    """A new draft with `terms` (keys of `TERMS`; amounts as base units, rate in basis points).

    Raises `TermsNotAllowed` when the terms do not fit together, `NotYourRole` for anyone but an issuer.
    """
    require_issuer(actor)
    security = Security(created_by=actor)
    _apply(security, terms)
    with transaction.atomic():
        security.save(force_insert=True)
        _log(security, "created", actor, to_state=State.DRAFT)
    return security


def update_security(*, security_id: int, actor: User, terms: Mapping[str, Any]) -> Security:
    """Change the terms of a draft."""
    require_issuer(actor)
    with transaction.atomic():
        security = _locked(security_id)
        _require_draft(security)
        _apply(security, terms)
        security.save(update_fields=sorted(set(terms)))
        _log(security, "updated", actor, data={"fields": sorted(terms)})
    return security


def add_document(*, security_id: int, actor: User, name: str, content: bytes) -> SecurityDocument:
    """Keep a PDF with a draft; its SHA-256 will be in the contract. Raises `TermsNotAllowed`."""
    require_issuer(actor)
    kind = _document_type(content)
    digest = hashlib.sha256(content).hexdigest()
    with transaction.atomic():
        security = _locked(security_id)
        _require_draft(security)
        document = SecurityDocument(
            security=security,
            name=name.strip(),
            sha256=digest,
            size=len(content),
            content_type=kind,
            path=f"securities/{security.pk}/{digest}.pdf",
            uploaded_by=actor,
        )
        _validate(document)
        document.save(force_insert=True)
        store = document_storage()
        if not store.exists(document.path):
            store.save(document.path, ContentFile(content))
        _log(security, "document_added", actor, data={"name": document.name, "sha256": digest})
    return document


def remove_document(*, document_id: int, actor: User) -> None:
    """Take a document out of a draft. The file stays: the audit trail names its hash."""
    require_issuer(actor)
    with transaction.atomic():
        document = SecurityDocument.objects.select_related("security").get(pk=document_id)
        security = _locked(document.security_id)
        _require_draft(security)
        data = {"name": document.name, "sha256": document.sha256}
        document.delete()
        _log(security, "document_removed", actor, data=data)


def document_storage() -> FileSystemStorage:
    """Outside the web root; served only by a view that asks who is reading."""
    return FileSystemStorage(location=Path(settings.PRIVATE_ROOT))


def submit_security(*, security_id: int, actor: User) -> Security:
    """DRAFT → AWAITING_APPROVAL: the terms are fixed and a second person looks at them."""
    require_issuer(actor)
    with transaction.atomic():
        security = _locked(security_id)
        _move(security, State.AWAITING_APPROVAL, actor, "submitted")
    return security


def send_back_security(*, security_id: int, actor: User, reason: str) -> Security:
    """AWAITING_APPROVAL → DRAFT, with the reason its creator reads."""
    require_role(actor, Role.ISSUER, Role.ADMINISTRATOR)
    if not reason.strip():
        raise TermsNotAllowed(_("Say what has to change."), code="tokens.security.reason_missing")
    with transaction.atomic():
        security = _locked(security_id)
        _move(security, State.DRAFT, actor, "sent_back", reason=reason.strip())
    return security


def cancel_security(*, security_id: int, actor: User, reason: str = "") -> Security:
    """DRAFT or FAILED → CANCELLED. Nothing of it is on the chain."""
    require_issuer(actor)
    with transaction.atomic():
        security = _locked(security_id)
        _move(security, State.CANCELLED, actor, "cancelled", reason=reason)
    return security


def approve_security(*, security_id: int, actor: User) -> Security:
    """AWAITING_APPROVAL → DEPLOYING: the contract is put in the outbox, in this transaction.

    The approver is a second issuer or an administrator, never the creator (checked by the database as well).
    """
    require_role(actor, Role.ISSUER, Role.ADMINISTRATOR)
    with transaction.atomic():
        security = _locked(security_id)
        _require_start(security, State.AWAITING_APPROVAL)
        if security.created_by_id == actor.pk:
            raise TwoPersonRule(
                _("You made this security, so somebody else has to approve it. Nothing was changed."),
                code="tokens.security.own_work",
            )
        _require_future(security)
        security.approved_by = actor
        security.approved_at = timezone.now()
        security.save(update_fields=["approved_by", "approved_at"])
        _deploy(security, actor, "approved")
    return security


def retry_deployment(*, security_id: int, actor: User) -> Security:
    """FAILED → DEPLOYING with a new outbox row: the configuration again where the contract already stands."""
    require_role(actor, Role.ISSUER, Role.ADMINISTRATOR)
    with transaction.atomic():
        security = _locked(security_id)
        # Not from AWAITING_APPROVAL, which has the same arrow: that one is `approve_security`.
        _require_start(security, State.FAILED)
        if security.token:
            enqueue_configuration(security)
            _move(security, State.DEPLOYING, actor, "configuration_retried")
        else:
            _deploy(security, actor, "deployment_retried")
    return security


def close_offering(*, security_id: int, actor: User) -> Security:
    """OFFERED → LIVE: no more subscriptions; every allotment so far is final or still being issued."""
    require_issuer(actor)
    with transaction.atomic():
        security = _locked(security_id)
        _move(security, State.LIVE, actor, "offering_closed")
    return security


def mature_securities() -> int:
    """LIVE → MATURED for every security whose maturity date has come in Tokyo. Returns how many."""
    today = timezone.now().astimezone(TOKYO).date()
    due = Security.objects.filter(state=State.LIVE, maturity_date__lte=today).values_list("pk", flat=True)
    count = 0
    for pk in list(due):
        with transaction.atomic():
            security = _locked(pk)
            if security.state == State.LIVE:
                _move(security, State.MATURED, "tokens.mature_securities", "matured")
                count += 1
    return count


def enqueue_configuration(security: Security) -> None:
    """Put the contract's roles in the outbox, once the deployment gave its address. Saves `configuration`.

    Called inside the caller's transaction, on the locked row.
    """
    if security.token is None:
        raise ValueError("a contract without an address cannot be configured")
    security.deployment_attempt += 1
    # Whoever holds ADMIN decides and waits first: FINAL means that the roles are in force.
    security.configuration = request(
        role=SignerRole.ADMIN,
        call=operations.configure_security_token(security.token),
        idempotency_key=f"{SUBJECT}:{security.pk}:configure:{security.deployment_attempt}",
        purpose="tokens.configure_security",
        subject=f"{SUBJECT}:{security.pk}",
        depends_on=security.deployment,
    )
    security.save(update_fields=["configuration", "deployment_attempt"])


def deployment_call(security: Security) -> Call:
    """What puts the security on the chain, with its terms and documents."""
    documents = tuple(
        (document.name, f"sha256:{document.sha256}", bytes.fromhex(document.sha256))
        for document in security.documents.all()
    )
    return operations.deploy_security_token(security.terms(documents=documents))


def _deploy(security: Security, actor: User, action: str) -> None:
    security.deployment_attempt += 1
    security.deployment = enqueue(
        call=deployment_call(security),
        signer=signer_for_role(SignerRole.DEPLOYER),
        idempotency_key=f"{SUBJECT}:{security.pk}:deploy:{security.deployment_attempt}",
        purpose="tokens.deploy_security",
        subject=f"{SUBJECT}:{security.pk}",
    )
    security.save(update_fields=["deployment", "deployment_attempt"])
    _move(security, State.DEPLOYING, actor, action)


def _locked(security_id: int) -> Security:
    return Security.objects.select_for_update().get(pk=security_id)


def _apply(security: Security, terms: Mapping[str, Any]) -> None:
    unknown = set(terms) - TERMS
    if unknown:
        raise ValueError(f"not terms: {sorted(unknown)}")
    for name, value in terms.items():
        setattr(security, name, value)
    _validate(security)
    if not Decimal(security.face_value).scaleb(MINOR_DIGITS[security.currency]) % 1 == 0:
        raise TermsNotAllowed(
            _("The denomination is finer than the currency. Nothing was saved."), code="tokens.security.face_too_fine"
        )


def _validate(row: Security | SecurityDocument) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise TermsNotAllowed(
            " ".join(error.messages), code="tokens.security.invalid", fields=error.message_dict
        ) from error


def _document_type(content: bytes) -> str:
    """The type by content, never by the file's name. Only PDF is taken."""
    if len(content) > DOCUMENT_MAX_BYTES:
        raise TermsNotAllowed(_("The file is larger than 10 MB. Nothing was saved."), code="tokens.document.too_large")
    kind = filetype.guess(content)  # type: ignore[no-untyped-call]
    if kind is None or kind.mime != "application/pdf":
        raise TermsNotAllowed(_("The file is not a PDF. Nothing was saved."), code="tokens.document.wrong_type")
    return str(kind.mime)


def _require_start(security: Security, start: str) -> None:
    """Of the arrows to DEPLOYING only the one from `start`."""
    arrow = {start: {State.DEPLOYING}}
    require_transition(arrow, current=security.state, target=State.DEPLOYING, code="tokens.security.wrong_state")


def _require_draft(security: Security) -> None:
    if security.state != State.DRAFT:
        raise TermsNotAllowed(
            _("The terms are fixed once they were sent for approval. Nothing was changed."),
            code="tokens.security.terms_fixed",
        )


def _require_future(security: Security) -> None:
    if security.maturity_date <= date.today():
        raise TermsNotAllowed(
            _("The maturity date has passed. Nothing was changed. Send the terms back and correct the date."),
            code="tokens.security.already_mature",
        )


def _move(security: Security, target: str, actor: User | str, action: str, *, reason: str = "") -> None:
    require_transition(Security.TRANSITIONS, current=security.state, target=target, code="tokens.security.wrong_state")
    before, security.state = security.state, target
    security.save(update_fields=["state"])
    _log(security, action, actor, from_state=before, to_state=target, reason=reason)


def _log(
    security: Security,
    action: str,
    actor: User | str,
    *,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        action=f"{SUBJECT}.{action}",
        subject_type=SUBJECT,
        subject_id=security.pk,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        data=data,
    )
