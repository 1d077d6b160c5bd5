"""Records of the app in the back office, to look at. Only a new placement rule may be added: a law can change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest

from portal import audit
from portal.admin import RecordAdmin
from portal.models import Role, User
from tokens.models import (
    AdmissionRequest,
    ControlAction,
    Payment,
    PlacementRule,
    Recovery,
    Security,
    Solicitation,
    Subscription,
    Transfer,
)


@admin.register(PlacementRule)
class PlacementRuleAdmin(RecordAdmin):
    list_display = ("effective_from", "solicited_below", "window_months", "notice_from_amount", "source")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.has_role(Role.ADMINISTRATOR)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if not isinstance(obj, PlacementRule):
            raise TypeError(f"not a placement rule: {obj!r}")
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            audit.record(
                action="tokens.placement_rule.added",
                subject_type="tokens.placement_rule",
                subject_id=obj.pk,
                actor=request.user if isinstance(request.user, User) else "admin",
                data={"effective_from": obj.effective_from.isoformat(), "solicited_below": obj.solicited_below},
            )


@admin.register(Security)
class SecurityAdmin(RecordAdmin):
    list_display = ("name", "isin", "state", "placement_type", "authorised_units", "maturity_date", "token")
    list_filter = ("state", "placement_type")
    search_fields = ("name", "isin", "symbol")


@admin.register(Solicitation)
class SolicitationAdmin(RecordAdmin):
    list_display = ("security", "investor", "number", "solicited_at", "solicited_by")
    search_fields = ("investor__email", "security__name")
    list_select_related = ("security", "investor", "solicited_by")


@admin.register(Subscription)
class SubscriptionAdmin(RecordAdmin):
    list_display = ("security", "investor", "state", "units", "allocated_units", "error_code")
    list_filter = ("state",)
    search_fields = ("investor__email", "security__name")
    list_select_related = ("security", "investor")


@admin.register(Payment)
class PaymentAdmin(RecordAdmin):
    list_display = ("subscription", "amount", "currency", "received_on", "reference", "recorded_by")
    search_fields = ("reference",)
    list_select_related = ("subscription", "recorded_by")


@admin.register(Transfer)
class TransferAdmin(RecordAdmin):
    list_display = ("security", "requested_by", "sender", "recipient", "units", "state", "error_code", "created_at")
    list_filter = ("state",)
    search_fields = ("sender", "recipient", "requested_by__email")
    list_select_related = ("security", "requested_by")


@admin.register(AdmissionRequest)
class AdmissionRequestAdmin(RecordAdmin):
    list_display = ("security", "user", "wallet", "state", "decided_by", "created_at")
    list_filter = ("state",)
    list_select_related = ("security", "user", "decided_by")


@admin.register(ControlAction)
class ControlActionAdmin(RecordAdmin):
    list_display = ("security", "kind", "holder", "units", "reason", "requested_by", "state", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("security", "requested_by")


@admin.register(Recovery)
class RecoveryAdmin(RecordAdmin):
    list_display = ("security", "user", "lost", "replacement", "state", "requested_by", "created_at")
    list_filter = ("state",)
    list_select_related = ("security", "user", "requested_by")
