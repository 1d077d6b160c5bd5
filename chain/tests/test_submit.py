"""From QUEUED to BROADCAST on a real node: nonces, estimates, order, crashes between the steps, two workers at once."""

import inspect
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection, transaction
from django.utils import timezone

from chain import services, signers
from chain.exceptions import NodeUnavailable
from chain.models import Attempt, ChainTransaction, Incident, Signer
from chain.rpc import Rpc, RpcError, as_hex
from chain.rpc import node as rpc
from chain.services import outbox, submitter
from chain.services.market import Fees, look
from chain.services.submitter import Answer, meaning_of
from chain.tests.steps import ETHER, ask, finalise, fresh, funder_on, pay, payment, received, states
from chain.types import SignerRole

pytestmark = pytest.mark.django_db
State = ChainTransaction.State


@pytest.fixture
def funder(node):
    return funder_on(node)


def test_it_is_signed_stored_and_sent_in_one_sweep(node, funder):
    row = pay(funder, "one")
    services.run_submit_sweep()
    row = fresh(row)
    (attempt,) = row.attempts.all()
    assert (row.state, row.nonce) == (State.BROADCAST, 0)
    assert row.submitted_at is not None
    assert attempt.first_sent_at is not None
    assert node.pool() == [attempt.hash]
    assert fresh(row).signer.next_nonce == 1


def test_nonces_follow_the_order_of_asking(node, funder):
    rows = [pay(funder, f"row:{n}") for n in range(5)]
    services.run_submit_sweep()
    assert [fresh(row).nonce for row in rows] == [0, 1, 2, 3, 4]
    node.mine()
    finalise(node)
    assert states(*rows) == [State.FINAL] * 5
    assert received(node) == 5


def test_more_rows_than_one_batch_are_all_sent_in_order(node, funder):
    rows = [pay(funder, f"row:{n}") for n in range(submitter.BATCH + 20)]
    services.run_submit_sweep()
    node.mine()
    finalise(node)
    assert set(states(*rows)) == {State.FINAL}
    assert received(node) == len(rows)


def test_a_call_that_would_revert_is_refused_with_its_reason_and_jams_nothing(platform, settle):
    from chain import operations

    wallet = services.create_custody_signer(label="nobody")
    bad = ask(operations.revoke_sbt(wallet.address), platform.signer(SignerRole.SBT_ISSUER), "bad")
    funder = platform.signer(SignerRole.GAS_FUNDER)
    good = ask(payment(wallet.address), funder, "good")
    settle()
    bad = fresh(bad)
    assert (bad.state, bad.nonce, bad.is_settled) == (State.REFUSED, None, True)
    assert bad.error_code == f"InvestorSBT_NoSbt({wallet.address})"
    assert not bad.attempts.exists()
    assert fresh(good).state == State.FINAL


def test_what_depends_on_another_waits_until_that_is_in_a_block(node, funder):
    first = pay(funder, "first")
    second = pay(funder, "second", depends_on=first)
    third = pay(funder, "third")
    services.run_submit_sweep()
    services.run_submit_sweep()
    assert states(first, second, third) == [State.BROADCAST, State.QUEUED, State.BROADCAST]
    node.mine()
    services.run_reconcile_sweep()
    services.run_submit_sweep()
    assert states(first, second) == [State.MINED, State.BROADCAST]


def test_what_depends_on_something_dead_is_refused_down_the_line(node, funder):
    first = pay(funder, "first", valid_until=timezone.now() - timedelta(seconds=1))
    second = pay(funder, "second", depends_on=first)
    third = pay(funder, "third", depends_on=second)
    services.run_submit_sweep()
    services.run_submit_sweep()
    assert states(first, second, third) == [State.EXPIRED, State.REFUSED, State.REFUSED]
    assert fresh(third).error_code == "dependency did not happen"


def test_a_row_waits_for_its_time(node, funder):
    row = pay(funder, "later", not_before=timezone.now() + timedelta(hours=1))
    services.run_submit_sweep()
    assert states(row) == [State.QUEUED]
    ChainTransaction.objects.update(not_before=timezone.now())
    services.run_submit_sweep()
    assert states(row) == [State.BROADCAST]


def test_time_runs_out_only_before_a_nonce_was_given(node, funder):
    row = pay(funder, "soon", valid_until=timezone.now() + timedelta(hours=1))
    services.run_submit_sweep()
    ChainTransaction.objects.update(valid_until=timezone.now() - timedelta(hours=1))
    services.run_submit_sweep()
    assert states(row) == [State.BROADCAST]
    node.mine()
    finalise(node)
    assert states(row) == [State.FINAL]


def test_nothing_is_signed_for_a_halted_signer(node, funder):
    row = pay(funder, "one")
    Signer.objects.update(halted_reason="an operator said so")
    services.run_submit_sweep()
    assert states(row) == [State.QUEUED]
    assert node.pool() == []


