"""Waking a worker after the commit. The row is the queue: without Redis the next sweep does the work."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


def wake(task: Any, *ids: int) -> None:
    """Call `task` with row ids once the current transaction is committed; a broker that is down loses nothing."""

    def send() -> None:
        try:
            task.apply_async(args=ids, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            logger.warning("no worker could be woken (%s); the next sweep acts", type(error).__name__)

    transaction.on_commit(send)
