"""Every page of the app, walked over HTTP by the person it is for."""

import re
from decimal import Decimal
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone, translation

from portal.models import User
from portal.money import Money
from portal.notices.kinds import kind_named, packed, worded
from tokens import services
from tokens.models import AdmissionRequest, Security, Subscription, Transfer
from tokens.tests.conftest import terms

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


def url(name, *args):
    return reverse(f"tokens:{name}", args=args)


def form_of(response):
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', response.content.decode()))


def security_form(**changes):
    data = terms()
    data["authorised_amount"] = "1000000000"
    data["face_value"] = "100000"
    data["rate_percent"] = "0.80"
    data["lock_up_until"] = ""
    del data["authorised_units"], data["rate_bps"], data["whole_balance_only"]
    return data | changes


def test_an_issuer_makes_a_security_and_another_approves_it(signed_in, issuer, second_issuer, platform, settle):
    browser = signed_in(issuer)
    page = browser.get(url("security-new"))
    assert page.status_code == 200
    data = security_form(once_token=form_of(page)["once_token"])
    answer = browser.post(url("security-new"), data)
    security = Security.objects.get()
    assert answer.headers["Location"] == url("security-detail", security.pk)
    assert (security.authorised_units, security.rate_bps, int(security.face_value)) == (10_000, 80, 100_000)
    assert browser.post(url("security-new"), data).headers["Location"] == url("security-detail", security.pk)
    assert Security.objects.count() == 1
    upload = SimpleUploadedFile("terms.pdf", PDF, content_type="application/pdf")
    browser.post(url("document-add", security.pk), {"name": "Term sheet", "file": upload})
    assert security.documents.count() == 1
    browser.post(url("security-submit", security.pk))
    security.refresh_from_db()
    assert security.state == Security.State.AWAITING_APPROVAL
    other = signed_in(second_issuer)
    assert b"Approve and issue" in other.get(url("security-approve", security.pk)).content
    other.post(url("security-approve", security.pk))
    settle()
    page = other.get(url("security-detail", security.pk))
    assert b"On offer" in page.content
    assert other.get(url("document", security.documents.get().pk)).getvalue() == PDF


def test_a_placement_is_walked_by_issuer_and_investor(world, signed_in):
    desk = signed_in(world.issuer)
    security = world.security
    assert b"Alice" in desk.get(url("placement", security.pk)).content
    desk.post(url("placement-invite", security.pk), {"investor": world.alice.pk})
    subscription = Subscription.objects.get()
    browser = signed_in(world.alice, second_factor=True)
    assert b"Musubi Bond 1" in browser.get(url("subscriptions")).content
    assert browser.get(url("subscription-detail", subscription.pk)).status_code == 200
    accepted = {f"accept_{code}": "on" for code in services.ACKNOWLEDGEMENTS}
    refused = browser.post(url("subscription-subscribe", subscription.pk), {"units": "100"})
    assert refused.status_code == 400
    browser.post(url("subscription-subscribe", subscription.pk), {"units": "1００", **accepted})
    subscription.refresh_from_db()
    assert subscription.units == 100
    payment = {"amount": "10000000", "received_on": timezone.localdate().isoformat(), "reference": "BANK-1"}
    desk.post(url("subscription-payment", subscription.pk), payment)
    desk.post(url("subscription-allocate", subscription.pk), {"units": "100"})
    desk.post(url("subscription-issue", subscription.pk))
    assert b"every 2s" in browser.get(url("subscription-status", subscription.pk)).content
    world.settle()
    page = browser.get(url("subscription-status", subscription.pk)).content
    assert b"every 2s" not in page
    assert b"Allotted, final" in page
    holdings = browser.get(url("holdings")).content.decode()
    assert "¥10,000,000" in holdings
    assert browser.get(url("holding-detail", security.pk)).status_code == 200
    assert "Alice" in desk.get(url("holders", security.pk)).content.decode()
    assert desk.get(url("subscription-work", subscription.pk)).status_code == 200


