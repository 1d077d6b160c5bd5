"""A running demo, and people at real browsers in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
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


class Traffic:
    """What the pages of a tab fetch, every page as if opened for the first time: nothing comes from the cache."""

    def __init__(self, person: Person) -> None:
        self._own = urlsplit(person.address).netloc
        self._fetched = 0
        self._foreign: set[str] = set()
        session = person.context.new_cdp_session(person.page)
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.loadingFinished", self._came)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _asked(self, event: dict[str, Any]) -> None:
        address = urlsplit(event["request"]["url"])
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc != self._own:
            self._foreign.add(event["request"]["url"])

    def _came(self, event: dict[str, Any]) -> None:
        self._fetched += int(event["encodedDataLength"])

    def take(self) -> tuple[int, set[str]]:
        """Bytes as they came over the line, headers included, and addresses elsewhere, since the last time."""
        taken = (self._fetched, self._foreign)
        self._fetched, self._foreign = 0, set()
        return taken


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


#: What can be walked through twice is: at a desk in Japanese, and on a phone in English.
READERS = pytest.mark.parametrize(("language", "phone"), [("ja", False), ("en", True)], ids=["ja-desk", "en-phone"])
#: Where pictures of what journeys see are left, if somebody wants to look at them.
PICTURES = os.environ.get("MUSUBI_JOURNEY_PICTURES")


@dataclass
class Walk:
    """A person who looks at every page they come to: it must fit the screen, and everybody must be able to use it."""

    person: Person
    demo: RunningDemo
    axe: str
    faults: list[str] = field(default_factory=list)
    seen: int = 0

    @property
    def page(self) -> Page:
        return self.person.page

    def open(self, path: str) -> Page:
        self.person.open(path)
        return self.look()

    def look(self) -> Page:
        """Judge the page now open."""
        page, self.seen = self.page, self.seen + 1
        where = page.url.removeprefix(self.person.address)
        width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if width > 0:
            self.faults.append(f"{where}: {width} px too wide")
        self.faults += [f"{where}: {fault}" for fault in serious_faults(self.person, self.axe)]
        if PICTURES:
            name = f"{time.time():.1f}-{re.sub(r'[^a-z0-9]+', '-', where.split('?')[0])}.png"
            page.screenshot(path=Path(PICTURES) / name, full_page=True)
        return page

    def press(self, selector: str) -> Page:
        """Press a button; show the second factor where it is asked for; judge the page it led to."""
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state("load")
        self.confirm_if_asked()
        return self.look()

    def confirm_if_asked(self) -> None:
        """Answer with a code of the sample person's authenticator app where the page asks for one."""
        if "reauthenticate" in self.page.url:
            self.enter_code()

    def enter_code(self) -> None:
        assert self.person.who
        enter_code(self.page, self.person.who, self.demo)

    def end(self) -> None:
        """Nothing was wrong on the way, and there was a way."""
        assert self.seen
        wrong = self.faults + self.person.observed.problems
        assert not wrong, "\n".join(wrong)


def environment_of(demo: RunningDemo) -> dict[str, str]:
    """What the demo gave its processes: where its node is."""
    for child in psutil.Process(int(demo.layout.pid_file.read_text())).children():
        environment = child.environ()
        if environment.get("DEMO") == "1" and environment.get("CHAIN_RPC_URL"):
            return environment
    raise AssertionError("the demo has no process that knows its node")


def enter_code(page: Page, who: SamplePerson, demo: RunningDemo) -> None:
    """The code that the authenticator app of a sample person shows: one that was not used yet."""
    visitor = Visitor(demo.address)
    visitor.totp_secret = who.totp_secret
    page.locator("[name=code]").fill(visitor.code())
    page.locator("main form[method=post] button[type=submit]").first.click()
    page.wait_for_load_state("load")


def serious_faults(person: Person, axe: str) -> list[str]:
    """What axe-core calls serious or critical on the page now open."""
    # From the top: what a page that scrolled to its error summary leaves under the sticky header is no fault.
    person.page.evaluate("window.scrollTo(0, 0)")
    # Run as the tool's own script, beside the page's content security policy.
    person.page.evaluate(axe)
    result: dict[str, Any] = person.page.evaluate(
        "axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
    )
    return [
        f"{fault['id']}: {fault['help']} at {fault['nodes'][0]['target']} {fault['nodes'][0]['html'][:160]}"
        for fault in result["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
