"""Every page opens for whom it is meant, in both languages, and for nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kyc import selectors, services
from kyc.models import Application, Evidence
from kyc.tests.conftest import pdf
from portal.testing import use_second_factor

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_staff(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    return client


def sign_in(client: Client, user, language: str = "en") -> Client:
    user.language = language
    user.save()
    client.force_login(user)
    if user.roles:
        use_second_factor(client, user)
    return client


@pytest.mark.parametrize("language", ["en", "ja"])
def test_an_applicant_walks_every_page_of_an_individual_application(client, investor, draft, sample_list, language):
    sign_in(client, investor, language)
    for url in (
        reverse("kyc:application"),
        reverse("kyc:section", args=["name"]),
        reverse("kyc:section", args=["address"]),
        reverse("kyc:section", args=["purpose"]),
        reverse("kyc:section", args=["pep"]),
        reverse("kyc:evidence"),
        reverse("kyc:application-check"),
    ):
        response = client.get(url)
        assert response.status_code == 200, url
    response = client.post(reverse("kyc:application-check"), {"declares": "on"})
    assert response.status_code == 302
    assert client.get(reverse("kyc:status")).status_code == 200


@pytest.mark.parametrize("language", ["en", "ja"])
def test_an_applicant_walks_every_page_of_a_company_application(client, investor, company_draft, language):
    sign_in(client, investor, language)
    owner = company_draft.owners.get()
    for url in (
        reverse("kyc:application"),
        *(
            reverse("kyc:section", args=[key])
            for key in ("company", "office", "business", "representative", "investor")
        ),
        reverse("kyc:owners"),
        reverse("kyc:owner-add"),
        reverse("kyc:owner-edit", args=[owner.pk]),
        reverse("kyc:evidence"),
        reverse("kyc:application-check"),
    ):
        assert client.get(url).status_code == 200, url


@pytest.mark.parametrize("language", ["en", "ja"])
def test_an_officer_sees_queue_panel_and_case(client, submitted, reviewer, language):
    sign_in(client, reviewer, language)
    services.claim(application_id=submitted.pk, officer=reviewer)
    for url in (
        reverse("kyc:queue"),
        reverse("kyc:case-panel", args=[submitted.pk]),
        reverse("kyc:case", args=[submitted.pk]),
        reverse("kyc:case-progress", args=[submitted.pk]),
    ):
        assert client.get(url).status_code in (200, 286), url
    assert client.get(reverse("kyc:case-next")).status_code == 302


def test_an_auditor_looks_but_cannot_act(client, submitted, auditor):
    sign_in(client, auditor)
    assert client.get(reverse("kyc:case", args=[submitted.pk])).status_code == 200
    assert client.post(reverse("kyc:case-claim", args=[submitted.pk])).status_code == 403
    submitted.refresh_from_db()
    assert submitted.state == Application.State.SUBMITTED


def test_an_investor_cannot_open_the_queue(client, submitted, stranger):
    sign_in(client, stranger)
    assert client.get(reverse("kyc:queue")).status_code == 403
    assert client.get(reverse("kyc:case", args=[submitted.pk])).status_code == 403


def test_leaving_keeps_what_was_entered_so_far(client, investor):
    services.start_application(user=investor, kind="individual")
    sign_in(client, investor)
    response = client.post(reverse("kyc:section", args=["name"]), {"family_name": "青木", "leave": "1"})
    assert response.status_code == 302
    page = client.get(reverse("kyc:section", args=["name"]))
    assert 'value="青木"' in page.content.decode()


def test_continuing_asks_for_what_is_missing_and_stores_nothing(client, investor):
    application = services.start_application(user=investor, kind="individual")
    sign_in(client, investor)
    response = client.post(reverse("kyc:section", args=["name"]), {"family_name": "青木"})
    assert response.status_code == 422
    application.individual.refresh_from_db()
    assert application.individual.family_name == ""


def test_a_wrong_answer_is_refused_beside_its_field(client, investor):
    services.start_application(user=investor, kind="individual")
    sign_in(client, investor)
    answers = {
        "family_name": "青木",
        "given_name": "花子",
        "family_kana": "Aoki",
        "given_kana": "ハナコ",
        "family_romaji": "AOKI",
        "given_romaji": "Hanako",
        "birth_date": "1985-04-12",
    }
    response = client.post(reverse("kyc:section", args=["name"]), answers)
    assert response.status_code == 422
    assert "katakana, for example" in response.content.decode()


def test_a_document_is_served_to_its_owner_with_headers_that_let_nothing_run(client, investor, draft):
    sign_in(client, investor)
    evidence = draft.evidence.get()
    response = client.get(reverse("kyc:evidence-file", args=[evidence.pk]))
    assert response.content == pdf() or response.content.startswith(b"%PDF")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"].startswith("attachment")
    policy = response["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert "no-store" in response["Cache-Control"]


def test_a_stranger_is_told_there_is_no_such_document(client, stranger, draft):
    sign_in(client, stranger)
    assert client.get(reverse("kyc:evidence-file", args=[draft.evidence.get().pk])).status_code == 404


def test_a_visitor_is_sent_to_sign_in(client, draft):
    response = client.get(reverse("kyc:application"))
    assert response.status_code == 302
    assert "login" in response["Location"]


def test_uploading_a_renamed_programme_says_so_and_stores_nothing(client, investor):
    from django.core.files.uploadedfile import SimpleUploadedFile

    application = services.start_application(user=investor, kind="individual")
    sign_in(client, investor)
    upload = SimpleUploadedFile("passport.jpg", b"MZ\x90\x00" + b"\x00" * 200, content_type="image/jpeg")
    response = client.post(reverse("kyc:evidence"), {"kind": "passport", "file": upload})
    assert response.status_code == 422
    assert "not a JPEG, PNG or PDF" in response.content.decode()
    assert not Evidence.objects.filter(application=application).exists()


def test_a_replayed_submission_changes_nothing(client, investor, draft, sample_list):
    sign_in(client, investor)
    for _click in range(2):
        assert client.post(reverse("kyc:application-check"), {"declares": "on"}).status_code == 302
    draft.refresh_from_db()
    assert draft.state == Application.State.SUBMITTED
    assert draft.user.notices.filter(kind="kyc.submitted").count() == 1


def test_the_queue_issues_the_same_number_of_queries_however_long_it_is(
    client, reviewer, submitted, django_user_model, django_assert_max_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    sign_in(client, reviewer)
    client.get(reverse("kyc:queue"))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(reverse("kyc:queue"))
    for number in range(30):
        user = django_user_model.objects.create_user(f"p{number}@example.jp")
        Application.objects.create(
            user=user, kind="individual", state="submitted", submitted_at=timezone.now(), name=f"P {number}"
        )
    with CaptureQueriesContext(connection) as many:
        client.get(reverse("kyc:queue"))
    assert len(many) == len(few)


def waiting(user_model, *ages_in_hours: float) -> None:
    now = timezone.now()
    users = user_model.objects.bulk_create(
        user_model(email=f"w{number}@example.jp") for number in range(len(ages_in_hours))
    )
    Application.objects.bulk_create(
        Application(user=user, kind="individual", state="submitted", submitted_at=now - timedelta(hours=age))
        for user, age in zip(users, ages_in_hours, strict=True)
    )


def test_the_ages_of_the_queue_are_counted_and_the_oldest_is_named(db, django_user_model):
    waiting(django_user_model, 1, 23, 25, 71, 73, 167, 169, 1_000)
    ages = selectors.queue_ages()
    assert ages.counts == (2, 2, 2, 2)
    assert ages.oldest == Application.objects.earliest("submitted_at").submitted_at


def test_ages_are_counted_to_the_cap_only_and_the_page_says_so(
    client, reviewer, django_user_model, django_assert_num_queries
):
    waiting(django_user_model, *[200] * (selectors.COUNT_CAP + 5), 1)
    with django_assert_num_queries(1):
        assert selectors.queue_ages().counts == (1, 0, 0, selectors.COUNT_CAP + 1)
    page = sign_in(client, reviewer).get(reverse("kyc:queue")).content.decode()
    assert "Counted to 1000 each; there are more." in page
    assert page.count("chart-bar-0") == 2 * 4


def test_an_empty_queue_says_so_and_draws_nothing(client, reviewer):
    page = sign_in(client, reviewer).get(reverse("kyc:queue")).content.decode()
    assert "No application waits." in page
    assert "chart-bar" not in page


def test_the_queue_finds_by_kana_and_by_number(client, reviewer, submitted):
    sign_in(client, reviewer)
    for search in ("あおき", "aoki", submitted.reference, "hanako@", "青木"):
        page = client.get(reverse("kyc:queue"), {"search": search, "state": "all"}).content.decode()
        assert submitted.reference in page, search
    page = client.get(reverse("kyc:queue"), {"search": "nobody", "state": "all"}).content.decode()
    assert submitted.reference not in page


def test_a_search_of_lists_shows_its_progress_until_it_is_done(client, reviewer, submitted):
    """Only the part that tells of the runs is asked for again: what an officer types beside it stays."""
    sign_in(client, reviewer)
    runs = submitted.screening_runs.filter(round=submitted.round)
    assert runs.exists()
    path = reverse("kyc:case", args=[submitted.pk])
    runs.update(state="pending")
    page = client.get(path).content.decode()
    assert f'hx-get="{path}?searching=1" hx-trigger="every 3s"' in page
    assert "the search goes on" in page
    runs.update(state="done")
    done = client.get(path, {"searching": "1"}).content.decode()
    assert 'hx-trigger="every 3s"' not in done
    assert "The search is done" in done
    assert "The search is done" not in client.get(path).content.decode()


def test_the_applicant_s_page_stops_asking_when_nothing_moves_by_itself(client, investor, draft):
    sign_in(client, investor)
    path = reverse("kyc:status")
    Application.objects.filter(pk=draft.pk).update(state="submitted", submitted_at=timezone.now())
    moving = client.get(path, headers={"HX-Request": "true"})
    assert moving.status_code == 200
    assert 'hx-trigger="every 2s"' in moving.content.decode()
    Application.objects.filter(pk=draft.pk).update(state="rejected")
    still = client.get(path, headers={"HX-Request": "true"})
    assert still.status_code == 286
    assert "hx-trigger" not in still.content.decode()


def test_the_ages_that_are_kept_for_seconds_are_in_each_readers_language(client, reviewer, settings, django_user_model):
    settings.CACHES = {**settings.CACHES, "fragments": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    waiting(django_user_model, 1)
    words = {"en": "How long they wait", "ja": "待ち時間"}
    for language in ("en", "ja", "en"):
        page = sign_in(client, reviewer, language).get(reverse("kyc:queue")).content.decode()
        assert words[language] in page
