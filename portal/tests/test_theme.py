"""The colours of the pages: chosen by a person or in a browser, and written by the server so that nothing flashes."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def theme_of(browser: Client, path: str = "/") -> str:
    page = browser.get(path).content.decode()
    found = re.search(r'<html[^>]* data-theme="(\w+)"', page)
    return found[1] if found else ""


def test_nobody_chose_so_the_device_decides(client):
    assert theme_of(client) == ""
    assert 'value="system" aria-pressed="true"' in client.get("/").content.decode()


@pytest.mark.parametrize("theme", ["light", "dark", "system"])
def test_a_visitor_s_choice_stays_in_the_browser(client, theme):
    answer = client.post("/theme/", {"theme": theme, "next": "/styleguide/"})
    assert answer["Location"] == "/styleguide/"
    assert theme_of(client) == theme
    page = client.get("/").content.decode()
    assert re.findall(r'value="(\w+)" aria-pressed="true"', page) == [theme]
    assert theme_of(Client()) == ""


def test_a_person_s_choice_follows_them_to_another_browser(make_person, sign_in):
    person = make_person("a@example.com")
    sign_in(person).post("/theme/", {"theme": "dark"})
    person.refresh_from_db()
    assert person.theme == "dark"
    assert theme_of(sign_in(person), "/dashboard/") == "dark"


def test_what_the_person_chose_goes_before_what_the_browser_remembers(make_person, sign_in):
    person = make_person("a@example.com")
    browser = sign_in(person)
    browser.post("/theme/", {"theme": "light"})
    browser.cookies["theme"] = "dark"
    assert theme_of(browser, "/dashboard/") == "light"


def test_until_a_person_chooses_the_browser_s_choice_holds(make_person, sign_in):
    browser = sign_in(make_person("a@example.com"))
    browser.cookies["theme"] = "dark"
    assert theme_of(browser, "/dashboard/") == "dark"


@pytest.mark.parametrize("wrong", ["", "blue", '"><script>'])
def test_an_unknown_theme_changes_nothing(client, wrong):
    client.post("/theme/", {"theme": wrong})
    assert "theme" not in client.cookies
    client.cookies["theme"] = wrong
    assert theme_of(client) == ""
    assert client.post("/theme/", {"theme": wrong}, headers={"HX-Request": "true"}).status_code == 400


def test_a_live_page_is_told_instead_of_loaded_again(client):
    answer = client.post("/theme/", {"theme": "dark"}, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert json.loads(answer["HX-Trigger"]) == {"theme": "dark"}


def test_the_way_back_is_a_page_of_ours(client):
    assert client.post("/theme/", {"theme": "dark", "next": "https://elsewhere.example/"})["Location"] == "/"


def test_it_rejects_get(client):
    assert client.get("/theme/").status_code == 405
