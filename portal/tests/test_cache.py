"""Redis holds nothing that cannot be lost: without it the portal is slower, not broken."""

from __future__ import annotations

import pytest
from django.core.cache import caches

from portal.cache import ForgivingRedisCache

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def away() -> ForgivingRedisCache:
    return ForgivingRedisCache(NOBODY, {"OPTIONS": {"socket_connect_timeout": 1}})


def test_with_redis_it_is_a_cache(settings):
    cache = caches["default"]
    cache.set("portal-test", 1, 30)
    assert cache.get("portal-test") == 1
    assert cache.incr("portal-test") == 2
    cache.delete("portal-test")
    assert cache.get("portal-test", "gone") == "gone"


def test_without_redis_every_read_misses(away):
    assert away.get("a") is None
    assert away.get("a", "default") == "default"
    assert away.get("a", default="default") == "default"
    assert away.get_many(["a", "b"]) == {}
    assert away.has_key("a") is False
    assert away.get_or_set("a", lambda: 5) == 5


def test_without_redis_every_write_is_let_go(away):
    away.set("a", 1)
    assert away.add("a", 1) is True
    assert away.touch("a") is False
    assert away.delete("a") is False
    assert away.set_many({"a": 1}) == []
    away.delete_many(["a"])
    away.clear()


@pytest.mark.django_db
def test_without_redis_pages_load_and_people_sign_in(client, make_person, settings):
    from portal.testing import PASSWORD

    make_person("a@example.com")
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": NOBODY}}
    assert client.get("/").status_code == 200
    answer = client.post("/accounts/login/", {"login": "a@example.com", "password": PASSWORD})
    assert answer["Location"] == "/dashboard/"
    assert client.get("/dashboard/").status_code == 200
