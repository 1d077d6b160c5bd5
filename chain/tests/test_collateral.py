"""The collateral vault on the real node: opening, paying in, returning, selling; what is indexed, told and alarmed."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from eth_keys.datatypes import PrivateKey

from chain import abi, followups, operations, selectors, services, signers
from chain.desk.models import Alarm
from chain.exceptions import CallRefused, PolicyViolation
from chain.gateway import ZERO_ADDRESS, gateway
from chain.governance.roles import role_report
from chain.models import ChainTransaction, CollateralMovement, Contract, EventLog, Signer
from chain.profiles import PROFILES
from chain.rpc import as_hex, as_int
from chain.services import deployment
from chain.services.alarms import start_watching_here
from chain.services.projections import replay_projections
from chain.tests.test_main_job import ask
from chain.types import Call, ChainRole, SignerRole
from conftest import Platform

pytestmark = pytest.mark.django_db
ETHER = 10**18
LOAN = b"\x11" * 32


@dataclass
class Vault:
    """The platform with one account of a borrower with a wallet of their own."""

    platform: Platform
    settle: Callable[[], None]
    address: str
    borrower: str
    account: str
    asked: int = 0

    @property
    def deposit_address(self) -> str:
        return operations.collateral_deposit_address(self.account)

    def ask(self, call: Call, role: str, *, settle: bool = True) -> ChainTransaction:
        self.asked += 1
        row: ChainTransaction = ask(call, self.platform.signer(role), f"vault:{self.asked}")
        if settle:
            self.settle()
            row.refresh_from_db()
        return row

    def open(self) -> ChainTransaction:
        return self.ask(operations.register_collateral_account(LOAN, self.borrower), SignerRole.COLLATERAL_AGENT)

    def send(self, to: str, wei: int, data: bytes = b"", *, sender: str | None = None, deploys: bool = False) -> str:
        """A transaction of somebody whose key is not ours; its hash."""
        node, sender = self.platform.node, sender or self.borrower
        node.set_balance(sender, 1_000 * ETHER)
        node.call("anvil_impersonateAccount", sender)
        request = {"from": sender, "value": hex(wei), "data": as_hex(data), "gas": hex(3_000_000)}
        sent = str(node.call("eth_sendTransaction", request | ({} if deploys else {"to": to})))
        while (receipt := node.call("eth_getTransactionReceipt", sent)) is None:
            time.sleep(0.01)
        assert receipt["status"] == "0x1"
        return sent

    def steal(self, role: str, call: Call) -> str:
        """The thief signs with a copy of the key of `role` and sends it past the outbox."""
        signer = self.platform.signer(role)
        node = self.platform.node
        node.set_balance(signer.address, 10**20)
        nonce = as_int(node.call("eth_getTransactionCount", signer.address, "pending"))
        unsigned = signers.Unsigned(31337, nonce, 10**9, 10**11, 1_000_000, call.to, 0, call.data)
        signed = signers.sign_unsigned(signer, unsigned)
        node.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        node.mine()
        assert node.call("eth_getTransactionReceipt", signed.hash)["status"] == "0x1", call.function
        return signed.hash

    def index(self, blocks: int = 0) -> None:
        self.platform.node.mine(blocks)
        assert services.run_index_step()


@pytest.fixture
def vault(platform: Platform, settle: Callable[[], None]) -> Vault:
    borrower = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
    address = selectors.contract_address(Contract.Kind.COLLATERAL_VAULT)
    services.run_index_step()
    start_watching_here()  # the platform's own set-up is not recorded in this database
    return Vault(platform, settle, address, borrower, operations.collateral_account(LOAN, borrower))


@dataclass
class Told:
    """What handlers of another app were told, in order: (moment, log)."""

    of: dict[str, list[tuple[str, EventLog]]] = field(default_factory=lambda: defaultdict(list))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Handlers for every moment of a deposit, gone after the test."""
    for registry in ("_event_handlers", "_final_handlers", "_undone_handlers"):
        monkeypatch.setattr(followups, registry, {})
    found = Told()
    for moment, register in (
        ("provisional", followups.on_event),
        ("final", followups.on_event_final),
        ("undone", followups.on_event_undone),
    ):

        def handler(log: EventLog, moment: str = moment) -> None:
            found.of[log.event].append((moment, log))

        register("Deposited")(handler)
    return found


