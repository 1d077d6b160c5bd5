"""Which wallet a person is admitted with: any of their own that is verified, nobody else's, and everybody sees which."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from eth_account import Account

from chain.selectors import balances_for
from kyc.models import Wallet
from portal.exceptions import DomainError
from tokens import selectors, services
from tokens.models import AdmissionRequest, Subscription
from tokens.tests.conftest import World, issue_sbt

OWN = Account.from_key("0x" + "45" * 32).address


@pytest.fixture
def own(world: World, platform: Any) -> World:
    """Bob has a wallet of his own beside the one kept for him; both are verified."""
    wallet = Wallet.objects.create(user=world.bob, address=OWN, kind="own")
    issue_sbt(platform, wallet, world.bob.party)
    world.settle()
    platform.node.pass_time(7_200)
    world.settle()
    return world


def ask(world: World, wallet: str = "") -> AdmissionRequest:
    return services.request_admission(security_id=world.security.pk, actor=world.bob, wallet=wallet)


def admitted(world: World) -> set[str]:
    wallets = [wallet.address for wallet in Wallet.objects.filter(user=world.bob)]
    return {row.holder for row in balances_for(wallets) if row.token == world.security.token and row.is_admitted}


def test_the_chosen_wallet_is_admitted_and_the_other_is_not(own):
    request = ask(own, OWN)
    services.approve_admission(request_id=request.pk, actor=own.issuer)
    own.settle()
    request.refresh_from_db()
    assert (request.state, request.wallet) == (AdmissionRequest.State.ADMITTED, OWN)
    assert admitted(own) == {OWN}


def test_asking_for_both_wallets_makes_two_requests_and_asking_again_none(own):
    first, second = ask(own), ask(own, OWN)
    assert (first.wallet, second.wallet) == (own.address(own.bob), OWN)
    assert ask(own, OWN).pk == second.pk
    assert AdmissionRequest.objects.count() == 2


@pytest.mark.parametrize("whose", ["alice", "nobody"])
def test_a_wallet_of_somebody_else_is_refused(own, whose):
    address = own.address(own.alice) if whose == "alice" else Account.create().address
    with pytest.raises(DomainError) as caught:
        ask(own, address)
    assert caught.value.code == "tokens.investor.not_your_wallet"
    assert not AdmissionRequest.objects.exists()


def test_an_own_wallet_without_a_token_is_neither_offered_nor_admitted(world, signed_in):
    Wallet.objects.create(user=world.bob, address=OWN, kind="own")
    assert [row.address for row in selectors.effective_wallets(world.bob)] == [world.address(world.bob)]
    with pytest.raises(DomainError) as caught:
        ask(world, OWN)
    assert caught.value.code == "tokens.investor.not_effective"
    assert "wallet" not in signed_in(world.bob).get(reverse("tokens:receive")).context["form"].fields


def test_the_holder_chooses_on_the_page_and_the_issuer_sees_which(own, signed_in):
    browser, desk = signed_in(own.bob), signed_in(own.issuer)
    form = {"isin": own.security.isin}
    assert browser.post(reverse("tokens:receive"), form).status_code == 400
    assert not AdmissionRequest.objects.exists()
    assert browser.post(reverse("tokens:receive"), form | {"wallet": own.address(own.alice)}).status_code == 400
    assert browser.post(reverse("tokens:receive"), form | {"wallet": OWN}).status_code == 302
    assert AdmissionRequest.objects.get().wallet == OWN
    page = desk.get(reverse("tokens:admissions")).content.decode()
    assert OWN in page
    assert "Key kept by the holder" in page


def test_units_that_were_subscribed_into_an_own_wallet_are_issued_to_it(own, signed_in):
    subscription = services.invite_investor(security_id=own.security.pk, investor=own.bob, actor=own.issuer)
    page = reverse("tokens:subscription-subscribe", args=[subscription.pk])
    form = {"units": "5"} | {f"accept_{code}": "on" for code in services.ACKNOWLEDGEMENTS}
    assert signed_in(own.bob, second_factor=True).post(page, form).status_code == 400
    answer = signed_in(own.bob, second_factor=True).post(page, form | {"wallet": OWN})
    assert answer.status_code == 302
    subscription.refresh_from_db()
    assert subscription.wallet == OWN
    pay_and_issue(own, subscription)
    own.settle()
    held = {row.holder: row.units for row in balances_for([OWN, own.address(own.bob)]) if row.units}
    assert held == {OWN: 5}


def pay_and_issue(world: World, subscription: Subscription) -> None:
    services.record_payment(
        subscription_id=subscription.pk,
        actor=world.issuer,
        money=subscription.due,
        received_on=timezone.localdate(),
        reference="R-own",
    )
    services.allocate_subscription(subscription_id=subscription.pk, actor=world.issuer, units=5)
    services.issue_allotment(subscription_id=subscription.pk, actor=world.issuer)
