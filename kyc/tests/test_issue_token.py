"""From approval to a token on a real node, and the token's life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chain.gateway import gateway
from chain.types import SignerRole, Standing
from kyc import services
from kyc.models import Application, Party
from kyc.selectors import InvestorStatus, investor_status, primary_wallet
from portal.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


@pytest.fixture
def officer_key(platform: Any, second_reviewer: User) -> None:
    signer = platform.signer(SignerRole.ATTESTOR)
    services.set_officer_key(user=second_reviewer, address=signer.address, actor="test", signer=signer)


@pytest.fixture
def active(
    approved: Application, platform: Any, officer_key: None, second_reviewer: User, settle: Callable[[], None]
) -> Application:
    services.attest(application_id=approved.pk, officer=second_reviewer)
    make_effective(platform, settle)
    approved.refresh_from_db()
    return approved


def make_effective(platform: Any, settle: Callable[[], None]) -> None:
    settle()
    platform.node.call("evm_increaseTime", 90_000)
    platform.node.mine(70)
    settle()
    settle()
    services.activate_due()


def address(application: Application) -> str:
    wallet = primary_wallet(application.user)
    assert wallet is not None
    return wallet.address


def test_an_approved_person_gets_a_token_and_becomes_active(active, investor):
    assert active.state == Application.State.ACTIVE
    assert gateway().standing(address(active)) == Standing.EFFECTIVE
    assert investor_status(investor) == InvestorStatus.ACTIVE
    assert Party.objects.get(user=investor).is_verified
    assert active.effective_from is not None