# --- addresses ------------------------------------------------------------------------------------------------------


def test_account_and_deposit_address_are_computed_as_the_contract_does(vault: Vault) -> None:
    for _ in range(20):
        loan, borrower = secrets.token_bytes(32), PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
        account = operations.collateral_account(loan, borrower)
        (ours,) = gateway().read("CollateralVault", vault.address, "accountOf", loan, borrower)
        (there,) = gateway().read("CollateralVault", vault.address, "depositAddressOf", ours)
        assert ("0x" + ours.hex(), there) == (account, operations.collateral_deposit_address(account))


def test_opening_is_indexed_with_the_address_that_was_computed(vault: Vault) -> None:
    assert selectors.collateral_account_for(vault.account) is None
    vault.open()
    account = selectors.collateral_account_for(vault.account)
    assert account is not None
    assert (account.deposit_address, account.borrower) == (vault.deposit_address, vault.borrower)
    assert account.loan == "0x" + LOAN.hex()
    assert vault.open().state == ChainTransaction.State.FINAL  # again: nothing happens, and nothing breaks
    assert selectors.collateral_account_for(vault.account) == account
    assert selectors.collateral_accounts_for([vault.account, "0x" + "0" * 64]) == {vault.account: account}


# --- paying in ------------------------------------------------------------------------------------------------------


def test_plain_eth_at_the_deposit_address_is_a_deposit_with_its_sender(vault: Vault) -> None:
    vault.open()
    sent = vault.send(vault.deposit_address, 3 * ETHER)
    vault.index()
    (deposit,) = selectors.collateral_deposits([vault.account])
    assert (deposit.amount_wei, deposit.transaction_hash, deposit.is_final) == (3 * ETHER, sent, False)
    assert deposit.senders == (vault.borrower,)
    balance = selectors.collateral_balance(vault.account)
    assert (balance.wei, balance.final_wei, balance.is_final) == (3 * ETHER, 0, False)
    vault.index(blocks=3)
    assert selectors.collateral_balance(vault.account).is_final
    assert selectors.collateral_deposits([vault.account])[0].is_final
    assert gateway().collateral_balances([vault.account]) == {vault.account: 3 * ETHER}


def test_eth_that_a_contract_sends_counts_and_names_both_it_and_who_signed(vault: Vault) -> None:
    """An internal transfer: nothing in the block's transactions pays the deposit address."""
    vault.open()
    to = bytes.fromhex(vault.deposit_address[2:])
    # PUSH0×4 CALLVALUE PUSH20 to GAS CALL: a constructor that pays what it was given on.
    code = b"\x5f\x5f\x5f\x5f\x34\x73" + to + b"\x5a\xf1\x5f\x5f\xf3"
    sent = vault.send("", 2 * ETHER, code, deploys=True)
    contract = vault.platform.node.call("eth_getTransactionReceipt", sent)["contractAddress"]
    vault.index()
    (deposit,) = selectors.collateral_deposits([vault.account])
    assert deposit.amount_wei == 2 * ETHER
    assert deposit.senders == (signers.checksummed(contract), vault.borrower)


def test_what_came_before_the_address_was_opened_is_taken_in_without_a_sender(vault: Vault) -> None:
    vault.send(vault.deposit_address, 5 * ETHER)
    vault.index()
    assert selectors.collateral_deposits([vault.account]) == []
    vault.open()
    (deposit,) = selectors.collateral_deposits([vault.account])
    assert (deposit.amount_wei, deposit.sender, deposit.senders) == (5 * ETHER, ZERO_ADDRESS, ())
    assert not deposit.is_sender_known
    # By force, afterwards: PUSH20 to SELFDESTRUCT.
    vault.send("", ETHER, b"\x73" + bytes.fromhex(vault.deposit_address[2:]) + b"\xff", deploys=True)
    vault.ask(operations.sweep_collateral(LOAN, vault.borrower), SignerRole.COLLATERAL_AGENT)
    assert [d.amount_wei for d in selectors.collateral_deposits([vault.account])] == [5 * ETHER, ETHER]


