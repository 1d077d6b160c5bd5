"""Documents: what is taken, what is refused, how it is kept, who reads it, when it may go."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Group
from django.utils import timezone
from pypdf import PdfReader, PdfWriter

from kyc import rules, services, storage
from kyc.exceptions import EvidenceUnreadable, FileRefused
from kyc.models import Application, DatedRule, Evidence
from kyc.tests.conftest import add, jpeg, pdf, png
from portal.models import AuditEntry, Role, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def started(investor: User) -> Application:
    return services.start_application(user=investor, kind="individual")


def files(settings) -> list[Path]:
    root = Path(settings.PRIVATE_ROOT)
    return [path for path in root.rglob("*") if path.is_file()] if root.exists() else []


@pytest.mark.parametrize(
    ("content", "content_type"), [(png(), "image/png"), (jpeg(), "image/jpeg"), (pdf(), "application/pdf")]
)
def test_it_takes_pictures_and_pdf_whatever_they_are_called(started, investor, content, content_type):
    evidence = add(started, investor, "passport", content, "../../etc/passwd.exe")
    assert evidence.content_type == content_type
    assert evidence.file_name == "passwd.exe"
    assert services.open_evidence(evidence_id=evidence.pk, reader=investor).content == content


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "hello")
    return buffer.getvalue()


def locked_pdf() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf())))
    writer.encrypt("secret", algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "kyc.evidence.empty"),
        (b"MZ\x90\x00" + bytes(500), "kyc.evidence.wrong_type"),
        (b"\x7fELF" + bytes(500), "kyc.evidence.wrong_type"),
        (b"<html><script>alert(1)</script></html>", "kyc.evidence.wrong_type"),
        (archive(), "kyc.evidence.wrong_type"),
        (png()[:-20], "kyc.evidence.damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "kyc.evidence.damaged"),
        (b"\xff\xd8\xff\xe0" + b"MZ" + bytes(300), "kyc.evidence.damaged"),
        (b"%PDF-1.7\nMZ" + bytes(300), "kyc.evidence.damaged"),
        (b"%PDF-1.7\n" + bytes(300) + b"\n%%EOF\n", "kyc.evidence.damaged"),
        (locked_pdf(), "kyc.evidence.protected"),
    ],
)
def test_it_refuses_what_is_not_a_sound_picture_or_pdf_and_stores_nothing(
    started, investor, settings, refused, content, code
):
    arguments = {"application_id": started.pk, "user": investor, "kind": "passport", "file_name": "passport.jpg"}
    assert refused(services.add_evidence, chunks=[content], size=len(content), **arguments) == code
    assert not Evidence.objects.exists()
    assert files(settings) == []


def test_a_size_that_is_understated_is_counted(started, investor, settings, refused):
    settings.EVIDENCE_MAX_BYTES = 1000
    code = refused(
        services.add_evidence,
        application_id=started.pk,
        user=investor,
        kind="passport",
        file_name="a.png",
        chunks=iter([png(), bytes(2000)]),
        size=10,
    )
    assert code == "kyc.evidence.too_large"


def test_a_picture_of_too_many_pixels_is_refused(started, investor, monkeypatch):
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    with pytest.raises(FileRefused) as caught:
        add(started, investor, "passport", buffer.getvalue())
    assert caught.value.code == "kyc.evidence.damaged"


def test_the_same_file_twice_is_one_document(started, investor, settings):
    assert add(started, investor, "passport", png()) == add(started, investor, "passport", png())
    assert Evidence.objects.count() == 1
    assert len(files(settings)) == 1


def test_what_lies_on_disk_is_not_readable_and_has_a_random_name(started, investor, settings):
    evidence = add(started, investor, "passport", png(), "taro-yamada.png")
    (path,) = files(settings)
    assert path.name == evidence.storage_name
    assert b"PNG" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_a_changed_file_does_not_open(started, investor, settings):
    evidence = add(started, investor, "passport", png())
    (path,) = files(settings)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(EvidenceUnreadable):
        services.open_evidence(evidence_id=evidence.pk, reader=investor)


def test_two_files_swapped_on_disk_do_not_open(started, investor, settings):
    one = add(started, investor, "passport", png(1))
    two = add(started, investor, "licence", png(2))
    first, second = storage._path(one.storage_name), storage._path(two.storage_name)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    for evidence in (one, two):
        with pytest.raises(EvidenceUnreadable):
            services.open_evidence(evidence_id=evidence.pk, reader=investor)


def test_keys_rotate_and_the_old_one_may_go(started, investor, settings):
    evidence = add(started, investor, "passport", png())
    old, new = settings.EVIDENCE_KEYS[0], Fernet.generate_key().decode()
    settings.EVIDENCE_KEYS = [new, old]
    assert services.open_evidence(evidence_id=evidence.pk, reader=investor).content == png()
    assert services.rotate_evidence_keys() == 1
    assert services.rotate_evidence_keys() == 0
    settings.EVIDENCE_KEYS = [new]
    assert services.open_evidence(evidence_id=evidence.pk, reader=investor).content == png()
    settings.EVIDENCE_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(EvidenceUnreadable):
        services.open_evidence(evidence_id=evidence.pk, reader=investor)


def test_every_viewing_by_an_officer_is_recorded_and_the_owners_own_is_not(started, investor, reviewer):
    evidence = add(started, investor, "passport", png())
    services.open_evidence(evidence_id=evidence.pk, reader=investor)
    services.open_evidence(evidence_id=evidence.pk, reader=reviewer)
    services.open_evidence(evidence_id=evidence.pk, reader=reviewer)
    viewings = AuditEntry.objects.filter(action="kyc.evidence.viewed")
    assert [entry.actor for entry in viewings] == [reviewer, reviewer]


def test_a_stranger_and_an_issuer_cannot_open_it(started, investor, stranger):
    evidence = add(started, investor, "passport", png())
    issuer = User.objects.create_user("issuer@example.jp")
    issuer.groups.add(Group.objects.get_or_create(name=Role.ISSUER)[0])
    for person in (stranger, issuer):
        with pytest.raises(Evidence.DoesNotExist):
            services.open_evidence(evidence_id=evidence.pk, reader=person)


def test_somebody_else_cannot_add_to_an_application(started, stranger, refused, settings):
    code = refused(
        services.add_evidence,
        application_id=started.pk,
        user=stranger,
        kind="passport",
        file_name="a.png",
        chunks=[png()],
        size=10,
    )
    assert code == "kyc.application.not_yours"
    assert files(settings) == []


def test_a_document_of_a_draft_may_be_taken_out_again(started, investor, settings, django_capture_on_commit_callbacks):
    evidence = add(started, investor, "passport", png())
    with django_capture_on_commit_callbacks(execute=True):
        services.remove_evidence(evidence_id=evidence.pk, user=investor)
    evidence.refresh_from_db()
    assert evidence.state == Evidence.State.DELETED
    assert files(settings) == []


@pytest.fixture
def administrator(db) -> User:
    user = User.objects.create_user("admin@musubi.example")
    user.groups.add(Group.objects.get_or_create(name=Role.ADMINISTRATOR)[0])
    return user


def test_a_record_cannot_be_deleted_while_the_relationship_lasts(submitted, administrator, refused):
    evidence = submitted.evidence.get()
    code = refused(services.delete_evidence, evidence_id=evidence.pk, actor=administrator, reason="x")
    assert code == "kyc.evidence.retention"


@pytest.mark.parametrize(("days_left", "gone"), [(1, False), (0, True)])
def test_a_record_is_kept_seven_years_to_the_day(submitted, administrator, refused, days_left, gone):
    evidence = submitted.evidence.get()
    today = timezone.localdate()
    ended = date(today.year - 7, today.month, today.day) + timedelta(days=days_left)
    at = timezone.make_aware(datetime(ended.year, ended.month, ended.day, 12))
    Application.objects.filter(pk=submitted.pk).update(state="rejected", closed_at=at)
    arguments = {"evidence_id": evidence.pk, "actor": administrator, "reason": "retention over"}
    if gone:
        services.delete_evidence(**arguments)
    else:
        assert refused(services.delete_evidence, **arguments) == "kyc.evidence.retention"
    evidence.refresh_from_db()
    assert (evidence.state == Evidence.State.DELETED) is gone


def test_images_alone_verify_until_the_end_of_march_2027_and_not_after():
    for day, accepted in ((date(2027, 3, 31), True), (date(2027, 4, 1), False), (date(2030, 1, 1), False)):
        rule = rules.rule_on(subject=DatedRule.Subject.VERIFICATION, day=day)
        assert rules.verifies(rule=rule, kind="individual", methods={"image", "supporting"}) is accepted
        assert rules.verifies(rule=rule, kind="individual", methods={"ic_chip"})
        assert rules.verifies(rule=rule, kind="individual", methods={"jpki"})
        assert not rules.verifies(rule=rule, kind="individual", methods={"supporting"})


def test_the_rule_of_its_day_is_stored_with_a_document(started, investor):
    evidence = add(started, investor, "passport", png())
    rule = rules.rule_on(subject=DatedRule.Subject.VERIFICATION, day=timezone.localdate())
    assert (evidence.method, evidence.rule_version) == ("image", rule.version)
    assert evidence.rule_effective_from == rule.effective_from
