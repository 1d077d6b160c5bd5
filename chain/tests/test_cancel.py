"""Cancelling: what is really mined decides."""

import pytest

from chain import services
from chain.exceptions import NotCancellable
from chain.models import ChainTransaction
from chain.rpc import as_hex
from chain.tests.steps import finalise, fresh, funder_on, pay, received, states
from portal.models import AuditEntry, User

pytestmark = pytest.mark.django_db
State = ChainTransaction.State


@pytest.fixture
def funder(node):
    return funder_on(node)


@pytest.fixture
def operator():
    return User.objects.create_user("operator@example.com")


def test_without_a_nonce_it_ends_at_once(node, funder, operator):
    row = pay(funder, "one")
    services.request_cancellation(transaction_id=row.pk, actor=operator)
    assert (fresh(row).state, fresh(row).error_code) == (State.REFUSED, "withdrawn")
    services.run_submit_sweep()
    assert node.pool() == []


def test_a_payment_of_nothing_takes_its_place(node, funder, operator):
    row = pay(funder, "one")
    services.run_submit_sweep()
    services.request_cancellation(transaction_id=row.pk, actor=operator)
    services.request_cancellation(transaction_id=row.pk, actor=operator)
    assert states(row) == [State.CANCELLING]
    services.run_reconcile_sweep()
    services.run_reconcile_sweep()
    original, cancellation = row.attempts.order_by("id")
    assert (original.is_cancellation, cancellation.is_cancellation) == (False, True)
    assert node.pool() == [cancellation.hash]
    node.mine()
    services.run_reconcile_sweep()
    assert (fresh(row).state, fresh(row).is_settled) == (State.CANCELLED, False)
    finalise(node)
    assert (fresh(row).state, fresh(row).is_settled) == (State.CANCELLED, True)
    assert received(node) == 0
    assert AuditEntry.objects.get(action="chain.transaction.cancelling").actor == operator


def test_the_next_row_goes_on_with_the_next_nonce(node, funder, operator):
    first, second = pay(funder, "one"), pay(funder, "two")
    services.run_submit_sweep()
    services.request_cancellation(transaction_id=first.pk, actor=operator)
    services.run_reconcile_sweep()
    node.mine()
    finalise(node)
    assert states(first, second) == [State.CANCELLED, State.FINAL]
    assert received(node) == 1


def test_when_the_original_is_mined_first_it_happened(node, funder, operator):
    row = pay(funder, "one")
    services.run_submit_sweep()
    services.request_cancellation(transaction_id=row.pk, actor=operator)
    node.mine()
    services.run_reconcile_sweep()
    finalise(node)
    assert (states(row), received(node)) == ([State.FINAL], 1)


def test_when_the_original_is_mined_although_the_cancellation_was_sent_it_happened(node, funder, operator):
    row = pay(funder, "one")
    services.run_submit_sweep()
    services.request_cancellation(transaction_id=row.pk, actor=operator)
    services.run_reconcile_sweep()
    original, cancellation = row.attempts.order_by("id")
    node.drop(cancellation.hash)
    node.call("eth_sendRawTransaction", as_hex(original.raw))
    node.mine()
    finalise(node)
    assert (states(row), received(node)) == ([State.FINAL], 1)


def test_a_cancellation_that_is_reorganised_away_is_undecided_again(node, funder, operator):
    row = pay(funder, "one")
    services.run_submit_sweep()
    services.request_cancellation(transaction_id=row.pk, actor=operator)
    services.run_reconcile_sweep()
    node.mine()
    services.run_reconcile_sweep()
    assert states(row) == [State.CANCELLED]
    node.reorg(1)
    services.run_reconcile_sweep()
    assert states(row) == [State.BROADCAST]
    services.run_reconcile_sweep()
    node.mine()
    finalise(node)
    assert (states(row), received(node)) == ([State.CANCELLED], 0)


def test_what_is_in_a_block_cannot_be_cancelled(node, funder, operator):
    row = pay(funder, "one")
    services.run_submit_sweep()
    node.mine()
    services.run_reconcile_sweep()
    with pytest.raises(NotCancellable):
        services.request_cancellation(transaction_id=row.pk, actor=operator)
    assert states(row) == [State.MINED]
