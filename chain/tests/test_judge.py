"""The outbox is a table that somebody may write to: what nobody asked for is not signed, and what was signed is noticed."""

from __future__ import annotations

import inspect
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from chain import followups, operations, services
from chain.desk.models import Alarm
from chain.errands import Errand, asked_meanwhile, checked_purposes
from chain.governance import safe as safes
from chain.models import Attempt, ChainTransaction, Incident, SafeProposal, Signer
from chain.rpc import node as rpc
from chain.services import deployment, funding, outbox, submitter
from chain.services.judging import NOBODY_ASKED, judge, ours_among
from chain.services.market import look
from chain.signers import call_in
from chain.tests.conftest import Scene
from chain.tests.lies import assert_only_the_truth_passes, copy_of, verdict
from chain.tests.steps import ETHER, ask, fresh, funder_on, pay, payment, states
from chain.types import Call, ChainRole, SignerRole
from conftest import Platform

Kind = Alarm.Kind
State = ChainTransaction.State


def raised() -> list[str]:
    return sorted(Alarm.objects.values_list("kind", flat=True))


def slip_in(call: Call, signer: Signer, *, purpose: str = "tokens.mint_allotment", **more: Any) -> ChainTransaction:
    """Write a row as a thief with the worker's database would."""
    return ChainTransaction.objects.create(
        signer=signer, idempotency_key=more.pop("key", "forged"), purpose=purpose, function=call.function, to=call.to,
        data=call.data, value_wei=call.value_wei, **more,
    )  # fmt: skip


def by_own_worker(row: ChainTransaction) -> ChainTransaction:
    """Sign and store it as our worker would, without asking anybody, and call it asked for."""
    with transaction.atomic():
        signer = Signer.objects.select_for_update().get(pk=row.signer_id)
        row.nonce, row.state, row.gas_limit = signer.next_nonce, State.SIGNED, 1_000_000
        row.verdict = ChainTransaction.Verdict.ASKED
        row.save()
        submitter.new_attempt(signer, row, look(rpc()).fees).save()
        Signer.objects.filter(pk=signer.pk).update(next_nonce=signer.next_nonce + 1)
    return row


def agent_of(scene: Scene) -> Signer:
    agent = scene.platform.signer(SignerRole.TOKEN_AGENT)
    scene.platform.node.set_balance(agent.address, 10 * ETHER)
    return agent


def test_every_purpose_that_has_a_follow_up_has_somebody_who_answers_for_it() -> None:
    ours = {purpose for purpose in followups._followups if not purpose.startswith("test")}
    assert len(ours) > 20
    assert ours <= checked_purposes()


# --- before it is signed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["nobody.knows", "tokens.mint_allotment", "chain.deploy", "chain.response", ""])
def test_what_nobody_asked_for_is_never_signed_and_somebody_is_called(scene: Scene, purpose: str) -> None:
    row = slip_in(operations.mint(scene.token, scene.bob.address, 5), agent_of(scene), purpose=purpose)
    scene.settle()
    row.refresh_from_db()
    assert (row.state, row.error_code, row.verdict, row.attempts.count()) == ("refused", NOBODY_ASKED, "unasked", 0)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.severity, alarm.key, alarm.token) == (
        Kind.UNASKED,
        Alarm.Severity.ACT,
        row.signer.address,
        scene.token,
    )
    scene.notice()
    assert raised() == [Kind.UNASKED]
    assert scene.balances() == (100, 0)


def test_what_was_asked_for_goes_on_beside_it(scene: Scene) -> None:
    agent = agent_of(scene)
    for number in range(3):
        slip_in(operations.mint(scene.token, scene.bob.address, 5), agent, key=f"forged:{number}")
    honest = services.freeze_holder(holder=scene.alice.address, actor=scene.duty, reason="stolen")
    scene.settle()
    assert [step.transaction and fresh(step.transaction).state for step in honest] == [State.FINAL]
    assert Alarm.objects.get().evidence.count() == 3


def test_a_flood_of_forged_rows_does_not_hold_up_what_was_asked_for(node: Any, db: None) -> None:
    funder = funder_on(node)
    wallet = services.create_custody_signer(label="wallet")
    for number in range(submitter.BATCH + 5):
        slip_in(payment(wallet.address), funder, purpose="nobody.knows", key=f"forged:{number}")
    honest = pay(funder, "one")
    services.run_submit_sweep()
    assert states(honest) == [State.BROADCAST]
    assert len(node.pool()) == 1


