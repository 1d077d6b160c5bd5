"""What the chain engine itself asked for: the desk's steps, top-ups, set-up, the council's cancellations, demo prices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from django.conf import settings

from chain import abi, operations, signers
from chain.desk.models import ResponseStep
from chain.errands import Errand, asked_by, earlier, keyed
from chain.governance import proposals
from chain.models import Contract, SafeProposal, Signer
from chain.profiles import SIMULATED_FEEDS, profile
from chain.services import deployment, funding, response, rotation
from chain.types import Call, ChainRole, SignerRole

Kind = Contract.Kind
#: Roles whose steps at the desk no key carries out.
_COUNCIL: Final = frozenset({SignerRole.COUNCIL})


# --- the incident desk -------------------------------------------------------------------------------------------------


@asked_by(response.PURPOSE)
def steps_were_taken(errands: Sequence[Errand]) -> Collection[int]:
    """A step keeps the fingerprint of its kind and call; the one that replaces a key, which key takes over."""
    found = keyed(errands, f"{response.PURPOSE}:#", subject=f"{response.PURPOSE}:#")
    steps = ResponseStep.objects.filter(chain_id=settings.CHAIN_ID).in_bulk([pk for _errand, (pk,) in found])
    return {
        errand.row
        for errand, (pk,) in found
        if (step := steps.get(pk)) is not None
        and step.transaction_id == errand.transaction.pk
        and (_replaces_key(step, errand) if step.kind == ResponseStep.Kind.ROTATE else _has_fingerprint(step, errand))
    }


def _has_fingerprint(step: ResponseStep, errand: Errand) -> bool:
    call = errand.call
    told = hashlib.sha256(f"{step.kind}:{call.to}:".encode() + call.data).hexdigest()
    return step.fingerprint == told and not call.value_wei


def _replaces_key(step: ResponseStep, errand: Errand) -> bool:
    replacement, role = step.data.get("replacement"), step.data.get("role")
    if errand.role != SignerRole.ADMIN or role not in rotation.CHAIN_ROLES or not replacement:
        return False
    return errand.is_for(rotation.handing_over(role, old=step.target, new=replacement))


@asked_by("chain.cancel_announcement")
def cancellations_were_proposed(errands: Sequence[Errand]) -> Collection[int]:
    """The council is asked to cancel exactly the operation of the proposal that the key names."""
    plain = keyed(errands, f"{proposals.SUBJECT}:#:cancel", subject=f"{proposals.SUBJECT}:#")
    again = keyed(errands, f"{proposals.SUBJECT}:#:cancel:#", subject=f"{proposals.SUBJECT}:#")
    found = [(errand, numbers[0]) for errand, numbers in [*plain, *again] if errand.role in _COUNCIL]
    cancelled = SafeProposal.objects.filter(safe__chain_id=settings.CHAIN_ID).exclude(operation_id="")
    by_pk = cancelled.in_bulk([pk for _errand, pk in found])
    return {errand.row for errand, pk in found if pk in by_pk and errand.is_for(proposals.cancellation_of(by_pk[pk]))}


# --- gas ---------------------------------------------------------------------------------------------------------------


@asked_by(funding.PURPOSE)
def top_ups_are_due(errands: Sequence[Errand]) -> Collection[int]:
    """A payment to a signer of ours, within the limit, one at a time: the next number, once none before is under way."""
    found = {
        errand.row: errand
        for errand in errands
        if errand.role == SignerRole.GAS_FUNDER and 0 < errand.call.value_wei <= settings.CHAIN_TOP_UP_LIMIT_WEI
    }
    paid = Signer.objects.filter(chain_id=settings.CHAIN_ID, address__in={e.call.to for e in found.values()})
    payees = dict(paid.values_list("address", "pk"))
    before = earlier(list(found.values()))
    return {
        errand.row
        for errand in found.values()
        if errand.call.to in payees
        and not errand.call.data
        and errand.subject == f"chain.signer:{payees[errand.call.to]}"
        and before[errand.transaction.pk].none_under_way
        and errand.key == funding.key_of(settings.CHAIN_ID, errand.call.to, before[errand.transaction.pk].count)
    }


# --- simulated prices ----------------------------------------------------------------------------------------------------


@asked_by("demo.price")
def prices_are_simulated(errands: Sequence[Errand]) -> Collection[int]:
    """Whatever the simulator says, on its own feeds, and only where prices are simulated at all: never in production."""
    if not profile().simulates_prices:
        return set()
    feeds = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=Kind.PRICE_FEED)
    addresses = set(feeds.values_list("address", flat=True))
    return {
        errand.row
        for errand in errands
        if errand.role == SignerRole.PRICE_SIMULATOR and errand.call.to in addresses and not errand.call.value_wei
    }


# --- set-up ----------------------------------------------------------------------------------------------------------------


@asked_by(deployment.PURPOSE)
def set_up_is_under_way(errands: Sequence[Errand]) -> Collection[int]:
    """The step of that name, which nothing before it has done yet, giving power to nobody but keys and contracts of ours.

    Once a step is done there is no second one: who asks for it again does not set anything up.
    """
    before = earlier(errands)
    ours = _Ours()
    asked = set()
    for errand in errands:
        step = errand.subject.removeprefix("chain.deployment:")
        number = before[errand.transaction.pk]
        key = deployment.key_of(settings.CHAIN_ID, step, number.count)
        if errand.key == key and number.none_happened and not errand.call.value_wei and _is_step(step, errand, ours):
            asked.add(errand.row)
    return asked


class _Ours:
    """Keys and contracts of ours, read once."""

    def __init__(self) -> None:
        contracts = Contract.objects.filter(chain_id=settings.CHAIN_ID).order_by("pk")
        self.contracts: dict[str, str] = dict(contracts.values_list("kind", "address"))
        keys = Signer.objects.filter(chain_id=settings.CHAIN_ID).order_by("pk")
        self.keys: dict[str, set[str]] = {}
        for role, address in keys.values_list("role", "address"):
            self.keys.setdefault(role, set()).add(address)

    def is_key(self, role: str, address: str) -> bool:
        return signers.checksummed(address) in self.keys.get(role, ())

    def is_contract(self, kind: str, address: str | None) -> bool:
        return bool(address) and self.contracts.get(kind) == signers.checksummed(str(address))

    def may_hold(self, role: int, address: str) -> bool:
        """Whether set-up gives this role to this address."""
        if role == ChainRole.ADMIN:
            return self.is_contract(Kind.TIMELOCK, address)
        if role == ChainRole.COUNCIL:
            return self.is_contract(Kind.COUNCIL_SAFE, address)
        if role == ChainRole.ATTESTOR:
            return self.is_key(SignerRole.ATTESTOR, address)
        return role in deployment.HOLDERS and self.is_key(deployment.HOLDERS[ChainRole(role)], address)


def _is_step(step: str, errand: Errand, ours: _Ours) -> bool:
    if step == "vault":
        return errand.role == SignerRole.ADMIN and _is_wiring(errand.call, ours)
    if errand.role != SignerRole.DEPLOYER:
        return False
    if errand.call.to is None:
        kind = signers.deployed_kind(errand.call.data)
        name = Kind.PRICE_FEED.value if step.startswith("feed:") else step
        return kind is not None and kind == name and _is_made_for_us(kind, step, errand, ours)
    if step == "roles":
        return _is_wiring(errand.call, ours)
    rule = _CALLS.get(step)
    return rule is not None and rule(errand.call, ours)


def _is_made_for_us(kind: str, step: str, errand: Errand, ours: _Ours) -> bool:
    """Whether the contract obeys nobody else: every address it is made with is ours."""
    artifact = abi.artifact(kind)
    values = abi.decode_values(
        [abi.type_of(each) for each in artifact.constructor["inputs"]], errand.call.data[len(artifact.bytecode) :]
    )
    if values is None:
        return False
    rules: dict[str, Callable[[], bool]] = {
        "Safe": lambda: True,
        "SafeProxyFactory": lambda: True,
        "AccessManager": lambda: ours.is_key(SignerRole.DEPLOYER, values[0]),
        "InvestorSBT": lambda: ours.is_contract(Kind.ACCESS_MANAGER, values[0]),
        "TimelockController": lambda: _is_our_timelock(values, ours),
        "CollateralVault": lambda: (
            ours.is_contract(Kind.ACCESS_MANAGER, values[0]) and _is_sale_address(values[1], ours)
        ),
        "DemoPriceFeed": lambda: (
            profile().simulates_prices
            and step.removeprefix("feed:") in SIMULATED_FEEDS
            and ours.is_key(SignerRole.PRICE_SIMULATOR, values[-1])
        ),
    }
    rule = rules.get(kind)
    return rule is not None and rule()


def _is_our_timelock(values: Sequence[Any], ours: _Ours) -> bool:
    _delay, proposers, executors, admin = values
    return (
        [ours.is_contract(Kind.ADMIN_SAFE, each) for each in proposers] == [True]
        and all(ours.is_contract(Kind.ADMIN_SAFE, e) or ours.is_key(SignerRole.RELAYER, e) for e in executors)
        and ours.is_key(SignerRole.DEPLOYER, admin)
    )


def _is_sale_address(address: str, ours: _Ours) -> bool:
    named = settings.COLLATERAL_SALE_ADDRESS
    return ours.is_key(SignerRole.SALE_WALLET, address) or (bool(named) and address.lower() == named.lower())


def _is_wiring(call: Call, ours: _Ours) -> bool:
    """A multicall of our manager whose every part is set-up: known functions, and members that are ours."""
    decoded = abi.decode_arguments("AccessManager", call.data)
    if decoded is None or decoded[0] != "multicall" or not ours.is_contract(Kind.ACCESS_MANAGER, call.to):
        return False
    return all(_is_part(bytes(part), ours) for part in decoded[1][0])


def _is_part(data: bytes, ours: _Ours) -> bool:
    decoded = abi.decode_arguments("AccessManager", data)
    if decoded is None:
        return False
    name, values = decoded
    if name == "labelRole":
        return True
    if name == "setRoleGuardian":
        return bool(values[1] == ChainRole.COUNCIL)
    if name == "grantRole":
        return ours.may_hold(values[0], values[1])
    if name == "renounceRole":
        return bool(values[0] == ChainRole.ADMIN) and ours.is_key(SignerRole.DEPLOYER, values[1])
    return name == "setTargetFunctionRole" and _is_function_role(values, ours)


def _is_function_role(values: Sequence[Any], ours: _Ours) -> bool:
    """Whether these functions go to the role that the tables of `operations` give them to."""
    target, selectors, role = values
    tables = {
        Kind.INVESTOR_SBT: operations.SBT_FUNCTION_ROLES,
        Kind.COLLATERAL_VAULT: operations.VAULT_FUNCTION_ROLES,
        Kind.ACCESS_MANAGER: operations.MANAGER_FUNCTION_ROLES,
    }
    for kind, table in tables.items():
        if ours.is_contract(kind, target):
            names = table.get(ChainRole(role), ()) if role in set(ChainRole) else ()
            allowed = {each for name in names for each in abi.artifact(kind).selectors_of(name)}
            return {bytes(each) for each in selectors} <= allowed
    return False


def _creates_safe(kind: Contract.Kind) -> Callable[[Call, _Ours], bool]:
    def rule(call: Call, ours: _Ours) -> bool:
        """A Safe of the officers this installation names. What it may do follows from the timelock and the manager."""
        decoded = abi.decode_arguments(Kind.SAFE_PROXY_FACTORY, call.data)
        if decoded is None or not ours.is_contract(Kind.SAFE_PROXY_FACTORY, call.to):
            return False
        name, values = decoded
        setup = abi.decode_arguments("Safe", bytes(values[1])) if name == "createProxyWithNonce" else None
        if setup is None or setup[0] != "setup" or not ours.is_contract(Kind.SAFE, values[0]):
            return False
        owners = {signers.checksummed(each) for each in setup[1][0]}
        return owners in _officers(kind, ours) and setup[1][1] == int(settings.SAFE_THRESHOLD)

    return rule


def _officers(kind: Contract.Kind, ours: _Ours) -> list[set[str]]:
    """The officers of this Safe: those the settings name, or in development those whose keys we hold."""
    is_admin = kind == Kind.ADMIN_SAFE
    named: Iterable[str] = settings.ADMIN_SAFE_OWNERS if is_admin else settings.COUNCIL_SAFE_OWNERS
    held = ours.keys.get(SignerRole.ADMIN_OWNER if is_admin else SignerRole.COUNCIL_OWNER, set())
    return [{signers.checksummed(each) for each in named}, held]


def _on_timelock(function: str, role: bytes, holder: Callable[[str, _Ours], bool]) -> Callable[[Call, _Ours], bool]:
    def rule(call: Call, ours: _Ours) -> bool:
        decoded = abi.decode_arguments(Kind.TIMELOCK, call.data)
        if decoded is None or decoded[0] != function or not ours.is_contract(Kind.TIMELOCK, call.to):
            return False
        return bytes(decoded[1][0]) == role and holder(decoded[1][1], ours)

    return rule


_CALLS: Final[dict[str, Callable[[Call, _Ours], bool]]] = {
    Kind.ADMIN_SAFE.value: _creates_safe(Kind.ADMIN_SAFE),
    Kind.COUNCIL_SAFE.value: _creates_safe(Kind.COUNCIL_SAFE),
    "canceller": _on_timelock(
        "grantRole", deployment.CANCELLER, lambda address, ours: ours.is_contract(Kind.COUNCIL_SAFE, address)
    ),
    "timelock": _on_timelock(
        "renounceRole", deployment.TIMELOCK_ADMIN, lambda address, ours: ours.is_key(SignerRole.DEPLOYER, address)
    ),
}
