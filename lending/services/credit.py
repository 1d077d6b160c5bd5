"""Credit: a verified person asks, one officer proposes, another confirms; out comes a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from kyc import storage
from kyc.selectors import InvestorStatus, investor_status, party_for
from lending.exceptions import CreditRefused, NotFound
from lending.models import BorrowerKind, CreditApplication, CreditDecision, CreditLine, IncomeEvidence
from lending.money import NotWhole, to_minor
from lending.selectors.terms import terms_in_force
from lending.services.guards import move, require_officer, require_other, validated
from lending.services.notices import tell
from portal import audit
from portal.models import Role, User
from portal.money import Money

State = CreditApplication.State
Verdict = CreditDecision.Verdict
SUBJECT: Final = "lending.credit_application"
MAX_DOCUMENTS: Final = 20


def require_verified(user: User) -> Any:
    """The verified person or company behind an account. Raises `CreditRefused` while their verification is not effective."""
    party = party_for(user)
    if party is None or investor_status(user) != InvestorStatus.ACTIVE:
        raise CreditRefused(
            _("Only verified people and companies can borrow. Finish your verification first. Nothing was sent."),
            code="lending.credit.not_verified",
        )
    return party


def require_whole(amount: Decimal, currency: str) -> int:
    """`amount` in minor units. Raises `CreditRefused` for fractions of a yen or a cent, zero and less."""
    try:
        minor = to_minor(amount, currency)
    except NotWhole as error:
        raise CreditRefused(
            _("Enter whole yen, or dollars and cents. Nothing was changed."), code="lending.amount.not_whole"
        ) from error
    if minor <= 0:
        raise CreditRefused(
            _("The amount must be more than zero. Nothing was changed."), code="lending.amount.not_positive"
        )
    return minor


def submit_credit_application(
    *,
    actor: User,
    currency: str,
    amount: Decimal,
    purpose: str,
    purpose_detail: str = "",
    annual_income: Decimal | None = None,
    income_year: int | None = None,
) -> CreditApplication:
    """A new application, or what was sent back with new answers: SENT_BACK → SUBMITTED, a new round.

    The same again while it waits changes nothing. Raises `CreditRefused` for somebody who is not verified, an
    individual without an income, an amount outside the terms, and other answers while officers look at the first.
    """
    party = require_verified(actor)
    terms = terms_in_force(currency=currency, borrower_kind=party.kind)
    require_whole(amount, currency)
    if amount > terms.amount_max or amount < terms.amount_min:
        raise CreditRefused(
            _("A credit line is between %(least)s and %(most)s %(currency)s. Nothing was sent.")
            % {"least": f"{terms.amount_min:,.0f}", "most": f"{terms.amount_max:,.0f}", "currency": currency},
            code="lending.credit.amount",
        )
    if party.kind == BorrowerKind.INDIVIDUAL and annual_income is None:
        raise CreditRefused(_("Enter your yearly income. Nothing was sent."), code="lending.credit.no_income")
    answers = {
        "amount": amount,
        "purpose": purpose,
        "purpose_detail": purpose_detail.strip(),
        "annual_income": annual_income,
        "income_year": income_year,
    }
    with transaction.atomic():
        application = (
            CreditApplication.objects.select_for_update()
            .filter(applicant=actor, currency=currency, state__in=CreditApplication.OPEN)
            .first()
        )
        if application is None:
            return _first(actor, party, currency, answers)
        if application.state == State.SENT_BACK:
            return _again(application, actor, answers)
        if all(getattr(application, name) == value for name, value in answers.items()):
            return application
    raise CreditRefused(
        _("Your application is with our officers already. Withdraw it first if you want to change it."),
        code="lending.credit.open_already",
    )


def _first(actor: User, party: Any, currency: str, answers: dict[str, Any]) -> CreditApplication:
    application = CreditApplication(
        applicant=actor,
        subject=party.subject,
        borrower_kind=party.kind,
        currency=currency,
        submitted_at=timezone.now(),
        **answers,
    )
    validated(application, CreditRefused, code="lending.credit.not_allowed")
    application.save(force_insert=True)
    _log(application, actor, "submitted", to_state=State.SUBMITTED)
    return application


def _again(application: CreditApplication, actor: User, answers: dict[str, Any]) -> CreditApplication:
    for name, value in answers.items():
        setattr(application, name, value)
    application.round += 1
    application.assigned_to = None
    application.message = ""
    application.submitted_at = timezone.now()
    validated(application, CreditRefused, code="lending.credit.not_allowed")
    _move(
        application,
        State.SUBMITTED,
        actor,
        "submitted_again",
        also=[*answers, "round", "assigned_to", "message", "submitted_at"],
    )
    return application


def add_income_evidence(
    *, application_id: int, actor: User, kind: str, chunks: Iterable[bytes], size: int
) -> IncomeEvidence:
    """Check, encrypt and keep one document of the applicant. The same file twice is one document.

    Raises `kyc.exceptions.FileRefused` for what is no readable JPEG, PNG or PDF; `CreditRefused` once it is decided.
    """
    inspected = storage.inspect(chunks, size=size)
    sealed: storage.Sealed | None = None
    try:
        with transaction.atomic():
            application = _own(application_id, actor)
            if application.state not in CreditApplication.OPEN:
                raise CreditRefused(
                    _("This application is decided. Nothing was stored."), code="lending.credit.decided"
                )
            same = application.evidence.filter(sha256=inspected.sha256).first()
            if same is not None:
                return same
            if application.evidence.count() >= MAX_DOCUMENTS:
                raise CreditRefused(_("There are already 20 documents."), code="lending.credit.too_many_documents")
            sealed = storage.seal(inspected.content)
            return _keep(application, actor, kind, inspected, sealed)
    except BaseException:
        # The row did not come to be: the bytes must not stay either.
        if sealed is not None:
            storage.discard(sealed.storage_name)
        raise


@dataclass(frozen=True, slots=True)
class OpenedEvidence:
    """A document in the clear."""

    content: bytes
    content_type: str


@transaction.atomic
def open_income_evidence(*, evidence_id: int, reader: User) -> OpenedEvidence:
    """A document in the clear for its applicant, a loan officer or an auditor; every viewing by staff is recorded.

    To anybody else it does not exist: raises `NotFound`.
    """
    evidence = IncomeEvidence.objects.select_related("application").filter(pk=evidence_id).first()
    is_owner = evidence is not None and evidence.application.applicant_id == reader.pk
    if evidence is None or not (is_owner or reader.has_role(Role.LOAN_OFFICER) or reader.has_role(Role.AUDITOR)):
        raise NotFound(_("There is no such document."), code="lending.document.not_found")
    content = storage.unseal(
        storage_name=evidence.storage_name, wrapped_key=bytes(evidence.wrapped_key), sha256=evidence.sha256
    )
    if not is_owner:
        _log(evidence.application, reader, "document_viewed", data={"sha256": evidence.sha256})
    return OpenedEvidence(content, evidence.content_type)


def _keep(
    application: CreditApplication, actor: User, kind: str, inspected: storage.Inspected, sealed: storage.Sealed
) -> IncomeEvidence:
    evidence = IncomeEvidence(
        application=application,
        kind=kind,
        sha256=inspected.sha256,
        content_type=inspected.content_type,
        size=len(inspected.content),
        storage_name=sealed.storage_name,
        wrapped_key=sealed.wrapped_key,
        key_id=sealed.key_id,
    )
    validated(evidence, CreditRefused, code="lending.credit.document")
    evidence.save(force_insert=True)
    _log(application, actor, "document_added", data={"kind": kind, "sha256": inspected.sha256})
    return evidence


@transaction.atomic
def withdraw_credit_application(*, application_id: int, actor: User) -> CreditApplication:
    """Any open state → WITHDRAWN by the applicant."""
    application = _own(application_id, actor)
    if application.state != State.WITHDRAWN:
        _move(application, State.WITHDRAWN, actor, "withdrawn")
    return application


@transaction.atomic
def claim_credit_application(*, application_id: int, actor: User) -> CreditApplication:
    """SUBMITTED → IN_REVIEW with an owner. Claiming one's own claim again changes nothing."""
    application = _for_officer(application_id, actor)
    if application.state == State.IN_REVIEW and application.assigned_to_id == actor.pk:
        return application
    if application.assigned_to_id not in (None, actor.pk):
        raise CreditRefused(
            _("%(officer)s is working on this application. Nothing was changed.")
            % {"officer": application.assigned_to},
            code="lending.credit.taken",
        )
    application.assigned_to = actor
    _move(application, State.IN_REVIEW, actor, "claimed", also=["assigned_to"])
    return application


