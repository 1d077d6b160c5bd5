"""The subjects of an application: which answers belong together, which are needed, and how far each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from kyc import rules
from kyc.models import Application, CorporateDetails, DatedRule, Evidence, IndividualDetails
from kyc.models.application import PartyKind, Purpose
from kyc.names import tidy, tidy_digits, tidy_kana


class Progress(models.TextChoices):
    NOT_STARTED = "not_started", _("Not started")
    IN_PROGRESS = "in_progress", pgettext_lazy("form", "In progress")
    DONE = "done", _("Done")
    SENT_BACK = "sent_back", _("Needs a new document")


@dataclass(frozen=True, slots=True)
class Section:
    """One page of questions. `optional` fields may stay empty; `needed_if` says when one may not."""

    key: str
    title: str | Promise
    hint: str | Promise
    fields: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()


_PEP_HINT = _(
    "Heads of state, ministers, ambassadors, generals and the like of a foreign country, now or before, and their family."
)

INDIVIDUAL: Final = (
    Section(
        "name",
        _("Your name and date of birth"),
        _("As in your identity document."),
        ("family_name", "given_name", "family_kana", "given_kana", "family_romaji", "given_romaji", "birth_date"),
    ),
    Section(
        "address",
        _("Where you live"),
        _("The address must be the one in your identity document."),
        ("residence", "postal_code", "address", "phone", "nationality"),
    ),
    Section(
        "purpose",
        _("Why you invest, and your occupation"),
        _("The law asks us to know the purpose of the transactions."),
        ("purpose", "purpose_other", "occupation", "employer", "source_of_funds"),
        frozenset({"purpose_other", "employer"}),
    ),
    Section("pep", _("Public positions"), _PEP_HINT, ("is_pep", "pep_detail"), frozenset({"pep_detail"})),
    Section("evidence", _("Identity documents"), _("JPEG, PNG or PDF, up to 10 MB each.")),
)
CORPORATE: Final = (
    Section(
        "company",
        _("The company"),
        _("As in the commercial register."),
        ("name", "name_kana", "name_romaji", "country", "corporate_number"),
        frozenset({"corporate_number"}),
    ),
    Section("office", _("Head office"), _("The registered address."), ("postal_code", "head_office", "phone")),
    Section(
        "business",
        _("Business and purpose"),
        _("The law asks us to know the business and the purpose of the transactions."),
        ("business", "purpose", "purpose_other", "source_of_funds"),
        frozenset({"purpose_other"}),
    ),
    Section(
        "representative",
        _("Representative"),
        _("The person who acts for the company here."),
        (
            "representative_name",
            "representative_kana",
            "representative_romaji",
            "representative_title",
            "representative_birth_date",
        ),
    ),
    Section(
        "owners",
        _("Beneficial owners"),
        _("Natural persons who hold more than a quarter of the votes, or control the company in another way."),
    ),
    Section(
        "investor",
        _("Kind of investor"),
        _("Some securities may be held by qualified institutional investors only."),
        ("qii_claim",),
    ),
    Section("pep", _("Public positions"), _PEP_HINT, ("is_pep", "pep_detail"), frozenset({"pep_detail"})),
    Section("evidence", _("Company documents"), _("JPEG, PNG or PDF, up to 10 MB each.")),
)

_KANA_FIELDS: Final = frozenset({"family_kana", "given_kana", "name_kana", "representative_kana"})
_DIGIT_FIELDS: Final = frozenset({"phone", "corporate_number"})


def sections_of(application: Application) -> tuple[Section, ...]:
    """The sections of this kind of applicant, in the order they are asked."""
    return CORPORATE if application.is_corporate else INDIVIDUAL


def section_of(application: Application, key: str) -> Section | None:
    return next((section for section in sections_of(application) if section.key == key), None)


def details_of(application: Application) -> IndividualDetails | CorporateDetails:
    """The answers' row; made together with the application."""
    return application.corporate if application.is_corporate else application.individual


def holder_of(application: Application, field: str) -> models.Model:
    """The row a field is stored on."""
    return application if field == "qii_claim" else details_of(application)


