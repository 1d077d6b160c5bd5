"""Asking for a transaction: once per key, within the policy, without node or Redis."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from chain import services
from chain.exceptions import IdempotencyConflict, PolicyViolation
from chain.models import ChainTransaction
from chain.services import outbox
from chain.tests.steps import ask, payment
from chain.types import Call, SignerRole

pytestmark = pytest.mark.django_db
State = ChainTransaction.State


@pytest.fixture
def funder(settings, tmp_path):
    settings.KEYSTORE_DIR = tmp_path
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"  # nobody listens: enqueueing must not care
    return services.create_platform_signer(role=SignerRole.GAS_FUNDER)


@pytest.fixture
def wallet(funder):
    return services.create_custody_signer(label="wallet")


def test_it_waits_in_the_queue_without_a_nonce(funder, wallet):
    row = ask(payment(wallet.address), funder, "one", subject="kyc.application:1")
    assert (row.state, row.nonce, row.subject) == (State.QUEUED, None, "kyc.application:1")


def test_the_same_key_with_the_same_call_returns_the_row_that_is_there(funder, wallet):
    first = ask(payment(wallet.address), funder, "one")
    again = ask(payment(wallet.address), funder, "one")
    assert first.pk == again.pk
    assert ChainTransaction.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda call: {"call": Call(to=call.to, data=b"", function=call.function, value_wei=2)},
        lambda call: {"purpose": "test.other"},
        lambda call: {"subject": "somebody:else"},
    ],
)
def test_the_same_key_with_another_call_is_a_conflict(funder, wallet, change):
    options = {"call": payment(wallet.address), "signer": funder, "idempotency_key": "one", "purpose": "test"}
    services.enqueue(**options)
    with pytest.raises(IdempotencyConflict):
        services.enqueue(**(options | change(options["call"])))
    assert ChainTransaction.objects.count() == 1


def test_a_rollback_of_the_business_row_takes_the_queued_row_with_it(funder, wallet):
    with transaction.atomic():
        services.enqueue(call=payment(wallet.address), signer=funder, idempotency_key="one", purpose="test")
        assert ChainTransaction.objects.exists()
        transaction.set_rollback(True)
    assert not ChainTransaction.objects.exists()


def test_a_call_outside_the_policy_is_refused_before_it_is_stored(funder, wallet):
    with pytest.raises(PolicyViolation):
        ask(payment("0x" + "11" * 20), funder, "stranger")
    assert not ChainTransaction.objects.exists()


def test_a_dead_redis_loses_nothing_and_does_not_disturb_the_person():
    """In a process of its own, with Celery as the demo has it: nobody listens where Redis should be."""
    script = (
        "import django; django.setup()\n"
        "from chain.services import outbox\n"
        "import celery; assert not celery.current_app.conf.task_always_eager\n"
        "outbox.wake(); print('went on')\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings.local",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "KEYSTORE_PASSWORD": "unused",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert "went on" in done.stdout
    assert "the next sweep submits" in done.stderr


def test_many_rows_in_a_burst_wake_the_worker_once(funder, wallet, monkeypatch):
    from chain import tasks

    sent = []
    monkeypatch.setattr(tasks.submit_task, "apply_async", lambda **options: sent.append(options))
    monkeypatch.setattr(outbox, "_woken_at", -10.0)
    for _ in range(5):
        outbox.wake()
    assert len(sent) == 1


def test_the_worker_is_woken_only_after_the_commit(funder, wallet, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        services.enqueue(call=payment(wallet.address), signer=funder, idempotency_key="one", purpose="test")
    assert callbacks == [outbox.wake]


def test_rows_that_ran_out_of_time_expire_even_while_the_node_is_down(funder, wallet):
    late = ask(payment(wallet.address), funder, "late", valid_until=timezone.now() - timedelta(seconds=1))
    assert services.run_submit_sweep() is True
    late.refresh_from_db()
    assert (late.state, late.nonce, late.is_settled) == (State.EXPIRED, None, True)
