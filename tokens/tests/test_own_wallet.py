"""A holder's own wallet sends; the platform follows the hash, whatever the wallet and the network make of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from chain import operations
from chain.outside.models import OutsideTransaction
from chain.types import SignerRole
from portal.exceptions import DomainError
from tokens import selectors, services
from tokens.models import Transfer
from tokens.tests.conftest import KEY, World, new_form, send, sweep

State = Transfer.State


def ask(world: World, units: int = 10) -> Transfer:
    return services.request_transfer(
        security_id=world.security.pk,
        actor=world.alice,
        recipient=world.address(world.bob),
        units=units,
        form_token=new_form(),
        sender=KEY.address,
    )


def sign(world: World, platform: Any, transfer: Transfer, **more: Any) -> str:
    call = services.call_for_wallet(transfer_id=transfer.pk, actor=world.alice)
    assert call.sender == KEY.address
    return send(platform, to=call.to, data=call.data, **more)


def report(world: World, transfer: Transfer, transaction_hash: str) -> Transfer:
    return services.report_transfer(transfer_id=transfer.pk, actor=world.alice, transaction_hash=transaction_hash)


def code_of(action: Any, **arguments: Any) -> str:
    with pytest.raises(DomainError) as caught:
        action(**arguments)
    return caught.value.code


def state(transfer: Transfer) -> str:
    transfer.refresh_from_db()
    return str(transfer.state)


def test_a_transfer_from_the_own_wallet_goes_through_the_same_states_to_final(own, platform):
    transfer = ask(own)
    assert state(transfer) == State.REQUESTED
    assert selectors.transfer_for(own.bob, transfer.pk) is None
    report(own, transfer, sign(own, platform, transfer))
    assert state(transfer) == State.SUBMITTED
    sweep(platform)
    assert state(transfer) == State.IN_BLOCK
    sweep(platform, 3)
    assert state(transfer) == State.FINAL
    seen = selectors.transfer_for(own.bob, transfer.pk)
    assert seen is not None
    assert seen.is_incoming
    line = selectors.history_for(own.alice)[0]
    assert (line.transfer_id, line.units) == (transfer.pk, 10)


def test_reporting_the_same_hash_again_changes_nothing(own, platform):
    transfer = ask(own)
    sent = sign(own, platform, transfer)
    report(own, transfer, sent)
    report(own, transfer, sent.upper().replace("0X", "0x"))
    assert OutsideTransaction.objects.get().hash == sent
    assert code_of(services.call_for_wallet, transfer_id=transfer.pk, actor=own.alice) == "tokens.transfer.already_sent"


def test_a_hash_of_something_else_is_refused_with_what_is_different(own, platform):
    transfer = ask(own)
    token, bob = own.security.token, own.address(own.bob)
    other_amount = send(platform, to=token, data=operations.transfer(token, bob, 11).data)
    other_target = send(platform, to=bob, data=b"", nonce=platform.node.count(KEY.address) + 1)
    for wrong, code in (
        (other_amount, "other_call"),
        (other_target, "other_target"),
        (platform.node.call("eth_getBlockByNumber", "latest", True)["hash"][:10], "malformed_hash"),
    ):
        assert code_of(report, world=own, transfer=transfer, transaction_hash=wrong) == f"chain.outside.{code}"
    custody = Transfer.objects.exclude(transaction=None).get().transaction
    assert custody is not None
    assert (
        code_of(report, world=own, transfer=transfer, transaction_hash=custody.mined_hash)
        == "chain.outside.other_sender"
    )
    assert state(transfer) == State.REQUESTED


def test_an_older_transfer_of_the_same_amount_is_not_this_one(own, platform):
    first = ask(own)
    sent = sign(own, platform, first)
    sweep(platform)
    assert state(first) in (State.IN_BLOCK, State.FINAL), "it was found without a report"
    second = ask(own)
    assert code_of(report, world=own, transfer=second, transaction_hash=sent) == "chain.outside.hash_in_use"
    OutsideTransaction.objects.filter(pk=first.outside_id or 0).update(state="awaited", hash="")
    assert code_of(report, world=own, transfer=second, transaction_hash=sent) == "chain.outside.too_old"


def test_a_page_that_was_closed_too_early_loses_nothing(own, platform):
    """Nobody reports the hash: the event leads to it."""
    transfer = ask(own)
    sent = sign(own, platform, transfer)
    sweep(platform, 4)
    assert state(transfer) == State.FINAL
    assert OutsideTransaction.objects.get().hash == sent


def test_a_hash_no_node_knows_yet_is_kept_and_given_up_after_a_while(own, platform, settings):
    transfer = ask(own)
    report(own, transfer, "0x" + "ab" * 32)
    assert state(transfer) == State.SUBMITTED
    sweep(platform)
    assert state(transfer) == State.SUBMITTED
    settings.CHAIN_DROPPED_AFTER_SECONDS = 0
    sweep(platform)
    assert state(transfer) == State.REQUESTED
    assert transfer.error_code == "outside.never_seen"
    report(own, transfer, sign(own, platform, transfer))
    sweep(platform, 4)
    assert state(transfer) == State.FINAL


def test_a_dropped_transaction_can_be_signed_again_and_moves_once(own, platform, settings):
    transfer = ask(own)
    sent = sign(own, platform, transfer)
    report(own, transfer, sent)
    platform.node.drop(sent)
    settings.CHAIN_DROPPED_AFTER_SECONDS = 0
    sweep(platform)
    assert state(transfer) == State.REQUESTED
    report(own, transfer, sign(own, platform, transfer, fee=20))
    sweep(platform, 4)
    assert state(transfer) == State.FINAL
    held = selectors.holding_for(own.alice, own.security, sender=KEY.address)
    assert held is not None
    assert held.units == 50


def test_a_transaction_sent_again_with_a_higher_fee_is_the_same_transfer(own, platform):
    transfer = ask(own)
    first = sign(own, platform, transfer)
    report(own, transfer, first)
    call = OutsideTransaction.objects.get()
    faster = send(platform, to=call.to, data=bytes(call.data), nonce=call.nonce, fee=40)
    sweep(platform, 4)
    assert state(transfer) == State.FINAL
    assert OutsideTransaction.objects.get().hash == faster != first


def test_a_transaction_cancelled_in_the_wallet_ends_as_not_sent(own, platform):
    transfer = ask(own)
    report(own, transfer, sign(own, platform, transfer))
    nonce = OutsideTransaction.objects.get().nonce
    send(platform, to=KEY.address, data=b"", nonce=nonce, fee=40)
    sweep(platform)
    assert state(transfer) == State.SUBMITTED, "not before it is final"
    sweep(platform, 4)
    assert state(transfer) == State.NOT_SENT
    assert OutsideTransaction.objects.get().is_settled


def test_a_transfer_the_contract_refuses_fails_with_its_reason(own, platform):
    transfer = ask(own, units=60)
    sent = sign(own, platform, transfer)
    report(own, transfer, sent)
    pool = platform.node.pool()
    assert pool == [sent]
    # In the same block, but before it, the holding is frozen.
    agent = platform.signer(SignerRole.TOKEN_AGENT)
    data = operations.freeze(own.security.token, KEY.address, 60).data
    platform.node.set_balance(agent.address, 10**18)
    platform.node.call("anvil_impersonateAccount", agent.address)
    platform.node.call(
        "eth_sendTransaction",
        {"from": agent.address, "to": own.security.token, "data": "0x" + data.hex(), "gas": hex(500_000),
         "maxFeePerGas": hex(90 * 10**9), "maxPriorityFeePerGas": hex(80 * 10**9)},
    )  # fmt: skip
    sweep(platform)
    assert state(transfer) == State.FAILED
    sweep(platform, 3)
    assert OutsideTransaction.objects.get().is_settled
    assert transfer.error_code


def test_a_reorganisation_takes_it_back_until_it_is_in_a_block_again(own, platform):
    transfer = ask(own)
    sent = sign(own, platform, transfer)
    report(own, transfer, sent)
    raw = platform.node.call("eth_getRawTransactionByHash", sent)
    sweep(platform)
    assert state(transfer) == State.IN_BLOCK
    platform.node.reorg(1)
    sweep(platform, 0)
    assert state(transfer) == State.SUBMITTED
    if sent not in platform.node.pool():
        platform.node.call("eth_sendRawTransaction", raw)
    sweep(platform, 4)
    assert state(transfer) == State.FINAL


def test_a_transfer_that_was_given_up_but_signed_all_the_same_is_shown_as_what_it_is(own, platform):
    transfer = ask(own)
    call = services.call_for_wallet(transfer_id=transfer.pk, actor=own.alice)
    services.give_up_transfer(transfer_id=transfer.pk, actor=own.alice)
    assert state(transfer) == State.NOT_SENT
    send(platform, to=call.to, data=call.data)
    sweep(platform, 4)
    assert state(transfer) == State.FINAL


def test_nobody_touches_somebody_elses_transfer(own, platform, signed_in):
    transfer = ask(own)
    browser = signed_in(own.bob)
    for name in ("transfer-begin", "transfer-report", "transfer-give-up"):
        assert browser.post(reverse(f"tokens:{name}", args=[transfer.pk]), {"hash": "0x"}).status_code == 404


def test_nothing_is_sent_from_a_wallet_that_is_not_ones_own(own):
    code = code_of(
        services.request_transfer,
        security_id=own.security.pk,
        actor=own.bob,
        recipient=own.address(own.alice),
        units=1,
        form_token=new_form(),
        sender=KEY.address,
    )
    assert code == "tokens.transfer.no_custody_wallet"


def test_the_pages_lead_from_the_form_to_the_wallet_and_say_why_not(own, platform, signed_in):
    browser = signed_in(own.alice, second_factor=True)
    query = {"recipient": own.address(own.bob), "amount": "10", "form_token": str(new_form()), "sender": KEY.address}
    page = browser.get(reverse("tokens:transfer-new", args=[own.security.pk]), {"sender": KEY.address})
    assert KEY.address in page.content.decode()
    answer = browser.post(reverse("tokens:transfer-confirm", args=[own.security.pk]), query)
    transfer = Transfer.objects.get(outside__isnull=False)
    assert answer.headers["Location"] == reverse("tokens:transfer-detail", args=[transfer.pk])
    page = browser.get(answer.headers["Location"]).content.decode()
    assert "data-signing" in page
    assert 'data-action="transaction"' in page
    begin = browser.post(reverse("tokens:transfer-begin", args=[transfer.pk]))
    sent = send(platform, to=begin.json()["to"], data=bytes.fromhex(begin.json()["data"][2:]))
    browser.post(reverse("tokens:transfer-report", args=[transfer.pk]), {"hash": sent})
    assert state(transfer) == State.SUBMITTED
    refused = browser.post(reverse("tokens:transfer-begin", args=[transfer.pk]))
    assert refused.status_code == 400
    assert refused.json()["refusal"]
