"""The officer's side: taking a case, deciding, and the second officer's confirmation. Nobody reviews their own."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from kyc import rules, sections
from kyc.exceptions import NotYourCase, VerificationNotAccepted
from kyc.models import Application, DatedRule, Decision, Evidence, Party
from kyc.models.application import RiskRating
from kyc.notices import tell
from kyc.services.evidence import send_back_evidence
from kyc.services.guards import locked, move, require_officer
from kyc.services.screening import require_screened
from kyc.services.wallets import open_custody_wallet
from portal import audit
from portal.exceptions import DomainError
from portal.models import User
from portal.state import WrongState

State = Application.State
Verdict = Decision.Verdict


@transaction.atomic
def claim(*, application_id: int, officer: User) -> Application:
    """Take a case: submitted → in_review with an owner; a case waiting for a second officer or a signature gets one.

    Claiming one's own claim again changes nothing. Raises NotYourCase if somebody else has it.
    """
    application = locked(application_id)
    require_officer(officer, application)
    if application.assigned_to_id == officer.pk:
        return application
    _require_free(application)
    if application.state not in Application.WITH_OFFICERS:
        raise _not_waiting()
    if application.state == State.APPROVED_FIRST:
        _require_second(application, officer)
    application.assigned_to = officer
    if application.state == State.SUBMITTED:
        move(application, State.IN_REVIEW, actor=officer, action="kyc.application.claimed", fields=["assigned_to"])
    else:
        application.save(update_fields=["assigned_to", "changed_at"])
        _record("kyc.application.claimed", application, officer)
    return application


def _require_free(application: Application) -> None:
    if application.assigned_to_id is not None:
        raise NotYourCase(
            _("%(officer)s is working on this case. Nothing was changed.") % {"officer": application.assigned_to},
            code="kyc.case.taken",
        )


def _not_waiting() -> WrongState:
    return WrongState(_("This case does not wait for an officer. Nothing was changed."), code="kyc.case.not_waiting")


@transaction.atomic
def release(*, application_id: int, officer: User) -> Application:
    """Give a case back to the queue: in_review → submitted; later ones only lose their owner."""
    application = locked(application_id)
    require_officer(officer, application)
    if application.assigned_to_id is None:
        return application
    _require_owner(application, officer)
    application.assigned_to = None
    if application.state == State.IN_REVIEW:
        move(application, State.SUBMITTED, actor=officer, action="kyc.application.released", fields=["assigned_to"])
    else:
        application.save(update_fields=["assigned_to", "changed_at"])
        _record("kyc.application.released", application, officer)
    return application


def _require_owner(application: Application, officer: User) -> None:
    if application.assigned_to_id != officer.pk:
        raise NotYourCase(_("Claim this case before you decide it. Nothing was changed."), code="kyc.case.not_claimed")


@transaction.atomic
def decide(
    *,
    application_id: int,
    officer: User,
    verdict: str,
    reason: str,
    risk_rating: str = "",
    evidence_id: int | None = None,
) -> Application:
    """The first officer's decision on a claimed case: approve → approved_first, reject → rejected,
    send_back → sent_back, with the one document that is needed again.

    Approving needs a risk rating, a finished screening without open hits, and evidence that verifies the person
    today. Raises ScreeningUndecided, VerificationNotAccepted, NotYourCase, WrongState, or DomainError without a reason.
    """
    application = locked(application_id)
    require_officer(officer, application)
    if application.state != State.IN_REVIEW:
        raise WrongState(
            _("This case is not in review any more. Nothing was changed. Reload the page."), code="kyc.case.wrong_state"
        )
    _require_owner(application, officer)
    _require_reason(reason)
    if verdict == Verdict.APPROVE:
        _approve(application, officer, reason, risk_rating)
    elif verdict == Verdict.REJECT:
        _reject(application, officer, reason)
    elif verdict == Verdict.SEND_BACK:
        _send_back(application, officer, reason, evidence_id)
    else:
        raise DomainError(_("Choose a decision."), code="kyc.decision.unknown")
    return application


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise DomainError(_("Give a reason. It becomes part of the record."), code="kyc.decision.reason")


def _approve(application: Application, officer: User, reason: str, risk_rating: str) -> None:
    if risk_rating not in RiskRating.values:
        raise DomainError(_("Choose the risk rating. It sets the next review."), code="kyc.decision.risk")
    require_screened(application)
    require_verified(application)
    application.risk_rating = risk_rating
    application.assigned_to = None
    move(
        application,
        State.APPROVED_FIRST,
        actor=officer,
        action="kyc.application.approved_first",
        reason=reason,
        fields=["risk_rating", "assigned_to"],
        data={"risk_rating": risk_rating},
        before_audit=lambda: _decided(application, officer, Verdict.APPROVE, reason),
    )


def _reject(application: Application, officer: User, reason: str) -> None:
    application.assigned_to = None
    move(
        application,
        State.REJECTED,
        actor=officer,
        action="kyc.application.rejected",
        reason=reason,
        fields=["assigned_to"],
        before_audit=lambda: (
            _decided(application, officer, Verdict.REJECT, reason),
            # The reason stays with us: telling it could tip somebody off (the Act, art. 8-3).
            tell(application=application, kind="rejected", key=application.round),
        ),
    )


def _send_back(application: Application, officer: User, reason: str, evidence_id: int | None) -> None:
    stored = application.evidence.select_for_update().filter(state=Evidence.State.STORED)
    evidence = stored.filter(pk=evidence_id).first() if evidence_id is not None else None
    if evidence is None:
        raise DomainError(_("Choose the document to send back."), code="kyc.decision.evidence")
    application.assigned_to = None
    move(
        application,
        State.SENT_BACK,
        actor=officer,
        action="kyc.application.sent_back",
        reason=reason,
        fields=["assigned_to"],
        data={"evidence": evidence.pk},
        before_audit=lambda: (
            send_back_evidence(evidence=evidence, officer=officer, reason=reason),
            _decided(application, officer, Verdict.SEND_BACK, reason, evidence=evidence),
            tell(
                application=application,
                kind="sent_back",
                key=application.round,
                document=str(evidence.kind),
                reason=reason,
            ),
        ),
    )


def _decided(
    application: Application, officer: User, verdict: str, reason: str, *, evidence: Evidence | None = None
) -> Decision:
    return Decision.objects.create(
        application=application,
        officer=officer,
        round=application.round,
        verdict=verdict,
        reason=reason.strip(),
        evidence=evidence,
    )


def require_verified(application: Application) -> DatedRule:
    """The rule in force today, if the documents received satisfy it. Raises VerificationNotAccepted.

    From 2027-04-01 images alone verify nobody (DOMAIN §2); the dates are rows of `DatedRule`.
    """
    rule = rules.rule_on(subject=DatedRule.Subject.VERIFICATION, day=timezone.localdate())
    stored = application.evidence.filter(state=Evidence.State.STORED).values_list("method", flat=True)
    if not rules.verifies(rule=rule, kind=application.kind, methods=set(stored)):
        raise VerificationNotAccepted(
            _(
                "The documents do not verify this person under the rule in force since %(day)s (version %(version)s). "
                "Nothing was decided. Send one back and ask for an IC chip or JPKI record."
            )
            % {"day": rule.effective_from.isoformat(), "version": rule.version},
            code="kyc.verification.not_accepted",
        )
    return rule


@transaction.atomic
def confirm(*, application_id: int, officer: User, agrees: bool, reason: str) -> Application:
    """The second officer: approved_first → approved, or back → in_review.

    Approving fixes who the person is (`Party`), opens their custody wallet, and sets the next review by the risk
    rating. Raises NotYourCase for the officer who approved first; screening and evidence are checked again.
    """
    application = locked(application_id)
    require_officer(officer, application)
    if application.state != State.APPROVED_FIRST:
        raise WrongState(
            _("This case does not wait for a second officer any more. Nothing was changed. Reload the page."),
            code="kyc.case.wrong_state",
        )
    _require_second(application, officer)
    if application.assigned_to_id not in (None, officer.pk):
        _require_free(application)
    _require_reason(reason)
    application.assigned_to = None
    if agrees:
        _confirm(application, officer, reason)
    else:
        _return(application, officer, reason)
    return application


def _require_second(application: Application, officer: User) -> None:
    first = application.decisions.filter(verdict=Verdict.APPROVE, is_standing=True).order_by("-id").first()
    if first is not None and first.officer_id == officer.pk:
        raise NotYourCase(
            _("You approved this application first. A second officer has to confirm it. Nothing was changed."),
            code="kyc.case.same_officer",
        )


def _confirm(application: Application, officer: User, reason: str) -> None:
    require_screened(application)
    rule = require_verified(application)
    today = timezone.localdate()
    application.verified_on = today
    application.verification_rule = rule
    application.next_review_on = rules.next_review(rating=application.risk_rating, day=today)
    move(
        application,
        State.APPROVED,
        actor=officer,
        action="kyc.application.approved",
        reason=reason,
        fields=["assigned_to", "verified_on", "verification_rule", "next_review_on"],
        data={"rule": rule.version, "next_review_on": application.next_review_on.isoformat()},
        before_audit=lambda: (
            _decided(application, officer, Verdict.CONFIRM, reason),
            fix_party(application),
            open_custody_wallet(user=application.user, label=application.name),
            tell(application=application, kind="approved", key=application.round),
        ),
    )


def _return(application: Application, officer: User, reason: str) -> None:
    move(
        application,
        State.IN_REVIEW,
        actor=officer,
        action="kyc.application.returned",
        reason=reason,
        fields=["assigned_to"],
        before_audit=lambda: (
            _decided(application, officer, Verdict.RETURN, reason),
            application.decisions.update(is_standing=False),
        ),
    )


def fix_party(application: Application) -> Party:
    """The verified facts, taken from the answers two officers approved. The subject stays for life."""
    name, kana, latin = sections.names_of(application)
    facts: dict[str, Any] = {
        "kind": application.kind,
        "name": name,
        "name_kana": kana,
        "name_romaji": latin,
        "postal_code": sections.details_of(application).postal_code,
        "address": application.corporate.head_office if application.is_corporate else application.individual.address,
        "is_qii": application.is_corporate and bool(application.qii_claim),
        "verified_on": application.verified_on,
    }
    party, _created = Party.objects.update_or_create(user=application.user, defaults=facts)
    return party


def _record(action: str, application: Application, officer: User, *, reason: str = "") -> None:
    audit.record(
        action=action,
        subject_type="kyc.application",
        subject_id=application.pk,
        actor=officer,
        from_state=application.state,
        to_state=application.state,
        reason=reason,
    )
