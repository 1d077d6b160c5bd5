"""Documents: receiving, replacing, reading with an audit row, deleting only when the law allows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from kyc import rules, sections, storage
from kyc.exceptions import FileRefused, RetentionNotOver
from kyc.models import Application, DatedRule, Evidence
from kyc.services.drafts import require_editable
from kyc.services.guards import locked
from portal import audit
from portal.exceptions import NotPermitted
from portal.models import Role, User
from portal.state import require_transition

State = Evidence.State
MAX_DOCUMENTS = 20


@dataclass(frozen=True, slots=True)
class OpenedEvidence:
    """A document in the clear, for one response."""

    content: bytes
    content_type: str
    file_name: str


def add_evidence(
    *,
    application_id: int,
    user: User,
    kind: str,
    file_name: str,
    chunks: Iterable[bytes],
    size: int,
    replaces_id: int | None = None,
) -> Evidence:
    """Check, encrypt and keep one document of the applicant; with `replaces_id` in place of one sent back.

    The same file sent twice is one document. Raises FileRefused (nothing is stored) or NotPermitted.
    """
    inspected = storage.inspect(chunks, size=size)
    sealed: storage.Sealed | None = None
    try:
        with transaction.atomic():
            application = locked(application_id)
            require_editable(application, user)
            if kind not in sections.KINDS_OF_EVIDENCE[application.kind]:  # type: ignore[index]
                raise FileRefused(_("Choose what kind of document it is."), code="kyc.evidence.kind")
            stored = application.evidence.filter(state__in=[State.STORED, State.SENT_BACK])
            same = stored.filter(kind=kind, sha256=inspected.sha256, state=State.STORED).first()
            if same is not None:
                return same
            if stored.count() >= MAX_DOCUMENTS and replaces_id is None:
                raise FileRefused(_("There are already 20 documents. Remove one first."), code="kyc.evidence.too_many")
            sealed = storage.seal(inspected.content)
            return _keep(application, user, kind, file_name, inspected, sealed, replaces_id)
    except BaseException:
        # The row did not come to be: the bytes must not stay either.
        if sealed is not None:
            storage.discard(sealed.storage_name)
        raise


def _keep(
    application: Application,
    user: User,
    kind: str,
    file_name: str,
    inspected: storage.Inspected,
    sealed: storage.Sealed,
    replaces_id: int | None,
) -> Evidence:
    rule = rules.rule_on(subject=DatedRule.Subject.VERIFICATION, day=timezone.localdate())
    evidence = Evidence.objects.create(
        application=application,
        kind=kind,
        method=Evidence.METHOD_OF[Evidence.Kind(kind)],
        file_name=_display_name(file_name),
        content_type=inspected.content_type,
        size_bytes=len(inspected.content),
        sha256=inspected.sha256,
        storage_name=sealed.storage_name,
        wrapped_key=sealed.wrapped_key,
        key_id=sealed.key_id,
        rule_version=rule.version,
        rule_effective_from=rule.effective_from,
    )
    sent_back = application.evidence.select_for_update().filter(state=State.SENT_BACK)
    # Somebody who simply uploads the same kind again means to replace what was sent back.
    replaced = sent_back.filter(pk=replaces_id).first() if replaces_id else sent_back.filter(kind=kind).first()
    if replaced is not None:
        replaced.replaced_by = evidence
        _set_state(replaced, State.REPLACED, fields=["replaced_by"])
    _record("kyc.evidence.received", evidence, user, to_state=State.STORED)
    return evidence


def _display_name(file_name: str) -> str:
    """The applicant's name for the file without folders and control characters; never used as a path."""
    last = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[-160:] or "document"


def _set_state(evidence: Evidence, target: str, *, fields: list[str]) -> None:
    require_transition(Evidence.TRANSITIONS, current=evidence.state, target=target, code="kyc.evidence.wrong_state")
    evidence.state = target
    evidence.save(update_fields=["state", *fields])


def _record(
    action: str, evidence: Evidence, actor: User | str, *, from_state: str = "", to_state: str = "", reason: str = ""
) -> None:
    audit.record(
        action=action,
        subject_type="kyc.evidence",
        subject_id=evidence.pk,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        data={"application": evidence.application_id, "kind": evidence.kind, "sha256": evidence.sha256},
    )


