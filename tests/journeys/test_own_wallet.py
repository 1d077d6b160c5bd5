"""People with wallets of their own: added, attested by an officer in theirs, signed in with, paid out of; and signing for the Safe."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from portal.demo.people import BY_KEY
from tests.journeys.conftest import READERS, Person, RunningDemo, Walk, enter_code, environment_of
from tests.journeys.wallet_provider import TestWallet, demo_key
from tokens.validators import isin_check_digit

pytestmark = pytest.mark.browser

#: Time for a block and its finality in the demonstration, on a machine that does other things too.
PATIENCE_MS = 90_000
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def wallet_of_the_reader(demo: RunningDemo, language: str) -> TestWallet:
    """The same wallet for every journey in one language of one installation: what one has proved the next can use."""
    seed = demo.layout.secrets()["DEMO_TOTP_SEED"].encode()
    return TestWallet(hashlib.sha256(b"own wallet" + language.encode() + seed).digest(), node_of(demo))


def node_of(demo: RunningDemo) -> str:
    return environment_of(demo)["CHAIN_RPC_URL"]


def choose(page: Page) -> None:
    page.locator("[data-wallet-choice]").click()


def panel(page: Page, state: str) -> None:
    """The wallet's panel says this, in a sentence."""
    expect(page.locator(f"[data-wallet][data-state={state}]")).to_be_visible(timeout=15_000)
    expect(page.locator("[data-wallet-notice]")).to_have_text(re.compile(r"\S"))


def sign_after_trouble(walk: Walk, wallet: TestWallet, leads_to: re.Pattern[str]) -> Page:
    """On the wrong network first, then declined, then signed: each is explained and none of it loses anything."""
    page = walk.page
    expect(page.locator("[data-signing]")).to_be_visible()
    wallet.chain_id, wallet.rejects = 1, 1
    asked = list(wallet.asked)
    choose(page)
    panel(page, "network")
    expect(page.locator("[data-wallet-go]")).to_be_hidden()
    walk.look()
    page.locator("[data-wallet-switch]").click()
    panel(page, "ready")
    page.locator("[data-wallet-go]").click()
    panel(page, "rejected")
    walk.look()
    # The same address, or another: what the wallet gave is sent by the page's form.
    with page.expect_navigation(url=leads_to, timeout=30_000):
        page.locator("[data-wallet-go]").click()
    walk.confirm_if_asked()
    signs = [method for method in wallet.asked[len(asked) :] if "sign" in method.lower() or "send" in method]
    assert len(signs) == 2, "declined once, signed once, and asked for nothing else"
    return walk.look()


def ensure_attested(holder: Walk, officer: Walk, wallet: TestWallet) -> None:
    """The wallet is the holder's, and its token is in force, attested by an officer in the officer's own wallet."""
    page = holder.open("/kyc/wallets/")
    card = page.locator("#wallets .card", has_text=wallet.address)
    if not card.count():
        holder.open("/kyc/wallets/new/")
        sign_after_trouble(holder, wallet, re.compile(r"/kyc/wallets/$|reauthenticate"))
        expect(card).to_be_visible(timeout=15_000)
    if not card.locator("[data-state=effective]").count():
        attest_in_own_wallet(officer, wallet.address)
        holder.open("/kyc/wallets/")
        expect(card.locator("[data-state=effective]")).to_be_visible(timeout=PATIENCE_MS)


def attest_in_own_wallet(officer: Walk, holder: str) -> None:
    """The officer finds the wallet that waits, goes on to their own wallet, and signs what the page says."""
    page = officer.open("/kyc/wallet-requests/")
    waiting = page.locator(".card:has(form[action$='/sign/'])", has_text=holder)
    expect(waiting.locator("[data-signing]")).to_be_visible()
    waiting.locator("form[action$='/sign/'] button").click()
    page.wait_for_url(re.compile(r"/kyc/attestations/\d+/"))
    officer.look()
    registered = _ADDRESS.search(page.locator("[data-wallet]").get_attribute("data-account") or "")
    assert registered
    wallet = TestWallet(demo_key(officer.demo.layout, registered.group(0)), node_of(officer.demo))
    wallet.open_in(page)
    officer.open(page.url)
    expect(page.locator("[data-signing]")).to_contain_text(holder)
    sign_after_trouble(officer, wallet, re.compile(r"/kyc/cases/\d+/|reauthenticate"))
    assert "eth_signTypedData_v4" in wallet.asked


