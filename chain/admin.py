"""The engine's records in the back office: to look at. What may be done about them is on the chain console."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import TabularInline

from chain.models import Attempt, ChainTransaction, Contract, Incident, Signer
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
    list_filter = ("state", "purpose")
    list_select_related = ("signer",)
    search_fields = ("idempotency_key", "subject", "mined_hash", "attempts__hash")
    exclude = ("data",)
    inlines = (AttemptInline,)


@admin.register(Incident)
class IncidentAdmin(RecordAdmin):
    list_display = ("kind", "detail", "opened_at", "closed_at", "closed_by")
    list_filter = ("kind", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("closed_by",)