def tidied(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Answers in one width: kana as katakana, numbers without hyphens, single spaces."""
    return {field: _tidied(field, value) for field, value in answers.items()}


def _tidied(field: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if field in _KANA_FIELDS:
        return tidy_kana(value)
    if field in _DIGIT_FIELDS:
        return tidy_digits(value)
    if field == "postal_code":
        digits = tidy_digits(value)
        return f"{digits[:3]}-{digits[3:]}" if len(digits) == 7 and digits.isdigit() else tidy(value)
    return tidy(value)


def missing_fields(application: Application, section: Section, values: Mapping[str, Any] | None = None) -> list[str]:
    """Fields of the section that still need an answer, given `values` or what is stored."""
    held = values if values is not None else stored(application, section)
    missing = [field for field in section.fields if field not in section.optional and held.get(field) in (None, "")]
    if "purpose_other" in section.fields and held.get("purpose") == Purpose.OTHER and not held.get("purpose_other"):
        missing.append("purpose_other")
    if "pep_detail" in section.fields and held.get("is_pep") and not held.get("pep_detail"):
        missing.append("pep_detail")
    if "corporate_number" in section.fields and held.get("country") == "JP" and not held.get("corporate_number"):
        missing.append("corporate_number")
    return missing


def stored(application: Application, section: Section) -> dict[str, Any]:
    return {field: getattr(holder_of(application, field), field) for field in section.fields}


def progress(application: Application) -> dict[str, Progress]:
    """How far every section is. Queries: details, owners, evidence, rule; whatever the number of documents."""
    evidence = [item for item in application.evidence.all() if item.state in ("stored", "sent_back")]
    answer = {}
    for section in sections_of(application):
        if section.key == "evidence":
            answer[section.key] = _evidence_progress(application, evidence)
        elif section.key == "owners":
            answer[section.key] = Progress.DONE if application.owners.all() else Progress.NOT_STARTED
        else:
            answer[section.key] = _fields_progress(application, section)
    return answer


def _fields_progress(application: Application, section: Section) -> Progress:
    missing = missing_fields(application, section)
    if not missing:
        return Progress.DONE
    answered = any(value not in (None, "") for value in stored(application, section).values())
    return Progress.IN_PROGRESS if answered else Progress.NOT_STARTED


def _evidence_progress(application: Application, evidence: list[Evidence]) -> Progress:
    if any(item.state == Evidence.State.SENT_BACK for item in evidence):
        return Progress.SENT_BACK
    if not evidence:
        return Progress.NOT_STARTED
    return Progress.DONE if evidence_verifies(application, evidence) else Progress.IN_PROGRESS


def evidence_verifies(application: Application, evidence: list[Evidence] | None = None) -> bool:
    """Whether the documents received would verify this applicant today (DOMAIN §2, dated rule)."""
    from django.utils import timezone

    items = list(application.evidence.all()) if evidence is None else evidence
    rule = rules.rule_on(subject=DatedRule.Subject.VERIFICATION, day=timezone.localdate())
    methods = {item.method for item in items if item.state == Evidence.State.STORED}
    return rules.verifies(rule=rule, kind=application.kind, methods=methods)


def names_of(application: Application) -> tuple[str, str, str]:
    """(name, kana, Latin letters) of the applicant, from the answers."""
    if application.is_corporate:
        company = application.corporate
        return company.name, company.name_kana, company.name_romaji
    person = application.individual
    return (
        f"{person.family_name} {person.given_name}".strip(),
        f"{person.family_kana} {person.given_kana}".strip(),
        f"{person.family_romaji} {person.given_romaji}".strip(),
    )


KINDS_OF_EVIDENCE: Final = {
    PartyKind.INDIVIDUAL: (
        Evidence.Kind.IC_CHIP,
        Evidence.Kind.JPKI,
        Evidence.Kind.LICENCE,
        Evidence.Kind.PASSPORT,
        Evidence.Kind.MY_NUMBER_CARD,
        Evidence.Kind.RESIDENCE_CARD,
        Evidence.Kind.PORTRAIT,
        Evidence.Kind.ADDRESS_PROOF,
        Evidence.Kind.OTHER,
    ),
    PartyKind.CORPORATE: (
        Evidence.Kind.REGISTRY,
        Evidence.Kind.SEAL,
        Evidence.Kind.OWNERS,
        Evidence.Kind.QII_NOTICE,
        Evidence.Kind.AUTHORITY,
        Evidence.Kind.OTHER,
    ),
}
