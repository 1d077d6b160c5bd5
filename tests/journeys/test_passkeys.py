"""An account opened, signed in to and moved value from with a passkey, by a device that Chromium simulates."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from portal.demo.layout import ROOT
from portal.demo.mail import sent_mail
from tests.journeys.conftest import READERS, Person, RunningDemo, Walk, environment_of
from tests.journeys.passkey_provider import Passkeys
from tests.journeys.test_own_wallet import PATIENCE_MS, ask_for_transfer, bond_of

pytestmark = pytest.mark.browser

#: What the portal remembers of a person's sign-ins is made ten minutes older.
_AGE = """
import sys
from django.contrib.sessions.models import Session
from portal.models import User
person = str(User.objects.get(email={email!r}).pk)
for row in Session.objects.all():
    kept = row.get_decoded()
    if kept.get("_auth_user_id") == person:
        for record in kept.get("account_authentication_methods", []):
            record["at"] -= 600
        Session.objects.save(row.session_key, kept, row.expire_date)
"""


def ten_minutes_pass(demo: RunningDemo, email: str) -> None:
    """Nobody has shown a second factor for this account lately."""
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", _AGE.format(email=email)]
    subprocess.run(command, cwd=ROOT, env=environment_of(demo), check=True, capture_output=True)


def code_sent_to(demo: RunningDemo, email: str) -> str:
    found = [re.search(r"^\s*([A-Z0-9]{3,4}-?[A-Z0-9]{3,4})\s*$", mail.text, re.M) for mail in sent_mail(demo.layout.mail, recipient=email)]  # fmt: skip
    codes = [match.group(1) for match in found if match]
    assert codes, f"no code was sent to {email}"
    return codes[0]


def confirm_with_passkey(walk: Walk) -> Page:
    expect(walk.page).to_have_url(re.compile(r"/2fa/webauthn/reauthenticate/"))
    walk.look()
    # What was posted goes on from there, at the address where it was confirmed or at one it leads to.
    with walk.page.expect_navigation():
        walk.page.locator("#mfa_webauthn_reauthenticate").click()
    walk.page.wait_for_load_state("load")
    return walk.look()


@READERS
def test_somebody_new_opens_an_account_with_a_passkey_and_signs_in_with_it(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    walk = Walk(at_browser("", language=language, phone=phone), demo, axe)
    page, device = walk.page, Passkeys.within_reach_of(walk.page)
    email = f"{secrets.token_hex(4)}@passkey.example"
    walk.open("/")
    walk.press("main a[href*='/accounts/signup/']")
    walk.press("a[href*='/accounts/signup/passkey/']")
    assert page.locator("input[type=password]").count() == 0
    page.locator("[name=email]").fill(email)
    page.locator(f"[name=language][value={language}]").check()
    walk.press("main form[method=post] button[type=submit]")
    page.locator("main [name=code]").fill(code_sent_to(demo, email))
    walk.press("main form[method=post] button[type=submit]")
    expect(page).to_have_url(re.compile(r"/accounts/2fa/webauthn/signup/"))

    device.knows_the_finger(False)
    page.locator("#mfa_webauthn_signup").click()
    expect(page.locator("#refusal [role=alert]")).to_be_visible()
    walk.look()
    assert not device.credentials
    device.knows_the_finger(True)
    page.locator("#mfa_webauthn_signup").click()
    expect(page).to_have_url(re.compile(r"/dashboard/"))
    walk.look()
    # The first thing of value asks for the passkey, and goes on where it was: with the portal's own refusal here.
    walk.open("/kyc/wallets/new/")
    page.locator("#wallet-proof").evaluate("form => form.requestSubmit()")
    confirm_with_passkey(walk)
    expect(page.locator("[data-error-summary]")).to_be_visible()
    walk.person.observed.problems = [
        problem for problem in walk.person.observed.problems if "webauthn/reauthenticate/ answered 422" not in problem
    ]

    # One device alone would be one loss away from being locked out.
    walk.open("/dashboard/")
    walk.press("a[href*='/accounts/2fa/recovery-codes/generate/']")
    walk.press("main form[method=post] button[type=submit]")
    expect(page).to_have_url(re.compile(r"/accounts/2fa/recovery-codes/"))
    walk.open("/dashboard/")
    expect(page.locator("main a[href*='recovery-codes']")).to_have_count(0)

    again = Walk(at_browser("", language=language, phone=phone), demo, axe)
    Passkeys.within_reach_of(again.page, device.credentials)
    again.open("/accounts/login/")
    again.page.locator("#passkey_login").click()
    expect(again.page).to_have_url(re.compile(r"/dashboard/"))
    again.look()
    walk.end()
    again.end()


@READERS
def test_a_holder_adds_a_passkey_signs_in_with_it_and_shows_it_again_before_units_move(
    at_browser: Callable[..., Person], demo: RunningDemo, language: str, phone: bool, axe: str
) -> None:
    holder = Walk(at_browser("investor_a", language=language, phone=phone), demo, axe)
    assert holder.person.who
    page, device = holder.page, Passkeys.within_reach_of(holder.page)
    recipient = Walk(at_browser("investor_b", language=language, phone=phone), demo, axe)
    address = re.search(r"0x[0-9a-fA-F]{40}", recipient.open("/tokens/receive/").locator("main").inner_text())
    assert address
    holder.open("/accounts/2fa/")
    holder.press("a[href*='/2fa/webauthn/add/']")
    page.locator("[name=name]").fill(f"Device {language}")
    page.locator("[name=passwordless]").check()
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url(re.compile(r"/2fa/(recovery-codes/)?$"))
    holder.look()
    try:
        visitor = Walk(at_browser("", language=language, phone=phone), demo, axe)
        Passkeys.within_reach_of(visitor.page, device.credentials)
        visitor.open("/accounts/login/")
        visitor.page.locator("#passkey_login").click()
        expect(visitor.page).to_have_url(re.compile(r"/dashboard/"))

        ten_minutes_pass(demo, holder.person.who.email)
        visitor.open(bond_of(visitor).replace("/holdings/", "/transfers/new/"))
        ask_for_transfer(visitor, address.group(0), "1", confirm=lambda: confirm_with_passkey(visitor))
        expect(visitor.page.locator("#transfer-status [data-state=final]")).to_be_visible(timeout=PATIENCE_MS)
    finally:
        remove_passkey(holder, f"Device {language}")
    for walk in (holder, recipient, visitor):
        walk.end()


def remove_passkey(walk: Walk, name: str) -> None:
    """The account is as it was: other journeys show its authenticator app."""
    page = walk.open("/accounts/2fa/webauthn/")
    if "reauthenticate" in page.url:
        confirm_with_passkey(walk)
    page.locator(".card", has_text=name).locator("a[href*='/remove/']").click()
    page.wait_for_load_state("load")
    if "reauthenticate" in page.url:
        confirm_with_passkey(walk)
    walk.look()
    page.locator("main form[method=post] button[type=submit]").first.click()
    expect(page).to_have_url(re.compile(r"/2fa/webauthn/$"))
    expect(page.locator("main")).not_to_contain_text(name)
