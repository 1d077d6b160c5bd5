"""The engine's records in the back office: to look at. What may be done about them is on the chain console."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import TabularInline

from chain.desk.models import Alarm, AlarmRule, ResponseStep
from chain.models import Attempt, ChainTransaction, Contract, Incident, Signer
from chain.outside.models import OutsideTransaction
from portal.admin import RecordAdmin


@admin.register(Contract)
class ContractAdmin(RecordAdmin):
    list_display = ("kind", "address", "deployed_block", "chain_id")
    list_filter = ("kind",)
    search_fields = ("address",)


@admin.register(Signer)
class SignerAdmin(RecordAdmin):
    list_display = ("role", "label", "address", "next_nonce", "halted_reason")
    list_filter = ("role",)
    search_fields = ("address", "label")


class AttemptInline(TabularInline):
    model = Attempt
    fields = ("hash", "max_fee_per_gas", "is_cancellation", "first_sent_at", "last_sent_at", "last_error")
    readonly_fields = fields
    can_delete = False
    max_num = 0


@admin.register(ChainTransaction)
class ChainTransactionAdmin(RecordAdmin):
    list_display = ("id", "function", "state", "subject", "signer", "nonce", "error_code", "created_at")
    list_filter = ("state", "verdict", "purpose")
    list_select_related = ("signer",)
    search_fields = ("idempotency_key", "subject", "mined_hash", "attempts__hash")
    exclude = ("data",)
    inlines = (AttemptInline,)


@admin.register(OutsideTransaction)
class OutsideTransactionAdmin(RecordAdmin):
    list_display = (
        "subject",
        "sender",
        "state",
        "hash",
        "nonce",
        "block_number",
        "is_settled",
        "error_code",
        "created_at",
    )
    list_filter = ("state", "is_settled")
    search_fields = ("subject", "sender", "hash")
    exclude = ("data",)


@admin.register(Incident)
class IncidentAdmin(RecordAdmin):
    list_display = ("kind", "detail", "opened_at", "closed_at", "closed_by")
    list_filter = ("kind", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("closed_by",)


@admin.register(Alarm)
class AlarmAdmin(RecordAdmin):
    list_display = ("id", "kind", "severity", "state", "key", "holder", "token", "opened_at", "closed_by")
    list_filter = ("kind", "state")
    list_select_related = ("closed_by",)
    search_fields = ("key", "holder", "token", "cause")


@admin.register(ResponseStep)
class ResponseStepAdmin(RecordAdmin):
    list_display = ("id", "kind", "state", "target", "token", "reason", "requested_by", "requested_at")
    list_filter = ("kind", "state")
    list_select_related = ("requested_by",)
    search_fields = ("target", "token")


@admin.register(AlarmRule)
class AlarmRuleAdmin(RecordAdmin):
    list_display = ("effective_from", "burst_admissions", "burst_mints", "velocity_share_bps", "velocity_factor")
