"""The back office: records to look at, for administrators and auditors. What changes anything has a page of its own."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite


class BackOfficeSite(UnfoldAdminSite):
    """Administrators and auditors look; sign-in, and with it the second factor, is allauth's."""

    # Roles are given with a reason on their own page; second factors hold secrets; the schedule of jobs is code.
    KEPT_OUT = frozenset({"auth", "mfa", "account", "usersessions", "django_celery_beat"})

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        models: list[Any] = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else list(model_or_iterable)
        shown = [model for model in models if model._meta.app_label not in self.KEPT_OUT]
        super().register(shown, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        from portal.models import Role, User

        user = request.user
        if not isinstance(user, User) or not user.is_active:
            return False
        return user.is_superuser or bool(user.roles & {Role.ADMINISTRATOR, Role.AUDITOR})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = secure_admin_login(super().login)(request, extra_context)  # type: ignore[no-untyped-call]
        return response
