"""A recipient saved lately cannot be sent to yet; the address book goes out and in as CSV."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from portal.exceptions import DomainError
from portal.notices.services import send_notices
from tokens import selectors, services
from tokens.models import AddressBookEntry, Transfer
from tokens.services.transfers import _address_rows
from tokens.tests.conftest import new_form

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"


def send(world, units=1):
    return services.request_transfer(
        security_id=world.security.pk,
        actor=world.alice,
        recipient=world.address(world.bob),
        units=units,
        form_token=new_form(),
    )


def refusal(world):
    with pytest.raises(DomainError) as caught:
        send(world)
    return caught.value.code


def test_a_new_recipient_waits_in_the_service_not_only_on_the_page(holding, settings, signed_in):
    settings.RECIPIENT_COOLING_OFF = timedelta(hours=24)
    assert refusal(holding) == "tokens.transfer.recipient_not_saved"
    entry = services.save_address(actor=holding.alice, label="Bob", address=holding.address(holding.bob))
    assert refusal(holding) == "tokens.transfer.recipient_cooling_off"
    assert not Transfer.objects.exists()

    browser = signed_in(holding.alice)
    query = {"recipient": entry.address, "amount": "1"}
    page = browser.get(reverse("tokens:transfer-precheck", args=[holding.security.pk]), query).content.decode()
    assert "data-countdown" in page
    assert "data-countdown" in browser.get(reverse("tokens:address-book")).content.decode()

    services.save_address(actor=holding.alice, label="Bob, renamed", address=entry.address)
    AddressBookEntry.objects.filter(pk=entry.pk).update(created_at=timezone.now() - timedelta(hours=24))
    assert send(holding).units == 1


def test_removing_and_saving_again_waits_again(holding, settings):
    settings.RECIPIENT_COOLING_OFF = timedelta(hours=24)
    entry = services.save_address(actor=holding.alice, label="Bob", address=holding.address(holding.bob))
    AddressBookEntry.objects.update(created_at=timezone.now() - timedelta(days=3))
    services.remove_address(actor=holding.alice, entry_id=entry.pk)
    services.save_address(actor=holding.alice, label="Bob", address=entry.address)
    assert refusal(holding) == "tokens.transfer.recipient_cooling_off"


def test_who_was_sent_to_before_needs_no_new_wait(holding, settings):
    send(holding)
    holding.settle()
    Transfer.objects.update(ended_at=timezone.now() - timedelta(days=2))
    settings.RECIPIENT_COOLING_OFF = timedelta(hours=24)
    assert send(holding, units=2).units == 2


def test_a_new_recipient_is_told_by_mail_once(issuer):
    for label in ("Bob", "Bob again"):
        services.save_address(actor=issuer, label=label, address=ADDRESS)
    send_notices()
    assert [ADDRESS in message.body for message in mail.outbox] == [True]


def test_the_address_book_comes_back_from_its_own_file(issuer, administrator, signed_in):
    services.save_address(actor=issuer, label="=HYPERLINK(1)", address=ADDRESS)
    content = selectors.address_book_csv(issuer)
    assert "'=HYPERLINK(1)" in content
    assert services.import_addresses(actor=administrator, content=content.encode()) == 1
    assert AddressBookEntry.objects.get(user=administrator).label == "=HYPERLINK(1)"


def test_a_file_with_one_wrong_line_saves_nothing(issuer):
    content = f"label,address\nBob,{ADDRESS}\nCarol,0x1234\n".encode()
    with pytest.raises(DomainError) as caught:
        services.import_addresses(actor=issuer, content=content)
    assert caught.value.code == "tokens.address_book.line"
    assert "3" in str(caught.value.message)
    assert not AddressBookEntry.objects.exists()


@given(st.binary(max_size=300))
def test_no_file_is_more_than_refused(content):
    try:
        rows = _address_rows(content)
    except DomainError:
        return
    assert rows
