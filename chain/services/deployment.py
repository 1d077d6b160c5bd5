"""Putting the platform's contracts on the chain: safe to run twice, and after a crash half-way.

Every step is a row of the outbox, signed by the deployer's key like any other transaction. Signing directly would be
shorter and would lose exactly what a crash needs: the bytes and the nonce are stored before anything is sent, so a
second run meets the first one's transaction instead of deploying a second contract. The deployer is the manager's first
admin and ends that in the very transaction that wires the roles: it keeps nothing, and there is no moment at which the
contracts are half wired and somebody else could step in. Before, it gave up the timelock that becomes the admin.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from chain import abi, operations
from chain.exceptions import DeploymentFailed, WrongChain
from chain.gateway import ZERO_ADDRESS, Gateway, parse_address
from chain.models import ChainTransaction, Contract, Signer
from chain.profiles import PROFILES, SIMULATED_FEEDS, Profile
from chain.rpc import Rpc, RpcError, as_int, node
from chain.services import outbox
from chain.services.custody import create_platform_signer
from chain.services.funding import run_funding_sweep
from chain.services.market import look
from chain.services.reconciler import run_reconcile_sweep
from chain.services.submitter import run_submit_sweep
from chain.services.sweeps import only_one
from chain.types import Call, ChainRole, SignerRole

logger = logging.getLogger(__name__)

State = ChainTransaction.State
PURPOSE: Final = "chain.deploy"
#: Long enough for a dozen blocks of a slow chain; a second run goes on from there.
PATIENCE: Final = timedelta(minutes=5)
#: anvil's and Hardhat's chain id. Only there is ETH made out of nothing.
DEVELOPMENT_CHAIN: Final = 31337
_DEVELOPMENT_FUNDS: Final = 10_000 * 10**18


#: Which of our signers holds which role. COUNCIL is a Safe, ADMIN a timelock behind another: no key holds either.
HOLDERS: Final = {
    ChainRole.SBT_ISSUER: SignerRole.SBT_ISSUER,
    ChainRole.SBT_GUARDIAN: SignerRole.SBT_GUARDIAN,
    ChainRole.TOKEN_AGENT: SignerRole.TOKEN_AGENT,
    ChainRole.TOKEN_CONTROLLER: SignerRole.TOKEN_CONTROLLER,
    ChainRole.TOKEN_GUARDIAN: SignerRole.TOKEN_GUARDIAN,
    ChainRole.COLLATERAL_AGENT: SignerRole.COLLATERAL_AGENT,
    ChainRole.SALE_RECORDER: SignerRole.SALE_RECORDER,
}

#: Two officers, each with a key of their own.
ATTESTORS_HELD: Final = 2
#: Development officers of each Safe, so that one key may be lost.
OFFICERS_HELD: Final = 3
#: As Chainlink's feeds against the dollar have.
FEED_DECIMALS: Final = 8
#: `TimelockController.DEFAULT_ADMIN_ROLE` and `CANCELLER_ROLE`.
TIMELOCK_ADMIN: Final = bytes(32)
CANCELLER: Final = bytes(keccak(text="CANCELLER_ROLE"))


@dataclass(frozen=True, slots=True)
class Officers:
    """The owners of the two Safes, by address, and how many of them must sign."""

    admin: list[str]
    council: list[str]
    threshold: int


@dataclass(frozen=True, slots=True)
class Platform:
    """Addresses of what the wiring joins."""

    manager: str
    sbt: str
    council: str
    timelock: str
    vault: str | None  # None: this installation keeps no collateral on chain


def deploy_platform(*, profile: str) -> None:
    """Make the platform's signers, deploy its contracts, wire the roles; return once all is mined.

    1. The node must serve the chain of `CHAIN_ID`, and every contract we know of must still be there.
    2. Signers are made for every role that has none; their keys are on disk before their rows are.
    3. Two Safes and the timelock, of which the deployer keeps nothing. Then AccessManager and InvestorSBT, then one
       multicall that wires everything and ends the deployer's power. Before it, CollateralVault, where there is an
       address for sales; on a platform from before there was a vault, ADMIN is asked to wire it, and officers sign.
    Every delay is in force when the deployer's power ends: the timelock has its own from its constructor on, so none
    of AccessManager's, which begin five days late, is needed.
    Run again, it does only what is missing. Raises `WrongChain`, `NodeUnavailable` or `DeploymentFailed`.
    """
    plan = PROFILES[profile]
    with only_one("deploy") as alone:
        if not alone:
            raise DeploymentFailed(
                _("Another deployment is running. Nothing was changed."), code="chain.deployment.busy"
            )
        rpc = node()
        look(rpc)
        require_recorded_contracts(rpc)
        signers = ensure_signers(plan)
        officers = ensure_officers(plan)
        fund_on_a_development_chain(rpc, signers[SignerRole.GAS_FUNDER])
        require_funds(rpc, signers[SignerRole.GAS_FUNDER])
        deployer = signers[SignerRole.DEPLOYER]
        council, timelock = _governance(rpc, plan, signers, officers)
        manager = _deployed(deployer, "AccessManager", deployer.address)
        delay = int(plan.activation_delay.total_seconds())
        sbt = _deployed(deployer, "InvestorSBT", manager, delay, plan.issuance_limit_per_day)
        vault = _vault(deployer, manager, plan)
        platform = Platform(manager=manager, sbt=sbt, council=council, timelock=timelock, vault=vault)
        _wire(plan, signers, platform)
        waits = _ask_to_wire_the_vault(Gateway(rpc), platform, signers)
        _verify(rpc, platform, signers, without=operations.VAULT_ROLES if waits else ())
        if plan.simulates_prices:
            _simulate_prices(deployer)


# --- 1. the chain ----------------------------------------------------------------------------------------------


def require_recorded_contracts(rpc: Rpc) -> None:
    """Raise `WrongChain` unless every contract in the database has code on the chain behind the node."""
    contracts = list(Contract.objects.filter(chain_id=settings.CHAIN_ID).order_by("pk"))
    codes = rpc.gather([("eth_getCode", [contract.address, "latest"]) for contract in contracts])
    for contract, code in zip(contracts, codes, strict=True):
        if len(code) <= 2:
            raise WrongChain(
                _(
                    "The chain behind CHAIN_RPC_URL does not have %(kind)s at %(address)s, which the database knows. "
                    "It was reset, or it is another chain with the same number. Nothing was deployed. Point "
                    "CHAIN_RPC_URL back to the old chain, or start with an empty database."
                )
                % {"kind": contract.kind, "address": contract.address},
                code="chain.reset",
                address=contract.address,
            )


# --- 2. the signers ---------------------------------------------------------------------------------------------


def ensure_signers(plan: Profile) -> dict[str, Signer]:
    """Every platform signer by role, made where there is none."""
    roles = [SignerRole.DEPLOYER, SignerRole.GAS_FUNDER, SignerRole.RELAYER, *HOLDERS.values()]
    found = {role: create_platform_signer(role=role) for role in roles}
    if plan.holds_attestor:
        for _number in range(len(held_attestors()), ATTESTORS_HELD):
            create_platform_signer(role=SignerRole.ATTESTOR)
    return found


def held_attestors() -> list[Signer]:
    """The attesting keys we hold for officers, oldest first; none in production."""
    rows = Signer.objects.filter(chain_id=settings.CHAIN_ID, role=SignerRole.ATTESTOR, state=Signer.State.ACTIVE)
    return list(rows.order_by("pk"))


def ensure_officers(plan: Profile) -> Officers:
    """Who owns the Safes: addresses from the settings, or development keys where the profile brings them.

    Raises `DeploymentFailed` for a Safe that one person could use, or lose.
    """
    if plan.holds_officers:
        admin, council = _held_officers(SignerRole.ADMIN_OWNER), _held_officers(SignerRole.COUNCIL_OWNER)
    else:
        admin = [parse_address(owner) for owner in settings.ADMIN_SAFE_OWNERS]
        council = [parse_address(owner) for owner in settings.COUNCIL_SAFE_OWNERS]
    threshold = int(settings.SAFE_THRESHOLD)
    for owners in (admin, council):
        if threshold < 2 or len(set(owners)) <= threshold or len(set(owners)) != len(owners):
            raise DeploymentFailed(
                _(
                    "Each Safe needs at least two signatures and one more officer than signatures, each with a "
                    "different address. Nothing was deployed. Set ADMIN_SAFE_OWNERS, COUNCIL_SAFE_OWNERS and "
                    "SAFE_THRESHOLD, and run this again."
                ),
                code="chain.deployment.officers",
            )
    if len(set(admin) & set(council)) >= threshold:
        raise DeploymentFailed(
            _(
                "The same officers could act as the admin and as the council that watches it. Nothing was deployed. "
                "Name other officers, and run this again."
            ),
            code="chain.deployment.same_officers",
        )
    return Officers(admin=admin, council=council, threshold=threshold)


def _held_officers(role: str) -> list[str]:
    found = Signer.objects.filter(chain_id=settings.CHAIN_ID, role=role).order_by("pk")
    for number in range(found.count() + 1, OFFICERS_HELD + 1):
        create_platform_signer(role=role, label=f"DEVELOPMENT KEY {role} {number}")
    return [signer.address for signer in found.all()]


def fund_on_a_development_chain(rpc: Rpc, funder: Signer) -> None:
    """Give the gas funder ETH where that is a request to the node; elsewhere do nothing."""
    if settings.CHAIN_ID != DEVELOPMENT_CHAIN:
        return
    balance = as_int(rpc.call("eth_getBalance", funder.address, "latest"))
    if balance < _DEVELOPMENT_FUNDS // 10:
        try:
            rpc.call("anvil_setBalance", funder.address, hex(_DEVELOPMENT_FUNDS))
        except RpcError as error:
            logger.warning("the node does not hand out ETH: %s", error.message)


def require_funds(rpc: Rpc, funder: Signer) -> None:
    """Raise `DeploymentFailed` with the address to pay, if the gas funder has nothing."""
    if as_int(rpc.call("eth_getBalance", funder.address, "latest")) == 0:
        raise DeploymentFailed(
            _("The gas funder has no ETH. Nothing was deployed. Send some to %(address)s and run this again.")
            % {"address": funder.address},
            code="chain.deployment.no_funds",
            address=funder.address,
        )


# --- 3. the contracts -------------------------------------------------------------------------------------------


def _deployed(deployer: Signer, kind: str, *args: Any) -> str:
    """The address of the one contract of this kind; deployed now if there is none."""
    known = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=kind).first()
    if known is not None:
        return str(known.address)
    call = Call(to=None, data=abi.encode_deployment(kind, *args), function=f"{kind}.constructor")
    row = _mined(_ask(deployer, call, step=kind))
    if row.contract_address is None:
        raise DeploymentFailed(
            _("The deployment left no contract."), code="chain.deployment.no_contract", transaction=row.pk
        )
    return str(row.contract_address)


def _governance(rpc: Rpc, plan: Profile, signers: dict[str, Signer], officers: Officers) -> tuple[str, str]:
    """Addresses of the council's Safe and of the timelock, which the admin's Safe proposes to; the deployer is nobody."""
    deployer = signers[SignerRole.DEPLOYER]
    singleton = _deployed(deployer, "Safe")
    factory = _deployed(deployer, "SafeProxyFactory")
    owners = {Contract.Kind.ADMIN_SAFE: officers.admin, Contract.Kind.COUNCIL_SAFE: officers.council}
    made = {
        kind: _safe(rpc, deployer, kind, members, officers.threshold, singleton=singleton, factory=factory)
        for kind, members in owners.items()
    }
    admin, council = made[Contract.Kind.ADMIN_SAFE], made[Contract.Kind.COUNCIL_SAFE]
    # The relayer may carry out what has waited, so that officers sign once. An open executor would let a stranger do
    # it first, and our own transaction fail.
    executors = [signers[SignerRole.RELAYER].address, admin]
    delay = int(plan.admin_delay.total_seconds())
    timelock = _deployed(deployer, "TimelockController", delay, [admin], executors, deployer.address)
    _step(deployer, "canceller", "TimelockController", timelock, "grantRole", CANCELLER, council)
    _step(deployer, "timelock", "TimelockController", timelock, "renounceRole", TIMELOCK_ADMIN, deployer.address)
    (held,) = Gateway(rpc).read("TimelockController", timelock, "hasRole", TIMELOCK_ADMIN, deployer.address)
    if held:
        raise _wrong_roles("timelock", deployer.address)
    return council, timelock


def _safe(
    rpc: Rpc, deployer: Signer, kind: str, owners: list[str], threshold: int, *, singleton: str, factory: str
) -> str:
    """The address of the Safe of this kind, made and set up in one transaction if there is none.

    Its address follows from its owners (CREATE2), so whoever makes it first makes this very Safe.
    """
    known = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=kind).first()
    if known is not None:
        return str(known.address)
    setup = (owners, threshold, ZERO_ADDRESS, b"", ZERO_ADDRESS, ZERO_ADDRESS, 0, ZERO_ADDRESS)
    initializer = abi.encode_call("Safe", "setup", *setup)
    # A Safe of the same owners on another chain must not share the address: nothing signed there may mean something here.
    salt = int.from_bytes(keccak(abi.encode_values(["uint256", "string"], (deployer.chain_id, str(kind)))))
    (code,) = Gateway(rpc).read("SafeProxyFactory", factory, "proxyCreationCode")
    creation = code + abi.encode_values(["address"], (singleton,))
    salted = keccak(keccak(initializer) + salt.to_bytes(32, "big"))
    address = to_checksum_address(keccak(b"\xff" + to_canonical_address(factory) + salted + keccak(creation))[12:])
    row = _step(deployer, str(kind), "SafeProxyFactory", factory, "createProxyWithNonce", singleton, initializer, salt)
    if len(rpc.call("eth_getCode", address, "latest")) <= 2:
        raise DeploymentFailed(
            _("The deployment left no contract."), code="chain.deployment.no_contract", transaction=row.pk
        )
    Contract.objects.get_or_create(
        chain_id=settings.CHAIN_ID,
        address=address,
        defaults={
            "kind": kind,
            "deployed_block": row.block_number or 0,
            "bytecode_hash": "0x" + keccak(code).hex(),
        },
    )
    return str(address)


def _step(deployer: Signer, step: str, kind: str, to: str, function: str, *args: Any) -> ChainTransaction:
    """One call of the deployer, mined."""
    data = abi.encode_call(kind, function, *args)
    return _mined(_ask(deployer, Call(to=to, data=data, function=f"{kind}.{function}"), step=step))


def _wire(plan: Profile, signers: dict[str, Signer], platform: Platform) -> None:
    """Labels, function roles, guardians, members and admin in one transaction, whose last step ends the deployer."""
    delays = {ChainRole.TOKEN_CONTROLLER: int(plan.controller_delay.total_seconds())}
    holders = [(role, signers[name].address) for role, name in HOLDERS.items()]
    holders += [(ChainRole.COUNCIL, platform.council), (ChainRole.ADMIN, platform.timelock)]
    if plan.holds_attestor:
        holders += [(ChainRole.ATTESTOR, attestor.address) for attestor in held_attestors()]

    def manage(function: str, *args: Any) -> bytes:
        return abi.encode_call("AccessManager", function, *args)

    calls = [
        *(manage("labelRole", int(role), role.name) for role in ChainRole if role is not ChainRole.ADMIN),
        *operations.function_role_calls("InvestorSBT", platform.sbt, operations.SBT_FUNCTION_ROLES),
        *_vault_calls(platform),
        *operations.function_role_calls("AccessManager", platform.manager, operations.MANAGER_FUNCTION_ROLES),
        *(manage("setRoleGuardian", int(role), int(ChainRole.COUNCIL)) for role in operations.GUARDED_ROLES),
        *(manage("grantRole", int(role), holder, delays.get(role, 0)) for role, holder in holders),
        manage("renounceRole", int(ChainRole.ADMIN), signers[SignerRole.DEPLOYER].address),
    ]
    _step(signers[SignerRole.DEPLOYER], "roles", "AccessManager", platform.manager, "multicall", calls)


def _vault(deployer: Signer, manager: str, plan: Profile) -> str | None:
    """The address of the vault; None where nobody named an address that sold collateral goes to."""
    sale_address = (
        create_platform_signer(role=SignerRole.SALE_WALLET).address
        if plan.holds_officers
        else settings.COLLATERAL_SALE_ADDRESS
    )
    if not sale_address:
        return None
    waits = (int(plan.release_delay.total_seconds()), int(plan.notice_period.total_seconds()))
    safeguards = (*waits, plan.release_limit_per_day_wei, plan.sale_limit_per_day_wei)
    return _deployed(deployer, "CollateralVault", manager, parse_address(sale_address), safeguards)


def _vault_calls(platform: Platform) -> list[bytes]:
    if platform.vault is None:
        return []
    return operations.function_role_calls("CollateralVault", platform.vault, operations.VAULT_FUNCTION_ROLES)


def _ask_to_wire_the_vault(gateway: Gateway, platform: Platform, signers: dict[str, Signer]) -> bool:
    """Whether the vault still waits for ADMIN: the deployer's power had ended before there was one.

    Nothing of an unwired vault can be called but by ADMIN, so nothing is open meanwhile. Asked again, it is the same
    proposal; one that was cancelled is asked for anew.
    """
    if platform.vault is None or _is_wired(gateway, platform, signers):
        return False
    from chain.governance.proposals import request  # proposals are a service beside this one

    manage = partial(abi.encode_call, "AccessManager")
    calls = [
        *(manage("labelRole", int(role), role.name) for role in operations.VAULT_ROLES),
        *_vault_calls(platform),
        *(manage("setRoleGuardian", int(role), int(ChainRole.COUNCIL)) for role in operations.VAULT_ROLES),
        *(manage("grantRole", int(role), signers[HOLDERS[role]].address, 0) for role in operations.VAULT_ROLES),
    ]
    subject = "chain.deployment:vault"
    dead = ChainTransaction.objects.filter(subject=subject, purpose=PURPOSE, state__in=ChainTransaction.DEAD).count()
    request(
        role=SignerRole.ADMIN,
        call=Call(
            to=platform.manager,
            data=abi.encode_call("AccessManager", "multicall", calls),
            function="AccessManager.multicall",
        ),
        idempotency_key=key_of(settings.CHAIN_ID, "vault", dead),
        purpose=PURPOSE,
        subject=subject,
    )
    logger.warning("the officers of the admin's Safe have to sign before the collateral vault can be used")
    return True


def _is_wired(gateway: Gateway, platform: Platform, signers: dict[str, Signer]) -> bool:
    contract = abi.artifact("CollateralVault")
    wanted = [
        (role, selector)
        for role, names in operations.VAULT_FUNCTION_ROLES.items()
        for name in names
        for selector in contract.selectors_of(name)
    ]
    given = all(
        gateway.read("AccessManager", platform.manager, "getTargetFunctionRole", platform.vault, selector)[0] == role
        for role, selector in wanted
    )
    return given and all(
        gateway.read("AccessManager", platform.manager, "hasRole", int(role), signers[HOLDERS[role]].address)[0]
        for role in operations.VAULT_ROLES
    )


def _simulate_prices(deployer: Signer) -> None:
    """A simulated feed for every pair that has none. They answer nothing until they are told a price."""
    simulator = create_platform_signer(role=SignerRole.PRICE_SIMULATOR)
    for pair in SIMULATED_FEEDS:
        data = abi.encode_deployment("DemoPriceFeed", FEED_DECIMALS, pair.replace("/", " / "), simulator.address)
        _mined(_ask(deployer, Call(to=None, data=data, function="DemoPriceFeed.constructor"), step=f"feed:{pair}"))


def key_of(chain_id: int, step: str, number: int) -> str:
    """The idempotency key of a step that was tried `number` times before."""
    return f"deployment:{chain_id}:{step}:{number}"


def _ask(deployer: Signer, call: Call, *, step: str) -> ChainTransaction:
    """The outbox row of one step. A step that failed before is asked for anew; one under way or done is met again."""
    rows = ChainTransaction.objects.filter(purpose=PURPOSE, subject=f"chain.deployment:{step}", signer=deployer)
    alive = rows.exclude(state__in=ChainTransaction.DEAD).order_by("-pk").first()
    return alive or outbox.enqueue(
        call=call,
        signer=deployer,
        idempotency_key=key_of(deployer.chain_id, step, rows.count()),
        purpose=PURPOSE,
        subject=f"chain.deployment:{step}",
    )


def _mined(row: ChainTransaction) -> ChainTransaction:
    """Drive the sweeps until `row` is in a block. Raises `DeploymentFailed` if it fails or takes too long."""
    until, pause = time.monotonic() + PATIENCE.total_seconds(), 0.02
    while time.monotonic() < until:
        for sweep in (run_submit_sweep, run_funding_sweep, run_submit_sweep, run_reconcile_sweep):
            sweep()
        row.refresh_from_db()
        if row.state in (State.MINED, State.FINAL):
            return row
        if row.state in ChainTransaction.DEAD:
            raise DeploymentFailed(
                _("%(function)s did not go through: %(reason)s.")
                % {"function": row.function, "reason": row.error_code or row.get_state_display()},
                code="chain.deployment.failed",
                transaction=row.pk,
            )
        time.sleep(pause)
        pause = min(pause * 2, 1.0)
    raise DeploymentFailed(
        _("%(function)s is not in a block after %(minutes)s minutes. Run this again to go on waiting.")
        % {"function": row.function, "minutes": int(PATIENCE.total_seconds() // 60)},
        code="chain.deployment.slow",
        transaction=row.pk,
    )


def _verify(rpc: Rpc, platform: Platform, signers: dict[str, Signer], *, without: Collection[ChainRole] = ()) -> None:
    """Look at the chain itself: every role is held by whom it should be, and the deployer is nobody."""
    gateway = Gateway(rpc)
    expected = [(role, signers[name].address, True) for role, name in HOLDERS.items() if role not in without]
    expected += [(ChainRole.ADMIN, platform.timelock, True), (ChainRole.COUNCIL, platform.council, True)]
    expected.append((ChainRole.ADMIN, signers[SignerRole.DEPLOYER].address, False))
    for role, address, member in expected:
        found, _delay = gateway.read("AccessManager", platform.manager, "hasRole", int(role), address)
        if found != member:
            raise _wrong_roles(role.name, address)


def _wrong_roles(role: str, address: str) -> DeploymentFailed:
    return DeploymentFailed(
        _("The roles on the chain are not as they should be: %(role)s of %(address)s.")
        % {"role": role, "address": address},
        code="chain.deployment.roles",
    )
