"""What the outbox is asked in this app's name passes if the app's own rows say so, and no variation of it does."""

from uuid import uuid4

import pytest

from chain.desk.models import Alarm
from chain.models import ChainTransaction, Signer
from chain.tests.lies import assert_only_the_truth_passes, copy_of, verdict
from tokens import services
from tokens.models import AdmissionRequest, Payment, Recovery, Security, Subscription, Transfer
from tokens.tests.test_recover_wallet import announced, second_wallet

__all__ = ["announced", "second_wallet"]  # fixtures

PLACING = (
    "tokens.deploy_security", "tokens.configure_security", "tokens.admit_for_allotment", "tokens.mint_allotment",
    "tokens.admit_on_demand",
)  # fmt: skip


def send(holding, units=30) -> Transfer:
    return services.request_transfer(
        security_id=holding.security.pk,
        actor=holding.alice,
        recipient=holding.address(holding.bob),
        units=units,
        form_token=uuid4(),
    )


def row_of(purpose: str) -> ChainTransaction:
    return ChainTransaction.objects.select_related("signer").get(purpose=purpose)


def test_only_what_was_placed_and_admitted_passes_before_and_after_it_is_final(holding, make_investor):
    carol = make_investor("carol@example.com")
    holding.settle()
    holding.place(carol, 7)
    assert_only_the_truth_passes(*PLACING)
    holding.settle()
    assert_only_the_truth_passes(*PLACING)
    assert not Alarm.objects.filter(kind="unasked").exists()


def test_only_what_holders_and_administrators_asked_for_passes(holding, administrator):
    send(holding)
    for kind in ("freeze", "dismiss", "pause", "unpause"):
        services.request_control(
            security_id=holding.security.pk,
            actor=administrator,
            kind=kind,
            reason="drill",
            form_token=uuid4(),
            holder=holding.address(holding.bob),
            units=3 if kind == "freeze" else None,
        )
    assert_only_the_truth_passes("tokens.transfer", "tokens.control")
    holding.settle()
    assert_only_the_truth_passes("tokens.transfer", "tokens.control")


def test_only_recoveries_that_were_announced_pass(holding, administrator, announced, platform):
    services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    names = ("tokens.admit_for_recovery", "tokens.announce_recovery", "tokens.object_to_recovery")
    assert_only_the_truth_passes(*names)
    holding.settle()
    assert_only_the_truth_passes(*names)


def test_a_recovery_that_is_tried_again_is_asked_for_each_time_and_once(holding, administrator, announced):
    for _attempt in range(2):
        Recovery.objects.filter(pk=announced.pk).update(state=Recovery.State.WAITING)
        services.complete_recovery(recovery_id=announced.pk, actor=administrator)
        holding.settle()
    first, second = ChainTransaction.objects.filter(purpose="tokens.complete_recovery").order_by("pk")
    assert (verdict(first), verdict(second)) == ("asked", "asked")  # the recovery keeps its last one only
    later = copy_of(second, idempotency_key=f"tokens.recovery:{announced.pk}:complete:3")
    assert verdict(later) == "unasked"


def test_a_second_row_for_the_same_transfer_is_not_asked_for(holding):
    """The business row points to one; another with the same call under another key is nobody's."""
    transfer = send(holding)
    row = row_of("tokens.transfer")
    for key in ("forged", f"tokens.transfer:{transfer.pk}:1", f"tokens.transfer:0{transfer.pk}"):
        again = copy_of(row, idempotency_key=key)
        assert verdict(again) == "unasked", key
        again.delete()
    # Pointing the transfer to another row does not make that one asked for.
    again = copy_of(row)
    Transfer.objects.filter(pk=transfer.pk).update(transaction=again)
    assert (verdict(row), verdict(again)) == ("unasked", "unasked")


def test_a_wallet_is_only_emptied_with_its_own_key(holding):
    transfer = send(holding)
    row = row_of("tokens.transfer")
    assert verdict(row) == "asked"
    bobs = Signer.objects.get(address=holding.address(holding.bob))
    ChainTransaction.objects.filter(pk=row.pk).update(signer=bobs)
    assert (transfer.sender, verdict(row)) == (holding.address(holding.alice), "unasked")


@pytest.mark.parametrize("what", ["unpaid", "too little paid", "not allocated", "never issued", "no contract"])
def test_nothing_is_credited_that_was_not_paid_for_and_allocated(holding, what):
    row, rows = row_of("tokens.mint_allotment"), Subscription.objects.filter(mint__isnull=False)
    assert verdict(row) == "asked"
    if what == "unpaid":
        Payment.objects.all().delete()
    elif what == "too little paid":
        Payment.objects.update(amount=100_000 * 99)
    elif what == "not allocated":
        rows.update(state=Subscription.State.PAID)
    elif what == "never issued":
        rows.update(issue_attempt=0)
    else:
        Security.objects.update(token=None, state=Security.State.DRAFT)
    assert verdict(row) == "unasked"


@pytest.mark.parametrize("change", [{"decided_by": None}, {"state": "declined"}, {"attempt": 0}])
def test_nobody_is_admitted_whom_the_issuer_did_not_admit(holding, change):
    row = row_of("tokens.admit_on_demand")
    assert verdict(row) == "asked"
    AdmissionRequest.objects.update(**change)
    assert verdict(row) == "unasked"


def test_nothing_is_deployed_that_no_second_person_approved(holding):
    row = row_of("tokens.deploy_security")
    assert verdict(row) == "asked"
    Security.objects.update(approved_by=None, state=Security.State.DRAFT)
    assert verdict(row) == "unasked"


def test_a_mint_slipped_into_the_outbox_moves_nothing(holding):
    row = row_of("tokens.mint_allotment")
    forged = copy_of(row)
    holding.settle()
    forged.refresh_from_db()
    assert (forged.state, forged.verdict) == ("refused", "unasked")
    assert Subscription.objects.get(mint=row).state == Subscription.State.ALLOTTED
    assert Alarm.objects.get(kind="unasked").key == row.signer.address