# --- crashes ------------------------------------------------------------------------------------------------


def sign_without_sending(funder):
    """What is in the database when the worker dies between the commit of the signature and the sending."""
    market = look(rpc())
    submitter.allocate(rpc(), market, funder)


def test_a_crash_between_signing_and_sending_is_finished_by_the_next_sweep(node, funder):
    row = pay(funder, "one")
    sign_without_sending(funder)
    assert states(row) == [State.SIGNED]
    assert node.pool() == []
    services.run_submit_sweep()
    assert states(row) == [State.BROADCAST]
    assert Attempt.objects.count() == 1


def test_a_crash_after_sending_and_before_writing_it_down_sends_the_same_bytes_again(node, funder):
    row = pay(funder, "one")
    sign_without_sending(funder)
    node.call("eth_sendRawTransaction", as_hex(Attempt.objects.get().raw))  # and here the worker dies
    services.run_submit_sweep()
    assert states(row) == [State.BROADCAST]
    assert Attempt.objects.get().last_error.startswith("transaction already imported")
    node.mine()
    finalise(node)
    assert received(node) == 1


def test_a_crash_after_which_it_was_even_mined_is_settled_by_its_receipt(node, funder):
    row = pay(funder, "one")
    sign_without_sending(funder)
    node.call("eth_sendRawTransaction", as_hex(Attempt.objects.get().raw))
    node.mine()
    services.run_submit_sweep()
    assert states(row) == [State.SIGNED]
    assert "nonce too low" in Attempt.objects.get().last_error
    services.run_reconcile_sweep()
    assert states(row) == [State.MINED]
    assert received(node) == 1


def test_a_rollback_gives_the_nonce_back(node, funder, monkeypatch):
    row = pay(funder, "one")

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Attempt.objects, "bulk_create", die)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            services.run_submit_sweep()
    assert (states(row), Signer.objects.get(pk=funder.pk).next_nonce) == ([State.QUEUED], 0)
    services.run_submit_sweep()
    assert fresh(row).nonce == 0


def test_running_every_sweep_twice_does_everything_once(node, funder):
    rows = [pay(funder, f"row:{n}") for n in range(3)]
    for _ in range(2):
        services.run_submit_sweep()
        services.run_reconcile_sweep()
    node.mine()
    for _ in range(2):
        services.run_submit_sweep()
        finalise(node)
    assert states(*rows) == [State.FINAL] * 3
    assert (received(node), node.count(funder.address), Attempt.objects.count()) == (3, 3, 3)


# --- a node that is away --------------------------------------------------------------------------------------


def test_a_node_that_is_down_is_waited_for_and_logged_once(node, funder, settings, caplog):
    row = pay(funder, "one")
    url, settings.CHAIN_RPC_URL = settings.CHAIN_RPC_URL, "http://127.0.0.1:9"
    assert services.run_submit_sweep() is False
    assert services.run_submit_sweep() is False
    assert states(row) == [State.QUEUED]
    assert caplog.text.count("submit sweep waits for the node") == 1
    settings.CHAIN_RPC_URL = url
    assert services.run_submit_sweep() is True
    assert states(row) == [State.BROADCAST]


def test_a_node_that_dies_while_sending_loses_nothing(node, funder, monkeypatch):
    row = pay(funder, "one")
    with monkeypatch.context() as patch:
        patch.setattr(submitter, "_send_batch", lambda *args: (_ for _ in ()).throw(NodeUnavailable("gone")))
        assert services.run_submit_sweep() is False
    assert states(row) == [State.SIGNED]
    services.run_submit_sweep()
    assert states(row) == [State.BROADCAST]


def test_a_node_of_another_chain_gets_nothing(node, funder, settings):
    row = pay(funder, "one")
    settings.CHAIN_ID = 1
    assert services.run_submit_sweep() is False
    assert states(row) == [State.QUEUED]
    assert node.pool() == []


# --- money ---------------------------------------------------------------------------------------------------------


