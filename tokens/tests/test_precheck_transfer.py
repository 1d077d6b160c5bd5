"""The pre-check: every bad input has its sentence, the contract's code is the verdict, and lines agree with it."""

from uuid import uuid4

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from chain.gateway import gateway
from chain.models import ChainTransaction, Holding
from chain.services import outbox
from chain.types import Restriction
from tokens import selectors, services
from tokens.exceptions import FormReused, TransferRefused
from tokens.models import Transfer
from tokens.precheck import line_of, lookalike_of

KEYS = {"address", "sender", "recipient", "admitted", "balance", "lot", "lock_up", "holders", "pause"}


def lines(verdict):
    return {line.key: line.ok for line in verdict.lines}


def ask(world, recipient, amount="10", user=None):
    return selectors.precheck_typed(user or world.alice, world.security, recipient, amount)


@pytest.mark.parametrize("restriction", [code for code in Restriction if code is not Restriction.NONE])
def test_every_code_of_the_contract_belongs_to_a_line(restriction):
    assert line_of(restriction) in KEYS


def test_the_pre_check_refuses_every_bad_input_in_words(holding):
    bob = holding.address(holding.bob)
    broken = bob[:-1] + ("0" if bob[-1] != "0" else "1")
    cases = {
        (broken, "10"): "chain.address.bad_checksum",
        ("0x1234", "10"): "chain.address.malformed",
        ("0x" + "0" * 40, "10"): "chain.address.zero",
        (holding.address(holding.alice), "10"): "tokens.transfer.to_self",
        (holding.security.token, "10"): "tokens.transfer.recipient_is_contract",
        (bob, "0"): "amount.not_positive",
        (bob, "-5"): "amount.not_positive",
        (bob, "1.5"): "amount.too_fine",
        (bob, "9" * 90): "amount.too_large",
        (bob, "ten"): "amount.malformed",
        (bob, "101"): "tokens.transfer.restricted_above_balance",
        ("0x00000000000000000000000000000000000000AA".lower(), "10"): "tokens.transfer.restricted_receiver_no_sbt",
    }
    for (recipient, amount), code in cases.items():
        verdict = ask(holding, recipient, amount)
        assert verdict.code == code
        assert verdict.refusal
        assert not verdict.can_send
    good = ask(holding, bob, "1００")
    assert good.can_send
    assert set(lines(good).values()) == {True}


def test_an_empty_field_is_not_a_mistake(holding):
    verdict = ask(holding, "", "10")
    assert (verdict.incomplete, verdict.refusal, verdict.can_send) == (True, "", False)


def test_a_verified_recipient_who_is_not_admitted_is_refused_with_the_chain_s_code(holding, make_investor):
    carol = make_investor("carol@example.com", "Carol")
    holding.settle()
    verdict = ask(holding, holding.address(carol))
    assert verdict.restriction is Restriction.RECEIVER_NOT_ADMITTED
    assert lines(verdict) | {"recipient": True, "admitted": False} == lines(verdict)


def test_frozen_units_and_a_pause_are_named(holding, administrator):
    services.request_control(
        security_id=holding.security.pk,
        actor=administrator,
        kind="freeze",
        holder=holding.address(holding.alice),
        units=95,
        reason="court order",
        form_token=uuid4(),
    )
    holding.settle()
    verdict = ask(holding, holding.address(holding.bob))
    assert verdict.restriction is Restriction.ABOVE_UNFROZEN
    assert lines(verdict)["balance"] is False
    services.request_control(
        security_id=holding.security.pk, actor=administrator, kind="pause", reason="drill", form_token=uuid4()
    )
    holding.settle()
    verdict = ask(holding, holding.address(holding.bob), "1")
    assert verdict.restriction is Restriction.PAUSED
    assert lines(verdict)["pause"] is False


def test_the_contract_is_right_where_the_index_is_behind(holding):
    Holding.objects.filter(holder=holding.address(holding.bob)).update(admitted_sbt=0)
    verdict = ask(holding, holding.address(holding.bob))
    assert verdict.restriction is Restriction.NONE
    assert verdict.can_send
    assert lines(verdict)["admitted"] is True


def test_the_node_being_down_is_said_and_the_page_still_works(holding, signed_in, settings):
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"
    bob = holding.address(holding.bob)
    verdict = ask(holding, bob)
    assert (verdict.node_down, verdict.can_send, verdict.restriction) == (True, False, None)
    assert lines(verdict)["admitted"] is True
    browser = signed_in(holding.alice, second_factor=True)
    for name in ("holding-detail", "transfer-new"):
        assert browser.get(reverse(f"tokens:{name}", args=[holding.security.pk])).status_code == 200
    page = browser.get(reverse("tokens:transfer-precheck", args=[holding.security.pk]), {"recipient": bob, "amount": 5})
    assert b'data-precheck="unknown"' in page.content
    form = {"recipient": bob, "amount": "5", "form_token": str(uuid4())}
    answer = browser.post(reverse("tokens:transfer-confirm", args=[holding.security.pk]), form)
    assert b"cannot be reached" in answer.content
    assert not Transfer.objects.exists()


