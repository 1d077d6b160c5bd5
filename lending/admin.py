"""Records of the loan desk in the back office, to look at. Whatever changes one is a service with its two people."""

from __future__ import annotations

from typing import Final

from django.contrib import admin
from django.db.models import Model

from lending import models
from portal.admin import RecordAdmin

_COLUMNS: Final[dict[type[Model], tuple[str, ...]]] = {
    models.ProductTerms: ("currency", "borrower_kind", "effective_from", "state", "rate_min_bps", "rate_max_bps"),
    models.BankDay: ("day", "is_open", "reason", "entered_by", "reviewed_by"),
    models.CreditApplication: ("applicant", "currency", "amount", "purpose", "state", "assigned_to", "submitted_at"),
    models.IncomeEvidence: ("application", "kind", "content_type", "size", "created_at"),
    models.CreditDecision: ("application", "round", "officer", "verdict", "amount", "rate_bps", "created_at"),
    models.CreditLine: ("borrower", "currency", "amount", "rate_bps", "state", "first_officer", "second_officer"),
    models.Loan: ("reference", "borrower", "currency", "amount", "rate_bps", "state", "due_on"),
    models.LoanDocument: ("loan", "kind", "period", "language", "sha256", "created_at"),
    models.Draw: ("loan", "amount", "state", "requested_at", "released_by", "value_on"),
    models.Repayment: ("loan", "source", "amount", "received_on", "state", "recorded_by", "confirmed_by"),
    models.Renewal: ("loan", "state", "from_matures_on", "to_matures_on", "requested_by", "decided_by"),
    models.WriteOff: ("loan", "state", "amount", "proposed_by", "decided_by"),
    models.Entry: ("kind", "key", "loan", "value_on", "created_at"),
    models.Posting: ("entry", "account", "loan", "unit", "amount"),
    models.Accrual: ("loan", "currency", "principal", "rate_bps", "through", "due_on", "is_running"),
    models.AccrualRun: ("target", "currency", "loans", "interest", "late", "started_at", "finished_at"),
    models.Position: ("loan", "currency", "btc_sats", "eth_wei", "debt", "stage"),
    models.DepositAddress: ("loan", "asset", "network", "address", "purpose", "created_at"),
    models.Deposit: ("loan", "asset", "units", "txid", "state", "hold", "is_blocked"),
    models.HandReturn: ("deposit", "txid", "state", "recorded_by", "decided_by"),
    models.Disposition: ("deposit", "verdict", "state", "proposed_by", "decided_by"),
    models.ReturnAddress: ("borrower", "asset", "address", "state", "approved_by", "effective_at"),
    models.Withdrawal: ("loan", "kind", "asset", "units", "state", "requested_by", "checked_by", "approved_by"),
    models.PriceSource: ("pair", "kind", "exchange", "is_active", "max_age_seconds"),
    models.PricePolicy: ("pair", "quorum", "valid_seconds", "spread_bps", "jump_bps", "cross_bps"),
    models.PriceRound: ("started_at", "finished_at"),
    models.Observation: ("price_round", "source", "value", "observed_at", "problem"),
    models.Price: ("pair", "value", "at", "sources", "is_cross_checked", "was_confirmed"),
    models.Breaker: ("pair", "state", "cause", "opened_at"),
    models.PriceTick: ("price_round", "currency", "btc", "eth", "evaluated_at", "breaches", "cures"),
    models.Breach: ("loan", "kind", "stage", "state", "found_at", "acted_at"),
    models.Setback: ("kind", "row_id", "loan", "tries", "since", "problem"),
    models.Reminder: ("loan", "kind", "coverage_bps", "at"),
    models.MarginCall: ("loan", "state", "opened_at", "deadline", "asked", "ended_at"),
    models.Sale: ("loan", "cause", "state", "pause", "venue", "started_at", "ended_at"),
    models.SaleOrder: ("sale", "number", "asset", "units", "state", "filled_units", "proceeds", "fee"),
    models.Delivery: ("sale", "direction", "asset", "units", "state", "requested_at", "arrived_at"),
    models.RelatedGroup: ("name", "reason", "created_by", "created_at"),
    models.GroupMember: ("group", "subject", "added_by", "created_at"),
    models.Limit: ("scope", "currency", "asset", "amount", "state", "entered_by", "approved_by"),
    models.ReconciliationRun: ("asset", "state", "loans", "differences", "started_at", "finished_at"),
    models.CollateralProof: ("version", "leaf_count", "is_covered"),
}
#: Never shown: the wrapped keys of files, the salt that hides a borrower in the public tree.
_HIDDEN: Final = ("wrapped_key", "storage_name", "salt")


class LendingRecordAdmin(RecordAdmin):
    exclude = _HIDDEN
    list_select_related = True


for _model, _columns in _COLUMNS.items():
    admin.site.register(_model, LendingRecordAdmin, list_display=_columns)