def test_a_row_that_changes_between_the_question_and_the_signature_is_not_signed(
    node: Any, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    funder = funder_on(node)
    row = pay(funder, "one")
    original = submitter.sign_rows

    def changed_first(**given: Any) -> Any:
        ChainTransaction.objects.filter(pk=row.pk).update(purpose="nobody.knows")
        return original(**given)

    monkeypatch.setattr(submitter, "sign_rows", changed_first)
    services.run_submit_sweep()
    assert (states(row), Attempt.objects.count(), fresh(row).signer.next_nonce) == ([State.QUEUED], 0, 0)
    services.run_submit_sweep()
    assert (fresh(row).state, fresh(row).error_code) == (State.REFUSED, NOBODY_ASKED)


def test_a_worker_that_dies_between_the_question_and_the_signature_has_changed_nothing(
    node: Any, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = pay(funder_on(node), "one")

    def dies(**_given: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(submitter, "sign_rows", dies)
        with pytest.raises(SystemExit):
            services.run_submit_sweep()
    assert (states(row), Attempt.objects.count()) == ([State.QUEUED], 0)
    services.run_submit_sweep()
    assert (states(row), Attempt.objects.count(), Alarm.objects.count()) == ([State.BROADCAST], 1, 0)


@pytest.mark.django_db(transaction=True)
def test_four_workers_at_once_refuse_it_once_and_sign_the_rest_once(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "wake", lambda: None)
    funder = funder_on(node)
    wallet = services.create_custody_signer(label="wallet")
    forged = [slip_in(payment(wallet.address), funder, purpose="nobody.knows", key=f"f:{n}") for n in range(10)]
    honest = [pay(funder, f"row:{n}") for n in range(20)]
    start, failures = Barrier(4), []

    def work() -> None:
        try:
            start.wait()
            for _ in range(4):
                inspect.unwrap(submitter.run_submit_sweep)()  # without the sweep's own lock
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
    assert {(fresh(row).state, fresh(row).attempts.count()) for row in forged} == {(State.REFUSED, 0)}
    assert sorted(fresh(row).nonce or 0 for row in honest) == list(range(20))
    assert (Alarm.objects.count(), Alarm.objects.get().evidence.count()) == (1, 10)


# --- a check that fails ------------------------------------------------------------------------------------------------


def test_one_row_that_breaks_its_check_does_not_blind_the_others(node: Any, db: None) -> None:
    funder = funder_on(node)
    broken = {"is": True}

    def check(errands: Any) -> set[int]:
        if broken["is"] and any(errand.key == "bad" for errand in errands):
            Signer.objects.raw("SELECT nothing FROM nowhere")[0]  # the database refuses, as a bug would have it do
        return {errand.row for errand in errands}

    with asked_meanwhile("test.breaks", check):
        bad, good = (pay(funder, key, purpose="test.breaks") for key in ("bad", "good"))
        services.run_submit_sweep()
        services.run_submit_sweep()
        assert states(bad, good) == [State.QUEUED, State.BROADCAST]
        incident = Incident.objects.get(kind="chain.judging_failed")
        assert (incident.data, incident.closed_at) == ({"transaction": bad.pk}, None)
        broken["is"] = False
        services.run_submit_sweep()
    incident.refresh_from_db()
    assert (states(bad), incident.closed_at is not None, Alarm.objects.count()) == ([State.BROADCAST], True, 0)


def test_what_nobody_can_judge_counts_as_somebody_elses_on_the_chain(scene: Scene) -> None:
    agent = agent_of(scene)

    def breaks(_errands: Any) -> set[int]:
        raise RuntimeError("the other app has a bug")

    with asked_meanwhile("test.breaks", breaks):
        by_own_worker(slip_in(operations.mint(scene.token, scene.bob.address, 5), agent, purpose="test.breaks"))
        scene.settle()
        scene.notice()
    assert raised() == [Kind.FOREIGN_ACT]
    assert Incident.objects.filter(kind="chain.judging_failed", closed_at=None).count() == 1


def test_judging_many_costs_as_many_queries_as_judging_one(scene: Scene) -> None:
    for number in range(12):
        services.freeze_holder(holder="0x" + f"{number + 1:040x}", token=scene.token, actor=scene.duty, reason="stolen")
    rows = list(ChainTransaction.objects.filter(purpose="chain.response").select_related("signer"))

    def cost(of: list[ChainTransaction]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert set(judge(of).values()) == {"asked"}
        return len(queries)

    assert len(rows) == 12
    assert cost(rows) == cost(rows[:1]) <= 5


# --- a worker of the thief's own ---------------------------------------------------------------------------------------


def test_what_a_thief_s_own_worker_signed_is_noticed_though_the_books_say_we_sent_it(scene: Scene) -> None:
    row = by_own_worker(slip_in(operations.mint(scene.token, scene.bob.address, 5), agent_of(scene)))
    scene.settle()
    assert fresh(row).state == State.FINAL
    assert scene.balances() == (100, 5)
    scene.notice()
    alarm = Alarm.objects.get()  # one stolen key, one alarm
    assert (alarm.key, alarm.severity) == (row.signer.address, Alarm.Severity.ACT)
    assert {each.event for each in alarm.evidence.all()} == {"", "Transfer"}
    assert ours_among([fresh(row).mined_hash]) == set()


def test_what_was_signed_without_the_question_is_called_out_before_it_is_in_a_block(node: Any, db: None) -> None:
    funder = funder_on(node)
    row = slip_in(payment(funder.address), funder, purpose="nobody.knows")
    by_own_worker(row)
    ChainTransaction.objects.filter(pk=row.pk).update(verdict="")
    services.run_alarm_sweep()
    assert raised() == [Kind.UNASKED]
    assert fresh(row).verdict == "unasked"
    services.run_alarm_sweep()
    assert Alarm.objects.get().evidence.count() == 1


def test_an_attempt_that_hangs_on_somebody_elses_row_is_not_ours(scene: Scene) -> None:
    """The thief signs one thing and writes its hash under another that was asked for."""
    agent = agent_of(scene)
    (step,) = services.freeze_holder(holder=scene.alice.address, token=scene.token, actor=scene.duty, reason="stolen")
    scene.settle()
    honest = ChainTransaction.objects.get(pk=step.transaction_id or 0)
    stolen = scene.steal(agent, operations.mint(scene.token, scene.bob.address, 5))
    raw = bytes(honest.attempts.get().raw)
    Attempt.objects.create(
        transaction=honest, hash=stolen, raw=raw, max_fee_per_gas=1, max_priority_fee_per_gas=1
    )  # fmt: skip
    scene.notice()
    assert Kind.FOREIGN_ACT in raised() or Kind.UNASKED in raised()
    assert ours_among([stolen, honest.mined_hash]) == {honest.mined_hash}


def test_what_the_bytes_say_is_read_from_the_bytes(node: Any, db: None) -> None:
    row = pay(funder_on(node), "one", wei=7)
    services.run_submit_sweep()
    raw = bytes(row.attempts.get().raw)
    assert call_in(raw) == (row.to, b"", 7)
    for broken in (b"", raw[1:], raw[:40], b"\x02" + b"\xc0"):
        assert call_in(broken) is None


# --- what the engine asks for itself ---------------------------------------------------------------------------------------


def test_only_what_the_desk_asked_for_passes_in_its_name(scene: Scene) -> None:
    services.freeze_holder(holder=scene.alice.address, token=scene.token, actor=scene.duty, reason="stolen")
    services.pause_security(token=scene.token, actor=scene.duty, reason="stolen")
    services.replace_key(key=agent_of(scene).address, actor=scene.administrator, reason="stolen")
    assert_only_the_truth_passes("chain.response", "chain.announce")
    services.lift_pause(token=scene.token, actor=scene.administrator, reason="over")
    scene.settle()
    assert_only_the_truth_passes("chain.response", "chain.announce")


def test_what_officers_decided_is_judged_by_what_it_does_in_the_end(scene: Scene) -> None:
    """The proposal is rewritten together with the row that carries it, so that the two agree."""
    step = services.lift_suspension(holder=scene.bob.address, actor=scene.administrator, reason="over")
    services.suspend_holder_sbt(holder=scene.bob.address, actor=scene.duty, reason="x")
    scene.settle()
    step = services.lift_suspension(holder=scene.bob.address, actor=scene.administrator, reason="over")
    row = ChainTransaction.objects.get(pk=step.transaction_id or 0)
    proposal = SafeProposal.objects.select_related("safe").get(transaction=row)
    assert verdict(row) == "asked"
    other = operations.reinstate_sbt(scene.alice.address)
    data = safes.execution(proposal.safe, to=str(other.to), data=other.data, signatures=b"").data
    SafeProposal.objects.filter(pk=proposal.pk).update(data=other.data)
    assert verdict(row) == "unasked"
    ChainTransaction.objects.filter(pk=row.pk).update(data=data)
    assert verdict(row) == "unasked"


def test_a_proposal_nobody_asked_for_is_called_out_while_officers_are_still_asked_to_sign(
    scene: Scene, settings: Any
) -> None:
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    call = operations.reinstate_sbt(scene.alice.address)
    services.request(role=SignerRole.COUNCIL, call=call, idempotency_key="forged", purpose="nobody.knows")
    services.run_alarm_sweep()
    assert raised() == [Kind.UNASKED]


def test_top_ups_go_to_signers_of_ours_one_at_a_time_in_order(node: Any, db: None) -> None:
    funder = funder_on(node)
    wallet = services.create_custody_signer(label="wallet")
    first = funding.top_up(funder=funder, signer=wallet, missing_wei=1)
    assert first is not None
    assert verdict(first) == "asked"
    second = copy_of(first, idempotency_key=funding.key_of(wallet.chain_id, wallet.address, 1))
    assert verdict(second) == "unasked"  # the first is under way
    for lie in (
        {"subject": "chain.signer:0"},
        {"idempotency_key": funding.key_of(wallet.chain_id, wallet.address, 7)},
        {"to": funder.address},
        {"value_wei": 0},
        {"data": b"\x01"},
    ):
        with transaction.atomic():
            ChainTransaction.objects.filter(pk=first.pk).update(**lie)
            assert verdict(first) == "unasked", lie
            transaction.set_rollback(True)
    ChainTransaction.objects.filter(pk=second.pk).delete()
    for number in (2, 3):
        services.run_submit_sweep()
        node.mine()
        services.run_reconcile_sweep()
        later = funding.top_up(funder=funder, signer=wallet, missing_wei=1)
        assert later is not None, number
        assert (verdict(first), verdict(later)) == ("asked", "asked"), number


def test_the_council_cancels_what_a_proposal_names_and_nothing_else(platform: Platform, settings: Any) -> None:
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    key = platform.signer(SignerRole.TOKEN_AGENT)
    call = operations.replace_role_holder(ChainRole.TOKEN_AGENT, old=key.address, new="0x" + "11" * 20)
    row = services.request(role=SignerRole.ADMIN, call=call, idempotency_key="k", purpose="test")
    SafeProposal.objects.filter(transaction=row).update(state=SafeProposal.State.SENT, nonce=0)
    from portal.models import Role
    from portal.testing import make_person

    officer = make_person("a@musubi.example", role=Role.ADMINISTRATOR)
    services.propose_cancellation(proposal_id=SafeProposal.objects.get(transaction=row).pk, actor=officer)
    assert_only_the_truth_passes("chain.cancel_announcement")


# --- set-up ----------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_set_up_passes_in_its_own_name_and_is_over_once_it_is_done(node: Any) -> None:
    node.set_automine(True)
    deployment.deploy_platform(profile="test")
    rows = list(ChainTransaction.objects.filter(purpose=deployment.PURPOSE).select_related("signer").order_by("pk"))
    assert len(rows) > 10
    assert {row.subject: verdict(row) for row in rows} == {row.subject: "asked" for row in rows}
    for row in rows:
        step = row.subject.removeprefix("chain.deployment:")
        again = copy_of(row, idempotency_key=deployment.key_of(row.signer.chain_id, step, 1))
        assert verdict(again) == "unasked", step
    assert raised() == []


@pytest.mark.django_db
def test_set_up_gives_power_to_nobody_but_keys_and_contracts_of_ours(node: Any) -> None:
    node.set_automine(True)
    deployment.deploy_platform(profile="test")
    thief = bytes.fromhex("33" * 20)
    tried = 0
    for row in ChainTransaction.objects.filter(purpose=deployment.PURPOSE).select_related("signer"):
        data, keys = bytes(row.data), [bytes.fromhex(s.address[2:]) for s in Signer.objects.all()]
        for key in keys:
            if key in data:
                tried += 1
                ChainTransaction.objects.filter(pk=row.pk).update(data=data.replace(key, thief))
                assert verdict(row) == "unasked", row.subject
        ChainTransaction.objects.filter(pk=row.pk).update(data=data)
    assert tried > 10


def test_simulated_prices_are_told_by_the_simulator_and_never_in_production(platform: Platform, settings: Any) -> None:
    from chain.selectors import price_feeds, signer_for_role

    feed = next(iter(price_feeds().values()))
    row = ask(
        operations.set_demo_price(feed, 5), signer_for_role(SignerRole.PRICE_SIMULATOR), "p", purpose="demo.price"
    )
    assert verdict(row) == "asked"
    settings.CHAIN_PROFILE = "production"
    assert verdict(row) == "unasked"


def test_nothing_can_be_asked_in_the_name_of_drills_or_tests_outside_of_them() -> None:
    assert not {purpose for purpose in checked_purposes() if "drill" in purpose}
    errand = Errand(1, ChainTransaction(pk=1, idempotency_key="k", purpose="p"), "custody", Call(None, b"", "f"))
    with asked_meanwhile("chain.drill", lambda errands: {each.row for each in errands}):
        assert "chain.drill" in checked_purposes()
    assert "chain.drill" not in checked_purposes()
    assert not errand.is_for(Call(None, b"\x01", "f"))
