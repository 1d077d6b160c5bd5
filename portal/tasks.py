"""Celery entry points of the portal."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from portal import services
from portal.notices.services import send_notices

# Longer than any session lives, so no form still open can be sent a second time unnoticed.
FORMS_KEPT = timedelta(days=7)


@shared_task
def forget_old_forms_task() -> int:
    """Once a day: drop what makes forms act once, when nobody can send them any more."""
    return services.forget_old_forms(before=timezone.now() - FORMS_KEPT)


@shared_task
def send_notices_task() -> int:
    """Send the e-mails that wait."""
    return send_notices()


@shared_task
def demo_move_collateral_task() -> int:
    """In a demonstration only: the simulated custodian and exchange do their part of deliveries."""
    from portal.demo import outside

    return outside.move_collateral()


@shared_task
def demo_feeds_task() -> None:
    """In a demonstration only: the simulated price feeds say their price again."""
    from portal.demo import outside

    outside.keep_feeds_fresh()