def test_a_row_the_balance_does_not_reach_stays_queued_without_a_nonce(node, funder):
    node.set_balance(funder.address, ETHER // 2)
    small, large = pay(funder, "small"), pay(funder, "large", wei=ETHER // 2)
    services.run_submit_sweep()
    assert states(small, large) == [State.BROADCAST, State.QUEUED]


def test_what_is_under_way_counts_against_the_balance(node, funder):
    node.set_balance(funder.address, ETHER)
    first = pay(funder, "first", wei=ETHER * 6 // 10)
    services.run_submit_sweep()
    second = pay(funder, "second", wei=ETHER * 6 // 10)
    services.run_submit_sweep()
    assert states(first, second) == [State.BROADCAST, State.QUEUED]


def test_nothing_is_signed_while_fees_are_above_the_cap(node, funder, settings):
    settings.CHAIN_MAX_FEE_GWEI = 0
    row = pay(funder, "one")
    services.run_submit_sweep()
    assert states(row) == [State.QUEUED]


# --- keys -------------------------------------------------------------------------------------------------------


def test_a_key_that_cannot_be_opened_signs_nothing_and_loses_nothing(node, funder, settings):
    row = pay(funder, "one")
    (file,) = [path for path in settings.KEYSTORE_DIR.iterdir() if funder.address[2:].lower() in path.name]
    elsewhere = file.rename(file.with_suffix(".away"))
    signers.keystore()._opened.clear()
    services.run_submit_sweep()
    assert states(row) == [State.QUEUED]
    assert Incident.objects.get().kind == "chain.signer_unavailable"
    assert Signer.objects.get(pk=funder.pk).next_nonce == 0
    elsewhere.rename(file)
    services.run_submit_sweep()
    assert (fresh(row).state, fresh(row).nonce) == (State.BROADCAST, 0)


# --- a forged row ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forgery", [{"to": "0x" + "22" * 20}, {"value_wei": 2 * ETHER}, {"data": b"\xa9\x05\x9c\xbb"}, {"to": None}]
)
def test_a_row_changed_behind_our_back_signs_nothing(node, funder, forgery):
    row = pay(funder, "one")
    ChainTransaction.objects.filter(pk=row.pk).update(**forgery)
    services.run_submit_sweep()
    assert states(row) == [State.REFUSED]
    assert (node.pool(), Attempt.objects.count()) == ([], 0)


def test_a_forged_row_that_would_succeed_opens_an_incident(node, funder):
    row = pay(funder, "one")
    ChainTransaction.objects.filter(pk=row.pk).update(to="0x" + "22" * 20)
    services.run_submit_sweep()
    assert fresh(row).error_code == "policy: the gas funder pays signers of ours only"
    assert Incident.objects.get().kind == "chain.policy_violation"


# --- two workers -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_give_every_nonce_once(node, monkeypatch):
    monkeypatch.setattr(outbox, "wake", lambda: None)
    funder = funder_on(node)
    rows = [pay(funder, f"row:{n}") for n in range(40)]
    start, failures = Barrier(4), []

    def work():
        try:
            start.wait()
            for _ in range(10):
                # Without the sweep's own lock, as if it did not exist: the rows and the signer must be enough.
                inspect.unwrap(submitter.run_submit_sweep)()
                services.run_reconcile_sweep()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    submitter.run_submit_sweep()
    assert sorted(fresh(row).nonce or 0 for row in rows) == list(range(40))
    node.mine()
    finalise(node)
    assert set(states(*rows)) == {State.FINAL}
    assert (received(node), Attempt.objects.count()) == (40, 40)


@pytest.mark.django_db(transaction=True)
def test_a_sweep_exits_at_once_while_another_worker_runs_it(node, monkeypatch):
    from chain.services.sweeps import only_one

    monkeypatch.setattr(outbox, "wake", lambda: None)
    funder = funder_on(node)
    row = pay(funder, "one")
    answers = []

    def other():
        answers.append(services.run_submit_sweep())
        connection.close()

    with only_one("submit") as alone:
        thread = Thread(target=other)
        thread.start()
        thread.join()
    assert (alone, answers, states(row)) == (True, [False], [State.QUEUED])
    assert services.run_submit_sweep() is True


# --- what nodes say --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("already known", Answer.ACCEPTED),
        ("transaction already imported", Answer.ACCEPTED),
        ("AlreadyKnown", Answer.ACCEPTED),
        ("nonce too low: next nonce 4, tx nonce 3", Answer.NONCE_TOO_LOW),
        ("replacement transaction underpriced", Answer.UNDERPRICED),
        ("transaction underpriced", Answer.UNDERPRICED),
        ("nonce too high", Answer.NONCE_TOO_HIGH),
        ("insufficient funds for gas * price + value", Answer.REJECTED),
    ],
)
def test_the_words_of_nodes_are_understood(words, meaning):
    assert meaning_of(RpcError(-32000, words)) is meaning


def test_a_hash_means_accepted():
    assert meaning_of("0x" + "00" * 32) is Answer.ACCEPTED


def test_the_node_really_uses_these_words(node, funder):
    row = pay(funder, "one")
    services.run_submit_sweep()
    attempt = row.attempts.get()
    cheaper = submitter.new_attempt(funder, fresh(row), Fees(attempt.max_fee_per_gas - 1, 1))
    answers = Rpc(node.url, timeout=5).batch(
        [("eth_sendRawTransaction", [as_hex(attempt.raw)]), ("eth_sendRawTransaction", [as_hex(cheaper.raw)])]
    )
    assert [meaning_of(answer) for answer in answers] == [Answer.ACCEPTED, Answer.UNDERPRICED]
    node.mine()
    (late,) = Rpc(node.url, timeout=5).batch([("eth_sendRawTransaction", [as_hex(cheaper.raw)])])
    assert meaning_of(late) is Answer.NONCE_TOO_LOW
