"""First page, dashboard, settings, errors, health."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from portal.models import Role
from portal.registry import NextStep, Registry, next_steps
from portal.selectors import next_steps_for

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("language", "words"), [("ja", "本人確認"), ("en", "verified")])
def test_the_first_page_says_what_this_is(client, language, words):
    page = client.get("/", headers={"Accept-Language": language}).content.decode()
    assert words in page
    assert "/accounts/signup/" in page


def test_the_dashboard_shows_what_is_most_urgent_first(make_person, sign_in, monkeypatch):
    person = make_person("a@example.com", second_factor=True)
    due = timezone.now() + timedelta(hours=2)
    mine = lambda user: [NextStep("Later", "/b/", "Open", priority=60)]  # noqa: E731
    yours = lambda user: [NextStep("First", "/a/", "Open", priority=10, tone="bad", due=due)]  # noqa: E731
    registry: Registry[Any] = Registry()
    registry.register(mine)
    registry.register(yours)
    monkeypatch.setattr("portal.selectors.next_steps", registry)
    assert [step.title for step in next_steps_for(person)] == ["First", "Later"]
    page = sign_in(person).get("/dashboard/").content.decode()
    assert page.index("First") < page.index("Later")
    assert "data-countdown" in page


def test_a_provider_registered_twice_is_asked_once():
    registry: Registry[Any] = Registry()
    registry.register(len)
    registry.register(len)
    assert list(registry) == [len]
    assert next_steps.register is not None


@pytest.mark.parametrize(
    ("role", "labels"),
    [
        (Role.ADMINISTRATOR, {"People and roles", "Audit trail", "Records"}),
        (Role.AUDITOR, {"Audit trail"}),
        (None, set()),
    ],
)
def test_the_menu_holds_what_the_role_may_open(make_person, sign_in, role, labels):
    ours = {"People and roles", "Audit trail", "Records"}
    browser = sign_in(make_person("a@example.com", role=role, second_factor=True))
    menu = browser.get("/dashboard/").context["navigation"]
    assert {str(item.label) for item in menu} & ours == labels
    for item in menu:
        assert browser.get(item.url, follow=True).status_code == 200, item.url


def test_the_menu_marks_the_page_one_is_on(administrator, sign_in):
    menu = sign_in(administrator).get("/audit/check/").context["navigation"]
    assert [str(item.label) for item in menu if item.is_current] == ["Audit trail"]


def test_settings_are_saved_and_said_in_the_new_language(make_person, sign_in):
    person = make_person("a@example.com", language="ja")
    browser = sign_in(person)
    answer = browser.post("/settings/", {"language": "en", "display_name": "Alice", "theme": "dark"}, follow=True)
    assert "Your settings were saved." in answer.content.decode()
    person.refresh_from_db()
    assert (person.language, person.display_name, person.theme) == ("en", "Alice", "dark")
    assert 'data-theme="dark"' in answer.content.decode()


def test_settings_are_only_for_those_signed_in(client):
    assert client.get("/settings/")["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize(("language", "words"), [("ja", "ページが見つかりません"), ("en", "There is no such page")])
def test_a_page_that_is_not_there_says_so(client, language, words):
    answer = client.get("/nowhere/", headers={"Accept-Language": language})
    assert answer.status_code == 404
    assert words in answer.content.decode()


@pytest.mark.parametrize(
    ("language", "words"), [("ja", "システム側で問題"), ("en", "Something went wrong on our side")]
)
def test_a_failure_of_ours_is_a_calm_page_that_needs_nothing(language, words, monkeypatch):
    def broken(user):
        raise RuntimeError("a secret detail")

    client = Client(raise_request_exception=False)
    monkeypatch.setattr("portal.views.pages.render", lambda *a, **k: broken(None))
    answer = client.get("/", headers={"Accept-Language": language})
    assert answer.status_code == 500
    page = answer.content.decode()
    assert words in page
    assert "secret detail" not in page


def test_a_malformed_request_says_so():
    with override_settings(ALLOWED_HOSTS=["portal.example"]):
        answer = Client().get("/", headers={"Host": "evil.example", "Accept-Language": "en"})
    assert answer.status_code == 400
    assert "could not be understood" in answer.content.decode()


def test_health_answers_and_is_not_kept(client):
    answer = client.get("/healthz")
    assert answer.json() == {"status": "ok"}
    assert "no-store" in answer["Cache-Control"]


def test_the_back_office_is_entered_through_the_portals_own_door(client):
    assert client.get("/admin/login/?next=/admin/")["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("role", [None, Role.ISSUER, Role.KYC_OFFICER])
def test_the_back_office_is_closed_to_others(make_person, sign_in, role):
    browser = sign_in(make_person("a@example.com", role=role, second_factor=True))
    assert browser.get("/admin/", follow=True).status_code == 403


def test_nothing_can_be_changed_in_the_back_office(administrator, sign_in):
    browser = sign_in(administrator)
    assert browser.get(f"/admin/portal/user/{administrator.pk}/change/").status_code == 200
    assert browser.post(f"/admin/portal/user/{administrator.pk}/change/", {"email": "x@example.com"}).status_code == 403
    assert browser.post(f"/admin/portal/user/{administrator.pk}/delete/", {"post": "yes"}).status_code == 403
    assert browser.get("/admin/portal/user/add/").status_code == 403
    assert browser.get("/admin/mfa/authenticator/").status_code == 404
