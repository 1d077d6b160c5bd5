"""Subscription, payment and allocation: what fits, what does not, and what is said about a part."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from chain.models import SbtRecord
from portal.money import Money
from tokens import selectors, services
from tokens.exceptions import InvestorNotEligible, NotYourRole, SubscriptionRefused
from tokens.models import Security, Subscription

ALL = services.ACKNOWLEDGEMENTS


@pytest.fixture
def invited(world):
    return services.invite_investor(security_id=world.security.pk, investor=world.alice, actor=world.issuer)


def subscribe(world, row, units=100, accept=ALL, actor=None):
    return services.subscribe(subscription_id=row.pk, actor=actor or world.alice, units=units, acknowledgements=accept)


def pay(world, row, amount, *, reference="R1", currency="JPY", on=None):
    return services.record_payment(
        subscription_id=row.pk,
        actor=world.issuer,
        money=Money(Decimal(amount), currency),
        received_on=on or timezone.localdate(),
        reference=reference,
    )


def test_a_placement_is_refused_wherever_it_does_not_fit(world, invited):
    def refused(code, call, *args, **options):
        with pytest.raises(SubscriptionRefused) as refusal:
            call(world, invited, *args, **options)
        assert refusal.value.code == code

    refused("tokens.subscription.not_acknowledged", subscribe, accept=ALL[:-1])
    refused("tokens.subscription.below_lot", subscribe, units=0)
    refused("tokens.subscription.above_issue", subscribe, units=10_001)
    with pytest.raises(NotYourRole):
        subscribe(world, invited, actor=world.bob)
    subscribe(world, invited)

    refused("tokens.payment.currency", pay, 10_000_000, currency="USD")
    refused("tokens.payment.not_positive", pay, 0)
    refused("tokens.payment.not_positive", pay, -1)
    refused("tokens.payment.too_fine", pay, "1.5")
    refused("tokens.payment.above_due", pay, 10_000_001)
    refused("tokens.payment.no_reference", pay, 1, reference=" ")
    refused("tokens.payment.future", pay, 1, on=timezone.localdate() + timedelta(days=2))
    assert not invited.payments.exists()

    assert pay(world, invited, 4_000_000).state == Subscription.State.SUBSCRIBED
    assert pay(world, invited, 4_000_000).payments.count() == 1  # the same reference again
    refused("tokens.payment.reference_used", pay, 5)
    (line,) = selectors.board_for(world.security).lines
    assert (int(line.paid.amount), int(line.missing.amount)) == (4_000_000, 6_000_000)
    assert pay(world, invited, 6_000_000, reference="R2").state == Subscription.State.PAID

    def allocate(world, row, units):
        return services.allocate_subscription(subscription_id=row.pk, actor=world.issuer, units=units)

    refused("tokens.allocation.above_paid", allocate, 101)
    allocate(world, invited, 60)
    (line,) = selectors.board_for(world.security).lines
    assert line.refund.amount == 4_000_000


def test_allocations_never_exceed_the_issue(world):
    rows = []
    for investor in (world.alice, world.bob):
        row = services.invite_investor(security_id=world.security.pk, investor=investor, actor=world.issuer)
        subscribe(world, row, units=8_000, actor=investor)
        pay(world, row, 800_000_000)
        rows.append(row)
    services.allocate_subscription(subscription_id=rows[0].pk, actor=world.issuer, units=8_000)
    with pytest.raises(SubscriptionRefused) as refusal:
        services.allocate_subscription(subscription_id=rows[1].pk, actor=world.issuer, units=2_001)
    assert refusal.value.code == "tokens.allocation.above_authorised"
    services.allocate_subscription(subscription_id=rows[1].pk, actor=world.issuer, units=2_000)
    assert selectors.board_for(world.security).available_units == 0


def test_an_investor_whose_token_is_not_effective_neither_subscribes_nor_is_issued_to(world, invited):
    record = SbtRecord.objects.filter(address=world.address(world.alice))
    record.update(suspended=True)
    with pytest.raises(InvestorNotEligible) as refusal:
        subscribe(world, invited)
    assert refusal.value.code == "tokens.investor.not_effective"
    record.update(suspended=False)
    subscribe(world, invited)
    pay(world, invited, 10_000_000)
    services.allocate_subscription(subscription_id=invited.pk, actor=world.issuer, units=100)
    record.update(suspended=True)
    with pytest.raises(InvestorNotEligible):
        services.issue_allotment(subscription_id=invited.pk, actor=world.issuer)
    invited.refresh_from_db()
    assert (invited.state, invited.mint) == (Subscription.State.ALLOCATED, None)


def test_nobody_subscribes_once_the_offering_is_closed(world, invited):
    services.close_offering(security_id=world.security.pk, actor=world.issuer)
    with pytest.raises(SubscriptionRefused) as refusal:
        subscribe(world, invited)
    assert refusal.value.code == "tokens.subscription.closed"


def test_an_allotment_the_chain_refuses_can_be_tried_again(world, invited):
    subscribe(world, invited)
    pay(world, invited, 10_000_000)
    services.allocate_subscription(subscription_id=invited.pk, actor=world.issuer, units=100)
    Security.objects.filter(pk=world.security.pk).update(minimum_lot_units=1)
    Subscription.objects.filter(pk=invited.pk).update(units=10**6, allocated_units=10**6)
    services.issue_allotment(subscription_id=invited.pk, actor=world.issuer)
    world.settle()
    invited.refresh_from_db()
    assert invited.state == Subscription.State.FAILED
    assert invited.error_code
    Subscription.objects.filter(pk=invited.pk).update(allocated_units=100)
    services.issue_allotment(subscription_id=invited.pk, actor=world.issuer)
    world.settle()
    invited.refresh_from_db()
    assert (invited.state, invited.issue_attempt) == (Subscription.State.ALLOTTED, 2)