def send_back_evidence(*, evidence: Evidence, officer: User, reason: str) -> Evidence:
    """stored → sent_back; called by the decision of which it is a part, in its transaction."""
    evidence.sent_back_reason = reason
    _set_state(evidence, State.SENT_BACK, fields=["sent_back_reason"])
    return evidence


@transaction.atomic
def remove_evidence(*, evidence_id: int, user: User) -> None:
    """Take a document out of a draft that was never submitted, bytes and all. A repeated click changes nothing.

    Once submitted it is a record the law makes us keep: raises RetentionNotOver.
    """
    evidence = Evidence.objects.select_for_update().get(pk=evidence_id)
    application = locked(evidence.application_id)
    require_editable(application, user)
    if evidence.state == State.DELETED:
        return
    if application.submitted_at is not None:
        raise RetentionNotOver(
            _("This document belongs to a submitted application and is kept as the law requires."),
            code="kyc.evidence.kept",
        )
    _delete(evidence, actor=user, reason="removed by the applicant before submission")


@transaction.atomic
def delete_evidence(*, evidence_id: int, actor: User, reason: str) -> None:
    """Delete a document after the years of retention (DOMAIN §2: 7 years after the relationship ends).

    Raises RetentionNotOver before that, whoever asks; NotPermitted for anybody but an administrator.
    """
    if not actor.has_role(Role.ADMINISTRATOR):
        raise NotPermitted(_("Only administrators may do this. Nothing was changed."), code="kyc.evidence.admin_only")
    evidence = Evidence.objects.select_for_update().get(pk=evidence_id)
    application = locked(evidence.application_id)
    ends = rules.retention_ends(timezone.localdate(application.closed_at)) if application.closed_at else None
    if ends is None or timezone.localdate() < ends:
        raise RetentionNotOver(
            _("This record must be kept as long as the law requires. Nothing was deleted.")
            if ends is None
            else _("This record must be kept until %(day)s. Nothing was deleted.") % {"day": ends.isoformat()},
            code="kyc.evidence.retention",
        )
    _delete(evidence, actor=actor, reason=reason)


def _delete(evidence: Evidence, *, actor: User, reason: str) -> None:
    source = evidence.state
    evidence.deleted_at = timezone.now()
    evidence.wrapped_key = b""
    _set_state(evidence, State.DELETED, fields=["deleted_at", "wrapped_key"])
    # Without its data key the file is noise; the bytes go once the row is sure to stay deleted.
    transaction.on_commit(lambda: storage.discard(evidence.storage_name))
    _record("kyc.evidence.deleted", evidence, actor, from_state=source, to_state=State.DELETED, reason=reason)


@transaction.atomic
def open_evidence(*, evidence_id: int, reader: User) -> OpenedEvidence:
    """The document in the clear for its owner, a KYC officer or an auditor; every viewing by staff is recorded.

    Raises Evidence.DoesNotExist for anybody else, as if it were not there, and EvidenceUnreadable.
    """
    evidence = Evidence.objects.select_related("application").exclude(state=State.DELETED).get(pk=evidence_id)
    is_owner = evidence.application.user_id == reader.pk
    if not (is_owner or reader.has_role(Role.KYC_OFFICER) or reader.has_role(Role.AUDITOR)):
        raise Evidence.DoesNotExist
    content = storage.unseal(
        storage_name=evidence.storage_name, wrapped_key=bytes(evidence.wrapped_key), sha256=evidence.sha256
    )
    if not is_owner:
        _record("kyc.evidence.viewed", evidence, reader)
    return OpenedEvidence(content, evidence.content_type, evidence.file_name)


def rotate_evidence_keys(*, limit: int = 1000) -> int:
    """Wrap data keys that an older key wrapped with the newest one, ours and those of the other apps
    (`storage.sealed_rows`); number changed. Call until it answers 0: before that an older key must not be dropped."""
    ours = Evidence.objects.exclude(state=State.DELETED)
    return sum(_rotate(rows, limit) for rows in (ours, *(sealed() for sealed in storage.sealed_rows)))


def _rotate(rows: QuerySet[Any], limit: int) -> int:
    newest = storage.newest_key_id()
    changed = 0
    for pk in rows.exclude(key_id=newest).order_by("pk").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            row = rows.model._default_manager.select_for_update().get(pk=pk)
            row.wrapped_key, row.key_id = storage.rewrap(bytes(row.wrapped_key)), newest
            row.save(update_fields=["wrapped_key", "key_id"])
        changed += 1
    return changed
