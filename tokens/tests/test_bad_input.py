"""What people type wrongly where it matters: said in words on the page, and nothing is recorded or asked of the chain."""

from __future__ import annotations

import html
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from chain.models import ChainTransaction
from chain.selectors import balances_for
from tokens import selectors, services
from tokens.models import AddressBookEntry, ControlAction, Recovery, Transfer

ZERO = "0x" + "0" * 40
ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"


def url(name, *args):
    return reverse(f"tokens:{name}", args=args)


def text_of(answer):
    return html.unescape(answer.content.decode())


def freeze(world, administrator, units):
    """An administrator's freeze of Alice, as the chain made of it."""
    action = services.request_control(
        security_id=world.security.pk,
        actor=administrator,
        kind="freeze",
        holder=world.address(world.alice),
        units=units,
        reason="court order",
        form_token=uuid4(),
    )
    world.settle()
    action.refresh_from_db()
    return action


# --- the zero address ------------------------------------------------------------------------------------------------


def test_the_zero_address_is_refused_in_words_on_every_page_that_takes_one(holding, signed_in, administrator):
    security, alice = holding.security.pk, holding.address(holding.alice)
    chief, holder = signed_in(administrator, second_factor=True), signed_in(holding.alice, second_factor=True)
    asked = ChainTransaction.objects.count()
    token = {"form_token": str(uuid4())}
    for browser, page, data in (
        (chief, url("control", security), {"kind": "freeze", "holder": ZERO, "units": "1", "reason": "x"} | token),
        (chief, url("control", security), {"kind": "dismiss", "holder": ZERO, "reason": "x"} | token),
        (chief, url("recovery-new", security), {"lost": ZERO, "replacement": alice, "reason": "x"}),
        (chief, url("recovery-new", security), {"lost": alice, "replacement": ZERO, "reason": "x"}),
        (holder, url("transfer-new", security), {"recipient": ZERO, "amount": "1"} | token),
        (holder, url("address-book"), {"label": "Nobody", "address": ZERO}),
    ):
        answer = browser.post(page, data)
        assert answer.status_code in (200, 400, 422), page
        assert "This is the zero address, which nobody owns." in text_of(answer), page
    again = holder.post(url("transfer-confirm", security), {"recipient": ZERO, "amount": "1"} | token)
    assert again["Location"] == url("transfer-new", security), "what the form would not take is not confirmed"
    for model in (ControlAction, Recovery, Transfer, AddressBookEntry):
        assert not model.objects.exists()
    assert ChainTransaction.objects.count() == asked


# --- files with one bad line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"Nobody,{ZERO}", "This is the zero address"),
        ("Carol,0x52908400098527886E0F7030069857D2E4169Ee7", "typing error"),
        ("Carol,0x1234", "This is not an address"),
        ("Carol", "This is not an address"),
        (f"  ,{ADDRESS}", "Enter a name"),
        ("Me,OWN", "your own wallet"),
    ],
)
def test_a_bad_line_of_a_file_is_named_and_no_line_is_saved(world, signed_in, line, why):
    browser = signed_in(world.alice, second_factor=True)
    good = "label,address\nAnn,0x8617E340B3D01FA5F11F306F4090FD50E238070D\n"
    content = good + line.replace("OWN", world.address(world.alice)) + f"\nZoe,{ADDRESS}\n"
    file = SimpleUploadedFile("book.csv", content.encode(), content_type="text/csv")
    page = text_of(browser.post(url("address-import"), {"file": file}, follow=True))
    assert "Line 3:" in page
    assert why in page
    assert "Nothing of the file was saved." in page
    assert not AddressBookEntry.objects.exists()


@pytest.mark.parametrize("rows", [0, 501])
def test_an_empty_or_endless_file_saves_nothing(world, signed_in, rows):
    browser = signed_in(world.alice, second_factor=True)
    lines = "".join(f"Nr {n},{ADDRESS}\n" for n in range(rows))
    file = SimpleUploadedFile("book.csv", f"label,address\n{lines}".encode(), content_type="text/csv")
    page = text_of(browser.post(url("address-import"), {"file": file}, follow=True))
    assert "at most 500 rows" in page
    assert not AddressBookEntry.objects.exists()


# --- amounts: above the balance, frozen above the balance ----------------------------------------------------------------


def test_a_freeze_above_the_balance_holds_all_of_it_on_every_page(holding, administrator, signed_in):
    action = freeze(holding, administrator, 1_000)
    assert (action.state, action.error_code) == ("final", "")
    held = selectors.holding_for(holding.alice, holding.security)
    assert held is not None
    assert (held.units, held.frozen_units, held.free_units) == (100, 100, 0), "of what is there, all is frozen"
    (indexed,) = balances_for([held.wallet])
    assert indexed.frozen_units == 1_000
    for amount, code in (("1", "restricted_above_unfrozen"), ("101", "restricted_above_balance")):
        verdict = selectors.precheck_typed(holding.alice, holding.security, holding.address(holding.bob), amount)
        assert (verdict.can_send, verdict.code) == (False, f"tokens.transfer.{code}")
    browser = signed_in(holding.alice)
    assert browser.get(url("holdings")).status_code == 200
    assert browser.get(url("holding-detail", holding.security.pk)).status_code == 200
    assert selectors.holders_report(holding.security).reconciles


def test_a_freeze_that_raises_nothing_fails_with_the_contracts_reason_on_the_page(holding, administrator, signed_in):
    freeze(holding, administrator, 40)
    for units in (40, 39):
        action = freeze(holding, administrator, units)
        assert action.state == ControlAction.State.FAILED
        assert "FreezeNotRaised" in action.error_code
    page = signed_in(administrator, second_factor=True).get(url("security-detail", holding.security.pk))
    assert "FreezeNotRaised" in text_of(page)
    held = selectors.holding_for(holding.alice, holding.security)
    assert held is not None
    assert held.frozen_units == 40


@pytest.mark.parametrize("units", ["0", "-1", "1.5", "9" * 80, "many", ""])
def test_a_freeze_of_no_amount_is_refused_before_anything_is_asked(holding, administrator, signed_in, units):
    browser = signed_in(administrator, second_factor=True)
    data = {"kind": "freeze", "holder": holding.address(holding.alice), "units": units, "reason": "x"}
    answer = browser.post(url("control", holding.security.pk), data | {"form_token": str(uuid4())})
    assert answer.status_code == 400
    assert not ControlAction.objects.exists()