def test_a_transfer_is_walked_from_form_to_final(holding, signed_in):
    browser = signed_in(holding.alice, second_factor=True)
    security, bob = holding.security, holding.address(holding.bob)
    page = browser.get(url("transfer-new", security.pk))
    answer = browser.get(url("transfer-precheck", security.pk), {"recipient": bob, "amount": "30"})
    assert b'data-precheck="ok"' in answer.content
    data = {"recipient": bob, "amount": "30", "form_token": form_of(page)["form_token"]}
    answer = browser.post(url("transfer-new", security.pk), data)
    confirm = answer.headers["Location"]
    assert b"cannot be undone" in browser.get(confirm).content
    answer = browser.post(confirm, data)
    transfer = Transfer.objects.get()
    assert answer.headers["Location"] == url("transfer-detail", transfer.pk)
    assert browser.post(confirm, data).headers["Location"] == url("transfer-detail", transfer.pk)
    assert Transfer.objects.count() == 1
    assert b"every 2s" in browser.get(url("transfer-detail", transfer.pk)).content
    holding.settle()
    status = browser.get(url("transfer-status", transfer.pk)).content
    assert b"every 2s" not in status
    assert b"This can no longer be undone" in status
    other = signed_in(holding.bob)
    assert b"Incoming transfer" in other.get(url("transfer-detail", transfer.pk)).content
    assert b"Received from" in other.get(url("transfers")).content
    assert signed_in(holding.issuer).get(url("transfer-detail", transfer.pk)).status_code == 200


def test_the_summary_of_a_transfer_counts_one_unit_as_one(holding, signed_in):
    browser, name = signed_in(holding.alice, second_factor=True), holding.security.name
    for language, amount, sentence, counter in [
        ("en", 1, f"You give 1 unit of {name} to", "unit"),
        ("en", 30, f"You give 30 units of {name} to", "units"),
        ("ja", 1, f"{name} 1 口を", "口"),
        ("ja", 30, f"{name} 30 口を", "口"),
    ]:
        query = {"recipient": holding.address(holding.bob), "amount": amount, "form_token": str(uuid4())}
        User.objects.filter(pk=holding.alice.pk).update(language=language)
        answer = browser.get(url("transfer-confirm", holding.security.pk), query)
        page = answer.content.decode()
        assert sentence in page, (language, amount)
        assert f'{amount}<span class="unit">{counter}</span>' in page, (language, amount)


@pytest.mark.parametrize("units", ["1", "1.00", "30", "1,000"])
def test_a_notice_about_units_counts_one_as_one(units):
    params = packed({"security": "Bond", "units": units, "value": Money(Decimal(100), "JPY"), "counterparty": "0x1"})
    unit = "unit" if units == "1" else "units"
    for kind in ("tokens.allotted", "tokens.transfer_final", "tokens.transfer_received", "tokens.transfer_failed"):
        with translation.override("en"):
            words = worded(kind=kind_named(kind), params=params)
        for text in (words.subject, *words.body):
            assert f"{units} {unit} of Bond" in text, kind
        with translation.override("ja"):
            assert f"Bond {units} 口" in worded(kind=kind_named(kind), params=params).subject, kind


def test_a_stranger_sees_neither_security_nor_transfer_nor_document(holding, signed_in, stranger):
    transfer = services.request_transfer(
        security_id=holding.security.pk,
        actor=holding.alice,
        recipient=holding.address(holding.bob),
        units=1,
        form_token=uuid4(),
    )
    browser = signed_in(stranger)
    for name, pk in [
        ("transfer-detail", transfer.pk),
        ("transfer-status", transfer.pk),
        ("holding-detail", holding.security.pk),
        ("transfer-new", holding.security.pk),
        ("subscription-detail", Subscription.objects.get().pk),
    ]:
        assert browser.get(url(name, pk)).status_code == 404, name
    for name in ("security-list", "security-new", "admissions"):
        assert browser.get(url(name)).status_code == 403, name
    for name in ("security-detail", "placement", "holders", "holders-csv", "control"):
        assert browser.get(url(name, holding.security.pk)).status_code == 403, name


def test_a_verified_person_asks_to_be_admitted_and_the_issuer_decides(world, signed_in):
    browser, desk = signed_in(world.bob), signed_in(world.issuer)
    assert browser.get(url("receive")).status_code == 200
    browser.post(url("receive"), {"isin": world.security.isin})
    request = AdmissionRequest.objects.get()
    assert b"Bob" in desk.get(url("admissions")).content
    desk.post(url("admission-approve", request.pk))
    world.settle()
    request.refresh_from_db()
    assert request.state == AdmissionRequest.State.ADMITTED
    assert b"Admitted, final" in browser.get(url("receive")).content


