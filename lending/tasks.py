"""Doorways for Celery: one service call each. When they run is in CELERY_BEAT_SCHEDULE."""

from __future__ import annotations

from celery import shared_task

from lending.services import (
    accrual,
    bitcoin,
    calls,
    collateral,
    deliveries,
    documents,
    maturity,
    monitoring,
    prices,
    proofs,
    reconciliation,
    sales,
    stress,
)
from lending.services.collateral import ether


@shared_task
def watch_bitcoin_task() -> None:
    """Look at deposits of Bitcoin, and at what is on its way out."""
    bitcoin.run_bitcoin_sweep()


@shared_task
def watch_ether_task() -> None:
    """Take up what the vault's events told while nobody listened."""
    ether.run_ether_sweep()
    deliveries.follow_ether()


@shared_task
def advance_deposits_task() -> None:
    """Check confirmed deposits against the lists, and count them."""
    collateral.advance_deposits()


@shared_task(time_limit=7200, soft_time_limit=7000)
def rescreen_deposits_task() -> None:
    """Search for the senders of what counts on the lists of today."""
    collateral.rescreen_deposits()


@shared_task(time_limit=7200, soft_time_limit=7000)
def reconcile_collateral_task() -> None:
    """Compare the ledger with both chains."""
    reconciliation.reconcile_collateral()


@shared_task(time_limit=7200, soft_time_limit=7000)
def publish_proof_task() -> None:
    """Publish tonight's proof of collateral."""
    proofs.publish_proof()


@shared_task
def poll_prices_task() -> None:
    """Ask the price sources and accept what can be accepted."""
    prices.poll_prices()


@shared_task
def sweep_book_task() -> None:
    """Judge the whole book by the prices that wait."""
    monitoring.run_sweep()


@shared_task
def act_on_breaches_task() -> None:
    """Carry out what the sweep found."""
    calls.act_on_breaches()


@shared_task(time_limit=7200, soft_time_limit=7000)
def accrue_interest_task() -> None:
    """Charge the book up to yesterday; days that were missed come with it."""
    accrual.accrue_book()


@shared_task
def remind_of_maturity_task() -> None:
    """Tell borrowers that their loan is due soon."""
    maturity.remind_of_maturity()


@shared_task
def make_statements_task() -> int:
    """Statements of the month and year that have ended."""
    return documents.make_due_statements()


@shared_task
def review_calls_task() -> None:
    """Open calls: cures, notices, deadlines."""
    calls.review_calls()


@shared_task
def run_sales_task() -> None:
    """One step of every running sale."""
    sales.run_sales()
    deliveries.watch_deliveries()


@shared_task(time_limit=7200, soft_time_limit=7000)
def run_stress_task(run_id: int | None = None) -> None:
    """Calculate what was asked for; without a number, whatever still waits."""
    stress.execute_waiting(run_id=run_id)
