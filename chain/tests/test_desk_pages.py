"""The incident desk in the browser: who may, three clicks, double clicks, the way back."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chain import operations, services
from chain.desk import actions
from chain.desk.models import Alarm, ResponseStep
from chain.gateway import gateway
from chain.models import ChainTransaction
from chain.registry import visibility
from chain.services.response import ResponseRefused
from chain.tests.conftest import Scene
from chain.tests.test_alarms import address, stolen_issue, the_alarm
from chain.tests.test_response import second_wallet
from chain.types import Restriction, SignerRole, Standing
from portal.models import Role, User
from portal.testing import make_person, sign_in


def officer(email: str, role: Role) -> User:
    return make_person(email, role=role, second_factor=True)


@pytest.fixture
def duty_browser(scene: Scene) -> Client:
    return sign_in(officer("desk@musubi.example", Role.KYC_OFFICER))


@pytest.fixture
def administrator_browser(scene: Scene) -> Client:
    return sign_in(officer("chief@musubi.example", Role.ADMINISTRATOR))


def field_values(page: str, name: str, *, checked: bool = False) -> list[str]:
    pattern = rf'<input[^>]*name="{name}"[^>]*>'
    found = [tag for tag in re.findall(pattern, page) if not checked or "checked" in tag]
    return [match[1] for tag in found if (match := re.search(r'value="([^"]*)"', tag))]


def form_of(page: str, **changes: Any) -> dict[str, Any]:
    """What a person sends who changes nothing but `changes`."""
    return {
        "once_token": field_values(page, "once_token")[0],
        "actions": field_values(page, "actions", checked=True),
        "reason": (field_values(page, "reason") or [""])[0],
    } | changes


def contain(browser: Client, alarm: Alarm) -> int:
    """From the alarm's page to contained; how many requests it took."""
    url = reverse("chain:alarm-contain", args=[alarm.pk])
    assert url in browser.get(reverse("chain:alarm", args=[alarm.pk])).text
    page = browser.get(url).text  # one click
    answer = browser.post(url, form_of(page))  # the second
    assert (answer.status_code, answer["Location"]) == (302, reverse("chain:alarm", args=[alarm.pk]))
    return 2


def test_a_stolen_investor_key_is_contained_in_two_clicks_and_all_comes_back(
    scene: Scene, duty_browser: Client, administrator_browser: Client
) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 100))
    scene.notice()
    alarm = the_alarm()
    assert contain(duty_browser, alarm) <= 3
    scene.settle()
    assert gateway().standing(scene.bob.address) == Standing.SUSPENDED
    assert gateway().restriction(scene.token, scene.bob.address, scene.alice.address, 1) != Restriction.NONE

    # Her key is stolen: what is hers goes to another wallet of hers, once that is admitted.
    wallet = second_wallet(scene, scene.alice.address)
    move = f"return:{scene.bob.address}:{wallet}:{scene.token}"
    url = reverse("chain:alarm-restore", args=[alarm.pk])
    assert move not in field_values(administrator_browser.get(url).text, "actions")
    restore_all(scene, administrator_browser, alarm, f"admit:{wallet}:{scene.token}")
    services.run_index_step()
    restore_all(scene, administrator_browser, alarm, move)
    scene.platform.node.pass_time(5)
    services.run_index_step()
    announced = ResponseStep.objects.get(kind="schedule")
    restore_all(scene, administrator_browser, alarm, f"execute:{announced.pk}")
    assert scene.balances() == (0, 0)
    assert gateway().balance(scene.token, wallet) == 100
    page = administrator_browser.get(reverse("chain:alarm", args=[alarm.pk])).text
    assert page.count('data-state="done"') >= 5
    closed = administrator_browser.post(
        reverse("chain:alarm-close", args=[alarm.pk]), {"conclusion": "all is back"}, follow=True
    )
    assert "all is back" in closed.text


def restore_all(scene: Scene, browser: Client, alarm: Alarm, code: str) -> None:
    url = reverse("chain:alarm-restore", args=[alarm.pk])
    page = browser.get(f"{url}?only={code}").text
    form = form_of(page)
    assert form["actions"] == [code]
    assert browser.post(url, form).status_code == 302
    scene.settle()
    failed = ResponseStep.objects.filter(state="failed")
    assert [step.error_code for step in failed] == []


