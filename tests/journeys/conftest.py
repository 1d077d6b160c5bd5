"""A running demo, and people at real browsers in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

from portal.demo.layout import ROOT, Layout
from portal.demo.people import BY_KEY, SamplePerson
from portal.demo.visitor import Visitor
from tests.chromium import find_chromium

#: Services named for other tests must not reach this demo: it brings its own.
_FOREIGN = ("DATABASE_URL", "REDIS_URL", "CHAIN_RPC_URL", "SECRET_KEY", "KEYSTORE_PASSWORD", "EVIDENCE_KEYS")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


@dataclass(frozen=True)
class RunningDemo:
    """Where the demo answers, and the password of its sample people."""

    address: str
    layout: Layout
    password: str


@pytest.fixture(scope="session")
def demo() -> Iterator[RunningDemo]:
    """A fresh demo in a run directory of its own, gone afterwards; or the one that `MUSUBI_DEMO_RUN` names."""
    given = os.environ.get("MUSUBI_DEMO_RUN")
    layout = Layout.at(given or ".run-journeys")
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    command = [sys.executable, "-m", "portal.demo", "--run", str(layout.run)]

    def demo_does(*arguments: str, check: bool = True) -> None:
        subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=check)

    if not given:
        demo_does("down", check=False)
        demo_does("reset")
        demo_does("up", "--detach", "--port", "8200")
    secrets = layout.secrets()
    os.environ["DEMO_TOTP_SEED"] = secrets["DEMO_TOTP_SEED"]
    os.environ["DEMO_PASSWORD"] = secrets["DEMO_PASSWORD"]
    try:
        yield RunningDemo(layout.ready_file.read_text(), layout, secrets["DEMO_PASSWORD"])
    finally:
        if not given:
            demo_does("down", check=False)
            demo_does("reset", check=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium.path),
            args=chromium.arguments,
            env={**os.environ, **chromium.environment},
        )
        yield browser
        browser.close()


@dataclass
class Observed:
    """What went wrong in a browser while somebody walked about."""

    problems: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: script error: {error}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # A status of 400 and above is judged where the answer is seen, with its address.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(f"{message.page.url if message.page else ''}: console: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.request.method} {response.url} answered {response.status}")


@dataclass
class Person:
    """Somebody at a browser, signed in, with everything that goes wrong written down."""

    page: Page
    context: BrowserContext
    observed: Observed
    who: SamplePerson | None
    address: str

    def open(self, path: str) -> Page:
        self.page.goto(path if path.startswith("http") else self.address + path, wait_until="load")
        return self.page


@pytest.fixture(scope="session")
def sessions(demo: RunningDemo) -> Callable[[str], list[dict[str, Any]]]:
    """Cookies of a signed-in sample person. Signed in once: a sign-in code works once only."""
    known: dict[str, list[dict[str, Any]]] = {}

    def cookies_of(key: str) -> list[dict[str, Any]]:
        if key not in known:
            person = BY_KEY[key]
            visitor = Visitor(demo.address)
            visitor.sign_in(person.email, demo.password, person.totp_secret)
            known[key] = [
                {"name": cookie.name, "value": cookie.value or "", "url": demo.address}
                for cookie in visitor.session.cookies
                if cookie.name != "django_language"
            ]
        return known[key]

    return cookies_of


@pytest.fixture
def at_browser(
    demo: RunningDemo, browser: Browser, sessions: Callable[[str], list[dict[str, Any]]]
) -> Iterator[Callable[..., Person]]:
    """Make somebody sit down: `at_browser("investor_a", language="ja", phone=True)`; no key is a visitor."""
    contexts: list[BrowserContext] = []

    def sit_down(key: str = "", *, language: str = "ja", phone: bool = False, scheme: str = "light") -> Person:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
            locale="ja-JP" if language == "ja" else "en-GB",
            timezone_id="Asia/Tokyo",
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        contexts.append(context)
        cookies = sessions(key) if key else []
        context.add_cookies([*cookies, {"name": "django_language", "value": language, "url": demo.address}])  # type: ignore[list-item]
        page = context.new_page()
        if key:
            read_in(page, demo.address, language)
        observed = Observed()
        observed.watch(page)
        return Person(page, context, observed, BY_KEY.get(key), demo.address)

    yield sit_down
    for context in contexts:
        context.close()


def read_in(page: Page, address: str, language: str) -> None:
    """Press the language button if the account reads in the other one: an account's choice outlives the browser's."""
    page.goto(address + "/dashboard/")
    if page.locator("html").get_attribute("lang") != language:
        page.locator(f"button[name=language][value={language}]").dispatch_event("click")
        page.wait_for_function(f"document.documentElement.lang === '{language}'")


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, to be run inside a page."""
    return (Path(ROOT) / "node_modules" / "axe-core" / "axe.min.js").read_text()