def ensure_admitted(holder: Walk, issuer: Walk, wallet: TestWallet, security: str) -> None:
    """The issuer has admitted the wallet to the security with this page's address."""
    page = holder.open(security)
    isin = re.search(r"JP[0-9A-Z]{10}", page.locator("main").inner_text())
    assert isin
    page = holder.open("/tokens/receive/")
    mine = page.locator("#admissions tr", has_text=wallet.address[-4:])
    if not mine.locator("[data-state=admitted]").count():
        page.locator(f"[name=wallet][value='{wallet.address}']").check()
        page.locator("[name=isin]").fill(isin.group(0))
        holder.press("main form[method=post] button[type=submit]")
        issuer.open("/tokens/admissions/")
        row = issuer.page.locator("tr", has_text=wallet.address[-4:])
        row.locator("form[action$='/approve/'] button").click()
        issuer.page.wait_for_load_state("load")
        issuer.confirm_if_asked()
        issuer.look()
        expect(mine.locator("[data-state=admitted]")).to_be_visible(timeout=PATIENCE_MS)


def end_all(walks: list[Walk]) -> None:
    """Nothing was wrong for any of them; who was not needed, because an earlier journey did it, saw nothing."""
    assert any(walk.seen for walk in walks)
    for walk in walks:
        if walk.seen:
            walk.end()


def bond_of(walk: Walk) -> str:
    """The address of the page about the bond this person holds."""
    found = re.search(r"/tokens/holdings/\d+/", walk.open("/tokens/holdings/").content())
    assert found, "the bond stands among the holdings"
    return found.group(0)


def ask_for_transfer(walk: Walk, recipient: str, amount: str, confirm: Callable[[], object] = lambda: None) -> Page:
    """From the form that is open to the page that follows the transfer; `confirm` shows the second factor on the way."""
    page = walk.page
    page.locator("[name=recipient]").press_sequentially(recipient, delay=2)
    page.locator("[name=amount]").press_sequentially(amount, delay=5)
    expect(page.locator("#precheck [data-precheck=ok]")).to_be_visible(timeout=15_000)
    walk.press("main form[method=post] button[type=submit]")
    expect(page).to_have_url(re.compile(r"/confirm/"))
    expect(page.locator("[data-signing]")).to_be_visible()
    page.locator("main form[method=post] button[type=submit]").first.click()
    confirm()
    walk.confirm_if_asked()
    expect(page).to_have_url(re.compile(r"/tokens/transfers/\d+/"))
    walk.look()
    return page


def sign_in_with(walk: Walk, wallet: TestWallet, key: str) -> None:
    """From the entrance, through the wallet and the second factor of the wallet's owner, to the dashboard."""
    page = walk.open("/accounts/login/")
    walk.press("a[href*='/kyc/wallets/sign-in/']")
    choose(page)
    panel(page, "ready")
    page.locator("[data-wallet-go]").click()
    expect(page.locator("[name=code]")).to_be_visible(timeout=15_000)
    walk.look()
    enter_code(page, BY_KEY[key], walk.demo)
    expect(page).to_have_url(re.compile(r"/dashboard/"))


def test_without_a_wallet_the_page_says_so(at_browser: Callable[..., Person]) -> None:
    visitor = at_browser("", language="en")
    page = visitor.open("/kyc/wallets/sign-in/")
    expect(page.locator("[data-wallet][data-state=none]")).to_contain_text("No wallet was found")
    assert not visitor.observed.problems, visitor.observed.problems


