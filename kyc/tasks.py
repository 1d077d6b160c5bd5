"""Doorways for Celery: ids in, one service call. When the sweeps run is in CELERY_BEAT_SCHEDULE."""

from __future__ import annotations

from celery import shared_task

from kyc import services


@shared_task
def run_screening_task(run_id: int) -> None:
    """Search one list for one application."""
    services.run_screening(run_id=run_id)


@shared_task
def sweep_screenings_task() -> None:
    """Search what waits or failed, and suspend whoever could not be suspended before."""
    services.run_due_screenings()
    services.suspend_flagged()


@shared_task
def token_clock_task() -> None:
    """What time alone brings: activation, expiry."""
    services.activate_due()
    services.expire_due()


@shared_task
def announce_reviews_task() -> None:
    """Remind people of a review that is due."""
    services.announce_reviews()
