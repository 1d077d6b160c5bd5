"""From the draft to a transfer that is final on both sides, on the real node."""

from uuid import uuid4

from django.core import mail

from chain.gateway import gateway
from portal.notices.services import send_notices
from tokens import selectors, services
from tokens.models import Security, Subscription, Transfer


def test_a_security_goes_from_draft_to_offer_with_its_contract(world):
    security = world.security
    assert security.state == Security.State.OFFERED
    assert security.token
    name, authorised = gateway().read("SecurityToken", security.token, "name"), security.authorised_units
    assert (name[0], authorised) == ("Musubi Bond 1", 10_000)


def test_an_allotment_is_provisional_and_then_final(world):
    subscription = world.place(world.alice, 100)
    assert subscription.state == Subscription.State.ISSUING
    world.settle()
    subscription.refresh_from_db()
    assert subscription.state == Subscription.State.ALLOTTED
    (holding,) = selectors.holdings_for(world.alice)
    assert (holding.units, holding.final_units, int(holding.value.amount)) == (100, 100, 10_000_000)


def test_a_holder_passes_units_on_and_both_sides_see_it_final(holding):
    transfer = services.request_transfer(
        security_id=holding.security.pk,
        actor=holding.alice,
        recipient=holding.address(holding.bob),
        units=30,
        form_token=uuid4(),
    )
    assert transfer.state == Transfer.State.REQUESTED
    holding.settle()
    transfer.refresh_from_db()
    assert transfer.state == Transfer.State.FINAL
    assert [row.units for row in selectors.holdings_for(holding.alice)] == [70]
    assert [row.units for row in selectors.holdings_for(holding.bob)] == [30]
    (incoming,) = selectors.transfers_for(holding.bob)
    assert incoming.is_incoming
    send_notices()
    told = {(message.to[0], message.subject) for message in mail.outbox}
    assert any(to == "bob@example.com" for to, _ in told)
    assert any(to == "alice@example.com" for to, _ in told)


def test_the_holders_add_up_to_the_supply(holding):
    report = selectors.holders_report(holding.security)
    assert report.reconciles
    assert [(line.name, line.units) for line in report.holders] == [("Alice", 100)]