@READERS
def test_rejected_locked_and_wrong_network_are_explained_and_nothing_is_lost(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    walk = Walk(at_browser("", language=language, phone=phone), demo, axe)
    wallet = TestWallet(hashlib.sha256(b"nobody's").digest(), node_of(demo), locked=True, chain_id=1, rejects=1)
    wallet.open_in(walk.page)
    page = walk.open("/kyc/wallets/sign-in/")
    choose(page)
    panel(page, "locked")
    wallet.locked = False
    choose(page)
    panel(page, "network")
    walk.look()
    page.locator("[data-wallet-switch]").click()
    panel(page, "ready")
    page.locator("[data-wallet-go]").click()
    panel(page, "rejected")
    walk.look()
    expect(page.locator("[data-wallet-go]")).to_be_visible()
    walk.end()


@READERS
def test_an_officer_attests_in_their_own_wallet_and_the_holders_wallet_comes_into_force(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    wallet = wallet_of_the_reader(demo, language)
    holder = Walk(at_browser("investor_a", language=language, phone=phone), demo, axe)
    officer = Walk(at_browser("officer_1", language=language, phone=phone), demo, axe)
    wallet.open_in(holder.page)
    ensure_attested(holder, officer, wallet)
    holder.end()
    officer.end()


@READERS
def test_an_own_wallet_signs_its_owner_in_and_passes_on_what_it_holds_until_that_is_final(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    wallet = wallet_of_the_reader(demo, language)
    wallet.fund()
    walks = {
        key: Walk(at_browser(key, language=language, phone=phone), demo, axe)
        for key in ("investor_a", "officer_1", "issuer_1", "investor_b")
    }
    holder = walks["investor_a"]
    wallet.open_in(holder.page)
    ensure_attested(holder, walks["officer_1"], wallet)
    bond = bond_of(holder)
    ensure_admitted(holder, walks["issuer_1"], wallet, bond)
    # The wallet we keep passes units on to the person's own one: with the same pages.
    holder.open(bond.replace("/holdings/", "/transfers/new/"))
    page = ask_for_transfer(holder, wallet.address, "4")
    expect(page.locator("#transfer-status [data-state=final]")).to_be_visible(timeout=PATIENCE_MS)

    address = _ADDRESS.search(walks["investor_b"].open("/tokens/receive/").locator("main").inner_text())
    assert address
    visitor = Walk(at_browser("", language=language, phone=phone), demo, axe)
    wallet.open_in(visitor.page)
    sign_in_with(visitor, wallet, "investor_a")
    visitor.open("/tokens/holdings/")
    visitor.press(f"a[href*='sender={wallet.address}']")
    # The second factor was shown at the entrance and is not asked for again so soon.
    page = ask_for_transfer(visitor, address.group(0), "3")
    sign_after_trouble(visitor, wallet, re.compile(r"/tokens/transfers/\d+/"))
    expect(page.locator("#transfer-status [data-state=final]")).to_be_visible(timeout=PATIENCE_MS)
    visitor.look()
    received = walks["investor_b"].open(bond)
    expect(received.locator("[data-state=final]").first).to_be_visible()
    end_all([*walks.values(), visitor])


def offer_a_bond(issuer: Walk, second: Walk) -> str:
    """The address of the page about a new bond that two people of the issuer made: it is on offer."""
    page = issuer.open("/tokens/securities/new/")
    today = datetime.now(ZoneInfo("Asia/Tokyo")).date()
    serial = f"JP{time.time_ns() // 1_000_000 % 10**9:09d}"
    terms = {
        "name": f"Journey bond {serial[-4:]}",
        "symbol": f"J-{serial[-8:]}",
        "isin": serial + isin_check_digit(serial),
        "issuer_name": "Musubi Securities Group",
        "authorised_amount": "10000000",
        "face_value": "100000",
        "rate_percent": "1.20",
        # Later than the sample bond, which stays the first that its holder sees.
        "issue_date": f"{today}",
        "record_date": f"{today + timedelta(days=716)}",
        "maturity_date": f"{today + timedelta(days=730)}",
    }
    for name, value in terms.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("[name=placement_type][value=small_number]").check()
    issuer.press("main form[method=post] button[type=submit]")
    bond = re.search(r"/tokens/securities/\d+/", page.url)
    assert bond, f"the draft is saved, not asked again: {page.url}"
    issuer.press("form[action$='/submit/'] button")
    second.open(bond.group(0) + "approve/")
    second.press("main form[method=post]:not([action]) button[type=submit]")
    expect(second.page.locator("#security-status [data-state=offered]")).to_be_visible(timeout=PATIENCE_MS)
    second.look()
    return bond.group(0)


@READERS
def test_an_investor_subscribes_into_their_own_wallet_and_finds_the_allotment_there(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    wallet = wallet_of_the_reader(demo, language)
    walks = {
        key: Walk(at_browser(key, language=language, phone=phone), demo, axe)
        for key in ("investor_a", "officer_1", "issuer_1", "issuer_2")
    }
    holder, issuer = walks["investor_a"], walks["issuer_1"]
    wallet.open_in(holder.page)
    ensure_attested(holder, walks["officer_1"], wallet)
    bond = offer_a_bond(issuer, walks["issuer_2"])

    page = issuer.open(bond + f"placement/?search={BY_KEY['investor_a'].email}")
    page.locator("[name=investor]").select_option(index=1)
    issuer.press("form[action*='/invite/'] button")

    page = holder.open("/tokens/subscriptions/")
    holder.press("main tbody a")
    offer = re.search(r"/tokens/subscriptions/(\d+)/", page.url)
    assert offer
    holder.press("a[href$='/subscribe/']")
    page.locator(f"[name=wallet][value='{wallet.address}']").check()
    page.locator("[name=units]").fill("5")
    for statement in page.locator("[name^=accept_]").all():
        statement.check()
    holder.press("main form[method=post] button[type=submit]")
    expect(page.locator("#subscription-status [data-state=subscribed]")).to_be_visible()
    expect(page.locator("#subscription-status")).to_contain_text(wallet.address[-4:])

    work = f"/tokens/placement/{offer.group(1)}/"
    issuer.open(work)
    issuer.page.locator("[name=reference]").fill(f"JOURNEY-{offer.group(1)}")
    issuer.press("form[action$='/payment/'] button")
    issuer.page.locator("form[action$='/allocate/'] [name=units]").fill("5")
    issuer.press("form[action$='/allocate/'] button")
    expect(issuer.page.locator("[data-signing]")).to_contain_text(wallet.address)
    issuer.press("form[action$='/issue/'] button")

    # The holder's page stayed open: it says by itself how the issuer goes on.
    expect(page.locator("#subscription-status [data-state=allotted]")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#subscription-actions button")).to_have_count(0)
    holder.look()
    page = holder.open(bond.replace("/securities/", "/holdings/"))
    mine = page.locator("main .card", has_text=wallet.address)
    expect(mine).to_contain_text(re.compile(r"5\s*(units|口)"))
    expect(mine.locator("[data-state=final]")).to_be_visible()
    end_all(list(walks.values()))


@READERS
def test_a_holder_who_is_told_of_a_recovery_objects_to_it_in_the_wallet_that_is_called_lost(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    wallet = wallet_of_the_reader(demo, language)
    wallet.fund()
    walks = {
        key: Walk(at_browser(key, language=language, phone=phone), demo, axe)
        for key in ("investor_a", "officer_1", "issuer_1", "administrator")
    }
    holder, administrator = walks["investor_a"], walks["administrator"]
    wallet.open_in(holder.page)
    ensure_attested(holder, walks["officer_1"], wallet)
    bond = bond_of(holder)
    ensure_admitted(holder, walks["issuer_1"], wallet, bond)
    kept = _ADDRESS.search(holder.open("/tokens/receive/").locator("main").inner_text())
    assert kept

    page = administrator.open(bond.replace("/holdings/", "/securities/") + "recoveries/new/")
    expect(page.locator("[data-signing]")).to_be_visible()
    page.locator("[name=lost]").fill(wallet.address)
    page.locator("[name=replacement]").fill(kept.group(0))
    page.locator("[name=reason]").fill("Said to be lost on the telephone")
    administrator.press("main form[method=post] button[type=submit]")

    page = holder.open("/notices/")
    page.locator("main a", has_text=re.compile("Recovery announced|復旧の公示")).first.click()
    page.wait_for_load_state("load")
    holder.press("main a[href*='/tokens/recoveries/']")
    # Until the announcement is in a block there is nothing to object to; then the page says so by itself.
    page.locator("[data-wallet], #recovery-state a.button").first.wait_for(timeout=PATIENCE_MS)
    if not page.locator("[data-wallet]").count():
        holder.press("#recovery-state a.button")
    sign_after_trouble(holder, wallet, re.compile(r"/tokens/recoveries/\d+/$"))
    expect(page.locator("main [data-state=objected]")).to_be_visible(timeout=PATIENCE_MS)
    end_all(list(walks.values()))
