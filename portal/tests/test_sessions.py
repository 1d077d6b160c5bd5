"""Where somebody is signed in, and signing one of those browsers out."""

from allauth.mfa.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.test import Client
from django.urls import reverse

from portal.models import AuditEntry
from portal.notices.kinds import kind_named
from portal.notices.models import Notice
from portal.testing import PASSWORD, make_person


def browser_of(client_class, user):
    browser = client_class(REMOTE_ADDR="127.0.0.1", HTTP_USER_AGENT="Mozilla/5.0 Firefox/140.0")
    browser.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})
    return browser


def test_one_other_browser_is_signed_out_and_only_that_one(db, client):
    user = make_person("a@example.jp")
    here, there, third = (browser_of(type(client), user) for _ in range(3))
    mine = UserSession.objects.get(session_key=here.session.session_key)
    other = UserSession.objects.get(session_key=there.session.session_key)
    assert reverse("portal:session-end", args=[other.pk]) in here.get(reverse("usersessions_list")).content.decode()
    here.post(reverse("portal:session-end", args=[other.pk]))
    here.post(reverse("portal:session-end", args=[mine.pk]))
    pages = [browser.get(reverse("portal:dashboard")).status_code for browser in (here, there, third)]
    assert pages == [200, 302, 200]
    assert AuditEntry.objects.filter(action="portal.session.ended").count() == 1


def test_nobody_signs_somebody_else_out(db, client):
    one, other = make_person("a@example.jp"), make_person("b@example.jp")
    here, there = browser_of(type(client), one), browser_of(type(client), other)
    theirs = UserSession.objects.get(session_key=there.session.session_key)
    here.post(reverse("portal:session-end", args=[theirs.pk]))
    assert there.get(reverse("portal:dashboard")).status_code == 200


def test_passkeys_come_before_passwords_and_codes(db, client):
    page = client.get(reverse("account_login")).content.decode()
    assert page.index('id="passkey_login"') < page.index('name="password"')
    user = make_person("a@example.jp")
    client.force_login(user)
    page = client.get(reverse("mfa_index")).content.decode()
    assert page.index(reverse("mfa_add_webauthn")) < page.index(reverse("mfa_activate_totp"))


def test_a_passkey_is_bound_to_the_address_of_the_portal(rf):
    settings_host = settings.SITE_URL.partition("://")[2].partition(":")[0]
    from allauth.core import context

    with context.request_context(rf.get("/", HTTP_HOST="elsewhere.example")):
        assert get_adapter().get_public_key_credential_rp_entity()["id"] == settings_host


def test_a_new_browser_or_network_is_told_once_by_mail_and_cannot_be_turned_off(db):
    user = make_person("a@example.jp")

    def told_after(browser: str, ip: str) -> int:
        client = Client(REMOTE_ADDR=ip, HTTP_USER_AGENT=browser)
        client.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})
        return Notice.objects.filter(user=user, kind="portal.new_sign_in").count()

    steps = [
        ("Mozilla/5.0 Firefox/140.0", "192.0.2.7"),
        ("Mozilla/5.0 Firefox/141.0", "192.0.2.99"),
        ("Mozilla/5.0 Firefox/141.0", "203.0.113.5"),
        ("Mozilla/5.0 Chrome/140.0", "192.0.2.7"),
        ("Mozilla/5.0 Firefox/140.0", "192.0.2.7"),
        ("Mozilla/5.0 Chrome/140.0", "2001:db8::1"),
    ]
    assert [told_after(*step) for step in steps] == [1, 1, 2, 3, 3, 4]
    assert set(Notice.objects.filter(user=user).values_list("mail", flat=True)) == {Notice.Mail.WAITING}
    assert kind_named("portal.new_sign_in").security


def test_a_wrong_password_tells_nobody_of_a_sign_in(db, client):
    user = make_person("a@example.jp")
    client.post(reverse("account_login"), {"login": user.email, "password": "wrong horse"})
    assert not Notice.objects.filter(user=user, kind="portal.new_sign_in").exists()


def test_the_use_of_a_session_is_noted_once_a_minute_and_at_once_when_it_comes_from_elsewhere(
    db, client, django_assert_num_queries
):
    user = make_person("a@example.jp")
    browser = browser_of(type(client), user)
    browser.get(reverse("portal:home"))
    noted = UserSession.objects.get(user=user)
    browser.get(reverse("portal:home"))
    assert UserSession.objects.get(user=user).last_seen_at == noted.last_seen_at
    browser.get(reverse("portal:home"), REMOTE_ADDR="127.0.0.9")
    moved = UserSession.objects.get(user=user)
    assert (moved.ip, moved.last_seen_at > noted.last_seen_at) == ("127.0.0.9", True)
    browser.get(reverse("portal:home"))
    assert UserSession.objects.get(user=user).ip == "127.0.0.1"


def test_without_redis_each_use_of_a_session_is_noted(db, client, settings):
    user = make_person("a@example.jp")
    browser = browser_of(type(client), user)
    browser.get(reverse("portal:home"))
    noted = UserSession.objects.get(user=user)
    redis = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:9/0"}
    settings.CACHES = {"default": redis}
    browser.get(reverse("portal:home"))
    assert UserSession.objects.get(user=user).last_seen_at > noted.last_seen_at


def test_roles_and_second_factor_of_the_person_signed_in_are_read_in_one_query(db, django_assert_num_queries):
    from portal.models import Role, User
    from portal.selectors import has_second_factor

    officer = make_person("o@example.jp", role=Role.KYC_OFFICER, second_factor=True)
    investor = make_person("i@example.jp")
    with django_assert_num_queries(1):
        read = {person.pk: person for person in User.objects.with_standing()}
        standing = [(read[who.pk].roles, has_second_factor(read[who.pk])) for who in (officer, investor)]
    assert standing == [(frozenset({Role.KYC_OFFICER}), True), (frozenset(), False)]
    assert (has_second_factor(officer), has_second_factor(investor)) == (True, False)