def test_an_unknown_isin_is_answered_and_nothing_is_asked_for(world, signed_in):
    answer = signed_in(world.bob).post(url("receive"), {"isin": "JP0000000000"})
    assert answer.status_code == 400
    assert not AdmissionRequest.objects.exists()


@pytest.mark.parametrize("kind", ["pause", "freeze", "dismiss"])
def test_an_administrator_acts_with_a_reason(holding, signed_in, administrator, kind):
    browser = signed_in(administrator, second_factor=True)
    page = browser.get(url("control", holding.security.pk))
    assert page.status_code == 200
    data = {"kind": kind, "reason": "drill", "form_token": str(uuid4())}
    if kind != "pause":
        data |= {"holder": holding.address(holding.alice)}
    if kind == "freeze":
        data |= {"units": "40"}
    answer = browser.post(url("control", holding.security.pk), data)
    assert answer.status_code == 302
    holding.settle()
    assert b"drill" in browser.get(url("security-detail", holding.security.pk)).content
    action = holding.security.control_actions.get()
    assert (action.state, action.error_code) == ("final", "")


def test_the_address_book_keeps_names_and_refuses_one_s_own_wallet(holding, signed_in):
    browser = signed_in(holding.alice)
    bob, own = holding.address(holding.bob), holding.address(holding.alice)
    browser.post(url("address-book"), {"label": "Bob", "address": bob.lower()})
    browser.post(url("address-book"), {"label": "Me", "address": own})
    assert list(holding.alice.address_book.values_list("label", "address")) == [("Bob", bob)]
    entry = holding.alice.address_book.get()
    signed_in(holding.bob).post(url("address-remove", entry.pk))
    assert holding.alice.address_book.count() == 1
    browser.post(url("address-remove", entry.pk))
    assert holding.alice.address_book.count() == 0


def test_who_subscribed_sees_by_themselves_how_the_issuer_goes_on(world, signed_in):
    """Slowly while people act, faster on the chain, not at all when it is final (the walk above)."""
    subscription = services.invite_investor(security_id=world.security.pk, investor=world.alice, actor=world.issuer)
    browser = signed_in(world.alice)
    status = url("subscription-status", subscription.pk)
    assert b"hx-trigger" not in browser.get(status).content
    services.subscribe(
        subscription_id=subscription.pk, actor=world.alice, units=5, acknowledgements=services.ACKNOWLEDGEMENTS
    )
    assert b'hx-trigger="every 10s"' in browser.get(status).content
    as_htmx = {"HX-Request": "true"}
    assert b"subscription-actions" not in browser.get(status, headers=as_htmx).content
    services.withdraw_subscription(subscription_id=subscription.pk, actor=world.alice)
    after = browser.get(status, headers=as_htmx).content
    assert b"hx-trigger" not in after
    assert b'<div id="subscription-actions" hx-swap-oob="true"></div>' in after, "the button to withdraw goes away"


def test_an_asked_admission_is_looked_at_again_until_it_is_decided(world, signed_in):
    browser = signed_in(world.bob)
    request = services.request_admission(security_id=world.security.pk, actor=world.bob)
    assert b'hx-trigger="every 3s"' in browser.get(url("receive")).content
    services.decline_admission(request_id=request.pk, actor=world.issuer, reason="Not this time.")
    page = browser.get(url("receive")).content
    assert b"Not this time." in page
    assert b"hx-trigger" not in page


def test_the_contract_and_the_board_are_looked_at_again_only_while_something_moves(world, signed_in):
    desk = signed_in(world.issuer)
    status, board = url("security-status", world.security.pk), url("placement", world.security.pk)
    assert b"hx-trigger" not in desk.get(status).content
    Security.objects.filter(pk=world.security.pk).update(state=Security.State.DEPLOYING)
    assert b'hx-trigger="every 2s"' in desk.get(status).content
    Security.objects.filter(pk=world.security.pk).update(state=Security.State.OFFERED)
    assert b"hx-trigger" not in desk.get(board).content
    subscription = world.place(world.alice, 5)
    assert b'hx-trigger="every 3s" hx-select="#board"' in desk.get(board).content
    assert b'hx-trigger="every 2s"' in desk.get(url("subscription-work", subscription.pk)).content
    world.settle()
    assert b"hx-trigger" not in desk.get(board).content
    assert b"hx-trigger" not in desk.get(url("subscription-work", subscription.pk)).content
