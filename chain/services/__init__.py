"""Every write of the chain engine that others may ask for."""

from chain.governance.proposals import post_signature, propose_cancellation, request, withdraw_proposal
from chain.services.alarms import close_alarm, report_stolen_key, run_alarm_sweep
from chain.services.collateral import (
    cancel_borrower_change,
    cancel_sale_address,
    lift_collateral_pause,
    pause_collateral,
    stop_release,
    stop_sale,
)
from chain.services.council import council_call
from chain.services.custody import create_custody_signer, create_platform_signer, import_signer
from chain.services.deployment import deploy_platform
from chain.services.funding import run_funding_sweep
from chain.services.incidents import close_incident, open_incident
from chain.services.indexer import run_index_step
from chain.services.outbox import enqueue, request_cancellation
from chain.services.outside import expect, report_hash, run_outside_sweep, withdraw
from chain.services.reconciler import run_reconcile_sweep
from chain.services.reconciliation import run_reconciliation
from chain.services.response import (
    admit_new_wallet,
    cancel_operation,
    cancel_recovery,
    dismiss_holder,
    distrust_key,
    execute_burn,
    execute_forced_transfer,
    execute_scheduled,
    execute_unfreeze,
    freeze_holder,
    give_new_wallet,
    lift_pause,
    lift_suspension,
    pause_issuance,
    pause_security,
    reattest_batch,
    record_rotation,
    restore_trust,
    resume_issuance,
    schedule_burn,
    schedule_forced_transfer,
    schedule_reversal,
    schedule_unfreeze,
    suspend_holder_sbt,
)
from chain.services.resuming import resume_signer
from chain.services.rotation import replace_key
from chain.services.submitter import run_submit_sweep

__all__ = [
    "admit_new_wallet",
    "cancel_borrower_change",
    "cancel_operation",
    "cancel_recovery",
    "cancel_sale_address",
    "close_alarm",
    "close_incident",
    "council_call",
    "create_custody_signer",
    "create_platform_signer",
    "deploy_platform",
    "dismiss_holder",
    "distrust_key",
    "enqueue",
    "execute_burn",
    "execute_forced_transfer",
    "execute_scheduled",
    "execute_unfreeze",
    "expect",
    "freeze_holder",
    "give_new_wallet",
    "import_signer",
    "lift_collateral_pause",
    "lift_pause",
    "lift_suspension",
    "open_incident",
    "pause_collateral",
    "pause_issuance",
    "pause_security",
    "post_signature",
    "propose_cancellation",
    "reattest_batch",
    "record_rotation",
    "replace_key",
    "report_hash",
    "report_stolen_key",
    "request",
    "request_cancellation",
    "restore_trust",
    "resume_issuance",
    "resume_signer",
    "run_alarm_sweep",
    "run_funding_sweep",
    "run_index_step",
    "run_outside_sweep",
    "run_reconcile_sweep",
    "run_reconciliation",
    "run_submit_sweep",
    "schedule_burn",
    "schedule_forced_transfer",
    "schedule_reversal",
    "schedule_unfreeze",
    "stop_release",
    "stop_sale",
    "suspend_holder_sbt",
    "withdraw",
    "withdraw_proposal",
]