def test_stolen_issuing_keys_are_contained_in_two_clicks(scene: Scene, duty_browser: Client) -> None:
    friends = [address() for _number in range(3)]
    for friend in friends:
        stolen_issue(scene, friend)
    scene.notice()
    assert contain(duty_browser, the_alarm()) <= 3
    scene.settle()
    assert all(gateway().standing(friend) == Standing.ISSUER_DISTRUSTED for friend in friends)
    kinds = ResponseStep.objects.filter(state="done").values_list("kind", flat=True)
    assert sorted(kinds) == ["distrust", "distrust", "pause_issuance"]


def test_sending_the_form_twice_does_it_once(scene: Scene, duty_browser: Client) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 100))
    scene.notice()
    url = reverse("chain:alarm-contain", args=[the_alarm().pk])
    form = form_of(duty_browser.get(url).text)
    assert [duty_browser.post(url, form).status_code for _click in range(2)] == [302, 302]
    other = form_of(duty_browser.get(url).text)
    if other["actions"]:
        duty_browser.post(url, other)
    asked = ChainTransaction.objects.filter(purpose="chain.response").values_list("function", "data")
    assert len(asked) == len({(function, bytes(data)) for function, data in asked})


def test_a_step_that_is_not_offered_is_refused(scene: Scene, duty_browser: Client) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 100))
    scene.notice()
    url = reverse("chain:alarm-contain", args=[the_alarm().pk])
    form = form_of(duty_browser.get(url).text, actions=["unpause:" + scene.token])
    assert duty_browser.post(url, form).status_code == 400
    assert not ResponseStep.objects.exists()


def test_one_step_that_is_refused_takes_the_others_back_and_is_named(scene: Scene, duty_browser: Client) -> None:
    stolen_issue(scene, address())
    scene.notice()
    # As where the chain's clock is ahead of this machine's: the keys' distrust is refused, the pause is not.
    Alarm.objects.update(since=timezone.now() + timedelta(days=1))
    url = reverse("chain:alarm-contain", args=[the_alarm().pk])
    page = duty_browser.get(url)
    chosen = [code for code in field_values(page.text, "actions") if code.startswith(("distrust:", "pause_issuance"))]
    assert len(chosen) == 3
    answer = duty_browser.post(url, form_of(page.text, actions=chosen))
    assert answer.status_code == 400
    assert "The time cannot lie in the future." in html.unescape(answer.text)
    assert "None of the chosen steps was taken." in answer.text
    assert not ResponseStep.objects.exists()
    offered = {action.code: action for action in actions.containing(actions.scene_of(the_alarm()), {})}
    pause_first = [offered[code] for code in sorted(chosen, reverse=True)]
    assert pause_first[0].code == "pause_issuance"
    with pytest.raises(ResponseRefused, match="Stop trusting"):
        actions.carry_out(pause_first, actor=scene.duty, reason="stolen")
    assert not ResponseStep.objects.exists(), "what came before it was taken back"
    assert not ChainTransaction.objects.filter(purpose="chain.response").exists()


def test_a_duty_officer_is_not_offered_what_only_administrators_ask(scene: Scene, duty_browser: Client) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 100))
    scene.notice()
    contain(duty_browser, the_alarm())
    scene.settle()
    page = duty_browser.get(reverse("chain:alarm-restore", args=[the_alarm().pk])).text
    assert field_values(page, "actions") == [f"wallet:{scene.alice.address}"]


def test_the_second_factor_is_asked_before_anything_happens(scene: Scene) -> None:
    scene.steal(scene.alice, operations.transfer(scene.token, scene.bob.address, 100))
    scene.notice()
    browser = sign_in(officer("late@musubi.example", Role.KYC_OFFICER), fresh=False)
    url = reverse("chain:alarm-contain", args=[the_alarm().pk])
    answer = browser.post(url, form_of(browser.get(url).text))
    assert answer.status_code == 302
    assert "reauthenticate" in answer["Location"]
    assert not ResponseStep.objects.exists()


def test_an_operation_that_a_thief_announced_is_cancelled_from_the_desk(scene: Scene, duty_browser: Client) -> None:
    controller = scene.platform.signer(SignerRole.TOKEN_CONTROLLER)
    theft = operations.forced_transfer(scene.token, scene.alice.address, scene.bob.address, 100, bytes(32))
    scene.steal(controller, operations.schedule_call(theft))
    scene.notice()
    desk = duty_browser.get(reverse("chain:desk")).text
    (url,) = re.findall(r'href="([^"]*/cancel/)"', desk)
    page = duty_browser.get(url).text
    assert duty_browser.post(url, form_of(page, reason="not ours")).status_code == 302
    scene.settle()
    assert re.findall(r'href="([^"]*/cancel/)"', duty_browser.get(reverse("chain:desk")).text) == []
    assert ResponseStep.objects.get().state == "done"


