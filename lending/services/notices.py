"""Telling the borrower at each step: in the portal, and by e-mail unless they turned that kind off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from portal.models import User
from portal.notices.kinds import is_known
from portal.notices.services import notify

logger = logging.getLogger(__name__)


def tell(*, user: User, kind: str, key: object, params: Mapping[str, Any] | None = None, path: str = "") -> None:
    """Tell `user` once per kind and key, in the transaction of the step. Kinds and words: `lending.notice_kinds`."""
    if not is_known(kind):
        # A step of a loan is not undone for want of words; a test asks for the words of every kind.
        logger.error("no words for notices of kind %s", kind)
        return
    notify(user=user, kind=kind, key=key, params=params, path=path)
