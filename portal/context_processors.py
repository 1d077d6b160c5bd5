"""What every page's frame needs. Nothing is read before a template asks for it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from portal.memo import Remembered
from portal.models import Role, User
from portal.navigation import menu_for
from portal.selectors import theme_for


def frame(request: HttpRequest) -> dict[str, Any]:
    """Site name, the menu of this person, their roles in words, and how current the chain's figures are."""
    return {
        "SITE_NAME": settings.SITE_NAME,
        "DEMO": settings.DEMO,
        "navigation": SimpleLazyObject(lambda: _navigation(request)),
        "role_labels": SimpleLazyObject(lambda: _role_labels(request)),
        "unread_notices": SimpleLazyObject(lambda: _unread_notices(request)),
        "theme": SimpleLazyObject(lambda: theme_for(request)),
        "chain_status": SimpleLazyObject(_chain_status),
    }


def _navigation(request: HttpRequest) -> list[Any]:
    # Error pages may be rendered before the authentication middleware has run.
    return menu_for(request) if hasattr(request, "user") else []


def _role_labels(request: HttpRequest) -> list[str]:
    user = getattr(request, "user", None)
    return [str(Role(name).label) for name in sorted(user.roles)] if isinstance(user, User) else []


def _unread_notices(request: HttpRequest) -> int:
    from portal.notices.selectors import unread_count

    user = getattr(request, "user", None)
    return unread_count(user) if isinstance(user, User) else 0


def _ask_chain_status() -> Any:
    # The one place where a page's frame looks at the chain; from the database and the cache, never from the node.
    from chain.selectors import chain_status

    return chain_status()


#: For the line at the foot of every page. What a page says of its own figures it reads itself.
_chain_status = Remembered(_ask_chain_status, seconds=1)
