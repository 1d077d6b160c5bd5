"""What this app answers to the incident desk, on the real node."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from chain import services as chain_services
from chain.desk.models import Alarm, ResponseStep
from chain.gateway import gateway
from chain.models import Signer
from chain.registry import desk
from chain.services import response
from chain.services.alarms import start_watching_here
from chain.services.response import ResponseRefused
from chain.types import SignerRole, Standing
from kyc import services
from kyc.models import Decision, OfficerKey, Wallet
from kyc.tests.conftest import address
from portal.exceptions import NotPermitted
from portal.models import Role
from portal.testing import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


@pytest.fixture
def watched(platform):
    """The platform's set-up is behind us; from here on everything is looked at."""
    chain_services.run_index_step()
    start_watching_here()


def look() -> list[str]:
    chain_services.run_index_step()
    assert chain_services.run_alarm_sweep()
    return sorted(Alarm.objects.values_list("kind", flat=True))


def test_a_person_approved_by_two_officers_raises_no_alarm(watched, active):
    assert look() == []


def test_a_token_whose_approval_was_taken_back_raises_one(watched, active):
    Decision.objects.filter(application=active, verdict="confirm").update(is_standing=False)
    assert look() == ["unapproved_issue"]


def test_sound_tokens_are_attested_again_with_another_officers_key(
    watched,
    active,
    reviewer,
    second_reviewer,
    platform,
    settle,
):
    first, second = Signer.objects.filter(role=SignerRole.ATTESTOR).order_by("pk")
    assert gateway().standing(address(active)) == Standing.EFFECTIVE
    chain_services.distrust_key(
        key=first.address, since=timezone.now() - timedelta(days=1), actor=reviewer, reason="stolen"
    )
    settle()
    assert gateway().standing(address(active)) == Standing.ATTESTOR_DISTRUSTED
    services.set_officer_key(user=reviewer, address=second.address, actor="test", signer=second)
    steps = chain_services.reattest_batch(holders=[address(active)], actor=reviewer, reason="sound")
    assert [step.target for step in steps] == [address(active)]
    settle()
    assert gateway().standing(address(active)) in (Standing.EFFECTIVE, Standing.PENDING)
    assert look() == []


def test_one_holder_who_cannot_be_attested_stops_the_batch_and_is_named(
    watched,
    active,
    reviewer,
    platform,
):
    spare = Signer.objects.filter(role=SignerRole.ATTESTOR).order_by("-pk")[0]
    services.set_officer_key(user=reviewer, address=spare.address, actor="test", signer=spare)
    stranger = "0x" + "1" * 40
    with pytest.raises(ResponseRefused, match=stranger):
        chain_services.reattest_batch(holders=[address(active), stranger], actor=reviewer, reason="sound")
    active.refresh_from_db()
    assert active.state == "active"
    assert not ResponseStep.objects.exists()


def test_an_officer_whose_key_was_replaced_attests_with_the_new_one(watched, active, reviewer, platform, settle):
    old, new = (chain_services.create_platform_signer(role=SignerRole.ATTESTOR) for _ in range(2))
    services.set_officer_key(user=reviewer, address=old.address, actor="test", signer=old)
    for tell in desk.rotation_followers:
        tell(old, new, reviewer)
    key = OfficerKey.objects.get(user=reviewer)
    assert (key.address, key.signer) == (new.address, new)


def test_a_person_whose_wallet_was_stolen_gets_another_that_takes_its_place(
    watched, active, reviewer, platform, settle
):
    spare = Signer.objects.filter(role=SignerRole.ATTESTOR).order_by("-pk")[0]
    services.set_officer_key(user=reviewer, address=spare.address, actor="test", signer=spare)
    old = address(active)
    step = chain_services.give_new_wallet(holder=old, actor=reviewer, reason="stolen")
    again = chain_services.give_new_wallet(holder=old, actor=reviewer, reason="stolen")
    assert step.data == again.data
    new = Wallet.objects.get(user=active.user, is_primary=False).address
    assert address(active) == old
    settle()
    assert address(active) == new
    assert gateway().standing(new) in (Standing.EFFECTIVE, Standing.PENDING)
    assert response.is_same_person(old, new)
    assert look() == []


def test_nobody_suspended_gets_a_new_wallet(watched, active, reviewer, platform, settle):
    chain_services.suspend_holder_sbt(holder=address(active), actor=reviewer, reason="stolen")
    settle()
    with pytest.raises(ResponseRefused):
        chain_services.give_new_wallet(holder=address(active), actor=reviewer, reason="stolen")
    assert Wallet.objects.filter(user=active.user).count() == 1


def test_only_kyc_officers_give_wallets(watched, active, settle):
    administrator = make_person("chief@musubi.example", role=Role.ADMINISTRATOR)
    with pytest.raises(NotPermitted):
        chain_services.give_new_wallet(holder=address(active), actor=administrator, reason="stolen")
