"""From a stranger to somebody signed in with a second factor, through the pages themselves."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.core.cache import cache

from portal.models import User
from portal.testing import PASSWORD, SECRET, code_now

pytestmark = pytest.mark.django_db
NEW = {"email": "New@Example.com", "password1": "a long enough secret", "password2": "a long enough secret"}


def sign_up(client, language: str = "ja"):
    return client.post("/accounts/signup/", {**NEW, "language": language})


def test_the_language_chosen_at_sign_up_is_kept_and_the_code_comes_in_it(client):
    assert sign_up(client)["Location"] == "/accounts/confirm-email/"
    assert User.objects.get(email="new@example.com").language == "ja"
    [letter] = mail.outbox
    assert letter.subject.startswith("[Musubi]")
    assert re.search("[ぁ-ん]", str(letter.body))
    assert "testserver" not in letter.body


def test_the_code_from_the_mail_opens_the_dashboard(client):
    sign_up(client, "en")
    code = re.search(r"^([0-9A-Z]{3,}-?[0-9A-Z]{3,})$", str(mail.outbox[0].body), re.M)
    assert code, mail.outbox[0].body
    answer = client.post("/accounts/confirm-email/", {"code": code[1]})
    assert answer["Location"] == "/dashboard/"
    page = client.get("/dashboard/").content.decode()
    assert "Set up a second factor" in page


def test_a_wrong_code_says_so_in_the_readers_language(client):
    sign_up(client)
    page = client.post(
        "/accounts/confirm-email/", {"code": "WRONG1"}, headers={"Accept-Language": "ja"}
    ).content.decode()
    assert "data-error-summary" in page


def test_somebody_who_has_an_account_is_not_given_away(client, make_person):
    make_person("new@example.com")
    assert sign_up(client)["Location"] == "/accounts/confirm-email/"
    assert User.objects.count() == 1


@pytest.mark.parametrize("password", ["short", "password1234", "123456789012345"])
def test_a_weak_password_is_refused_at_its_field(client, password):
    answer = client.post("/accounts/signup/", {**NEW, "password1": password, "password2": password, "language": "en"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'href="#id_password1"' in page
    assert not User.objects.exists()


def test_signing_in_asks_for_the_second_factor(client, investor):
    cache.clear()
    answer = client.post("/accounts/login/", {"login": investor.email, "password": PASSWORD})
    assert answer["Location"] == "/accounts/2fa/authenticate/"
    assert client.get("/dashboard/").status_code == 302
    answer = client.post("/accounts/2fa/authenticate/", {"code": code_now()})
    assert answer["Location"] == "/dashboard/"
    assert client.get("/dashboard/").status_code == 200


def test_a_new_person_sets_up_an_app_without_typing_the_password_again(client, make_person):
    make_person("a@example.com")
    client.post("/accounts/login/", {"login": "a@example.com", "password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    assert secret in page.content.decode()
    code = format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[1]))
    answer = client.post("/accounts/2fa/totp/activate/", {"code": code})
    assert answer["Location"] == "/accounts/2fa/recovery-codes/"
    assert client.get("/accounts/2fa/recovery-codes/").status_code == 200
    kept = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in kept  # encrypted


def test_a_retired_key_still_opens_second_factors(investor, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key entirely"
    from portal.accounts import MfaAdapter

    stored = Authenticator.objects.get(user=investor, type="totp").data["secret"]
    assert MfaAdapter().decrypt(stored) == SECRET


def test_staff_may_not_remove_their_last_second_factor(administrator, sign_in):
    sign_in(administrator).post("/accounts/2fa/totp/deactivate/")
    assert Authenticator.objects.filter(user=administrator, type="totp").exists()


def test_an_investor_may_remove_theirs(investor, sign_in):
    sign_in(investor).post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.filter(user=investor, type="totp").exists()


ENTRANCE = ["login/", "signup/", "signup/passkey/", "password/reset/", "password/reset/done/", "inactive/"]
MANAGE = [
    "logout/", "email/", "password/change/", "reauthenticate/", "sessions/", "2fa/", "2fa/webauthn/", "2fa/webauthn/add/",
    "2fa/recovery-codes/", "2fa/recovery-codes/generate/", "2fa/reauthenticate/", "2fa/totp/deactivate/",
]  # fmt: skip


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("path", ENTRANCE)
def test_every_page_of_the_entrance_wears_our_frame(client, path, language):
    page = client.get(f"/accounts/{path}", headers={"Accept-Language": language}).content.decode()
    assert_ours(page, language)


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("path", MANAGE)
def test_every_page_of_the_account_wears_our_frame(make_person, sign_in, path, language):
    person = make_person("a@example.com", second_factor=True, language=language)
    answer = sign_in(person).get(f"/accounts/{path}")
    assert answer.status_code == 200
    assert_ours(answer.content.decode(), language)


def assert_ours(page: str, language: str) -> None:
    assert f'<html lang="{language}">' in page
    assert 'class="site-header"' in page
    assert "<c-" not in page
    assert not re.search(r"\sstyle=|\son\w+=", page)
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.S)
    assert heading
    assert bool(re.search("[ぁ-んァ-ヶ一-龠]", heading[1])) == (language == "ja"), heading[1]
    if language == "ja":
        main = re.search(r"<main[^>]*>(.*)</main>", page, re.S)
        assert main
        words = re.sub(r"<script.*?</script>|<[^>]+>", " ", main[1], flags=re.S)
        left = set(re.findall(r"[A-Za-z]{4,}", words)) - {"Musubi", "example"} - set(SECRET.split())
        assert not left - KNOWN, left


# What Japanese pages rightly show in Latin letters.
KNOWN = {"Mozilla", "Firefox", "English", "JavaScript"}


# --- with a passkey, in place of a password ---------------------------------------------------------------------


def passkey_sign_up(client, language: str = "en"):
    """Up to the page on which the device makes the passkey; a browser's journey goes on from there."""
    answer = client.post("/accounts/signup/passkey/", {"email": NEW["email"], "language": language})
    assert answer["Location"] == "/accounts/confirm-email/"
    code = re.search(r"^([0-9A-Z]{3,}-?[0-9A-Z]{3,})$", str(mail.outbox[-1].body), re.M)
    assert code, mail.outbox[-1].body
    return client.post("/accounts/confirm-email/", {"code": code[1]})


