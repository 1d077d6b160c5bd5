"""Somebody without an account looks up what stands on the chain, and checks an address, a transfer and a document."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.journeys.conftest import Person, serious_faults

pytestmark = pytest.mark.browser

READERS = pytest.mark.parametrize(
    ("language", "phone"), [("ja", False), ("en", True), ("ja", True), ("en", False)], ids=lambda value: str(value)
)
PAGES = ("/public/", "/public/roles/", "/public/contracts/", "/public/check/")
NOBODY = "0x" + "1" * 40


def look(person: Person, axe: str, phone: bool, path: str) -> list[str]:
    """What is wrong with the page now open, for a phone and for a screen reader."""
    width = person.page.evaluate("document.documentElement.scrollWidth")
    wide = [f"{path}: {width} px wide"] if width > (361 if phone else 1280) else []
    return wide + [f"{path}: {fault}" for fault in serious_faults(person, axe)]


def open_read(person: Person, path: str) -> None:
    """The page once the chain has been read for it: a demo that has just started takes a moment."""
    for _ in range(60):
        page = person.open(path)
        if page.locator("main .empty").count() == 0:
            return
        time.sleep(2)
    raise AssertionError(f"{path}: the chain was not read within two minutes")


def sample_security(person: Person) -> str:
    page = person.open("/public/")
    # The list is newest first; other journeys issue securities of their own.
    link = page.locator("main a[href*='/public/securities/0x']").last
    return str(link.get_attribute("href"))


@READERS
def test_a_visitor_finds_securities_roles_code_and_collateral_by_links(
    language: str, phone: bool, at_browser: Callable[..., Person], axe: str
) -> None:
    visitor = at_browser(language=language, phone=phone)
    open_read(visitor, "/public/roles/")
    visitor.open("/")
    visitor.page.locator("main a[href='/public/']").click()
    expect(visitor.page.locator("h1")).to_have_text("公開情報" if language == "ja" else "Public information")
    faults: list[str] = []
    security = sample_security(visitor)
    for path in (*PAGES, security, "/lending/proof-of-collateral/"):
        visitor.open(path)
        faults += look(visitor, axe, phone, path)
    assert not faults, "\n".join(faults)

    page = visitor.open("/public/contracts/")
    # Every contract of this demo runs what was built from this source.
    expect(page.locator("[data-state=equal]").first).to_be_visible()
    assert page.locator("[data-state=differs], [data-state=absent]").count() == 0
    expect(visitor.open("/public/roles/").locator(".notice-good")).to_have_count(1)
    assert not visitor.observed.problems, visitor.observed.problems


@READERS
def test_a_visitor_checks_an_address_and_a_transfer_and_is_told_what_is_mistyped(
    language: str, phone: bool, at_browser: Callable[..., Person], axe: str
) -> None:
    visitor = at_browser(language=language, phone=phone)
    open_read(visitor, "/public/roles/")
    holder = visitor.page.locator("main .address [title^='0x']").first.get_attribute("title") or ""
    page = visitor.open("/public/check/")
    field = page.locator("input[name=q]")
    field.fill(holder)
    field.press("Enter")
    expect(page).to_have_url(re.compile(rf"/public/check/\?q={holder}"))
    expect(page.locator("main section .card").first).to_contain_text(holder)
    faults = look(visitor, axe, phone, "an address")

    page.locator("input[name=q]").fill("0x" + "ab" * 32)
    page.locator("main form button[type=submit]").click()
    words = "チェーンに存在しません" if language == "ja" else "The chain does not know it"
    expect(page.locator("main .notice-title")).to_have_text(words)
    faults += look(visitor, axe, phone, "a transaction")
    assert not visitor.observed.problems, visitor.observed.problems

    page.locator("input[name=q]").fill("0x123")
    page.locator("main form button[type=submit]").click()
    # The summary of mistakes takes the focus, and leads to the field.
    expect(page.locator(".error-summary")).to_be_focused()
    faults += look(visitor, axe, phone, "a mistyped question")
    assert not faults, "\n".join(faults)


def test_a_document_is_compared_in_the_browser_and_nothing_is_sent(
    at_browser: Callable[..., Person], tmp_path: Path
) -> None:
    visitor = at_browser(language="en")
    page = visitor.open(sample_security(visitor))
    assert page.locator("[data-sha256]").count() > 0, "the sample security has a document"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    other = tmp_path / "other.pdf"
    other.write_bytes(b"another document")
    page.locator("[data-document-check] input[type=file]").set_input_files(other)
    result = page.locator("[data-document-result]")
    expect(result).to_contain_text("This file is none of these documents.")
    known = page.locator("[data-sha256]").first
    # The page's own list decides: a document whose hash it names is recognised by name.
    page.evaluate("document.querySelector('[data-document-check] input[type=file]').value = ''")
    known.evaluate(
        "async (item, text) => { const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));"
        " item.dataset.sha256 = [...new Uint8Array(digest)].map(b => b.toString(16).padStart(2, '0')).join(''); }",
        "another document",
    )
    page.locator("[data-document-check] input[type=file]").set_input_files(other)
    expect(result).to_contain_text("byte for byte")
    assert asked == []
