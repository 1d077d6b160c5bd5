"""A cache that is only ever a cache: when Redis is down it misses, and the page still loads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


def _forgiving(method: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: RedisCache, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (RedisError, OSError) as error:
            logger.warning("cache unavailable: %s", error)
            return answer(*args, **kwargs)

    return call


def _default(key: str, default: Any = None, *_: Any, **kwargs: Any) -> Any:
    return kwargs.get("default", default)


class ForgivingRedisCache(RedisCache):
    """Django's Redis cache, with every operation a miss or a no-op while Redis is unreachable."""

    add = _forgiving(RedisCache.add, lambda *a, **k: True)
    get = _forgiving(RedisCache.get, _default)
    set = _forgiving(RedisCache.set, lambda *a, **k: None)
    touch = _forgiving(RedisCache.touch, lambda *a, **k: False)
    delete = _forgiving(RedisCache.delete, lambda *a, **k: False)
    get_many = _forgiving(RedisCache.get_many, lambda *a, **k: {})
    has_key = _forgiving(RedisCache.has_key, lambda *a, **k: False)
    incr = _forgiving(RedisCache.incr, lambda *a, **k: 0)
    set_many = _forgiving(RedisCache.set_many, lambda *a, **k: [])
    delete_many = _forgiving(RedisCache.delete_many, lambda *a, **k: None)
    clear = _forgiving(RedisCache.clear, lambda *a, **k: False)
