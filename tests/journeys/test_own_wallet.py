"""A person adds a wallet of their own, an officer signs for it in theirs, and it signs its owner in and passes units on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import psutil
import pytest
from playwright.sync_api import Page, expect

from portal.demo.visitor import Visitor
from tests.journeys.conftest import Person, RunningDemo
from tests.journeys.wallet_provider import TestWallet

pytestmark = pytest.mark.browser


def environment_of(demo: RunningDemo) -> dict[str, str]:
    """What the demo gave its processes: where its node is."""
    for child in psutil.Process(int(demo.layout.pid_file.read_text())).children():
        environment = child.environ()
        if environment.get("DEMO") == "1" and environment.get("CHAIN_RPC_URL"):
            return environment
    raise AssertionError("the demo has no process that knows its node")


@pytest.fixture
def wallet(demo: RunningDemo) -> TestWallet:
    """The same wallet for every journey of one installation, so that what one has proved the next can use."""
    seed = demo.layout.secrets()["DEMO_TOTP_SEED"].encode()
    return TestWallet(hashlib.sha256(b"own wallet" + seed).digest(), environment_of(demo)["CHAIN_RPC_URL"])


def choose(page: Page) -> None:
    page.locator("[data-wallet-choice]").click()


def confirm_if_asked(person: Person, demo: RunningDemo) -> None:
    if "reauthenticate" in person.page.url:
        assert person.who
        visitor = Visitor(demo.address)
        visitor.totp_secret = person.who.totp_secret
        person.page.locator("[name=code]").fill(visitor.code())
        person.page.locator("main form[method=post] button[type=submit]").first.click()


def test_without_a_wallet_the_page_says_so(at_browser: Callable[..., Person]) -> None:
    visitor = at_browser("", language="en")
    page = visitor.open("/kyc/wallets/sign-in/")
    expect(page.locator("[data-wallet][data-state=none]")).to_contain_text("No wallet was found")
    assert not visitor.observed.problems, visitor.observed.problems


@pytest.mark.parametrize("language", ["ja", "en"])
def test_rejected_locked_and_wrong_network_are_explained_and_nothing_is_lost(
    at_browser: Callable[..., Person], wallet: TestWallet, language: str
) -> None:
    visitor = at_browser("", language=language, phone=language == "en")
    wallet.locked, wallet.chain_id, wallet.rejects = True, 1, 1
    wallet.open_in(visitor.page)
    page = visitor.open("/kyc/wallets/sign-in/")
    choose(page)
    expect(page.locator("[data-wallet][data-state=locked]")).to_be_visible()
    wallet.locked = False
    choose(page)
    expect(page.locator("[data-wallet][data-state=network]")).to_be_visible()
    page.locator("[data-wallet-switch]").click()
    expect(page.locator("[data-wallet][data-state=ready]")).to_be_visible()
    page.locator("[data-wallet-go]").click()
    expect(page.locator("[data-wallet][data-state=rejected]")).to_be_visible()
    expect(page.locator("[data-wallet-go]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not visitor.observed.problems, visitor.observed.problems


def test_a_wallet_is_added_attested_and_signs_its_owner_in(
    at_browser: Callable[..., Person], demo: RunningDemo, wallet: TestWallet
) -> None:
    holder = at_browser("investor_a", language="ja")
    page = holder.open("/kyc/wallets/")
    if wallet.address not in page.content():
        wallet.open_in(page)
        holder.open("/kyc/wallets/new/")
        choose(page)
        page.locator("[data-wallet-go]").click()
        page.wait_for_url(re.compile(r"/kyc/wallets/$|reauthenticate"))
        confirm_if_asked(holder, demo)
        expect(page.locator("#wallets")).to_contain_text(wallet.address, timeout=15_000)

        officer = at_browser("officer_1", language="ja")
        officer.open("/kyc/wallet-requests/")
        expect(officer.page.locator("main")).to_contain_text(wallet.address)
        officer.page.locator("form[action*='/attest/'] button").first.click()
        officer.page.wait_for_load_state()
        confirm_if_asked(officer, demo)
        expect(page.locator("#wallets [data-state=effective]")).to_have_count(2, timeout=90_000)

    visitor = at_browser("", language="en")
    wallet.open_in(visitor.page)
    entrance = visitor.open("/accounts/login/")
    entrance.get_by_role("link", name="Sign in with your own wallet").click()
    choose(entrance)
    entrance.locator("[data-wallet-go]").click()
    expect(entrance.locator("[name=code]")).to_be_visible(timeout=15_000)
    assert holder.who
    code = Visitor(demo.address)
    code.totp_secret = holder.who.totp_secret
    entrance.locator("[name=code]").fill(code.code())
    entrance.locator("main form[method=post] button[type=submit]").first.click()
    expect(entrance).to_have_url(re.compile(r"/dashboard/"))
    assert not visitor.observed.problems + holder.observed.problems