@pytest.mark.parametrize(
    ("role", "look", "act"),
    [
        (Role.KYC_OFFICER, 200, 200),
        (Role.ADMINISTRATOR, 200, 200),
        (Role.AUDITOR, 200, 403),
        (Role.ISSUER, 403, 403),
        (None, 403, 403),
    ],
)
def test_who_may_open_the_desk(db: None, role: Role | None, look: int, act: int) -> None:
    from django.utils import timezone

    alarm = Alarm.objects.create(chain_id=31337, kind="velocity", severity=1, cause="x", since=timezone.now())
    browser = sign_in(make_person("somebody@example.com", role=role, second_factor=True))
    assert browser.get(reverse("chain:desk")).status_code == look
    assert browser.get(reverse("chain:alarm", args=[alarm.pk])).status_code == look
    for name in ("chain:alarm-contain", "chain:alarm-restore"):
        assert browser.get(reverse(name, args=[alarm.pk])).status_code in (act, 503)
    if act != 200:
        answer = browser.post(reverse("chain:alarm-close", args=[alarm.pk]), {"conclusion": "nothing"})
        assert answer.status_code == 403


def test_a_visitor_is_sent_to_sign_in(db: None) -> None:
    for name in ("chain:desk", "chain:stolen-key"):
        assert reverse("account_login") in Client().get(reverse(name))["Location"]


def test_the_desk_takes_as_many_queries_for_many_alarms(scene: Scene, duty_browser: Client) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert duty_browser.get(reverse("chain:desk")).status_code == 200
        return len(captured)

    def add(number: int) -> None:
        Alarm.objects.create(
            chain_id=31337, kind="velocity", severity=1, cause=f"x{number}", holder=scene.alice.address,
            token=scene.token, since=timezone.now(),
        )  # fmt: skip

    add(0)
    queries()
    few = queries()
    for number in range(1, 12):
        add(number)
    assert queries() == few


# --- the holder's own page --------------------------------------------------------------------------------------


@pytest.fixture
def holder(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Client:
    person = make_person("alice@example.com")
    monkeypatch.setattr(visibility, "_addresses", [lambda user: [scene.alice.address] if user == person else []])
    return sign_in(person, fresh=False)


def test_a_holder_who_reports_a_stolen_key_stops_everything_with_one_button(scene: Scene, holder: Client) -> None:
    url = reverse("chain:stolen-key")
    form = {"once_token": field_values(holder.get(url).text, "once_token")[0]}
    answers = [holder.post(url, form) for _click in range(2)]
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, url)] * 2
    scene.settle()
    assert gateway().standing(scene.alice.address) == Standing.SUSPENDED
    assert gateway().restriction(scene.token, scene.alice.address, scene.bob.address, 1) != Restriction.NONE
    alarm = the_alarm()
    assert (alarm.kind, alarm.state, alarm.holder) == ("key_reported", "contained", scene.alice.address)
    assert ResponseStep.objects.count() == 2
    page = holder.get(url).text
    assert page.count('data-state="done"') == 2
    assert field_values(page, "once_token") == []


def test_a_holder_sees_what_is_done_to_their_own_address_only(scene: Scene, holder: Client) -> None:
    alarm = services.report_stolen_key(holder=scene.alice.address, actor=scene.duty)
    services.suspend_holder_sbt(holder=scene.bob.address, actor=scene.duty, reason="mule", alarm=alarm)
    page = holder.get(reverse("chain:stolen-key")).text
    assert page.count('data-state="asked"') == 2
    assert "We are stopping it" in page
    scene.settle()
    page = holder.get(reverse("chain:stolen-key")).text
    assert page.count('data-state="done"') == 2
    assert "We have stopped it" in page


def test_somebody_without_an_address_has_nothing_to_stop(scene: Scene) -> None:
    browser = sign_in(make_person("nobody@example.com"), fresh=False)
    url = reverse("chain:stolen-key")
    assert field_values(browser.get(url).text, "once_token") == []
    assert not Alarm.objects.exists()
