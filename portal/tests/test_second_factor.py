"""A code of an authenticator app opens one door, once, whether the cache is there or not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from portal.models import UsedCode
from portal.services import use_code
from portal.testing import PASSWORD, code_now

NOBODY = "redis://127.0.0.1:1/0"


def _sign_in_with(code: str, email: str) -> str:
    client = Client()
    client.post("/accounts/login/", {"login": email, "password": PASSWORD})
    answer = client.post("/accounts/2fa/authenticate/", {"code": code})
    return answer.get("Location", "")


def test_a_code_opens_once(investor):
    cache.clear()
    code = code_now()
    assert _sign_in_with(code, investor.email) == "/dashboard/"
    assert _sign_in_with(code, investor.email) == ""


def test_a_code_opens_once_even_without_the_cache(investor, settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": NOBODY}}
    code = code_now()
    assert _sign_in_with(code, investor.email) == "/dashboard/"
    assert _sign_in_with(code, investor.email) == ""
    assert _sign_in_with(f"{code[:3]} {code[3:]}", investor.email) == ""


def test_a_code_that_opened_the_door_does_not_move_value(investor, sign_in, settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": NOBODY}}
    code = code_now()
    assert _sign_in_with(code, investor.email) == "/dashboard/"
    answer = sign_in(investor, fresh=False).post("/accounts/2fa/reauthenticate/", {"code": code})
    assert answer.status_code == 200
    assert "code" in answer.context["form"].errors


def test_a_code_of_one_person_is_nothing_to_another(investor, administrator):
    assert use_code(user_id=investor.pk, code="123456")
    assert use_code(user_id=administrator.pk, code="123456")
    assert not use_code(user_id=investor.pk, code="123 456")


def test_what_can_no_longer_be_shown_is_forgotten(investor):
    assert use_code(user_id=investor.pk, code="123456")
    UsedCode.objects.update(used_at=timezone.now() - timedelta(seconds=89))
    assert not use_code(user_id=investor.pk, code="123456")
    UsedCode.objects.update(used_at=timezone.now() - timedelta(seconds=91))
    assert use_code(user_id=investor.pk, code="123456")
    assert UsedCode.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_at_the_same_moment_one_is_refused(make_person):
    person = make_person("both@example.com", second_factor=True)

    def use(_: int) -> bool:
        try:
            return use_code(user_id=person.pk, code="123456")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(use, range(4))) == [False, False, False, True]
