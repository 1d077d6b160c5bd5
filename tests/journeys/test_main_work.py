"""People at real browsers doing what they came for: in both languages, on a desk and on a phone, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from portal.demo.people import stranger_address
from portal.demo.visitor import Visitor
from tests.journeys.conftest import Person, RunningDemo

pytestmark = pytest.mark.browser


def bond_of(person: Person) -> str:
    """The address of the page about the bond this person holds."""
    page = person.open("/tokens/holdings/")
    found = re.search(r"/tokens/holdings/\d+/", page.content())
    assert found, "the bond stands among the holdings"
    return found.group(0)


def address_of(person: Person) -> str:
    page = person.open("/tokens/receive/")
    found = re.search(r"0x[0-9a-fA-F]{40}", page.content())
    assert found, "the page shows the address in full"
    return found.group(0)


def type_transfer(page: Page, recipient: str, amount: str) -> None:
    """Type as a person does, so that the live pre-check is asked."""
    page.locator("[name=recipient]").fill("")
    page.locator("[name=recipient]").press_sequentially(recipient, delay=2)
    page.locator("[name=amount]").fill("")
    page.locator("[name=amount]").press_sequentially(amount, delay=5)


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_pre_check_answers_while_the_holder_types(
    at_browser: Callable[..., Person], language: str, phone: bool
) -> None:
    recipient = address_of(at_browser("investor_b", language=language))
    holder = at_browser("investor_a", language=language, phone=phone)
    page = holder.open(bond_of(holder).replace("/holdings/", "/transfers/new/"))

    type_transfer(page, recipient, "1")
    expect(page.locator("#precheck [data-precheck=ok]")).to_be_visible(timeout=10_000)
    type_transfer(page, stranger_address(), "1")
    expect(page.locator("#precheck [data-precheck=refused]")).to_be_visible(timeout=10_000)
    expect(page.locator("#precheck")).to_contain_text("RECEIVER_NO_SBT")
    type_transfer(page, recipient, "999999")
    expect(page.locator("#precheck [data-precheck=refused]")).to_be_visible(timeout=10_000)
    assert not holder.observed.problems, holder.observed.problems


def test_a_holder_passes_units_on_and_both_sides_see_them_become_final(
    at_browser: Callable[..., Person], demo: RunningDemo
) -> None:
    recipient = at_browser("investor_b")
    address = address_of(recipient)
    holder = at_browser("investor_a")
    bond = bond_of(holder)
    page = holder.open(bond.replace("/holdings/", "/transfers/new/"))
    type_transfer(page, address, "3")
    expect(page.locator("#precheck [data-precheck=ok]")).to_be_visible(timeout=10_000)
    page.locator("main form[method=post] button[type=submit]").first.click()
    expect(page).to_have_url(re.compile(r"/confirm/"))
    page.locator("main form[method=post] button[type=submit]").first.click()
    if "reauthenticate" in page.url:
        assert holder.who
        code = Visitor(demo.address)
        code.totp_secret = holder.who.totp_secret
        page.locator("[name=code]").fill(code.code())
        page.locator("main form[method=post] button[type=submit]").first.click()
    expect(page).to_have_url(re.compile(r"/tokens/transfers/\d+/"))
    expect(page.locator("#transfer-status [data-state=final]")).to_be_visible(timeout=60_000)

    page = recipient.open(bond)
    expect(page.locator("[data-state=final]").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("3")
    assert not holder.observed.problems + recipient.observed.problems


def test_the_officer_opens_a_case_from_the_queue_with_the_keyboard(at_browser: Callable[..., Person]) -> None:
    officer = at_browser("officer_1")
    page = officer.open("/kyc/queue/?state=all")
    expect(page.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/kyc/cases/\d+/"))
    expect(page.locator("#evidence-title")).to_be_visible()
    assert not officer.observed.problems, officer.observed.problems


def test_sign_in_works_with_the_keyboard_alone(at_browser: Callable[..., Person], demo: RunningDemo) -> None:
    visitor = at_browser("")
    page = visitor.open("/accounts/login/")
    page.locator("[name=login]").focus()
    page.keyboard.type("kansa@musubi.example")
    page.keyboard.press("Tab")
    page.locator("[name=password]").focus()
    page.keyboard.type(demo.password)
    page.keyboard.press("Enter")
    expect(page.locator("[name=code]")).to_be_visible()
    assert not visitor.observed.problems, visitor.observed.problems


def test_forms_work_without_javascript(at_browser: Callable[..., Person], demo: RunningDemo) -> None:
    """Everything but a wallet's signature works with scripts switched off: the pre-check then answers on submitting."""
    recipient = address_of(at_browser("investor_b"))
    holder = at_browser("investor_a")
    bond = bond_of(holder)
    browser = holder.context.browser
    assert browser
    plain = browser.new_context(java_script_enabled=False)
    plain.add_cookies(holder.context.cookies())  # type: ignore[arg-type]
    page = plain.new_page()
    page.goto(demo.address + bond.replace("/holdings/", "/transfers/new/"))
    page.locator("[name=recipient]").fill(recipient)
    page.locator("[name=amount]").fill("1")
    page.locator("main form[method=post] button[type=submit]").first.click()
    expect(page).to_have_url(re.compile(r"/confirm/"))
    page.goto(demo.address + bond.replace("/holdings/", "/transfers/new/"))
    page.locator("[name=recipient]").fill(stranger_address())
    page.locator("[name=amount]").fill("1")
    page.locator("main form[method=post] button[type=submit]").first.click()
    expect(page.locator("main")).to_contain_text("RECEIVER_NO_SBT")
    plain.close()
