"""Language, second factor of staff, refusals: what every request passes through."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from portal.models import Role, User

pytestmark = [pytest.mark.django_db, pytest.mark.urls("portal.tests.urls")]


def test_a_signed_in_person_reads_their_own_language_whatever_the_browser_says(make_person, sign_in):
    person = make_person("a@example.com", language="ja")
    response = sign_in(person).get("/settings/", headers={"Accept-Language": "en"})
    assert response["Content-Language"] == "ja"
    assert "設定" in response.content.decode()


def test_the_switch_is_kept_with_the_person_and_the_browser(make_person, sign_in):
    person = make_person("a@example.com", language="ja")
    browser = sign_in(person)
    response = browser.post("/language/", {"language": "en", "next": "/settings/"})
    assert response["Location"] == "/settings/"
    assert response.cookies["django_language"].value == "en"
    person.refresh_from_db()
    assert person.language == "en"
    assert "<h1>Settings</h1>" in browser.get("/settings/").content.decode()


def test_the_switch_leads_nowhere_else(client):
    response = client.post("/language/", {"language": "en", "next": "https://evil.example/"})
    assert response["Location"] == "/"


def test_an_unknown_language_changes_nothing(make_person, sign_in):
    person = make_person("a@example.com", language="ja")
    sign_in(person).post("/language/", {"language": "xx"})
    person.refresh_from_db()
    assert person.language == "ja"


@pytest.mark.parametrize("role", list(Role))
def test_staff_without_a_second_factor_see_only_its_pages(make_person, sign_in, role):
    browser = sign_in(make_person("staff@example.com", role=role))
    for path in ["/", "/dashboard/", "/settings/", "/test/officers/", "/admin/", "/accounts/password/change/"]:
        assert browser.get(path)["Location"] == reverse("mfa_index"), path
    assert browser.get(reverse("mfa_index")).status_code == 200
    assert browser.get(reverse("mfa_activate_totp")).status_code == 200
    assert browser.post(reverse("account_logout")).status_code == 302


def test_a_superuser_without_a_role_needs_a_second_factor_too(db, sign_in):
    root = User.objects.create_superuser("root@example.com", "correct horse battery")
    assert sign_in(root).get("/admin/")["Location"] == reverse("mfa_index")


def test_an_investor_may_look_around_without_a_second_factor(make_person, sign_in):
    assert sign_in(make_person("a@example.com")).get("/dashboard/").status_code == 200


def test_recovery_codes_alone_are_no_second_factor(make_person, sign_in):
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    officer = make_person("officer@example.com", role=Role.KYC_OFFICER)
    RecoveryCodes.activate(officer)
    assert sign_in(officer).get("/dashboard/")["Location"] == reverse("mfa_index")


@pytest.mark.parametrize(("path", "status"), [("refuse", 409), ("forbid", 403), ("away", 503)])
def test_a_refusal_no_view_caught_is_a_calm_page_with_its_status_and_code(client, path, status):
    response = client.get(f"/test/{path}/", headers={"Accept-Language": "en"})
    assert response.status_code == status
    page = response.content.decode()
    assert "</html>" in page
    assert "test." in page
    assert "Traceback" not in page


def test_a_refusal_speaks_the_readers_language(client):
    page = client.get("/test/refuse/", headers={"Accept-Language": "ja"}).content.decode()
    assert "数量は0より大きくしてください。" in page


def test_a_refused_fragment_is_a_notice_put_where_refusals_stand(client):
    response = client.get("/test/refuse/", headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert response["HX-Retarget"] == "#refusal"
    assert "</html>" not in response.content.decode()


def test_the_content_policy_allows_no_inline_script_or_style(client):
    policy = client.get("/")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_only_the_back_office_has_a_wider_policy(administrator, sign_in):
    browser = sign_in(administrator)
    assert "unsafe-eval" in browser.get("/admin/")["Content-Security-Policy"]
    assert "unsafe" not in browser.get("/dashboard/")["Content-Security-Policy"]


def test_a_form_without_its_token_is_refused_on_our_own_page():
    response = Client(enforce_csrf_checks=True).post(
        "/language/", {"language": "en"}, headers={"Accept-Language": "en"}
    )
    assert response.status_code == 403
    assert "This page was open too long" in response.content.decode()
