"""From BROADCAST to FINAL on a real node: receipts, finality, lost pools, dearer fees, reorganisations, stolen nonces."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chain import services
from chain.followups import _followups, followup
from chain.models import Attempt, ChainTransaction, Incident, Signer
from chain.rpc import as_hex
from chain.rpc import node as rpc
from chain.services import reconciler, submitter
from chain.services.market import Fees, look
from chain.tests.steps import ask, finalise, fresh, funder_on, pay, payment, received, states
from chain.types import SignerRole
from portal.models import AuditEntry, User

pytestmark = pytest.mark.django_db
State = ChainTransaction.State


@pytest.fixture
def funder(node):
    return funder_on(node)


@pytest.fixture
def operator():
    return User.objects.create_user("operator@example.com")


@pytest.fixture
def told():
    """What the follow-up of the payments was told, in order."""
    heard = []

    @followup("test.payment")
    def hear(row, state):
        heard.append((row.idempotency_key, state, row.is_settled))

    yield heard
    _followups.pop("test.payment")


def sent(funder, key="one", **options):
    row = pay(funder, key, **options)
    services.run_submit_sweep()
    return row


def age(row, seconds=3600):
    """As if everything had been sent that long ago."""
    then = timezone.now() - timedelta(seconds=seconds)
    Attempt.objects.filter(transaction=row).update(first_sent_at=then, last_sent_at=then)


# --- the plain way ---------------------------------------------------------------------------------------------


def test_it_is_mined_and_then_final_and_the_follow_up_hears_both_once(node, funder, told):
    row = sent(funder)
    services.run_reconcile_sweep()
    assert states(row) == [State.BROADCAST]
    node.mine()
    services.run_reconcile_sweep()
    services.run_reconcile_sweep()
    mined = fresh(row)
    assert (mined.state, mined.is_settled, mined.block_number, mined.gas_used) == (State.MINED, False, 1, 21_000)
    assert mined.mined_hash == row.attempts.get().hash
    node.mine(2)
    services.run_reconcile_sweep()
    services.run_reconcile_sweep()
    assert (fresh(row).state, fresh(row).is_settled) == (State.FINAL, True)
    assert told == [("one", State.MINED, False), ("one", State.FINAL, True)]


def test_finality_by_depth_where_a_chain_has_no_tag(node, funder, settings):
    settings.CHAIN_FINALITY_DEPTH = 5
    row = sent(funder)
    node.mine(5)
    services.run_reconcile_sweep()
    services.run_reconcile_sweep()
    assert states(row) == [State.MINED]
    node.mine()
    services.run_reconcile_sweep()
    assert states(row) == [State.FINAL]


def test_a_call_that_reverts_in_its_block_is_reverted_with_its_reason_and_settled_later(platform, settle):
    from chain import operations
    from chain.tests.test_main_job import issue

    holder = services.create_custody_signer(label="holder")
    issue(platform, holder.address, "sbt")
    settle()
    platform.node.set_automine(False)
    guardian = platform.signer(SignerRole.SBT_GUARDIAN)
    Signer.objects.filter(pk=guardian.pk).update()
    rows = [ask(operations.suspend_sbt(holder.address), guardian, f"suspend:{n}") for n in range(2)]
    services.run_submit_sweep()
    services.run_funding_sweep()
    services.run_submit_sweep()
    platform.node.mine()
    services.run_reconcile_sweep()
    services.run_submit_sweep()
    platform.node.mine()
    services.run_reconcile_sweep()
    first, second = (fresh(row) for row in rows)
    assert (first.state, second.state, second.is_settled) == (State.MINED, State.REVERTED, False)
    assert second.error_code.startswith("InvestorSBT_")
    platform.node.mine(3)
    services.run_reconcile_sweep()
    assert (fresh(second).state, fresh(second).is_settled) == (State.REVERTED, True)
    platform.node.set_automine(True)


# --- lost from the pool, and too cheap ------------------------------------------------------------------------------


def test_a_young_row_is_left_alone(node, funder):
    row = sent(funder)
    node.drop(row.attempts.get().hash)
    services.run_reconcile_sweep()
    assert node.pool() == []


def test_a_transaction_dropped_from_the_pool_is_sent_again_from_the_stored_bytes(node, funder, settings):
    settings.CHAIN_RAISE_AFTER_SECONDS = 10**6
    row = sent(funder)
    node.drop(row.attempts.get().hash)
    assert node.pool() == []
    age(row)
    services.run_reconcile_sweep()
    assert node.pool() == [row.attempts.get().hash]
    node.mine()
    finalise(node)
    assert (states(row), received(node)) == ([State.FINAL], 1)


def test_after_a_lost_pool_the_lowest_is_sent_first_and_then_all_above_it(node, funder, settings):
    settings.CHAIN_RAISE_AFTER_SECONDS = 10**6
    rows = [sent(funder, f"row:{n}") for n in range(6)]
    for row in rows:
        node.drop(row.attempts.get().hash)
        age(row)
    assert node.pool() == []
    services.run_reconcile_sweep()
    assert len(node.pool()) == 6
    node.mine()
    finalise(node)
    assert (set(states(*rows)), received(node)) == ({State.FINAL}, 6)


def test_rows_above_wait_while_the_lowest_is_refused_by_the_node(node, funder, settings):
    settings.CHAIN_RAISE_AFTER_SECONDS = 10**6
    rows = [sent(funder, f"row:{n}") for n in range(2)]
    for row in rows:
        node.drop(row.attempts.get().hash)
        age(row)
    node.set_balance(funder.address, 0)
    services.run_reconcile_sweep()
    assert node.pool() == []
    assert "nsufficient funds" in rows[0].attempts.get().last_error
    assert fresh(rows[1]).attempts.get().last_error == ""


def test_both_fees_rise_by_at_least_an_eighth_and_either_attempt_may_be_mined(node, funder):
    row = sent(funder)
    age(row)
    services.run_reconcile_sweep()
    old, new = row.attempts.order_by("id")
    assert new.max_fee_per_gas * 8 >= old.max_fee_per_gas * 9
    assert new.max_priority_fee_per_gas * 8 >= old.max_priority_fee_per_gas * 9
    assert node.pool() == [new.hash]
    node.mine()
    finalise(node)
    assert (fresh(row).state, fresh(row).mined_hash, received(node)) == (State.FINAL, new.hash, 1)


def test_an_older_attempt_that_is_mined_after_all_is_recognised(node, funder):
    row = sent(funder)
    age(row)
    services.run_reconcile_sweep()
    old, new = row.attempts.order_by("id")
    node.drop(new.hash)
    node.call("eth_sendRawTransaction", as_hex(old.raw))
    node.mine()
    services.run_reconcile_sweep()
    assert (fresh(row).state, fresh(row).mined_hash) == (State.MINED, old.hash)


def test_fees_follow_a_market_that_ran_away(node, funder):
    row = sent(funder)
    node.mine()
    row = sent(funder, "two")
    node.drop(row.attempts.get().hash)
    age(row)
    node.set_base_fee(100 * 10**9)
    node.mine()
    services.run_reconcile_sweep()
    assert row.attempts.order_by("-id")[0].max_fee_per_gas >= 2 * 80 * 10**9


def test_at_the_cap_it_is_no_longer_raised_and_somebody_is_told(node, funder, settings):
    row = sent(funder)
    age(row)
    settings.CHAIN_MAX_FEE_GWEI = row.attempts.get().max_fee_per_gas // 10**9
    services.run_reconcile_sweep()
    assert row.attempts.count() == 1
    assert Incident.objects.get().kind == "chain.fee_cap_reached"


def test_a_replacement_the_node_finds_too_cheap_is_raised_at_once(node, funder):
    """The pool holds a dearer transaction than our newest: the next sweep raises without waiting."""
    row = sent(funder)
    first = row.attempts.get()
    dear = submitter.new_attempt(funder, fresh(row), Fees(first.max_fee_per_gas * 6 // 5, 2 * 10**9))
    node.call("eth_sendRawTransaction", as_hex(dear.raw))
    submitter.send(rpc(), [row.pk])
    Attempt.objects.update(last_sent_at=timezone.now(), first_sent_at=timezone.now())
    assert "underpriced" in row.attempts.get().last_error
    services.run_reconcile_sweep()
    assert row.attempts.count() == 2


def test_rows_above_the_lowest_are_never_raised(node, funder):
    rows = [sent(funder, f"row:{n}") for n in range(3)]
    for row in rows:
        age(row)
    services.run_reconcile_sweep()
    assert [row.attempts.count() for row in rows] == [2, 1, 1]


def test_raising_needs_the_signer_to_be_allowed_to_sign(node, funder):
    row = sent(funder)
    Signer.objects.update(halted_reason="an operator said so")
    assert reconciler.raise_fees(signer_id=funder.pk, transaction_id=row.pk, market_fees=look(rpc()).fees) is None
    assert row.attempts.count() == 1


# --- reorganisations ----------------------------------------------------------------------------------------------------


def test_a_receipt_that_vanishes_sends_it_back_to_broadcast_and_it_is_mined_again(node, funder, told):
    row = sent(funder)
    node.mine()
    services.run_reconcile_sweep()
    first_block = fresh(row).block_hash
    node.reorg(1)
    services.run_reconcile_sweep()
    gone = fresh(row)
    assert (gone.state, gone.block_hash, gone.mined_hash, gone.mined_at) == (State.BROADCAST, "", "", None)
    services.run_reconcile_sweep()
    node.mine()
    finalise(node)
    again = fresh(row)
    assert again.state == State.FINAL
    assert again.block_hash != first_block
    assert received(node) == 1
    assert [state for _key, state, _settled in told] == [State.MINED, State.BROADCAST, State.MINED, State.FINAL]


def test_a_transaction_that_moved_to_another_block_is_told_so(node, funder, told):
    row = sent(funder)
    before = node.snapshot()
    node.mine()
    services.run_reconcile_sweep()
    node.revert(before)
    node.mine()  # another block 1
    node.call("eth_sendRawTransaction", as_hex(row.attempts.get().raw))
    node.mine()
    services.run_reconcile_sweep()
    assert (fresh(row).state, fresh(row).block_number) == (State.MINED, node.head())
    assert [state for _key, state, _settled in told] == [State.MINED, State.BROADCAST, State.MINED]


def test_the_contract_row_of_a_deployment_leaves_and_returns_with_its_block(platform, settle):
    from chain import operations
    from chain.models import Contract
    from chain.tests.test_main_job import terms

    node = platform.node
    row = ask(operations.deploy_security_token(terms()), platform.signer(SignerRole.DEPLOYER), "token")
    for _ in range(3):
        services.run_submit_sweep()
        services.run_funding_sweep()
        services.run_reconcile_sweep()
    assert states(row) == [State.MINED]
    address = fresh(row).contract_address
    assert Contract.objects.filter(address=address).exists()
    node.set_automine(False)
    node.reorg(1)
    services.run_reconcile_sweep()
    assert states(row) == [State.BROADCAST]
    assert not Contract.objects.filter(address=address).exists()
    node.set_automine(True)
    settle()
    assert states(row) == [State.FINAL]
    assert Contract.objects.get(address=address).deployed_block == fresh(row).block_number


# --- a key used elsewhere -------------------------------------------------------------------------------------------------


def use_elsewhere(node, funder, nonce):
    """Another program with the same key sends with this nonce."""
    stranger = ChainTransaction(signer=funder, nonce=nonce, to=funder.address, data=b"", value_wei=7, gas_limit=21_000)
    attempt = submitter.new_attempt(funder, stranger, Fees(5 * 10**9, 3 * 10**9))
    node.call("eth_sendRawTransaction", as_hex(attempt.raw))


def test_more_transactions_on_the_chain_than_we_gave_nonces_halts_the_signer(node, funder):
    row = sent(funder)
    node.mine()
    use_elsewhere(node, funder, 1)
    node.mine()
    services.run_reconcile_sweep()
    assert "used elsewhere" in Signer.objects.get(pk=funder.pk).halted_reason
    incident = Incident.objects.get()
    assert incident.kind == "chain.signer_halted"
    later = pay(funder, "later")
    services.run_submit_sweep()
    assert states(later) == [State.QUEUED]
    assert fresh(row).signer.next_nonce == 1


def test_one_of_our_nonces_taken_by_a_stranger_halts_the_signer_once_that_is_final(node, funder):
    row = sent(funder)
    node.drop(row.attempts.get().hash)
    use_elsewhere(node, funder, 0)
    node.mine()
    services.run_reconcile_sweep()
    assert Signer.objects.get(pk=funder.pk).halted_reason == ""  # the node's index may only be late
    node.mine(3)
    services.run_reconcile_sweep()
    assert "nonce 0 was used" in Signer.objects.get(pk=funder.pk).halted_reason
    assert states(row) == [State.BROADCAST]  # what became of it, only a receipt may say


def test_an_operator_who_found_the_cause_lets_the_signer_go_on(node, funder, operator):
    Signer.objects.filter(pk=funder.pk).update(halted_reason="used elsewhere")
    services.resume_signer(signer_id=funder.pk, actor=operator, reason="my own script, stopped")
    row = sent(funder)
    assert states(row) == [State.BROADCAST]
    assert AuditEntry.objects.get(action="chain.signer.resumed").actor == operator


def test_after_the_key_was_used_elsewhere_its_nonces_go_on_behind_the_strangers(node, funder, operator):
    row = sent(funder)
    node.mine()
    use_elsewhere(node, funder, 1)
    node.mine()
    services.run_reconcile_sweep()
    finalise(node)
    assert states(row) == [State.FINAL]  # what is ours goes on being followed while the signer is halted
    services.resume_signer(signer_id=funder.pk, actor=operator, reason="my own script, stopped")
    later = sent(funder, "later")
    assert (fresh(later).state, fresh(later).nonce) == (State.BROADCAST, 2)
    node.mine()
    finalise(node)
    assert states(later) == [State.FINAL]
    assert Signer.objects.get(pk=funder.pk).halted_reason == ""


def test_a_row_whose_nonce_is_taken_for_good_ends_when_a_person_resumes_the_signer(node, funder, told, operator):
    row = sent(funder)
    node.drop(row.attempts.get().hash)
    use_elsewhere(node, funder, 0)
    node.mine(4)
    services.run_reconcile_sweep()
    services.resume_signer(signer_id=funder.pk, actor=operator, reason="my own script, stopped")
    assert (fresh(row).state, fresh(row).is_settled) == (State.CANCELLED, True)
    assert told == [("one", State.CANCELLED, True)]
    later = sent(funder, "later")
    node.mine()
    finalise(node)
    assert (states(later), received(node)) == ([State.FINAL], 1)


def test_a_chain_that_lost_a_final_block_is_reported(node, funder):
    before = node.snapshot()
    row = sent(funder)
    node.mine()
    finalise(node)
    assert states(row) == [State.FINAL]
    node.revert(before)
    later = sent(funder, "later")
    age(later)
    services.run_reconcile_sweep()
    assert Incident.objects.get().kind == "chain.final_block_lost"


def test_trouble_with_one_signer_does_not_stop_the_others(node, funder, monkeypatch):
    other = services.create_platform_signer(role=SignerRole.DEPLOYER)
    row = sent(funder)
    ChainTransaction.objects.create(
        signer=other, idempotency_key="broken", purpose="x", function="x", data=b"", state=State.SIGNED, nonce=0
    )
    original = reconciler.settle_final

    def fails_for_the_other(rpc, market, signer):
        if signer == other:
            raise RuntimeError("a bug that only this signer meets")
        original(rpc, market, signer)

    monkeypatch.setattr(reconciler, "settle_final", fails_for_the_other)
    node.mine()
    services.run_reconcile_sweep()
    assert states(row) == [State.MINED]
    incident = Incident.objects.get()
    assert (incident.kind, incident.closed_at) == ("chain.sweep_failed", None)
    monkeypatch.setattr(reconciler, "settle_final", original)
    services.run_reconcile_sweep()
    incident.refresh_from_db()
    assert incident.closed_at is not None


def test_the_nonce_is_never_lowered_from_the_chain(node, funder):
    sent(funder)
    node.mine()
    services.run_reconcile_sweep()
    node.reorg(1)
    services.run_reconcile_sweep()
    assert Signer.objects.get(pk=funder.pk).next_nonce == 1
    later = pay(funder, "later", wei=2)
    services.run_submit_sweep()
    assert fresh(later).nonce == 1


# --- follow-ups that fail ---------------------------------------------------------------------------------------------------


def test_a_follow_up_that_raises_holds_back_its_own_row_only_and_is_tried_again(node, funder, told):
    broken = {"is": True}
    kind = "test.broken"

    @followup(kind)
    def break_once(row, state):
        if broken["is"]:
            raise RuntimeError("the other app has a bug")
        told.append((row.idempotency_key, state, row.is_settled))

    bad, good = pay(funder, "bad", purpose=kind), pay(funder, "good")
    services.run_submit_sweep()
    node.mine()
    services.run_reconcile_sweep()
    services.run_reconcile_sweep()
    assert states(bad, good) == [State.BROADCAST, State.MINED]
    incident = Incident.objects.get()
    assert (incident.kind, incident.closed_at) == ("chain.followup_failed", None)
    broken["is"] = False
    services.run_reconcile_sweep()
    assert states(bad) == [State.MINED]
    incident.refresh_from_db()
    assert incident.closed_at is not None
    assert ("bad", State.MINED, False) in told
    _followups.pop(kind)


def test_a_payment_to_a_wallet_is_one_payment_whatever_happened_in_between(node, funder, settings):
    """Everything above in one life: dropped, raised, mined, reorganised, mined again."""
    settings.CHAIN_RESEND_AFTER_SECONDS = 0
    row = sent(funder, wei=5)
    node.drop(row.attempts.get().hash)
    age(row)
    services.run_reconcile_sweep()
    node.mine()
    services.run_reconcile_sweep()
    node.reorg(1)
    for _ in range(3):
        services.run_submit_sweep()
        services.run_reconcile_sweep()
    node.mine()
    finalise(node)
    assert (states(row), received(node), node.count(funder.address)) == ([State.FINAL], 5, 1)


def test_a_payment_that_pays_itself_is_a_transaction_like_any_other(node, funder):
    row = ask(payment(funder.address), funder, "self")
    services.run_submit_sweep()
    node.mine()
    finalise(node)
    assert states(row) == [State.FINAL]
