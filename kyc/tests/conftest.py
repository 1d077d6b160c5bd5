"""The people and documents of this app's tests."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Group
from PIL import Image
from pypdf import PdfWriter

from chain.types import SignerRole
from kyc import services
from kyc.management.commands.load_sanctions_list import SAMPLE
from kyc.models import Application, SanctionsList
from kyc.selectors import primary_wallet
from portal.models import Role, User

ANSWERS: dict[str, dict[str, Any]] = {
    "name": {
        "family_name": "青木",
        "given_name": "花子",
        "family_kana": "アオキ",
        "given_kana": "ハナコ",
        "family_romaji": "AOKI",
        "given_romaji": "Hanako",
        "birth_date": date(1985, 4, 12),
    },
    "address": {
        "residence": "JP",
        "postal_code": "１００－０００１",
        "address": "東京都千代田区千代田１－１",
        "phone": "03-1234-5678",
        "nationality": "JP",
    },
    "purpose": {
        "purpose": "long_term",
        "occupation": "employee",
        "employer": "青木商店",
        "source_of_funds": "給与",
    },
    "pep": {"is_pep": False},
}
COMPANY_ANSWERS: dict[str, dict[str, Any]] = {
    "company": {
        "name": "株式会社見本商事",
        "name_kana": "ミホンショウジ",
        "name_romaji": "Mihon Trading Co., Ltd.",
        "country": "JP",
        "corporate_number": "7000012050002",
    },
    "office": {"postal_code": "1000001", "head_office": "東京都千代田区1-1", "phone": "0312345678"},
    "business": {"business": "卸売業", "purpose": "surplus", "source_of_funds": "営業収益"},
    "representative": {
        "representative_name": "見本 一郎",
        "representative_kana": "ミホン イチロウ",
        "representative_romaji": "Ichiro MIHON",
        "representative_title": "代表取締役",
        "representative_birth_date": date(1970, 1, 2),
    },
    "investor": {"qii_claim": True},
    "pep": {"is_pep": False},
}
OWNER: dict[str, Any] = {
    "name": "見本 一郎",
    "name_kana": "ミホン イチロウ",
    "name_romaji": "Ichiro MIHON",
    "birth_date": date(1970, 1, 2),
    "nationality": "JP",
    "address": "東京都港区1-1",
    "share_bps": 6000,
}


@pytest.fixture(autouse=True)
def private_files(settings: Any, tmp_path: Path) -> None:
    settings.PRIVATE_ROOT = tmp_path / "private"
    settings.EVIDENCE_KEYS = [Fernet.generate_key().decode()]
    settings.KEYSTORE_DIR = tmp_path / "keystore"


def png(colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (colour, 80, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 80, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


def pdf() -> bytes:
    buffer = io.BytesIO()
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(buffer)
    return buffer.getvalue()


def add(
    application: Application, user: User, kind: str, content: bytes, name: str = "document.png", **more: Any
) -> Any:
    return services.add_evidence(
        application_id=application.pk,
        user=user,
        kind=kind,
        file_name=name,
        chunks=[content],
        size=len(content),
        **more,
    )


def _officer(email: str) -> User:
    user = User.objects.create_user(email, "correct horse battery")
    user.groups.add(Group.objects.get_or_create(name=Role.KYC_OFFICER)[0])
    return user


@pytest.fixture
def investor(db: None) -> User:
    return User.objects.create_user("hanako@example.jp", "correct horse battery")


@pytest.fixture
def stranger(db: None) -> User:
    return User.objects.create_user("stranger@example.jp", "correct horse battery")


@pytest.fixture
def reviewer(db: None) -> User:
    return _officer("reviewer@musubi.example")


@pytest.fixture
def second_reviewer(db: None) -> User:
    return _officer("second@musubi.example")


@pytest.fixture
def auditor(db: None) -> User:
    user = User.objects.create_user("auditor@musubi.example", "correct horse battery")
    user.groups.add(Group.objects.get_or_create(name=Role.AUDITOR)[0])
    return user


@pytest.fixture
def sample_list(db: None) -> SanctionsList:
    return services.load_sanctions_list(
        kind="ofac", directory=SAMPLE, name="OFAC sample", published_on=date(2026, 11, 2), is_sample=True
    )


@pytest.fixture
def draft(investor: User) -> Application:
    """An individual's application with every answer and an IC chip record, not submitted."""
    return fill_in(investor)


def fill_in(user: User, **changes: dict[str, Any]) -> Application:
    application = services.start_application(user=user, kind="individual")
    for section, answers in ANSWERS.items():
        services.update_section(
            application_id=application.pk, user=user, section=section, answers={**answers, **changes.get(section, {})}
        )
    add(application, user, "ic_chip", pdf(), "chip.pdf")
    return Application.objects.get(pk=application.pk)


@pytest.fixture
def company_draft(investor: User) -> Application:
    application = services.start_application(user=investor, kind="corporate")
    for section, answers in COMPANY_ANSWERS.items():
        services.update_section(application_id=application.pk, user=investor, section=section, answers=answers)
    services.save_owner(application_id=application.pk, user=investor, answers=OWNER)
    add(application, investor, "registry", pdf(), "registry.pdf")
    return Application.objects.get(pk=application.pk)


def submit(application: Application) -> Application:
    """Submit and run the screening that the task or the sweep would run."""
    services.submit_application(application_id=application.pk, user=application.user, declares=True)
    services.run_due_screenings()
    application.refresh_from_db()
    return application


@pytest.fixture
def submitted(draft: Application, sample_list: SanctionsList) -> Application:
    return submit(draft)


@pytest.fixture
def approved(submitted: Application, reviewer: User, second_reviewer: User) -> Application:
    return approve(submitted, reviewer, second_reviewer)


def approve(application: Application, first: User, second: User) -> Application:
    services.claim(application_id=application.pk, officer=first)
    services.decide(application_id=application.pk, officer=first, verdict="approve", reason="clear", risk_rating="low")
    services.confirm(application_id=application.pk, officer=second, agrees=True, reason="agreed")
    application.refresh_from_db()
    return application


@pytest.fixture
def refused() -> Callable[..., str]:
    """Call it with a service and its arguments: the code of its refusal."""

    def call(service: Callable[..., Any], **arguments: Any) -> str:
        from portal.exceptions import DomainError

        with pytest.raises(DomainError) as caught:
            service(**arguments)
        return caught.value.code

    return call


@pytest.fixture
def officer_key(platform: Any, second_reviewer: User) -> None:
    signer = platform.signer(SignerRole.ATTESTOR)
    services.set_officer_key(user=second_reviewer, address=signer.address, actor="test", signer=signer)


@pytest.fixture
def active(
    approved: Application, platform: Any, officer_key: None, second_reviewer: User, settle: Callable[[], None]
) -> Application:
    services.attest(application_id=approved.pk, officer=second_reviewer)
    make_effective(platform, settle)
    approved.refresh_from_db()
    return approved


def make_effective(platform: Any, settle: Callable[[], None]) -> None:
    settle()
    platform.node.call("evm_increaseTime", 7_200)
    platform.node.mine(70)
    settle()
    settle()
    services.activate_due()


def address(application: Application) -> str:
    wallet = primary_wallet(application.user)
    assert wallet is not None
    found: str = wallet.address
    return found
