"""The applicant's side: starting, answering page by page, submitting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from kyc import sections
from kyc.exceptions import Incomplete, InvalidAnswers
from kyc.models import Application, BeneficialOwner, CorporateDetails, IndividualDetails, SearchTerm
from kyc.models.application import PartyKind
from kyc.names import normalise, tidy, tidy_kana
from kyc.notices import tell
from kyc.services.guards import locked, move
from portal import audit
from portal.exceptions import NotPermitted
from portal.models import User
from portal.state import WrongState

State = Application.State


@transaction.atomic
def start_application(*, user: User, kind: str) -> Application:
    """The person's open application, made if there is none. A second click finds the first one's.

    Staff may not apply with the account they work with: their own case would lie in their own queue.
    """
    if user.roles:
        raise NotPermitted(
            _("This is a work account. Apply with a private account of your own."), code="kyc.application.staff"
        )
    if kind not in PartyKind.values:
        raise InvalidAnswers(_("Choose what you apply as."), code="kyc.application.kind", errors={"kind": [kind]})
    existing = _open_application(user)
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            application = Application.objects.create(user=user, kind=kind)
    except IntegrityError:
        return _require_open(user)
    if application.is_corporate:
        CorporateDetails.objects.create(application=application)
    else:
        IndividualDetails.objects.create(application=application)
    audit.record(
        action="kyc.application.started",
        subject_type="kyc.application",
        subject_id=application.pk,
        actor=user,
        to_state=State.DRAFT,
        data={"kind": kind},
    )
    return application


def _open_application(user: User) -> Application | None:
    return Application.objects.filter(user=user).exclude(state__in=Application.CLOSED).first()


def _require_open(user: User) -> Application:
    return Application.objects.exclude(state__in=Application.CLOSED).get(user=user)


def require_editable(application: Application, user: User) -> None:
    """Pass if `user` is the applicant and may still change answers."""
    if application.user_id != user.pk:
        raise NotPermitted(_("This is somebody else's application."), code="kyc.application.not_yours")
    if not application.is_editable:
        raise WrongState(
            _("The application has been submitted and cannot be changed now. Nothing was changed."),
            code="kyc.application.not_editable",
        )


@transaction.atomic
def update_section(*, application_id: int, user: User, section: str, answers: Mapping[str, Any]) -> Application:
    """Store the answers of one section, in one width. What is missing may come later; what is wrong is refused.

    Raises InvalidAnswers (with `errors` per field) and stores nothing if an answer cannot be right.
    """
    application = locked(application_id)
    require_editable(application, user)
    page = sections.section_of(application, section)
    if page is None or not page.fields:
        raise InvalidAnswers(_("There is no such page."), code="kyc.section.unknown", errors={})
    wanted = sections.tidied({field: value for field, value in answers.items() if field in page.fields})
    holders = {id(holder): holder for holder in (sections.holder_of(application, field) for field in page.fields)}
    for field, value in wanted.items():
        setattr(sections.holder_of(application, field), field, value)
    for holder in holders.values():
        mine = [field for field in page.fields if sections.holder_of(application, field) is holder]
        _clean(holder, mine)
        holder.save(update_fields=mine)
    _refresh_names(application)
    return application


def _clean(row: Any, fields: list[str]) -> None:
    others = [field.name for field in row._meta.fields if field.name not in fields]
    try:
        row.clean_fields(exclude=others)
    except ValidationError as error:
        raise InvalidAnswers(
            _("Some answers need another look. Nothing was stored."),
            code="kyc.section.invalid",
            errors=error.message_dict,
        ) from error


def _refresh_names(application: Application) -> None:
    """The name in lists, and the terms by which officers find it."""
    writings = sections.names_of(application)
    application.name = writings[0]
    application.save(update_fields=["name", "changed_at"])
    terms = set()
    for writing in filter(None, writings):
        plain = tidy(writing).casefold()
        terms |= {plain, plain.replace(" ", ""), *plain.split()}
        if latin := normalise(writing):
            terms |= {latin, *latin.split()}
    SearchTerm.objects.filter(application=application).exclude(text__in=terms).delete()
    rows = [SearchTerm(application=application, text=term[:200]) for term in sorted(terms)]
    SearchTerm.objects.bulk_create(rows, ignore_conflicts=True)


@transaction.atomic
def save_owner(
    *, application_id: int, user: User, answers: Mapping[str, Any], owner_id: int | None = None
) -> BeneficialOwner:
    """Add a beneficial owner, or change the one with `owner_id`. Raises InvalidAnswers."""
    application = locked(application_id)
    require_editable(application, user)
    if not application.is_corporate:
        raise InvalidAnswers(_("Only a company has beneficial owners."), code="kyc.owner.individual", errors={})
    owner = (
        BeneficialOwner.objects.get(pk=owner_id, application=application)
        if owner_id
        else BeneficialOwner(application=application)
    )
    for field in ("name", "name_romaji", "birth_date", "nationality", "address", "share_bps"):
        if field in answers:
            value = answers[field]
            setattr(owner, field, tidy(value) if isinstance(value, str) else value)
    owner.name_kana = tidy_kana(answers.get("name_kana", owner.name_kana))
    _clean(owner, ["name", "name_kana", "name_romaji", "birth_date", "nationality", "address", "share_bps"])
    _require_shares(application, owner)
    owner.save()
    return owner


def _require_shares(application: Application, owner: BeneficialOwner) -> None:
    if not 0 <= owner.share_bps <= 10_000:
        message = _("Enter a share between 0 and 100 percent.")
    else:
        others = application.owners.exclude(pk=owner.pk).values_list("share_bps", flat=True)
        if sum(others) + owner.share_bps <= 10_000:
            return
        message = _("All owners together cannot have more than 100 percent.")
    raise InvalidAnswers(message, code="kyc.owner.shares", errors={"share_bps": [message]})


@transaction.atomic
def remove_owner(*, application_id: int, user: User, owner_id: int) -> None:
    """Take a beneficial owner off the list; taking off one that is gone changes nothing."""
    application = locked(application_id)
    require_editable(application, user)
    BeneficialOwner.objects.filter(pk=owner_id, application=application).delete()


@transaction.atomic
def submit_application(*, application_id: int, user: User, declares: bool) -> Application:
    """draft | sent_back → submitted, when every section is done and the declarations are made; screening starts.

    A repeated click finds it submitted and changes nothing. Raises Incomplete with the open sections.
    """
    from kyc.services.screening import request_screening

    application = locked(application_id)
    if application.user_id == user.pk and application.state == State.SUBMITTED:
        return application
    require_editable(application, user)
    if not declares:
        raise Incomplete(
            _("Confirm the declarations before you submit. Nothing was submitted."), code="kyc.submit.declarations"
        )
    _require_complete(application)
    came_back = application.state == State.SENT_BACK
    application.consents_at = timezone.now()
    application.submitted_at = timezone.now()
    application.screening_ready = False
    application.round += int(came_back)
    move(
        application,
        State.SUBMITTED,
        actor=user,
        action="kyc.application.submitted",
        fields=["consents_at", "submitted_at", "screening_ready", "round"],
        data={"round": application.round},
        before_audit=lambda: (
            request_screening(application=application, cause="submission"),
            tell(application=application, kind="submitted", key=application.round),
        ),
    )
    return application


def _require_complete(application: Application) -> None:
    open_sections = [
        section
        for section in sections.sections_of(application)
        if sections.progress(application)[section.key] != sections.Progress.DONE
    ]
    if open_sections:
        raise Incomplete(
            _("These parts are not finished yet: %(parts)s. Nothing was submitted.")
            % {"parts": ", ".join(str(section.title) for section in open_sections)},
            code="kyc.submit.incomplete",
            sections=[section.key for section in open_sections],
        )