def test_a_passkey_is_offered_before_a_password(client):
    page = client.get("/accounts/signup/?next=/tokens/holdings/").content.decode()
    assert page.index('href="/accounts/signup/passkey/?next=') < page.index('type="password"')
    assert 'type="password"' not in client.get("/accounts/signup/passkey/").content.decode()


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_code_from_the_mail_leads_on_to_the_passkey_and_no_further(client, language):
    assert passkey_sign_up(client, language)["Location"] == "/accounts/2fa/webauthn/signup/"
    person = User.objects.get(email="new@example.com")
    assert (person.language, person.has_usable_password()) == (language, False)
    page = client.get("/accounts/2fa/webauthn/signup/", headers={"Accept-Language": language})
    assert_ours(page.content.decode(), language)
    assert (
        page.context["js_data"]["creation_options"]["publicKey"]["authenticatorSelection"]["residentKey"] == "required"
    )
    assert client.get("/dashboard/").status_code == 302, "without the passkey nobody is signed in"
    answer = client.post("/accounts/2fa/webauthn/signup/", {"name": "x", "credential": '{"id": "forged"}'})
    assert answer.status_code == 200
    assert not Authenticator.objects.exists()


def test_who_breaks_off_before_the_passkey_sets_a_password_instead(client):
    passkey_sign_up(client)
    client.post("/accounts/logout/")
    client.post("/accounts/password/reset/", {"email": "new@example.com"})
    link = re.search(r"https?://[^/\s]+(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
    assert link, mail.outbox[-1].body
    where = client.get(link[1])["Location"]
    client.post(where, {"password1": "a long enough secret", "password2": "a long enough secret"})
    answer = client.post("/accounts/login/", {"login": "new@example.com", "password": "a long enough secret"})
    assert answer["Location"] == "/dashboard/"


def test_somebody_who_has_an_account_is_not_given_away_by_the_passkey_page_either(client, make_person):
    make_person("new@example.com")
    answer = client.post("/accounts/signup/passkey/", {"email": NEW["email"], "language": "en"})
    assert answer["Location"] == "/accounts/confirm-email/"
    assert User.objects.count() == 1


def test_one_passkey_alone_is_told_to_make_recovery_codes(make_person, sign_in):
    person = make_person("a@example.com", language="en")
    Authenticator.objects.create(user=person, type="webauthn", data={"name": "Phone", "credential": {}})
    assert "Make recovery codes" in sign_in(person).get("/dashboard/").content.decode()
    RecoveryCodes.activate(person)
    assert "Make recovery codes" not in sign_in(person).get("/dashboard/").content.decode()


@pytest.mark.parametrize(
    "credential", ["{}", "[]", "null", "1", '{"id": "a", "rawId": "a", "response": {}, "type": "public-key"}']
)
def test_an_answer_that_no_device_gives_is_refused_in_words(client, credential):
    client.get("/accounts/2fa/webauthn/login/", headers={"Accept": "application/json"})
    answer = client.post("/accounts/2fa/webauthn/login/", {"credential": credential})
    assert answer.status_code in (200, 302)
    assert client.get("/dashboard/").status_code == 302
