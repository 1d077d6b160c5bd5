"""A lost wallet's units move to another wallet of the same person, and to nobody else's."""

import pytest

from chain.models import ChainTransaction
from kyc.models import Party, Wallet
from tokens import selectors, services
from tokens.exceptions import ControlRefused, NotYourRole
from tokens.models import Recovery
from tokens.tests.conftest import add_wallet, issue_sbt


def announce(world, actor, lost, replacement, reason="reported lost"):
    return services.announce_recovery(
        security_id=world.security.pk, actor=actor, lost=lost, replacement=replacement, reason=reason
    )


@pytest.fixture
def second_wallet(holding, platform) -> Wallet:
    wallet = add_wallet(holding.alice, is_primary=False)
    issue_sbt(platform, wallet, Party.objects.get(user=holding.alice))
    holding.settle()
    return wallet


def test_a_lost_wallet_is_announced_waited_for_and_completed(holding, administrator, second_wallet, platform):
    lost = holding.address(holding.alice)
    recovery = announce(holding, administrator, lost, second_wallet.address)
    assert announce(holding, administrator, lost, second_wallet.address) == recovery
    holding.settle()
    recovery.refresh_from_db()
    assert recovery.state == Recovery.State.WAITING
    services.complete_recovery(recovery_id=recovery.pk, actor=administrator)
    platform.node.pass_time(10)
    holding.settle()
    recovery.refresh_from_db()
    if recovery.state == Recovery.State.WAITING:  # the waiting time ran when it was tried
        assert recovery.error_code
        services.complete_recovery(recovery_id=recovery.pk, actor=administrator)
        holding.settle()
        recovery.refresh_from_db()
    assert recovery.state == Recovery.State.COMPLETED
    (row,) = selectors.holdings_for(holding.alice)
    assert (row.wallet, row.units) == (second_wallet.address, 100)
    assert selectors.holders_report(holding.security).reconciles


def test_a_recovery_to_somebody_else_is_refused_and_nothing_is_asked(holding, administrator):
    before = ChainTransaction.objects.count()
    with pytest.raises(ControlRefused) as refusal:
        announce(holding, administrator, holding.address(holding.alice), holding.address(holding.bob))
    assert refusal.value.code == "tokens.recovery.not_one_person"
    assert ChainTransaction.objects.count() == before


def test_only_an_administrator_recovers_and_only_with_a_reason(holding, administrator, second_wallet):
    lost = holding.address(holding.alice)
    with pytest.raises(NotYourRole):
        announce(holding, holding.issuer, lost, second_wallet.address)
    with pytest.raises(ControlRefused):
        announce(holding, administrator, lost, second_wallet.address, reason=" ")