@transaction.atomic
def release_credit_application(*, application_id: int, actor: User) -> CreditApplication:
    """IN_REVIEW → SUBMITTED: back to the queue, by whoever has it."""
    application = _for_officer(application_id, actor)
    _require_owner(application, actor)
    application.assigned_to = None
    _move(application, State.SUBMITTED, actor, "released", also=["assigned_to"])
    return application


@transaction.atomic
def decide_credit(
    *,
    application_id: int,
    actor: User,
    verdict: str,
    reason: str,
    amount: Decimal | None = None,
    rate_bps: int | None = None,
    income_verified: Decimal | None = None,
    real_estate_exception: str = "",
) -> CreditApplication:
    """The first officer's decision: IN_REVIEW → APPROVED_FIRST, DECLINED or SENT_BACK.

    An approval keeps the terms: rate within their range, line within their amounts and, for an individual, within
    their part of the verified income unless the purpose is real estate and the exception says why.
    """
    application = _for_officer(application_id, actor)
    _require_owner(application, actor)
    if not reason.strip():
        raise CreditRefused(_("Say why. Nothing was changed."), code="lending.credit.no_reason")
    decision = CreditDecision(
        application=application,
        round=application.round,
        position=1,
        officer=actor,
        verdict=verdict,
        amount=amount if verdict == Verdict.APPROVE else None,
        rate_bps=rate_bps if verdict == Verdict.APPROVE else None,
        income_verified=income_verified,
        real_estate_exception=real_estate_exception.strip(),
        reason=reason.strip(),
    )
    if verdict == Verdict.APPROVE:
        require_approvable(application, decision)
    validated(decision, CreditRefused, code="lending.credit.decision")
    decision.save(force_insert=True)
    _follow(application, decision, actor)
    return application


