"""Records for administrators: to look at, not to change. Dated rules and officers' keys may be added."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from kyc.models import (
    Application,
    AttestationRecord,
    DatedRule,
    Evidence,
    LifecycleStep,
    OfficerKey,
    Party,
    SanctionsList,
    ScreeningHit,
    ScreeningRun,
    Wallet,
    WalletRequest,
)


class ReadOnlyAdmin(ModelAdmin):
    """Every change goes through a service, so nothing is edited here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    list_display = ("reference", "name", "kind", "state", "open_hits", "submitted_at", "next_review_on")
    list_filter = ("state", "kind")
    search_fields = ("name", "user__email")
    show_full_result_count = False


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyAdmin):
    list_display = (
        "application",
        "kind",
        "method",
        "state",
        "content_type",
        "size_bytes",
        "rule_version",
        "uploaded_at",
    )
    list_filter = ("kind", "state")
    exclude = ("wrapped_key", "storage_name")


@admin.register(Party)
class PartyAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "is_qii", "is_verified", "verified_on")
    search_fields = ("name", "name_kana", "name_romaji", "user__email")


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    list_display = ("address", "user", "kind", "is_primary", "created_at")
    search_fields = ("address", "user__email")


@admin.register(OfficerKey)
class OfficerKeyAdmin(ReadOnlyAdmin):
    list_display = ("user", "address", "signer", "created_at")


@admin.register(AttestationRecord)
class AttestationRecordAdmin(ReadOnlyAdmin):
    list_display = ("application", "purpose", "officer", "attestor", "created_at", "signed_at")
    exclude = ("signature",)


@admin.register(LifecycleStep)
class LifecycleStepAdmin(ReadOnlyAdmin):
    list_display = ("application", "kind", "outcome", "requested_by", "failure", "created_at")
    list_filter = ("kind", "outcome")


@admin.register(SanctionsList)
class SanctionsListAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "published_on", "is_current", "is_sample", "entry_count", "name_count", "loaded_at")


@admin.register(ScreeningRun)
class ScreeningRunAdmin(ReadOnlyAdmin):
    list_display = ("application", "list_name", "list_published_on", "state", "threshold", "cause", "finished_at")
    list_filter = ("state", "cause")


@admin.register(ScreeningHit)
class ScreeningHitAdmin(ReadOnlyAdmin):
    list_display = ("application", "subject_name", "listed_name", "score", "state", "proposed_by", "decided_by")
    list_filter = ("state", "who")


@admin.register(WalletRequest)
class WalletRequestAdmin(ReadOnlyAdmin):
    list_display = ("wallet", "state", "attempt", "decided_by", "failure", "created_at", "changed_at")
    list_filter = ("state",)


@admin.register(DatedRule)
class DatedRuleAdmin(ModelAdmin):
    """A new version is added; one that was there stays, because decisions refer to it."""

    list_display = ("subject", "version", "effective_from", "source")
    list_filter = ("subject",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
