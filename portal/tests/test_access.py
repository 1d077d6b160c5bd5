"""Who may open what, and what must have happened before something of value moves."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from portal.models import Role
from portal.testing import code_now

pytestmark = [pytest.mark.django_db, pytest.mark.urls("portal.tests.urls")]


def test_a_visitor_is_sent_to_sign_in_and_brought_back(client):
    response = client.get("/test/officers/?page=2")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/test/officers/%3Fpage%3D2"


def test_a_live_fragment_of_a_visitor_moves_the_whole_page_to_sign_in(client):
    response = client.get(
        "/test/officers/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/page/"}
    )
    assert response.status_code == 204
    assert response["HX-Redirect"] == "/accounts/login/?next=http%3A%2F%2Ftestserver%2Fpage%2F"


def test_a_live_fragment_does_not_lead_away_to_another_site(client):
    response = client.get("/test/officers/", headers={"HX-Request": "true", "HX-Current-URL": "http://evil.example/"})
    assert response["HX-Redirect"] == "/accounts/login/?next=%2Fdashboard%2F"


def test_the_role_opens_the_page(make_person, sign_in):
    officer = make_person("officer@example.com", role=Role.KYC_OFFICER, second_factor=True)
    assert sign_in(officer).get("/test/officers/").content == b"officers"


@pytest.mark.parametrize("role", [None, Role.ISSUER, Role.ADMINISTRATOR, Role.AUDITOR])
def test_every_other_role_is_refused(make_person, sign_in, role):
    person = make_person("other@example.com", role=role, second_factor=True)
    response = sign_in(person).get("/test/officers/")
    assert response.status_code == 403
    assert "portal.access.role_missing" in response.content.decode()


def test_an_auditor_looks_but_does_not_act(auditor, sign_in):
    browser = sign_in(auditor)
    assert browser.get("/test/officers-auditors/").content == b"GET"
    assert browser.post("/test/officers-auditors/").status_code == 403


def test_value_moves_after_a_fresh_second_factor(investor, sign_in):
    assert sign_in(investor).post("/test/move/", {"amount": "5"}).content == b"moved 5"


def test_without_a_second_factor_one_is_sent_to_set_it_up_and_back(make_person, sign_in):
    browser = sign_in(make_person("new@example.com"))
    response = browser.post("/test/move/?to=b", {"amount": "5"})
    assert response["Location"] == "/accounts/2fa/"
    assert browser.session["return_after_second_factor"] == "/test/move/?to=b"


def test_after_a_while_the_second_factor_is_asked_for_and_what_was_posted_is_carried_out(investor, sign_in):
    cache.clear()  # codes already used are remembered there
    browser = sign_in(investor, fresh=False)
    assert browser.get("/test/move/").content == b"form"
    asked = browser.post("/test/move/?to=b", {"amount": "7"})
    assert asked["Location"] == "/accounts/2fa/reauthenticate/?next=%2Ftest%2Fmove%2F"
    done = browser.post(asked["Location"], {"code": code_now(), "next": "/test/move/"})
    assert done.content == b"moved 7 b"


def test_a_wrong_code_moves_nothing(investor, sign_in):
    browser = sign_in(investor, fresh=False)
    asked = browser.post("/test/move/", {"amount": "7"})
    answer = browser.post(asked["Location"], {"code": "000000", "next": "/test/move/"})
    assert answer.status_code == 200
    assert b"moved" not in answer.content
    assert browser.post("/test/move/", {"amount": "7"}).status_code == 302


def test_a_password_alone_is_not_a_second_factor(investor, sign_in):
    assert sign_in(investor, method="password").post("/test/move/", {"amount": "7"}).status_code == 302


def test_a_stranger_moves_nothing():
    response = Client().post("/test/move/", {"amount": "7"})
    assert response["Location"].startswith("/accounts/login/")