def require_approvable(application: CreditApplication, decision: CreditDecision) -> None:
    """Pass if the line may be given as decided; raises `CreditRefused` with the rule that stands against it."""
    terms = terms_in_force(currency=application.currency, borrower_kind=application.borrower_kind)
    if decision.amount is None or decision.rate_bps is None:
        raise CreditRefused(_("Enter the credit line and the rate."), code="lending.credit.incomplete")
    require_whole(decision.amount, application.currency)
    if not terms.rate_min_bps <= decision.rate_bps <= terms.rate_max_bps:
        raise CreditRefused(
            _("The rate is outside the terms in force. Nothing was changed."), code="lending.credit.rate"
        )
    if not terms.amount_min <= decision.amount <= min(terms.amount_max, application.amount):
        raise CreditRefused(
            _("The line is outside the terms, or above what was asked for. Nothing was changed."),
            code="lending.credit.amount",
        )
    if terms.income_divisor is not None:
        _require_income(application, decision, terms.income_divisor)


def _require_income(application: CreditApplication, decision: CreditDecision, divisor: int) -> None:
    """At most the part of the yearly income that the terms say (DOMAIN.md §4: one third), by multiplication."""
    if not application.evidence.exists():
        raise CreditRefused(
            _("There is no document that shows the income. Send the application back for it."),
            code="lending.credit.no_evidence",
        )
    if decision.real_estate_exception:
        if application.purpose != CreditApplication.Purpose.REAL_ESTATE:
            raise CreditRefused(
                _("Only a purchase or construction of real estate is outside the income cap. Nothing was changed."),
                code="lending.credit.exception_purpose",
            )
        return
    if decision.income_verified is None or decision.amount is None:
        raise CreditRefused(_("Enter the income as verified."), code="lending.credit.income_not_verified")
    if decision.amount * divisor > decision.income_verified:
        raise CreditRefused(
            _("The line is more than 1/%(divisor)d of the verified yearly income. Nothing was changed.")
            % {"divisor": divisor},
            code="lending.credit.income_cap",
        )
    other = CreditLine.objects.filter(subject=application.subject, real_estate_exception="").exclude(
        currency=application.currency
    )
    if other.exclude(state=CreditLine.State.CLOSED).exists():
        # Two capped lines in two currencies would be two thirds of one income.
        raise CreditRefused(
            _("This person has a line in the other currency against the same income. Close it first."),
            code="lending.credit.other_currency",
        )


def _follow(application: CreditApplication, decision: CreditDecision, actor: User) -> None:
    target = {
        Verdict.APPROVE: State.APPROVED_FIRST,
        Verdict.DECLINE: State.DECLINED,
        Verdict.SEND_BACK: State.SENT_BACK,
    }
    application.assigned_to = None if decision.verdict == Verdict.SEND_BACK else actor
    application.message = decision.reason if decision.verdict == Verdict.SEND_BACK else ""
    if decision.verdict != Verdict.APPROVE:
        kind = "lending.credit_declined" if decision.verdict == Verdict.DECLINE else "lending.credit_sent_back"
        tell(
            user=application.applicant,
            kind=kind,
            key=f"{application.pk}:{application.round}",
            params={"currency": application.currency, "message": application.message},
        )
    _move(
        application,
        target[Verdict(decision.verdict)],
        actor,
        "decided",
        reason=decision.reason,
        also=["assigned_to", "message"],
        data=_facts(decision),
    )


def _facts(decision: CreditDecision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "amount": str(decision.amount or ""),
        "rate_bps": decision.rate_bps,
        "exception": decision.real_estate_exception,
    }


