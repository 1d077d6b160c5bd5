"""Records of the portal in the back office. Nothing is changed here: no state is changed by editing a field."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from portal.models import AuditEntry, User
from portal.notices.models import Notice


class RecordAdmin(ModelAdmin):
    """A list to look at for everybody the back office admits; nothing is added, edited or deleted in it."""

    list_per_page = 50
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(self.admin_site.has_permission(request))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.admin_site.has_permission(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(RecordAdmin):
    list_display = ("email", "display_name", "language", "is_active", "last_login")
    list_filter = ("is_active", "language", "groups")
    search_fields = ("email", "display_name")
    fields = ("email", "display_name", "language", "is_active", "groups", "last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")


@admin.register(AuditEntry)
class AuditEntryAdmin(RecordAdmin):
    list_display = ("sequence", "at", "actor_label", "action", "subject_type", "subject_id", "from_state", "to_state")
    list_filter = ("subject_type",)
    search_fields = ("action", "subject_id", "actor_label", "reason")


@admin.register(Notice)
class NoticeAdmin(RecordAdmin):
    list_display = ("user", "kind", "created_at", "read_at", "mail", "sent_at", "attempts", "last_error")
    list_filter = ("mail", "kind")
    list_select_related = ("user",)
