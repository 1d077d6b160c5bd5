"""Officers sign a proposal in browser wallets of their own: real Chromium, the page as it is served, keys that sign for real.

Not among the journeys: a demonstration signs for its officers at once, so that nothing ever waits for them there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from chain import operations
from chain.models import SafeProposal
from chain.tests.test_proposals import ask, drive, fresh, numbered, officers, pause
from chain.types import SignerRole
from portal.models import Role
from portal.testing import make_person, sign_in
from tests.chromium import find_chromium
from tests.journeys.conftest import DESKTOP, PHONE, axe, serious_faults
from tests.journeys.wallet_provider import TestWallet, key_in

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["axe"]  # a fixture


@pytest.fixture
def chromium(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    # Playwright's loop runs in this thread, and nothing in it touches the database.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    found = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(found.path), args=found.arguments, env={**os.environ, **found.environment}
        )
        yield browser
        browser.close()


def at_page(chromium: Browser, address: str, cookie: str, *, phone: bool) -> Page:
    context = chromium.new_context(viewport=PHONE if phone else DESKTOP, reduced_motion="reduce")  # type: ignore[arg-type]
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": address}])
    return context.new_page()


def faults_of(page: Page, axe: str) -> list[str]:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [*serious_faults(SimpleNamespace(page=page), axe), *([f"{wide} px too wide"] if wide > 0 else [])]  # type: ignore[arg-type]


@pytest.mark.parametrize(("language", "phone"), [("ja", False), ("en", True)], ids=["ja-desk", "en-phone"])
def test_officers_sign_in_their_own_wallets_and_the_proposal_is_carried_out(
    platform: Any, live_server: Any, settings: Any, chromium: Browser, axe: str, language: str, phone: bool
) -> None:
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    administrator = make_person("admin@musubi.example", role=Role.ADMINISTRATOR, second_factor=True, language=language)
    cookie = sign_in(administrator).cookies["sessionid"].value
    pause(platform)
    proposal = numbered(ask(SignerRole.COUNCIL, operations.resume_issuance()))
    first, second, _third = officers(SignerRole.COUNCIL_OWNER)
    stranger = TestWallet(bytes([9]) * 32, platform.node.url)
    wallets = [TestWallet(key_in(settings.KEYSTORE_DIR, settings.KEYSTORE_PASSWORD, each.address), platform.node.url) for each in (first, second)]  # fmt: skip
    wallets[0].chain_id, wallets[0].rejects = 1, 1
    faults = []
    for wallet in (stranger, *wallets):
        page = at_page(chromium, live_server.url, cookie, phone=phone)
        wallet.open_in(page)
        page.goto(f"{live_server.url}/chain/proposals/{proposal.pk}/")
        assert page.locator("html").get_attribute("lang") == language
        expect(page.locator("[data-signing]")).to_contain_text(proposal.target)
        page.locator("[data-wallet-choice]").click()
        if wallet.chain_id == 1:
            expect(page.locator("[data-wallet][data-state=network]")).to_be_visible()
            page.locator("[data-wallet-switch]").click()
        if wallet is wallets[0]:
            page.locator("[data-wallet-go]").click()
            expect(page.locator("[data-wallet][data-state=rejected]")).to_be_visible()
            faults += faults_of(page, axe)
        with page.expect_navigation():
            page.locator("[data-wallet-go]").click()
        if wallet is stranger:
            expect(page.locator("[data-error-summary]")).to_contain_text(wallet.address)
        else:
            expect(page.locator("main li", has_text=wallet.address).first).to_be_visible()
            expect(page.locator("[data-error-summary]")).to_have_count(0)
        faults += faults_of(page, axe)
        page.context.close()
    assert not faults, "\n".join(faults)
    assert fresh(proposal).signatures.count() == 2
    drive(platform)
    assert fresh(proposal).state == SafeProposal.State.DONE
