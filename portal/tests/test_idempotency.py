"""A form acts once, however often it is sent."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.utils import timezone

from portal.models import IdempotencyKey, User

pytestmark = [pytest.mark.urls("portal.tests.urls")]


def token_of(browser) -> str:
    return str(browser.get("/test/once/").content.decode())


@pytest.mark.django_db
def test_a_repeat_gets_the_first_answer_and_does_nothing(investor, sign_in):
    browser = sign_in(investor)
    form = {"once_token": token_of(browser), "name": "ab"}
    first, second = browser.post("/test/once/", form), browser.post("/test/once/", form)
    assert first["Location"] == second["Location"] == "/named/2/"
    investor.refresh_from_db()
    assert investor.display_name == "ab"


@pytest.mark.django_db
def test_another_body_is_refused(investor, sign_in):
    browser = sign_in(investor)
    token = token_of(browser)
    browser.post("/test/once/", {"once_token": token, "name": "ab"})
    response = browser.post("/test/once/", {"once_token": token, "name": "cd"})
    assert response.status_code == 409
    assert "portal.form.replayed" in response.content.decode()
    investor.refresh_from_db()
    assert investor.display_name == "ab"


@pytest.mark.django_db
def test_another_file_is_another_body(investor, sign_in):
    browser = sign_in(investor)
    token = token_of(browser)
    one, other = SimpleUploadedFile("a.txt", b"one"), SimpleUploadedFile("a.txt", b"two")
    assert browser.post("/test/once/", {"once_token": token, "name": "a", "f": one}).status_code == 302
    assert browser.post("/test/once/", {"once_token": token, "name": "a", "f": other}).status_code == 409


@pytest.mark.django_db
def test_a_token_of_somebody_else_is_worth_nothing(investor, make_person, sign_in):
    token = token_of(sign_in(make_person("other@example.com")))
    response = sign_in(investor).post("/test/once/", {"once_token": token, "name": "ab"})
    assert response.status_code == 409
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "x", "0" * 56])
def test_a_form_without_a_good_token_does_nothing(investor, sign_in, token):
    response = sign_in(investor).post("/test/once/", {"once_token": token, "name": "ab"})
    assert response.status_code == 409
    investor.refresh_from_db()
    assert investor.display_name == ""


@pytest.mark.django_db
def test_a_form_with_mistakes_may_be_corrected_and_sent_again(investor, sign_in):
    browser = sign_in(investor)
    token = token_of(browser)
    assert browser.post("/test/once/", {"once_token": token, "name": ""}).status_code == 422
    assert browser.post("/test/once/", {"once_token": token, "name": "ab"}).status_code == 302


@pytest.mark.django_db
def test_a_refusal_leaves_no_trace_of_what_it_began(investor, sign_in):
    browser = sign_in(investor)
    response = browser.post("/test/once/", {"once_token": token_of(browser), "name": "refuse"})
    assert response.status_code == 409
    investor.refresh_from_db()
    assert investor.display_name == ""
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_act_once(investor, sign_in):
    browsers = [sign_in(investor), sign_in(investor)]
    form = {"once_token": token_of(browsers[0]), "name": "ab"}
    start, answers = threading.Barrier(2), []

    def click(browser) -> None:
        start.wait()
        answers.append(browser.post("/test/once/", form)["Location"])
        connections.close_all()

    clicks = [threading.Thread(target=click, args=[browser]) for browser in browsers]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert answers == ["/named/2/", "/named/2/"]
    assert User.objects.get(pk=investor.pk).display_name == "ab"


@pytest.mark.django_db
def test_keys_of_old_forms_are_forgotten_and_recent_ones_kept(investor):
    from portal.tasks import FORMS_KEPT, forget_old_forms_task

    old = IdempotencyKey.objects.create(user=investor, key="old", fingerprint="x", location="/")
    IdempotencyKey.objects.filter(pk=old.pk).update(created_at=timezone.now() - FORMS_KEPT - timedelta(seconds=1))
    IdempotencyKey.objects.create(user=investor, key="new", fingerprint="x", location="/")
    assert forget_old_forms_task() == 1
    assert [entry.key for entry in IdempotencyKey.objects.all()] == ["new"]
