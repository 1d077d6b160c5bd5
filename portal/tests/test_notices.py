"""What people are told: once, in their words, by e-mail as they chose, and never lost."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from portal.models import Role, User
from portal.money import Money
from portal.notices import selectors, services
from portal.notices.kinds import NoticeKind, kind_named, notice_kinds, packed, worded
from portal.notices.models import Notice
from portal.registry import filled
from portal.testing import PASSWORD, make_person, sign_in

pytestmark = pytest.mark.django_db
PAID = NoticeKind(
    name="portal.test_paid",
    group="Test",
    label="Paid",
    subject="%(amount)s were paid",
    body=("%(amount)s on %(on)s, %(count)s units, seen %(at)s.",),
    facts=(("Amount", "amount"),),
)
PARAMS = {
    "amount": Money(Decimal("1234567"), "JPY"),
    "on": date(2026, 11, 25),
    "at": datetime(2026, 11, 25, 3, 4, tzinfo=UTC),
    "count": 12345,
}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_kinds, "_items", [*notice_kinds, PAID])


@pytest.fixture
def person(db: None) -> User:
    return make_person("reader@example.com", language="en")


def tell(person: User, key: object = 1) -> Notice:
    return services.notify(user=person, kind=PAID.name, key=key, params=PARAMS, path="/dashboard/")


def test_the_same_thing_is_told_once_and_to_each_person(person: User, mailoutbox: list[Any]) -> None:
    other = make_person("other@example.com")
    assert tell(person).pk == tell(person).pk
    services.notify_all(users=[person, other], kind=PAID.name, key=1, params=PARAMS)
    assert (Notice.objects.count(), services.send_notices(), services.send_notices()) == (2, 2, 0)
    assert {mail.to[0] for mail in mailoutbox} == {person.email, other.email}


def test_what_is_undone_was_never_told(person: User) -> None:
    def step() -> None:
        with transaction.atomic():
            tell(person)
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        step()
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("en", "¥1,234,567 were paid", "¥1,234,567 on 25 Nov 2026, 12,345 units, seen 25 Nov 2026 12:04 JST."),
        ("ja", "1,234,567円 were paid", "1,234,567円 on 2026年11月25日, 12,345 units, seen 2026年11月25日 12:04 JST."),
    ],
)
def test_money_and_times_are_written_as_the_reader_writes_them(
    person: User, mailoutbox: list[Any], language: str, subject: str, words: str
) -> None:
    User.objects.filter(pk=person.pk).update(language=language)
    tell(person)
    services.send_notices()
    (mail,) = mailoutbox
    assert mail.subject == f"[Musubi] {subject}"
    assert words in mail.body
    assert words in mail.alternatives[0][0]


def test_a_missing_word_fails_where_it_is_told_and_not_in_the_sweep(person: User) -> None:
    with pytest.raises(KeyError):
        services.notify(user=person, kind=PAID.name, key=1, params={})
    with pytest.raises(KeyError):
        services.notify(user=person, kind="portal.nobody_registered_this", key=1)
    with pytest.raises(ValueError, match="page of ours"):
        services.notify(user=person, kind=PAID.name, key=1, params=PARAMS, path="//elsewhere.example/")


def test_what_was_turned_off_stands_in_the_portal_only(person: User, mailoutbox: list[Any]) -> None:
    services.choose_notices(user=person, by_email=[])
    assert tell(person).mail == Notice.Mail.UNWANTED
    services.notify(user=person, kind="portal.password_changed", key=1, params={"at": timezone.now()})
    assert services.send_notices() == 1
    assert "password" in mailoutbox[0].body
    assert selectors.unread_count(person) == 2


def test_the_page_of_choices_cannot_turn_security_off(person: User) -> None:
    browser = sign_in(person)
    page = browser.get(reverse("portal:notice-preferences")).content.decode()
    assert re.search(r'value="portal.password_changed" checked disabled', page)
    browser.post(reverse("portal:notice-preferences"), {"kind": []})
    assert all(by_email for _, kinds in selectors.kinds_by_group(person) for kind, by_email in kinds if kind.security)
    assert not person.notice_preferences.filter(kind="portal.password_changed").exists()


def test_a_mail_server_that_is_away_delays_a_notice_and_loses_none(
    person: User, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise SMTPServerDisconnected("away")

    notice = tell(person)
    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", away)
        assert services.send_notices() == 0
    notice.refresh_from_db()
    assert (notice.mail, notice.attempts, notice.last_error) == (Notice.Mail.WAITING, 1, "away")
    assert services.send_notices() == 0, "it waits before it is tried again"
    Notice.objects.update(next_attempt_at=timezone.now())
    assert services.send_notices() == 1
    assert mailoutbox[0].extra_headers["Message-ID"] == f"<notice-{notice.pk}@localhost>"


def test_reading_is_counted_in_the_header_and_is_ones_own(person: User) -> None:
    notice = tell(person)
    browser, stranger = sign_in(person), sign_in(make_person("stranger@example.com", language="en"))
    assert "1 new notice" in browser.get(reverse("portal:dashboard")).content.decode()
    assert stranger.get(reverse("portal:notice", args=[notice.pk])).status_code == 404
    assert "1,234,567" not in stranger.get(reverse("portal:notices")).content.decode()
    assert "1,234,567" in browser.get(reverse("portal:notice", args=[notice.pk])).content.decode()
    assert "new notice" not in browser.get(reverse("portal:notices")).content.decode()
    tell(person, key=2)
    browser.post(reverse("portal:notices-read"))
    assert selectors.unread_count(person) == 0


def test_the_list_takes_the_same_number_of_queries_however_long_it_is(
    person: User,
) -> None:
    browser = sign_in(person)
    browser.get(reverse("portal:notices"))  # the first page notes the session
    counts = []
    for upto in (2, 20):
        for key in range(upto):
            tell(person, key)
        with CaptureQueriesContext(connection) as seen:
            browser.get(reverse("portal:notices"))
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_telling_many_takes_a_constant_number_of_queries(django_assert_max_num_queries: Any) -> None:
    people = [make_person(f"holder{number}@example.com") for number in range(30)]
    with django_assert_max_num_queries(4):
        services.notify_all(users=people, kind=PAID.name, key="coupon", params=PARAMS)
    assert Notice.objects.count() == 30


def test_a_change_of_role_and_of_password_are_told(person: User) -> None:
    from portal.services import give_role

    administrator = make_person("admin@example.com", role=Role.ADMINISTRATOR)
    give_role(user_id=person.pk, role=Role.ISSUER, actor=administrator, reason="hired")
    assert person.notices.filter(kind="portal.role_changed").count() == 1
    browser = sign_in(make_person("changes@example.com"))
    browser.post(
        reverse("account_change_password"),
        {"oldpassword": PASSWORD, "password1": "a-long-new-passphrase-1", "password2": "a-long-new-passphrase-1"},
    )
    assert Notice.objects.filter(kind="portal.password_changed", user__email="changes@example.com").count() == 1


def test_every_registered_kind_has_words_in_both_languages() -> None:
    """Whatever a kind's `prepare` needs stands in its params too, so only its labels are looked at here."""
    for kind in notice_kinds:
        for language in ("en", "ja"):
            with translation.override(language):
                assert str(kind.label), kind.name
                assert filled(kind.subject, defaultdict(lambda: 2)), kind.name
        if kind.name != PAID.name:
            with translation.override("ja"):
                assert re.search(r"[ぁ-んァ-ン一-龥]", str(kind.label)), kind.name


def test_words_are_made_without_a_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), translation.override("ja"):
        assert worded(kind=kind_named(PAID.name), params=packed(PARAMS)).facts == [("Amount", "1,234,567円")]