def test_a_reorganisation_takes_a_deposit_back_and_everybody_is_told(vault: Vault, told: Told) -> None:
    vault.open()
    node = vault.platform.node
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.index()
    assert [moment for moment, _ in told.of["Deposited"]] == ["provisional"]
    node.reorg(1)
    vault.index(blocks=1)
    assert [moment for moment, _ in told.of["Deposited"]] == ["provisional", "undone"]
    assert selectors.collateral_deposits([vault.account]) == []
    assert selectors.collateral_balance(vault.account).wei == 0
    vault.send(vault.deposit_address, 4 * ETHER)
    vault.index()
    vault.index(blocks=4)
    moments = told.of["Deposited"]
    assert [moment for moment, _ in moments] == ["provisional", "undone", "provisional", "final"]
    assert moments[-1][1].args["amount"] == str(4 * ETHER)
    assert moments[-1][1].pk == moments[-2][1].pk


def test_a_deposit_that_is_final_when_it_is_first_read_is_told_of_twice_in_order(vault: Vault, told: Told) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.platform.node.mine(5)
    vault.index()
    assert [moment for moment, _ in told.of["Deposited"]] == ["provisional", "final"]


def test_a_handler_that_fails_loses_nothing_of_the_index_and_opens_an_incident(vault: Vault, told: Told) -> None:
    from chain.models import Incident

    @followups.on_event_final("Deposited")
    def broken(log: EventLog) -> None:
        raise RuntimeError("no")

    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.platform.node.mine(5)
    vault.index()
    assert selectors.collateral_balance(vault.account).final_wei == 3 * ETHER
    assert Incident.objects.filter(kind="chain.event_handler_failed", closed_at=None).count() == 1


# --- leaving --------------------------------------------------------------------------------------------------------