def test_redis_being_down_loses_nothing(holding, broker_down, monkeypatch, caplog, django_capture_on_commit_callbacks):
    """The wake-up after the commit finds no broker; the request stands, and the sweep takes it."""
    monkeypatch.setattr(outbox, "_woken_at", 0.0)
    with django_capture_on_commit_callbacks(execute=True) as wake_ups:
        transfer = request(holding, 5)
    assert wake_ups
    assert "no worker could be woken" in caplog.text
    transfer.refresh_from_db()
    assert transfer.state == Transfer.State.REQUESTED
    holding.settle()
    transfer.refresh_from_db()
    assert transfer.state == Transfer.State.FINAL


def request(world, units, *, token=None, recipient=None):
    return services.request_transfer(
        security_id=world.security.pk,
        actor=world.alice,
        recipient=recipient or world.address(world.bob),
        units=units,
        form_token=token or uuid4(),
    )


def test_a_replayed_form_is_the_same_transfer_and_another_content_is_refused(holding):
    token = uuid4()
    first = request(holding, 10, token=token)
    assert request(holding, 10, token=token) == first
    with pytest.raises(FormReused):
        request(holding, 11, token=token)
    assert Transfer.objects.count() == 1
    assert ChainTransaction.objects.filter(purpose="tokens.transfer").count() == 1
    holding.settle()
    assert request(holding, 10, token=token) == first
    assert [row.units for row in selectors.holdings_for(holding.alice)] == [90]


def test_what_the_pre_check_refuses_is_never_put_in_the_outbox(holding):
    before = ChainTransaction.objects.count()
    with pytest.raises(TransferRefused) as refusal:
        request(holding, 10, recipient="0x" + "ab" * 20)
    assert refusal.value.context["restriction"] is Restriction.RECEIVER_NO_SBT
    assert ChainTransaction.objects.count() == before
    assert not Transfer.objects.exists()


def test_units_on_their_way_cannot_be_sent_twice(holding):
    request(holding, 60)
    with pytest.raises(TransferRefused) as refusal:
        request(holding, 60)
    assert refusal.value.code == "tokens.transfer.pending_outgoing"
    request(holding, 40)
    holding.settle()
    assert gateway().balance(holding.security.token, holding.address(holding.bob)) == 100


def test_an_address_that_imitates_a_known_one_is_stopped_with_both_in_full(holding):
    bob = holding.address(holding.bob)
    services.save_address(actor=holding.alice, label="Bob", address=bob)
    imitation = (bob[:6] + "0" * 32 + bob[-4:]).lower()
    verdict = ask(holding, imitation)
    assert verdict.code == "tokens.transfer.lookalike"
    assert verdict.lookalike == bob
    assert not verdict.can_send
    assert ask(holding, bob).recipient_label == "Bob"


addresses = st.integers(1, 2**160 - 1).map(lambda number: f"0x{number:040x}")


@given(known=addresses, middle=st.text("0123456789abcdef", min_size=32, max_size=32))
def test_only_the_ends_make_a_lookalike(known, middle):
    other = known[:6] + middle + known[-4:]
    expected = known if other != known else ""
    assert lookalike_of(other, {known: "Bob"}) == expected


def test_holdings_and_transfer_pages_issue_a_constant_number_of_queries(
    holding, signed_in, issuer, second_issuer, django_assert_max_num_queries
):
    from django.conf import settings as project
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tokens.models import Security
    from tokens.tests.conftest import terms

    browser = signed_in(holding.alice, second_factor=True)
    paths = [
        reverse("tokens:holdings"),
        reverse("tokens:transfers"),
        reverse("tokens:holdings-csv"),
        reverse("tokens:transfer-new", args=[holding.security.pk]),
        reverse("tokens:holding-detail", args=[holding.security.pk]),
    ]
    bob = holding.address(holding.bob)
    paths.append(reverse("tokens:transfer-precheck", args=[holding.security.pk]) + f"?recipient={bob}&amount=5")

    def counts():
        found = []
        for path in paths:
            browser.get(path)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert browser.get(path).status_code == 200
            found.append(len(queries))
        return found

    with_one = counts()
    alice = holding.address(holding.alice)
    for number in range(99):
        security = Security(created_by=issuer, approved_by=second_issuer, **terms(symbol=f"X{number}"))
        security.isin, security.state = f"XX{number:010d}", Security.State.LIVE
        security.token = f"0x{number + 1:040x}"
        security.save()
        Holding.objects.create(chain_id=project.CHAIN_ID, token=security.token, holder=alice, units=5, final_units=5)
    assert len(selectors.holdings_for(holding.alice)) == 100
    assert counts() == with_one
