"""Every write of the chain engine that others may ask for."""

from chain.services.custody import create_custody_signer, create_platform_signer, import_signer
from chain.services.deployment import deploy_platform
from chain.services.funding import run_funding_sweep
from chain.services.incidents import close_incident, open_incident
from chain.services.indexer import run_index_step
from chain.services.outbox import enqueue, request_cancellation
from chain.services.reconciler import run_reconcile_sweep
from chain.services.reconciliation import run_reconciliation
from chain.services.resuming import resume_signer
from chain.services.submitter import run_submit_sweep

__all__ = [
    "close_incident",
    "create_custody_signer",
    "create_platform_signer",
    "deploy_platform",
    "enqueue",
    "import_signer",
    "open_incident",
    "request_cancellation",
    "resume_signer",
    "run_funding_sweep",
    "run_index_step",
    "run_reconcile_sweep",
    "run_reconciliation",
    "run_submit_sweep",
]
