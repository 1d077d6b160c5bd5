"""Telling the borrower at each step: in the portal, and by e-mail unless they turned that kind off."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from portal.models import User


def tell(*, user: User, kind: str, key: object, params: Mapping[str, Any] | None = None, path: str = "") -> None:
    """Tell `user` once per kind and key, in the transaction of the step. Kinds and words: `lending.notice_kinds`."""
    if find_spec("portal.notices") is not None:
        import_module("portal.notices.services").notify(user=user, kind=kind, key=key, params=params, path=path)
