"""Doorways for the sweeps: call one service, return."""

from celery import shared_task

from tokens.services import mature_securities, send_notices


@shared_task
def send_notices_task() -> int:
    return send_notices()


@shared_task
def mature_securities_task() -> int:
    return mature_securities()
