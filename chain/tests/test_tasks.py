"""Celery's doorways: each calls its sweep, and beat knows every one of them."""

from typing import Any

import pytest
from django.conf import settings as configured

from chain import services, tasks
from chain.tests.steps import finalise, funder_on, pay, states

pytestmark = pytest.mark.django_db


def test_every_sweep_is_on_the_schedule_under_the_name_its_task_has():
    from portal.celery import app

    names = {entry["task"] for entry in configured.CELERY_BEAT_SCHEDULE.values()}
    ours = {task.name for task in vars(tasks).values() if getattr(task, "name", "").startswith("chain.tasks.")}
    assert ours <= names
    assert ours <= set(app.tasks)
    assert app.conf.beat_schedule == configured.CELERY_BEAT_SCHEDULE


def test_a_run_that_nobody_took_in_time_is_dropped():
    names = ("chain-submit", "chain-reconcile", "chain-index", "chain-fund")
    sweeps: list[Any] = [configured.CELERY_BEAT_SCHEDULE[name] for name in names]
    assert all(entry["options"]["expires"] <= 10 and entry["schedule"] <= 2 for entry in sweeps)


def test_the_tasks_alone_take_a_row_to_its_end(node):
    row = pay(funder_on(node), "one")
    tasks.fund_task.apply()
    tasks.submit_task.apply()
    node.mine()
    finalise(node)
    tasks.reconcile_task.apply()
    tasks.index_task.apply()
    assert states(row) == ["final"]


def test_a_task_carries_nothing_that_could_be_forged():
    import inspect

    for task in (tasks.submit_task, tasks.reconcile_task, tasks.index_task, tasks.fund_task):
        assert list(inspect.signature(task.run).parameters) == []
    assert services.run_submit_sweep() is True
