"""The sample investors' way to their soulbound tokens: application, screening, two officers, attestation."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

from django.core.management import call_command

from chain.services.deployment import held_attestors
from kyc import services
from kyc.models import Application, OfficerKey, SanctionsList
from portal.demo.papers import sample_identity_card
from portal.demo.waiting import Report, WorldStuck, until
from portal.models import User

State = Application.State

#: What each invented applicant answers, page by page.
ANSWERS: dict[str, dict[str, dict[str, Any]]] = {
    "investor_a": {
        "name": {
            "family_name": "青木",
            "given_name": "葵",
            "family_kana": "アオキ",
            "given_kana": "アオイ",
            "family_romaji": "AOKI",
            "given_romaji": "Aoi",
            "birth_date": date(1971, 5, 20),
        },
        "address": {
            "residence": "JP",
            "postal_code": "100-0005",
            "address": "東京都千代田区丸の内1-9-1",
            "phone": "0312345601",
            "nationality": "JP",
        },
        "purpose": {
            "purpose": "income",
            "occupation": "professional",
            "employer": "青木会計事務所",
            "source_of_funds": "事業所得",
        },
        "pep": {"is_pep": False},
    },
    "investor_b": {
        "name": {
            "family_name": "馬場",
            "given_name": "文香",
            "family_kana": "ババ",
            "given_kana": "フミカ",
            "family_romaji": "BABA",
            "given_romaji": "Fumika",
            "birth_date": date(1983, 11, 2),
        },
        "address": {
            "residence": "JP",
            "postal_code": "530-0001",
            "address": "大阪府大阪市北区梅田3-1-3",
            "phone": "0661234502",
            "nationality": "JP",
        },
        "purpose": {
            "purpose": "long_term",
            "occupation": "employee",
            "employer": "株式会社みなと製作所",
            "source_of_funds": "給与",
        },
        "pep": {"is_pep": False},
    },
    "investor_c": {
        "name": {
            "family_name": "千葉",
            "given_name": "千尋",
            "family_kana": "チバ",
            "given_kana": "チヒロ",
            "family_romaji": "CHIBA",
            "given_romaji": "Chihiro",
            "birth_date": date(1990, 2, 14),
        },
        "address": {
            "residence": "JP",
            "postal_code": "980-0021",
            "address": "宮城県仙台市青葉区中央1-1-1",
            "phone": "0221234503",
            "nationality": "JP",
        },
        "purpose": {
            "purpose": "surplus",
            "occupation": "self_employed",
            "employer": "千葉書店",
            "source_of_funds": "事業所得",
        },
        "pep": {"is_pep": False},
    },
}


def prepare_officers(people: dict[str, User]) -> None:
    """A sanctions list is loaded, and each officer has the key they attest with (held here: a demo officer's)."""
    if not SanctionsList.objects.filter(is_current=True).exists():
        call_command("load_sanctions_list", verbosity=0)
    for key, signer in zip(("officer_1", "officer_2"), held_attestors(), strict=False):
        officer = people[key]
        if not OfficerKey.objects.filter(user=officer, address=signer.address).exists():
            services.set_officer_key(user=officer, address=signer.address, signer=signer, actor=people["administrator"])


def ensure_submitted(key: str, user: User) -> Application:
    """The person has applied: every page answered, documents uploaded, declarations made."""
    application = services.start_application(user=user, kind="individual")
    if application.state != State.DRAFT:
        return application
    answers = ANSWERS[key]
    for section, values in answers.items():
        services.update_section(application_id=application.pk, user=user, section=section, answers=values)
    name = f"{answers['name']['family_romaji']} {answers['name']['given_romaji']}"
    born = answers["name"]["birth_date"].isoformat()
    known = set(application.evidence.values_list("kind", flat=True))
    for kind, side in (("licence", "front"), ("ic_chip", "chip record")):
        if kind not in known:
            content = sample_identity_card(name=name, birth_date=born, side=side)
            services.add_evidence(
                application_id=application.pk,
                user=user,
                kind=kind,
                file_name=f"{kind}.jpg",
                chunks=[content],
                size=len(content),
            )
    return services.submit_application(application_id=application.pk, user=user, declares=True)


def ensure_verified(investors: dict[str, User], people: dict[str, User], report: Report) -> None:
    """Each of `investors` holds an effective token. They go through together: the chain takes them in one go."""
    applications = [ensure_submitted(key, user) for key, user in investors.items()]
    for application in applications:
        _through_the_officers(application, people)
    for application in applications:
        until(f"the token of {application.reference}", partial(_is_active, application))
        report(f"{application.name} is verified")


def _through_the_officers(application: Application, people: dict[str, User]) -> None:
    """Whatever the officers still have to do, up to the signature that asks the chain for the token."""
    first, second = people["officer_1"], people["officer_2"]
    until(f"the screening of {application.reference}", partial(_is_screened, application))
    if application.state in (State.SUBMITTED, State.IN_REVIEW):
        application = services.claim(application_id=application.pk, officer=first)
        application = services.decide(
            application_id=application.pk,
            officer=first,
            verdict="approve",
            reason="書類と申込内容が一致していることを確認しました。",
            risk_rating="low",
        )
    if application.state == State.APPROVED_FIRST:
        application = services.confirm(
            application_id=application.pk, officer=second, agrees=True, reason="再確認しました。"
        )
    if application.state == State.APPROVED:
        application = services.attest(application_id=application.pk, officer=first)
    if application.state == State.ATTESTED:
        services.attest(application_id=application.pk, officer=first)


def _is_screened(application: Application) -> bool:
    application.refresh_from_db()
    return application.screening_ready or application.state not in (State.SUBMITTED, State.IN_REVIEW)


def _is_active(application: Application) -> bool:
    application.refresh_from_db()
    if application.state == State.ATTESTED and application.problem:
        raise WorldStuck(f"the token of {application.reference} was refused: {application.problem}")
    return application.state == State.ACTIVE
