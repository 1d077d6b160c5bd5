"""Doorways for Celery. They carry nothing: every sweep reads its rows and checks them again, so a forged message
signs nothing. When they run is in CELERY_BEAT_SCHEDULE."""

from __future__ import annotations

from celery import shared_task

from chain import services
from chain.public.reading import run_public_reading


@shared_task
def submit_task() -> None:
    """Take every queued transaction as far as it can go now."""
    services.run_submit_sweep()


@shared_task
def reconcile_task() -> None:
    """Compare what was sent, by us and by people's own wallets, with what the chain made of it."""
    services.run_reconcile_sweep()
    services.run_outside_sweep()


@shared_task
def index_task() -> None:
    """Read the next blocks, and look at what they brought for signs of theft."""
    services.run_index_step()
    services.run_alarm_sweep()


@shared_task
def fund_task() -> None:
    """Top up signers that cannot pay for what is asked of them."""
    services.run_funding_sweep()


@shared_task
def compare_ledger_task() -> None:
    """Compare supply and every balance with the chain at its last final block."""
    services.run_reconciliation()


@shared_task
def read_public_facts_task() -> None:
    """Read who may do what and whose code stands where, when it may have changed."""
    run_public_reading()
