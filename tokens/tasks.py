"""Doorways for the sweeps: call one service, return."""

from celery import shared_task

from tokens.services import mature_securities


@shared_task
def mature_securities_task() -> int:
    return mature_securities()
