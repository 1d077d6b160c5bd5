"""A person at the portal without a screen: opens pages, fills in their real forms, presses their real buttons.

Used by `make smoke` and the fault tests. It knows nothing of the code behind the pages: a form is found by a field or
button it has, what the page filled in already is sent along, and only fields that the form offers can be filled in.
"""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests

from portal.demo.people import current_code, seconds_left

#: Codes that somebody in this process has used: the portal takes each only once.
_USED_CODES: set[tuple[str, str]] = set()
#: (name of the file, its bytes, its declared type)
Upload = tuple[str, bytes, str]


class Unexpected(Exception):
    """The page was not what a person would have expected; the message quotes what it says."""


@dataclass
class Form:
    """One form as the page offers it."""

    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    choices: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, formaction
    text: str = ""


class _Reader(HTMLParser):
    """Forms, links and visible text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.text: list[str] = []
        self._form: Form | None = None
        self._select = self._textarea = self._option = ""
        self._link: str | None = None
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {name: value or "" for name, value in attrs}
        if tag in ("script", "style", "template"):
            self._hidden += 1
        elif tag == "form":
            self._form = Form(action=a.get("action", ""), method=a.get("method", "get").lower())
            self.forms.append(self._form)
        elif tag == "a" and "href" in a:
            self._link = a["href"]
            self.links.append((a["href"], ""))
        elif self._form is not None:
            self._control(tag, a, self._form)

    def _control(self, tag: str, a: dict[str, str], form: Form) -> None:
        name, kind = a.get("name", ""), a.get("type", "text").lower()
        if tag == "button" or (tag == "input" and kind in ("submit", "image")):
            if kind not in ("button", "reset") or a.get("type") is None:
                form.buttons.append((name, a.get("value", ""), a.get("formaction", "")))
        elif tag == "select" and name:
            self._select = name
            form.names.add(name)
            form.choices.setdefault(name, [])
        elif tag == "option" and self._select:
            form.choices[self._select].append(a.get("value", ""))
            if "selected" in a:
                form.values.setdefault(self._select, []).append(a.get("value", ""))
        elif tag == "textarea" and name:
            self._textarea = name
            form.names.add(name)
            form.values[name] = [""]
        elif tag == "input" and name and "disabled" not in a:
            form.names.add(name)
            if kind in ("checkbox", "radio"):
                form.choices.setdefault(name, []).append(a.get("value", "on"))
                if "checked" in a:
                    form.values.setdefault(name, []).append(a.get("value", "on"))
            elif kind != "file":
                form.values.setdefault(name, []).append(a.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template"):
            self._hidden = max(self._hidden - 1, 0)
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""
        elif tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._textarea and self._form is not None:
            self._form.values[self._textarea][0] += data.lstrip("\n")
        if self._hidden or not data.strip():
            return
        self.text.append(data.strip())
        if self._form is not None:
            self._form.text += " " + data.strip()
        if self._link is not None and self.links:
            href, text = self.links[-1]
            self.links[-1] = (href, f"{text} {data.strip()}".strip())


@dataclass
class Page:
    """What came back: where from, with which status, and what a person can do there."""

    url: str
    status: int
    body: str
    forms: list[Form]
    links: list[tuple[str, str]]
    text: str

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def says(self, *words: str) -> bool:
        """Whether all the words stand on the page, as a person would read them."""
        return all(word in self.text for word in words)

    def form(self, *names: str, containing: str = "") -> Form:
        """The first form with all these fields or buttons (and this text, or action)."""
        for form in self.forms:
            known = form.names | {name for name, _, _ in form.buttons}
            if set(names) <= known and containing in form.action + form.text and "/language" not in form.action:
                return form
        raise Unexpected(f"{self.url} has no form with {names or containing!r}; it says: {self.text[:600]}")

    def has_form(self, *names: str, containing: str = "") -> bool:
        try:
            self.form(*names, containing=containing)
        except Unexpected:
            return False
        return True

    def link(self, pattern: str) -> str:
        """The address of the first link whose address or text matches."""
        for href, text in self.links:
            if re.search(pattern, href) or re.search(pattern, text):
                return urljoin(self.url, href)
        raise Unexpected(f"{self.url} has no link like {pattern!r}; it has {[href for href, _ in self.links]}")

    def expect(self, *words: str) -> Self:
        """Raises Unexpected unless the page is a good one and says all the words."""
        if self.status >= 400 or not self.says(*words):
            raise Unexpected(f"{self.url} answered {self.status} and does not say {words}: {self.text[:900]}")
        return self


class Visitor:
    """One person with their own cookies. `email` and `totp_secret` are known once they signed in or up."""

    def __init__(self, address: str, *, language: str = "en") -> None:
        self.address = address.rstrip("/")
        self.session = requests.Session()
        self.session.headers["Accept-Language"] = language
        self.session.cookies.set("django_language", language)
        self.email = self.password = self.totp_secret = ""
        self.recovery_codes: list[str] = []
        self.page = Page(address, 0, "", [], [], "")

    def open(self, path: str) -> Page:
        return self._read(self.session.get(urljoin(self.address + "/", path), timeout=60))

    def fetch(self, path: str) -> requests.Response:
        """The bare answer, for fragments and downloads; the page in front of the visitor stays."""
        return self.session.get(urljoin(self.address + "/", path), timeout=60)

    def submit(
        self,
        form: Form,
        values: dict[str, Any] | None = None,
        *,
        button: str = "",
        files: dict[str, Upload] | None = None,
    ) -> Page:
        """Fill in, press `button` (a name or `name=value`; default the first), and follow where it leads."""
        data = {name: list(known) for name, known in form.values.items()}
        for name, value in (values or {}).items():
            if name not in form.names:
                raise Unexpected(f"the form at {self.page.url} has no field {name!r}; it has {sorted(form.names)}")
            data[name] = [str(each) for each in value] if isinstance(value, (list, tuple, set)) else [str(value)]
        action = form.action
        for name, value, formaction in form.buttons:
            if button in ("", name, f"{name}={value}"):
                if name:
                    data[name] = [value]
                action = formaction or action
                break
        target = urljoin(self.page.url, action or "")
        pairs = [(name, each) for name, known in data.items() for each in known]
        if form.method != "post":
            return self._read(self.session.get(target, params=pairs, timeout=60))
        headers = {"Referer": self.page.url, "Origin": self.address}
        return self._read(self.session.post(target, data=pairs, files=files, headers=headers, timeout=60))

    def _read(self, response: requests.Response) -> Page:
        body = (
            response.content.decode("utf-8", errors="replace")
            if "text" in response.headers.get("content-type", "")
            else ""
        )
        reader = _Reader()
        reader.feed(body)
        text = html.unescape(re.sub(r"\s+", " ", " ".join(reader.text)))
        self.page = Page(response.url, response.status_code, body, reader.forms, reader.links, text)
        return self.page

    # --- signing in and up -------------------------------------------------------------------------------------

    def code(self) -> str:
        """A sign-in code that was not used yet; waits for the next one when it was (each works once)."""
        while (used := (self.totp_secret, current_code(self.totp_secret))) in _USED_CODES or seconds_left() < 2:
            time.sleep(0.5)
        _USED_CODES.add(used)
        return used[1]

    def sign_in(self, email: str, password: str, totp_secret: str) -> Page:
        self.email, self.password, self.totp_secret = email, password, totp_secret
        page = self.open("/accounts/login/")
        page = self.submit(page.form("login", "password"), {"login": email, "password": password})
        if page.has_form("code"):
            page = self.submit(page.form("code"), {"code": self.code()})
        if "/accounts/" in page.path and page.has_form("code"):
            raise Unexpected(f"{email} could not sign in: {page.text[:600]}")
        return page

    def confirm_identity(self, page: Page | None = None) -> Page:
        """Answer where the portal asks who is there, with password or code; any other page is left as it is."""
        page = page or self.page
        for _ in range(3):
            if "reauthenticate" not in page.path:
                return page
            if page.has_form("code"):
                page = self.submit(page.form("code"), {"code": self.code()})
            else:
                page = self.submit(page.form("password"), {"password": self.password})
        raise Unexpected(f"the second factor was not taken: {page.text[:600]}")