def test_a_release_goes_to_the_borrower_after_its_delay(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    node, release = vault.platform.node, b"\x22" * 32
    vault.ask(operations.propose_collateral_release(vault.account, release, ETHER), SignerRole.COLLATERAL_AGENT)
    wei, executable_at = gateway().collateral_release(vault.account, release)
    (log,) = EventLog.objects.filter(event="ReleaseProposed")
    assert (wei, str(executable_at)) == (ETHER, log.args["executableAt"])
    node.pass_time(2)
    before = node.balance(vault.borrower)
    vault.ask(operations.execute_collateral_release(vault.account, release), SignerRole.COLLATERAL_AGENT)
    assert node.balance(vault.borrower) == before + ETHER
    moved = [(m.kind, m.amount_wei, m.party, m.reference) for m in selectors.collateral_movements([vault.account])]
    assert moved[1:] == [("Released", ETHER, vault.borrower, "0x" + release.hex())]
    assert selectors.collateral_balance(vault.account).wei == 2 * ETHER
    assert gateway().collateral_release(vault.account, release) == (0, executable_at)
    # Asked for again, by a crash or by mistake, it is refused before it is sent.
    again = vault.ask(operations.execute_collateral_release(vault.account, release), SignerRole.COLLATERAL_AGENT)
    assert again.state == ChainTransaction.State.REFUSED
    assert "CollateralVault_NothingOpen" in again.error_code


def test_the_guardian_stops_a_release(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    release = b"\x22" * 32
    vault.ask(operations.propose_collateral_release(vault.account, release, ETHER), SignerRole.COLLATERAL_AGENT)
    vault.ask(operations.cancel_collateral_release(vault.account, release), SignerRole.TOKEN_GUARDIAN)
    vault.platform.node.pass_time(2)
    row = vault.ask(operations.execute_collateral_release(vault.account, release), SignerRole.COLLATERAL_AGENT)
    assert row.state == ChainTransaction.State.REFUSED


def test_a_recorded_sale_is_carried_out_within_it_to_the_sale_address(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    node, sale = vault.platform.node, b"\x33" * 32
    ends = as_int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"]) + 3_600
    vault.ask(operations.record_collateral_sale(vault.account, sale, ETHER, ends), SignerRole.SALE_RECORDER)
    wallet = vault.platform.signer(SignerRole.SALE_WALLET).address
    before = node.balance(wallet)
    vault.ask(operations.execute_collateral_sale(vault.account, sale, ETHER // 4), SignerRole.COLLATERAL_AGENT)
    too_much = vault.ask(operations.execute_collateral_sale(vault.account, sale, ETHER), SignerRole.COLLATERAL_AGENT)
    assert too_much.state == ChainTransaction.State.REFUSED
    assert node.balance(wallet) == before + ETHER // 4
    assert selectors.collateral_balance(vault.account).wei == 3 * ETHER - ETHER // 4
    assert gateway().collateral_sale(vault.account, sale) == (ETHER - ETHER // 4, ends)
    assert gateway().collateral_total() == 3 * ETHER - ETHER // 4


def test_amounts_above_the_balance_times_past_and_nobody_are_refused_before_they_are_sent(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    node, name = vault.platform.node, b"\x44" * 32
    now = as_int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"])
    above = operations.propose_collateral_release(vault.account, name, 3 * ETHER + 1)
    nothing = operations.propose_collateral_release(vault.account, name, 0)
    past = operations.record_collateral_sale(vault.account, name, ETHER, now - 1)
    nobody = operations.register_collateral_account(LOAN, ZERO_ADDRESS)
    agent, recorder = SignerRole.COLLATERAL_AGENT, SignerRole.SALE_RECORDER
    for call, role, reason in (
        (above, agent, "AboveBalance"),
        (nothing, agent, "InvalidAmount"),
        (past, recorder, "InvalidExpiry"),
        (nobody, agent, "InvalidAddress"),
    ):
        row = vault.ask(call, role)
        assert (row.state, reason in row.error_code) == (ChainTransaction.State.REFUSED, True), row.error_code
    # More may be recorded than is there; not more is sold.
    vault.ask(operations.record_collateral_sale(vault.account, name, 9 * ETHER, now + 3_600), recorder)
    row = vault.ask(operations.execute_collateral_sale(vault.account, name, 3 * ETHER + 1), agent)
    assert (row.state, "AboveBalance" in row.error_code) == (ChainTransaction.State.REFUSED, True), row.error_code
    assert selectors.collateral_balance(vault.account).wei == 3 * ETHER


def test_the_council_lifts_the_guardians_pause(vault: Vault) -> None:
    vault.open()
    vault.ask(operations.pause_collateral(), SignerRole.TOKEN_GUARDIAN)
    assert gateway().read("CollateralVault", vault.address, "paused") == (True,)
    services.council_call(call=operations.unpause_collateral(), idempotency_key="unpause", purpose="test")
    vault.settle()
    assert gateway().read("CollateralVault", vault.address, "paused") == (False,)


def test_another_borrowers_address_takes_schedule_and_notice(vault: Vault) -> None:
    vault.open()
    other = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
    change = operations.announce_borrower_change(vault.account, other)
    vault.ask(operations.schedule_call(change), SignerRole.TOKEN_CONTROLLER)
    vault.platform.node.pass_time(2)
    vault.ask(change, SignerRole.TOKEN_CONTROLLER)
    vault.platform.node.pass_time(2)
    vault.ask(operations.apply_borrower_change(vault.account), SignerRole.COLLATERAL_AGENT)
    (now,) = gateway().read("CollateralVault", vault.address, "borrowerOf", bytes.fromhex(vault.account[2:]))
    assert now == other


def test_another_sale_address_takes_the_admins_officers_and_the_notice(vault: Vault) -> None:
    other = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
    call = operations.announce_sale_address(other)
    services.request(role=SignerRole.ADMIN, call=call, idempotency_key="sale", purpose="test")
    vault.settle()
    row = vault.ask(operations.apply_sale_address(), SignerRole.COLLATERAL_AGENT)
    if row.state == ChainTransaction.State.REFUSED:  # the notice of the test's profile is one second
        vault.platform.node.pass_time(2)
        vault.ask(operations.apply_sale_address(), SignerRole.COLLATERAL_AGENT)
    assert gateway().read("CollateralVault", vault.address, "saleAddress") == (other,)


def test_the_council_stops_another_sale_address_from_the_desk(vault: Vault) -> None:
    from chain.desk.actions import carry_out, containing, scene_of
    from portal.models import Role
    from portal.testing import make_person

    timelock = selectors.contract_address(Contract.Kind.TIMELOCK)
    thief = PrivateKey(secrets.token_bytes(32)).public_key.to_checksum_address()
    # As if the admin's officers had been robbed: announced past the outbox.
    vault.send(vault.address, 0, operations.announce_sale_address(thief).data, sender=timelock)
    vault.index()
    services.run_alarm_sweep()
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.severity) == (Alarm.Kind.POWER_CHANGED, Alarm.Severity.ACT)
    (cancel,) = (a for a in containing(scene_of(alarm), {}) if a.code == "cancel_sale_address")
    carry_out([cancel], actor=make_person("duty@musubi.example", role=Role.KYC_OFFICER), reason="not ours")
    vault.settle()
    (change,) = gateway().read("CollateralVault", vault.address, "saleAddressChange")
    assert int(change[1]) == 0


def test_the_signers_sign_only_what_their_role_needs(vault: Vault) -> None:
    sale = operations.record_collateral_sale(vault.account, b"\x33" * 32, 1, 2**32)
    release = operations.propose_collateral_release(vault.account, b"\x22" * 32, 1)
    for role, call in (
        (SignerRole.COLLATERAL_AGENT, sale),
        (SignerRole.SALE_RECORDER, release),
        (SignerRole.TOKEN_AGENT, release),
        (SignerRole.TOKEN_GUARDIAN, operations.unpause_collateral()),
        (SignerRole.COLLATERAL_AGENT, operations.announce_borrower_change(vault.account, vault.borrower)),
        (SignerRole.TOKEN_CONTROLLER, operations.schedule_call(release)),
    ):
        with pytest.raises(PolicyViolation):
            signers.check_policy(vault.platform.signer(role), call)


# --- books ----------------------------------------------------------------------------------------------------------


def test_a_replay_from_nothing_gives_the_same_books(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.index(blocks=3)
    before = list(CollateralMovement.objects.order_by("log_id").values())
    balance = selectors.collateral_balance(vault.account)
    replay_projections(chain_id=31337)
    drop = {"id"}
    after = list(CollateralMovement.objects.order_by("log_id").values())
    assert [{k: v for k, v in row.items() if k not in drop} for row in after] == [
        {k: v for k, v in row.items() if k not in drop} for row in before
    ]
    assert selectors.collateral_balance(vault.account) == balance
    assert selectors.collateral_account_for(vault.account) is not None


def test_balances_of_many_accounts_cost_two_queries(vault: Vault) -> None:
    from django.db import connection

    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.index()
    accounts = [operations.collateral_account(LOAN, vault.borrower), *("0x" + f"{n:064x}" for n in range(500))]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = selectors.collateral_balances(accounts)
    assert len(queries) == 2
    assert (len(found), found[vault.account].wei) == (501, 3 * ETHER)


def test_the_nightly_comparison_covers_the_vault(vault: Vault) -> None:
    from chain.models import Incident
    from chain.services.reconciliation import reconcile_ledger

    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.index(blocks=4)
    assert reconcile_ledger().differences == []
    CollateralMovement.objects.update(amount_wei=2 * ETHER)
    assert {d.ours for d in reconcile_ledger().differences} == {2 * ETHER}
    assert Incident.objects.filter(kind="chain.ledger_differs", closed_at=None).count() == 1


# --- alarms ---------------------------------------------------------------------------------------------------------


def test_what_nobody_here_asked_for_raises_an_alarm(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    vault.index()
    services.run_alarm_sweep()
    assert not Alarm.objects.exists()
    release = operations.propose_collateral_release(vault.account, b"\x22" * 32, ETHER)
    sale = operations.record_collateral_sale(vault.account, b"\x33" * 32, ETHER, int(time.time()) + 86_400)
    vault.steal(SignerRole.COLLATERAL_AGENT, release)
    vault.steal(SignerRole.SALE_RECORDER, sale)
    vault.steal(SignerRole.COLLATERAL_AGENT, operations.execute_collateral_sale(vault.account, b"\x33" * 32, ETHER))
    vault.index()
    services.run_alarm_sweep()
    found = {alarm.key: alarm for alarm in Alarm.objects.all()}
    agent, recorder = (
        vault.platform.signer(r).address for r in (SignerRole.COLLATERAL_AGENT, SignerRole.SALE_RECORDER)
    )
    assert set(found) == {agent, recorder}
    assert {alarm.severity for alarm in found.values()} == {Alarm.Severity.ACT}
    assert sorted(found[agent].evidence.values_list("event", flat=True)) == ["ReleaseProposed", "Sold"]


def test_what_we_asked_for_raises_none(vault: Vault) -> None:
    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    release = b"\x22" * 32
    vault.ask(operations.propose_collateral_release(vault.account, release, ETHER), SignerRole.COLLATERAL_AGENT)
    vault.ask(operations.withdraw_collateral_release(vault.account, release), SignerRole.COLLATERAL_AGENT)
    services.run_alarm_sweep()
    assert not Alarm.objects.exists()


def test_the_desk_stops_what_a_thief_proposed(vault: Vault) -> None:
    from chain.desk.actions import carry_out, containing, restoring, scene_of
    from chain.desk.models import ResponseStep
    from portal.models import Role
    from portal.testing import make_person

    vault.open()
    vault.send(vault.deposit_address, 3 * ETHER)
    release = b"\x22" * 32
    vault.steal(SignerRole.COLLATERAL_AGENT, operations.propose_collateral_release(vault.account, release, ETHER))
    vault.index()
    services.run_alarm_sweep()
    alarm = Alarm.objects.get()
    duty = make_person("duty@musubi.example", role=Role.ADMINISTRATOR)
    offered = [action for action in containing(scene_of(alarm), {}) if action.recommended]
    assert [action.code.split(":")[0] for action in offered] == ["pause_collateral", "stop_release"]
    carry_out(offered, actor=duty, reason="not ours")
    vault.settle()
    assert set(ResponseStep.objects.values_list("state", flat=True)) == {"done"}
    assert gateway().read("CollateralVault", vault.address, "paused") == (True,)
    vault.platform.node.pass_time(2)
    with pytest.raises(AssertionError):
        vault.steal(SignerRole.COLLATERAL_AGENT, operations.execute_collateral_release(vault.account, release))
    services.run_alarm_sweep()
    assert [action for action in containing(scene_of(alarm), {}) if action.code.startswith("stop")] == []
    (lift,) = (action for action in restoring(scene_of(alarm), {}) if action.code == "unpause_collateral")
    carry_out([lift], actor=duty, reason="the key is replaced")
    vault.settle()
    assert gateway().read("CollateralVault", vault.address, "paused") == (False,)


# --- roles, deployment ----------------------------------------------------------------------------------------------


def test_a_planted_weakness_of_the_vault_is_found(vault: Vault) -> None:
    timelock = selectors.contract_address(Contract.Kind.TIMELOCK)
    assert role_report().is_clean
    selector = abi.artifact("CollateralVault").functions["executeSale"].selector
    wrong = abi.encode_call(
        "AccessManager", "setTargetFunctionRole", vault.address, [selector], int(ChainRole.SALE_RECORDER)
    )
    vault.send(vault.platform.manager, 0, wrong, sender=timelock)
    limits = abi.encode_call("CollateralVault", "setLimits", 10**24, 10**24)
    vault.send(vault.address, 0, limits, sender=timelock)
    found = {(weakness.code, weakness.subject) for weakness in role_report().weaknesses}
    assert found == {("function_misassigned", vault.address), ("vault_limit_high", vault.address)}


def test_one_key_that_records_and_sells_is_found(vault: Vault) -> None:
    timelock = selectors.contract_address(Contract.Kind.TIMELOCK)
    agent = vault.platform.signer(SignerRole.COLLATERAL_AGENT).address
    grant = abi.encode_call("AccessManager", "grantRole", int(ChainRole.SALE_RECORDER), agent, 0)
    vault.send(vault.platform.manager, 0, grant, sender=timelock)
    assert ("two_roles_one_key", agent) in {(w.code, w.subject) for w in role_report().weaknesses}


def test_a_platform_from_before_the_vault_gets_it_by_the_admins_officers(node: Any, settings: Any, settle: Any) -> None:
    node.set_automine(True)
    with pytest.MonkeyPatch.context() as before:
        before.setattr(deployment, "_vault", lambda *_: None)
        before.setattr(
            deployment, "HOLDERS", {r: s for r, s in deployment.HOLDERS.items() if r < ChainRole.COLLATERAL_AGENT}
        )
        before.setattr(operations, "GUARDED_ROLES", operations.GUARDED_ROLES[:-2])
        deployment.deploy_platform(profile="test")
    assert role_report().is_clean
    deployment.deploy_platform(profile="test")
    assert ChainTransaction.objects.filter(idempotency_key__startswith="deployment:31337:vault").count() == 1
    assert role_report().is_clean  # nothing of an unwired vault is open to anybody
    deployment.deploy_platform(profile="test")
    assert ChainTransaction.objects.filter(idempotency_key__startswith="deployment:31337:vault").count() == 1
    settle()
    report = role_report()
    assert report.is_clean
    (agent,) = report.holders_of(ChainRole.COLLATERAL_AGENT)
    assert agent.address == Signer.objects.get(role=SignerRole.COLLATERAL_AGENT).address
    assert "CollateralVault.recordSale" in (report.role(ChainRole.SALE_RECORDER) or report.roles[0]).functions
    deployment.deploy_platform(profile="test")
    assert Contract.objects.filter(kind="CollateralVault").count() == 1


def test_production_names_its_sale_address_or_has_no_vault(node: Any, settings: Any) -> None:
    settings.ADMIN_SAFE_OWNERS = ["0x" + digit * 40 for digit in "123"]
    settings.COUNCIL_SAFE_OWNERS = ["0x" + digit * 40 for digit in "456"]
    settings.CHAIN_PROFILE = "production"
    node.set_automine(True)
    deployment.deploy_platform(profile="production")
    assert not Contract.objects.filter(kind__in=["CollateralVault", "DemoPriceFeed"]).exists()
    settings.COLLATERAL_SALE_ADDRESS = "0x" + "7" * 40
    deployment.deploy_platform(profile="production")
    vault = Contract.objects.get(kind="CollateralVault").address
    assert gateway().read("CollateralVault", vault, "saleAddress") == ("0x" + "7" * 40,)
    plan = PROFILES["production"]
    assert gateway().read("CollateralVault", vault, "releaseDelay") == (int(plan.release_delay.total_seconds()),)
    assert not Signer.objects.filter(role__in=[SignerRole.SALE_WALLET, SignerRole.PRICE_SIMULATOR]).exists()


# --- prices ---------------------------------------------------------------------------------------------------------


def test_a_price_feed_is_read_as_chainlinks_are(vault: Vault) -> None:
    feeds = selectors.price_feeds()
    assert set(feeds) == {"BTC/USD", "ETH/USD", "JPY/USD"}
    with pytest.raises(CallRefused):
        gateway().price_feed(feeds["ETH/USD"])
    vault.ask(operations.set_demo_price(feeds["ETH/USD"], 3_000 * 10**8), SignerRole.PRICE_SIMULATOR)
    vault.ask(operations.set_demo_price(feeds["ETH/USD"], -5, 1_700_000_000), SignerRole.PRICE_SIMULATOR)
    answer = gateway().price_feed(feeds["ETH/USD"])
    assert (answer.answer, answer.decimals, answer.round_id) == (-5, 8, 2)
    assert int(answer.updated_at.timestamp()) == 1_700_000_000
    first = gateway().read("AggregatorV3Interface", feeds["ETH/USD"], "getRoundData", 1)
    assert (first[0], first[1]) == (1, 3_000 * 10**8)


def test_what_is_no_price_feed_is_refused(vault: Vault) -> None:
    with pytest.raises(CallRefused):
        gateway().price_feed(vault.address)


def test_only_the_simulators_key_sets_a_simulated_price(vault: Vault) -> None:
    feed = selectors.price_feeds()["BTC/USD"]
    with pytest.raises(PolicyViolation):
        signers.check_policy(vault.platform.signer(SignerRole.COLLATERAL_AGENT), operations.set_demo_price(feed, 1))
