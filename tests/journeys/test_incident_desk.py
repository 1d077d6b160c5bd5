"""Somebody new to the incident desk stops a running theft in the browser within three clicks, and restores all of it there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from portal.demo.visitor import Visitor
from tests.journeys.conftest import Person, RunningDemo

pytestmark = pytest.mark.browser
#: The demonstration waits 5 s for administrators, 30 s for the controller, and a little for blocks and sweeps.
PATIENCE_SECONDS = 180
MOST_CLICKS = 3
#: Where pictures of every step are left, if somebody wants to look at them.
PICTURES = os.environ.get("MUSUBI_DESK_PICTURES")


@dataclass
class Hand:
    """Somebody's hand on the mouse: every press is counted."""

    person: Person
    demo: RunningDemo
    clicks: int = 0
    pictures: int = 0

    @property
    def page(self) -> Page:
        return self.person.page

    def press(self, selector: str) -> None:
        self.clicks += 1
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state("load")
        self.picture()

    def confirm_if_asked(self) -> None:
        """The second factor, if it was not used lately: a code and one press."""
        if "reauthenticate" in self.page.url:
            assert self.person.who
            visitor = Visitor(self.demo.address)
            visitor.totp_secret = self.person.who.totp_secret
            self.page.locator("[name=code]").fill(visitor.code())
            self.press("main form[method=post] button[type=submit]")

    def carry_out(self) -> None:
        self.press("main form[method=post] button.button-danger, main form[method=post] button[type=submit]")
        self.confirm_if_asked()

    def picture(self) -> None:
        if PICTURES:
            self.pictures += 1
            who = self.person.who.key if self.person.who else "visitor"
            self.page.screenshot(path=Path(PICTURES) / f"{time.time():.0f}-{who}-{self.pictures}.png", full_page=True)


def start(hand: Hand, code: str) -> None:
    page = hand.person.open("/demo/drills/")
    page.locator(f"form:has(input[value={code}]):has(input[name=live]) button").click()
    expect(page.locator("[data-drill=running]")).to_be_visible()


def wait_for(page: Page, path: str, selector: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Look at a page again and again, as somebody does who was told to keep an eye on it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        page.goto(path)
        if page.locator(selector).count():
            return
        time.sleep(1.5)
    raise AssertionError(f"{selector} did not come up on {path}:\n{page.locator('main').inner_text()}")


def contain(hand: Hand) -> str:
    """From the desk, with an alarm on it, to stopped; the alarm's address."""
    wait_for(hand.page, hand.demo.address + "/chain/desk/", "a[href$='/contain/']")
    hand.picture()
    hand.clicks = 0
    hand.press("tbody a[href$='/contain/']")
    hand.carry_out()
    expect(hand.page).to_have_url(re.compile(r"/desk/\d+/$"))
    assert hand.clicks <= MOST_CLICKS, f"{hand.clicks} clicks"
    return hand.page.url


def restore(alarm: str, hands: list[Hand], codes: tuple[str, ...], *, until: Callable[[], bool]) -> list[str]:
    """Take what the checklist offers, in its order, whoever may; what was taken. Waits where the checklist waits."""
    taken: list[str] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline, f"not restored; taken so far: {taken}"
        for hand in hands:
            hand.page.goto(alarm)
            links = hand.page.locator("#checklist a")
            offered = [links.nth(i).get_attribute("href") or "" for i in range(links.count())]
            mine = [link for link in offered if link.split("only=")[1].split("%3A")[0] in codes]
            if mine:
                hand.picture()
                hand.press(f'#checklist a[href="{mine[0]}"]')
                hand.carry_out()
                taken.append(mine[0].split("only=")[1].split("%3A")[0])
        time.sleep(1)
    return taken


def reached(hand: Hand, words: str) -> bool:
    page = hand.person.open("/demo/drills/")
    return page.locator("[data-actor=officers]", has_text=words).count() > 0


def close(hand: Hand, alarm: str) -> None:
    hand.page.goto(alarm)
    hand.page.locator("[name=conclusion]").fill("訓練。すべて元に戻しました。")
    hand.press("form[action$='/close/'] button")


def finish(watcher: Hand, officer: Hand, alarm: str) -> None:
    """Close this alarm, and the one about roles that our own replacing of keys raised; the drill says that all is well."""
    close(officer, alarm)
    officer.page.goto(officer.demo.address + "/chain/desk/")
    rows = officer.page.locator("tbody tr[data-queue-row] th a")
    for link in [rows.nth(i).get_attribute("href") for i in range(rows.count())]:
        close(officer, officer.demo.address + str(link))
    page = watcher.person.open("/demo/drills/")
    expect(page.locator("[data-drill=passed]")).to_be_visible(timeout=30_000)
    watcher.picture()


def test_a_stolen_investor_key_is_stopped_in_three_clicks_and_everything_comes_back(
    at_browser: Callable[..., Person], demo: RunningDemo
) -> None:
    watcher, officer, administrator = (
        Hand(at_browser(key, language=language), demo)
        for key, language in (("", "ja"), ("officer_2", "ja"), ("administrator", "en"))
    )
    start(watcher, "D3")
    alarm = contain(officer)
    wait_for(watcher.page, demo.address + "/demo/drills/", "[data-actor=officers]:has-text('被害の拡大を止め')")
    watcher.picture()
    taken = restore(
        alarm,
        [officer, administrator],
        ("wallet", "admit", "return", "execute"),
        until=lambda: reached(watcher, "元の状態に戻り"),
    )
    assert {"wallet", "admit", "return", "execute"} <= set(taken)
    assert not any(hand.person.observed.problems for hand in (watcher, officer, administrator))
    finish(watcher, officer, alarm)


def test_stolen_issuing_keys_are_stopped_in_three_clicks_and_replaced(
    at_browser: Callable[..., Person], demo: RunningDemo
) -> None:
    watcher, officer, administrator = (
        Hand(at_browser(key, language=language), demo)
        for key, language in (("", "ja"), ("officer_2", "en"), ("administrator", "ja"))
    )
    start(watcher, "D5")
    alarm = contain(officer)
    wait_for(watcher.page, demo.address + "/demo/drills/", "[data-actor=officers]:has-text('被害の拡大を止め')")
    taken = restore(
        alarm,
        [administrator, officer],
        ("rotate", "resume_issuance", "reattest"),
        until=lambda: reached(watcher, "元の状態に戻り"),
    )
    assert taken.count("rotate") == 2
    assert {"resume_issuance", "reattest"} <= set(taken)
    assert not any(hand.person.observed.problems for hand in (watcher, officer, administrator))
    finish(watcher, officer, alarm)


def test_nobody_starts_a_second_drill_beside_a_running_one(
    at_browser: Callable[..., Person], demo: RunningDemo
) -> None:
    hand = Hand(at_browser("", language="en", phone=True), demo)
    page = hand.person.open("/demo/drills/")
    page.locator("#drill-code").select_option("D1")
    page.get_by_role("button", name="Start the rehearsal").click()
    expect(page.locator("[data-drill=running]")).to_be_visible()
    page.get_by_role("button", name="Start the rehearsal").click()
    expect(page.get_by_text("A drill runs already")).to_be_visible()
    page.goto(demo.address + "/demo/")
    wait_for(page, demo.address + "/demo/drills/", "[data-drill=passed]", seconds=300)
    hand.picture()