@transaction.atomic
def confirm_credit(*, application_id: int, actor: User, agrees: bool, reason: str) -> CreditApplication:
    """The second officer's word: APPROVED_FIRST → APPROVED with a line, or back IN_REVIEW with the first.

    The rules are asked again: terms or income may have changed since. A line that is open in this currency is closed
    in favour of the new one; its loans count against the new line.
    """
    application = _for_officer(application_id, actor)
    proposal = application.decisions.filter(round=application.round, verdict=Verdict.APPROVE).order_by("-id").first()
    if application.state != State.APPROVED_FIRST or proposal is None:
        raise CreditRefused(
            _("This application does not wait for a second officer. Nothing was changed."),
            code="lending.credit.not_waiting",
        )
    require_other(actor, proposal.officer_id)
    if not agrees:
        # A new round: the first officer may propose again, and what was not confirmed can never be.
        application.round += 1
        _move(application, State.IN_REVIEW, actor, "not_confirmed", reason=reason, also=["round"])
        return application
    require_verified(application.applicant)
    require_approvable(application, proposal)
    CreditDecision.objects.create(
        application=application,
        round=application.round,
        position=2,
        officer=actor,
        verdict=Verdict.APPROVE,
        amount=proposal.amount,
        rate_bps=proposal.rate_bps,
        income_verified=proposal.income_verified,
        real_estate_exception=proposal.real_estate_exception,
        reason=reason.strip(),
    )
    line = _open_line(application, proposal, actor)
    tell(
        user=application.applicant,
        kind="lending.credit_approved",
        key=line.pk,
        params={"amount": Money(line.amount, line.currency), "rate": f"{line.rate_bps / 100:.2f}"},
    )
    _move(application, State.APPROVED, actor, "confirmed", reason=reason, data={**_facts(proposal), "line": line.pk})
    return application


def _open_line(application: CreditApplication, proposal: CreditDecision, actor: User) -> CreditLine:
    if proposal.amount is None or proposal.rate_bps is None:
        raise ValueError("an approval without its numbers")  # the database holds none
    earlier = CreditLine.objects.select_for_update().filter(subject=application.subject, currency=application.currency)
    for line in earlier.exclude(state=CreditLine.State.CLOSED):
        _close(line, actor, reason="replaced by a new line")
    return CreditLine.objects.create(
        borrower=application.applicant,
        subject=application.subject,
        borrower_kind=application.borrower_kind,
        currency=application.currency,
        amount=proposal.amount,
        rate_bps=proposal.rate_bps,
        application=application,
        real_estate_exception=proposal.real_estate_exception,
        first_officer=proposal.officer,
        second_officer=actor,
    )


@transaction.atomic
def set_line_state(*, line_id: int, actor: User, target: str, reason: str) -> CreditLine:
    """Suspend, open again or close a line. Loans that run go on; nothing more is drawn under a line that is not open."""
    require_officer(actor)
    line = CreditLine.objects.select_for_update().get(pk=line_id)
    require_other(actor, line.borrower_id)
    if target == CreditLine.State.CLOSED:
        _close(line, actor, reason=reason)
    else:
        move(line, target, actor=actor, action=f"lending.line.{target}", subject="lending.line", reason=reason)
    return line


def _close(line: CreditLine, actor: User, *, reason: str) -> None:
    line.closed_at = timezone.now()
    move(
        line,
        CreditLine.State.CLOSED,
        actor=actor,
        action="lending.line.closed",
        subject="lending.line",
        reason=reason,
        also=["closed_at"],
    )


def _own(application_id: int, actor: User) -> CreditApplication:
    application = CreditApplication.objects.select_for_update().filter(pk=application_id, applicant=actor).first()
    if application is None:
        raise NotFound(_("There is no such application."), code="lending.credit.not_found")
    return application


def _for_officer(application_id: int, actor: User) -> CreditApplication:
    require_officer(actor)
    application = (
        CreditApplication.objects.select_for_update(of=("self",))
        .select_related("applicant", "assigned_to")
        .get(pk=application_id)
    )
    require_other(actor, application.applicant_id)
    return application


def _require_owner(application: CreditApplication, actor: User) -> None:
    if application.state != State.IN_REVIEW or application.assigned_to_id != actor.pk:
        raise CreditRefused(
            _("Claim this application before you decide about it. Nothing was changed."),
            code="lending.credit.not_claimed",
        )


def _move(application: CreditApplication, target: str, actor: User, step: str, **more: Any) -> None:
    also = [*more.pop("also", []), "changed_at"]
    move(application, target, actor=actor, action=f"{SUBJECT}.{step}", subject=SUBJECT, also=also, **more)


def _log(application: CreditApplication, actor: User, step: str, **more: Any) -> None:
    audit.record(action=f"{SUBJECT}.{step}", subject_type=SUBJECT, subject_id=application.pk, actor=actor, **more)
