"""Top-ups: signers that cannot pay for their work are paid once, through the same outbox."""

import pytest

from chain import operations, services
from chain.models import ChainTransaction, Incident
from chain.services.funding import PURPOSE
from chain.tests.steps import ETHER, ask, fresh, states
from chain.tests.test_main_job import issue
from chain.types import SignerRole

State = ChainTransaction.State


def top_ups():
    return ChainTransaction.objects.filter(purpose=PURPOSE)


@pytest.fixture
def poor(platform):
    """A guardian with work and not a wei."""
    guardian = platform.signer(SignerRole.SBT_GUARDIAN)
    platform.node.set_balance(guardian.address, 0)
    return guardian


@pytest.fixture
def work(platform, settle, poor):
    holder = services.create_custody_signer(label="holder")
    issue(platform, holder.address, "sbt")
    settle()
    row = ask(operations.suspend_sbt(holder.address), poor, "suspend")
    services.run_submit_sweep()
    return row


def asked_for(signer):
    return top_ups().filter(subject=f"chain.signer:{signer.pk}")


def test_a_signer_without_eth_is_topped_up_and_its_work_goes_on(platform, poor, work, settle):
    assert (fresh(work).state, fresh(work).nonce) == (State.QUEUED, None)
    assert fresh(work).gas_limit is not None
    services.run_funding_sweep()
    assert asked_for(poor).count() == 1
    settle()
    assert states(work) == [State.FINAL]
    assert platform.node.balance(poor.address) > 0


def test_one_top_up_is_under_way_at_a_time(platform, poor, work):
    for _ in range(3):
        services.run_funding_sweep()
    assert asked_for(poor).count() == 1


def test_a_signer_with_enough_gets_nothing(platform, poor, work):
    platform.node.set_balance(poor.address, ETHER)
    services.run_funding_sweep()
    assert not asked_for(poor).exists()


def test_the_payment_stays_within_the_limit(platform, poor, work, settings):
    settings.CHAIN_TOP_UP_WEI = 10**30
    services.run_funding_sweep()
    assert asked_for(poor).get().value_wei == settings.CHAIN_TOP_UP_LIMIT_WEI


def test_an_empty_funder_is_reported_once_and_the_work_waits(platform, poor, work):
    platform.node.set_balance(platform.signer(SignerRole.GAS_FUNDER).address, 1)
    for _ in range(2):
        services.run_funding_sweep()
        services.run_submit_sweep()
        services.run_funding_sweep()
    assert states(work) == [State.QUEUED]
    assert Incident.objects.filter(kind="chain.gas_funder_empty", closed_at=None).count() == 1


def test_without_work_nobody_is_paid(platform):
    services.create_custody_signer(label="idle")
    assert services.run_funding_sweep() is True
    assert not top_ups().exists()
