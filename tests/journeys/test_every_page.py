"""Every page that a role can reach by links loads, is whole, is in the reader's language and can be used by everybody."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from urllib.parse import urldefrag, urlsplit

import pytest
from babel.messages.pofile import read_po

from portal.demo.layout import ROOT
from tests.journeys.conftest import Person, Traffic, serious_faults

pytestmark = pytest.mark.browser

ROLES = ["", "investor_a", "investor_c", "thief", "officer_1", "issuer_1", "loan_officer_1", "administrator", "auditor"]
#: Pages of one kind differ by number only; a few of each are enough.
_PER_KIND = 2
_LIMIT = 90
#: Bytes that a page may transfer, compressed, when nothing of it is known yet.
_HEAVIEST = 200_000
#: Not pages: they end the session or hand out a file. The back office is Django's own and is opened separately.
_NOT_FOLLOWED = re.compile(
    r"/accounts/logout|/language/|/admin/|\.(pdf|csv|svg|png|jpg|json)$|/export|/download|/original|/documents/\d+/"
)
_RAW = re.compile(r"Traceback|<!DOCTYPE html><h1>Server Error|DoesNotExist|\{%|\{\{|&lt;c-|<c-")
#: Kept in English on purpose: names of languages, and the codes that stand small beneath a refusal.
_ENGLISH_EVERYWHERE = {"English", "Musubi"}


def kind_of(path: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]{8,}", "0x", re.sub(r"\d+", "N", path))


def crawl(person: Person, look: Callable[[str], None]) -> int:
    """Follow every link from the front page on, a few of each kind; `look` at each page. Answers how many."""
    start = "/dashboard/" if person.who else "/"
    queue, seen, kinds = deque([start, "/"]), {start, "/"}, dict[str, int]()
    visited = 0
    while queue and visited < _LIMIT:
        path = queue.popleft()
        kind = kind_of(path)
        if kinds.get(kind, 0) >= _PER_KIND:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        person.open(path)
        look(path)
        visited += 1
        for href in person.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            parts = urlsplit(urldefrag(href).url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            ours = href.startswith(person.address)
            if ours and target not in seen and not _NOT_FOLLOWED.search(target):
                seen.add(target)
                queue.append(target)
    return visited


def english_texts() -> set[str]:
    """Every sentence of our catalogues that has a Japanese form of its own."""
    texts = set()
    for path in ROOT.glob("*/locale/ja/LC_MESSAGES/django.po"):
        with path.open("rb") as file:
            for message in read_po(file, locale="ja"):
                if isinstance(message.id, str) and message.id and message.string not in ("", message.id):
                    texts.add(" ".join(message.id.split()))
    return {text for text in texts if len(text) > 3 and "%" not in text} - _ENGLISH_EVERYWHERE


def visible_texts(person: Person) -> list[str]:
    """The texts a reader of Japanese sees, each element's own; parts marked as another language are left out."""
    found: list[str] = person.page.evaluate(
        """() => {
          const found = [];
          const walk = node => {
            if (node.nodeType === Node.TEXT_NODE) {
              const text = node.textContent.replace(/\\s+/g, ' ').trim();
              if (text) found.push(text);
            } else if (node.nodeType === Node.ELEMENT_NODE) {
              if (['SCRIPT', 'STYLE', 'CODE', 'PRE', 'TEMPLATE'].includes(node.tagName)) return;
              if (node.lang && node !== document.documentElement && node.lang !== 'ja') return;
              for (const name of ['aria-label', 'placeholder', 'title', 'alt']) {
                if (node.getAttribute(name)) found.push(node.getAttribute(name).replace(/\\s+/g, ' ').trim());
              }
              node.childNodes.forEach(walk);
            }
          };
          walk(document.body);
          found.push(document.title.split(' · ')[0]);
          return found;
        }"""
    )
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role or "visitor")
def test_no_link_is_dead_no_error_is_raw_and_no_sentence_is_english_for_a_japanese_reader(
    role: str, at_browser: Callable[..., Person]
) -> None:
    person = at_browser(role, language="ja")
    english = english_texts()
    wrong: list[str] = []

    def look(path: str) -> None:
        body = person.page.content()
        if _RAW.search(body):
            wrong.append(f"{path}: raw {_RAW.search(body)}")
        # The style guide calls the elements by their names in the code.
        if not path.startswith("/styleguide"):
            wrong.extend(f"{path}: not translated: {text!r}" for text in visible_texts(person) if text in english)

    count = crawl(person, look)
    assert not wrong + person.observed.problems, "\n".join(sorted(set(wrong + person.observed.problems)))
    assert count >= (8 if not role else 6), f"only {count} pages could be reached"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role or "visitor")
def test_every_page_fits_a_phone_is_light_and_has_no_serious_accessibility_fault(
    role: str, at_browser: Callable[..., Person], axe: str, record_property: Callable[[str, object], None]
) -> None:
    person = at_browser(role, language="en", phone=True)
    traffic = Traffic(person)
    wrong: list[str] = []
    weights: dict[str, int] = {}

    def look(path: str) -> None:
        width = person.page.evaluate("document.documentElement.scrollWidth")
        if width > 361:
            wrong.append(f"{path}: {width} px wide on a phone")
        wrong.extend(f"{path}: {fault}" for fault in serious_faults(person, axe))
        weights[path], elsewhere = traffic.take()
        if weights[path] > _HEAVIEST:
            wrong.append(f"{path}: {weights[path]:,} bytes on first load")
        wrong.extend(f"{path}: asks {address}" for address in elsewhere)

    crawl(person, look)
    heaviest = max(weights, key=lambda path: weights[path])
    record_property("heaviest page", f"{heaviest} {weights[heaviest]:,} bytes")
    # Script, style and page were all counted: less would mean that nothing was.
    assert min(weights.values()) > 20_000
    assert not wrong + person.observed.problems, "\n".join(sorted(set(wrong + person.observed.problems)))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_chosen_colours_are_there_from_the_first_byte_and_can_be_used_by_everybody(
    theme: str, language: str, at_browser: Callable[..., Person], axe: str
) -> None:
    """The device asks for the other colours throughout; what was typed into a form stays."""
    person = at_browser(language=language, scheme="dark" if theme == "light" else "light")
    page = person.open("/accounts/login/")
    page.locator("[name=login]").fill("somebody@example.com")
    button = page.locator(f"button[name=theme][value={theme}]")
    button.focus()
    page.keyboard.press("Enter")
    page.locator(f"html[data-theme={theme}]").wait_for(state="attached")
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("[name=login]").input_value() == "somebody@example.com"
    wrong: list[str] = []
    for path in ("/", "/styleguide/", "/accounts/login/"):
        answer = page.goto(person.address + path)
        assert answer is not None
        assert f'data-theme="{theme}"' in answer.text()
        shown = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert shown == {"light": "rgb(247, 248, 250)", "dark": "rgb(16, 19, 24)"}[theme]
        wrong.extend(f"{path}: {fault}" for fault in serious_faults(person, axe))
    assert not wrong + person.observed.problems, "\n".join(wrong + person.observed.problems)
