"""Who is on duty is told of alarms and of decisions that wait for them: once, in words, and never by the hundred."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from chain import operations, services
from chain.desk.models import Alarm
from chain.models import SafeProposal
from chain.notices import KINDS
from chain.services.telling import MOST_AN_HOUR, tell_officers
from chain.tests.conftest import Scene
from chain.tests.test_proposals import ask, drive_until, fresh, grant, numbered, officers, sign
from chain.types import SignerRole
from portal.models import Role, User
from portal.notices.kinds import worded
from portal.notices.models import Notice
from portal.notices.selectors import kinds_by_group
from portal.notices.services import choose_notices, send_notices
from portal.testing import make_person, sign_in

pytestmark = pytest.mark.django_db
HOLDER = "0x" + "Ab" * 20


@pytest.fixture
def duty(db: None) -> dict[str, User]:
    """Somebody of every kind; only two of them work at the desk."""
    return {
        "administrator": make_person("admin@musubi.example", role=Role.ADMINISTRATOR, second_factor=True),
        "officer": make_person("officer@musubi.example", role=Role.KYC_OFFICER, second_factor=True, language="ja"),
        "auditor": make_person("auditor@musubi.example", role=Role.AUDITOR),
        "issuer": make_person("issuer@musubi.example", role=Role.ISSUER),
        "investor": make_person("investor@example.com"),
    }


def alarm(cause: str, severity: int = Alarm.Severity.ACT, **more: Any) -> Alarm:
    return Alarm.objects.create(
        chain_id=31337, kind=Alarm.Kind.VELOCITY, severity=severity, cause=cause, holder=HOLDER, since=timezone.now(), **more
    )  # fmt: skip


def told(kind: str) -> list[tuple[str, str]]:
    rows = Notice.objects.filter(kind=f"chain.{kind}").order_by("user__email", "pk")
    return [(row.user.email.partition("@")[0], row.key) for row in rows.select_related("user")]


def test_a_theft_calls_who_is_on_duty_and_nobody_else(scene: Scene, mailoutbox: list[Any]) -> None:
    make_person("auditor@musubi.example", role=Role.AUDITOR)
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 90))
    scene.notice()
    raised = Alarm.objects.get()
    scene.notice()
    assert told("alarm_act") == [("admin", str(raised.pk)), ("duty", str(raised.pk))]
    assert send_notices() == 2
    for letter in mailoutbox:
        assert letter.subject.startswith("[Musubi] Act now: ")
        assert f"/chain/desk/{raised.pk}/" in letter.body
        assert "which we keep, in a transaction that we did not send" in letter.body
        assert f"/chain/desk/{raised.pk}/" in letter.alternatives[0][0]


def test_an_alarm_is_told_once_and_again_only_when_it_becomes_urgent(duty: dict[str, User]) -> None:
    raised = alarm("x", Alarm.Severity.LOOK)
    tell_officers()
    tell_officers()
    assert told("alarm_look") == [("admin", str(raised.pk)), ("officer", str(raised.pk))]
    assert not told("alarm_act")
    Alarm.objects.update(severity=Alarm.Severity.ACT)
    tell_officers()
    tell_officers()
    assert len(told("alarm_act")) == 2
    assert len(told("alarm_look")) == 2


def test_a_closed_alarm_calls_nobody(duty: dict[str, User]) -> None:
    alarm("x", state="closed", closed_at=timezone.now())
    tell_officers()
    assert not Notice.objects.exists()


def test_an_outbreak_fills_no_mailbox(duty: dict[str, User]) -> None:
    for number in range(MOST_AN_HOUR + 5):
        alarm(f"cause {number}")
    for _sweep in range(3):
        tell_officers()
    assert len(told("alarm_act")) == 2 * MOST_AN_HOUR
    rest = Notice.objects.filter(kind="chain.alarms_many")
    assert [row.params for row in rest] == [{"count": 5}, {"count": 5}]
    # An hour later those that are still open are told of as well, the urgent ones' limit being free again.
    Notice.objects.update(created_at=timezone.now() - timedelta(hours=2))
    tell_officers()
    assert len(told("alarm_act")) == 2 * (MOST_AN_HOUR + 5)


def test_urgent_alarms_come_by_e_mail_whatever_was_chosen_and_others_as_chosen(duty: dict[str, User]) -> None:
    choose_notices(user=duty["officer"], by_email=[])
    alarm("urgent")
    alarm("other", Alarm.Severity.LOOK)
    tell_officers()
    mail = {(row.kind, row.user_id): row.mail for row in Notice.objects.all()}
    assert mail["chain.alarm_act", duty["officer"].pk] == Notice.Mail.WAITING
    assert mail["chain.alarm_look", duty["officer"].pk] == Notice.Mail.UNWANTED
    assert mail["chain.alarm_look", duty["administrator"].pk] == Notice.Mail.WAITING


def test_only_those_whom_it_concerns_choose_about_it(duty: dict[str, User]) -> None:
    def offered(who: str) -> set[str]:
        return {kind.name for _group, kinds in kinds_by_group(duty[who]) for kind, _by_email in kinds if kind in KINDS}

    assert offered("investor") == offered("auditor") == set()
    assert offered("officer") == {"chain.alarm_act", "chain.alarm_look", "chain.alarms_many"}
    assert offered("administrator") == {kind.name for kind in KINDS}
    # What was not offered is not chosen away: whoever becomes an officer later gets it by e-mail.
    choose_notices(user=duty["investor"], by_email=[])
    assert not duty["investor"].notice_preferences.filter(kind__startswith="chain.").exists()


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_kind_has_words_in_both_languages(language: str) -> None:
    some = {
        "alarm": "velocity", "key": "", "holder": HOLDER, "token": "", "at": {"instant": "2026-11-25T03:00:00+00:00"},
        "count": 3, "number": "7", "call": "AccessManager.multicall",
    }  # fmt: skip
    with translation.override(language):
        for kind in KINDS:
            words = worded(kind=kind, params=some, path="/chain/desk/")
            text = " ".join([words.subject, *words.body, words.action])
            assert "%(" not in text
            assert any("ぁ" <= letter <= "ん" for letter in text) == (language == "ja"), text


# --- decisions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def own_signatures(settings: Any) -> None:
    settings.DEMO_SIGNS_FOR_OFFICERS = False


def test_a_proposal_waits_for_its_signers_and_is_told_once(platform: Any, own_signatures: None, duty: Any) -> None:
    proposal = ask(SignerRole.COUNCIL, operations.resume_issuance())
    tell_officers()
    assert not Notice.objects.exists(), "it has no number yet, so it cannot be signed"
    proposal = numbered(proposal)
    sign(proposal, officers(SignerRole.COUNCIL_OWNER)[0])
    tell_officers()
    tell_officers()
    [notice] = Notice.objects.all()
    assert (notice.user, notice.kind) == (duty["administrator"], "chain.proposal_waits")
    assert notice.path == f"/chain/proposals/{proposal.pk}/"
    assert "Proposals wait for signatures: 1" in sign_in(duty["administrator"]).get("/dashboard/").content.decode()
    assert "/chain/proposals/" not in sign_in(duty["officer"]).get("/dashboard/").content.decode()


def test_signatures_that_lost_their_number_are_asked_for_again(platform: Any, own_signatures: None, duty: Any) -> None:
    first = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance(), "first"))
    second = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance(), "second"))
    sign(second, officers(SignerRole.COUNCIL_OWNER)[0])
    tell_officers()
    assert len(told("proposal_waits")) == 2
    services.withdraw_proposal(proposal_id=first.pk, actor=duty["administrator"], reason="not needed")
    second = numbered(second)
    tell_officers()
    tell_officers()
    assert told("proposal_again") == [("admin", f"{second.pk}:{second.nonce}")]
    assert len(told("proposal_waits")) == 2


def test_the_end_of_a_waiting_time_is_told_while_the_council_can_still_cancel(
    platform: Any, own_signatures: None, duty: Any, settings: Any
) -> None:
    proposal = numbered(ask(SignerRole.ADMIN, grant()))
    sign(proposal, *officers(SignerRole.ADMIN_OWNER)[:2])
    drive_until(platform, proposal, SafeProposal.State.SCHEDULED)
    assert fresh(proposal).state == SafeProposal.State.SCHEDULED
    settings.CHAIN_PROFILE = "production"  # 48 hours, of which the last twelve are the last part
    SafeProposal.objects.update(effective_at=timezone.now() + timedelta(hours=13))
    tell_officers()
    assert not told("proposal_ends")
    SafeProposal.objects.update(effective_at=timezone.now() + timedelta(hours=11))
    tell_officers()
    tell_officers()
    assert told("proposal_ends") == [("admin", str(proposal.pk))]
    SafeProposal.objects.update(effective_at=timezone.now() - timedelta(seconds=1))
    Notice.objects.all().delete()
    tell_officers()
    assert not told("proposal_ends"), "there is nothing left to cancel"


def test_where_the_installation_signs_for_its_officers_nobody_is_asked_to(platform: Any, duty: Any) -> None:
    proposal = ask(SignerRole.COUNCIL, operations.resume_issuance())
    SafeProposal.objects.filter(pk=proposal.pk).update(nonce=1)
    tell_officers()
    assert not told("proposal_waits")
