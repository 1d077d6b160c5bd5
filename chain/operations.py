"""The contract calls the apps may ask for. Each function returns a `Call` for the outbox and touches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.conf import settings
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from chain import abi
from chain.models import Contract
from chain.profiles import profile
from chain.types import Attestation, Call, ChainRole, TokenTerms

#: Which role may call which restricted function. Everything not listed stays with ADMIN.
SBT_FUNCTION_ROLES: Final[dict[ChainRole, tuple[str, ...]]] = {
    ChainRole.SBT_ISSUER: ("issue", "renew", "revoke"),
    ChainRole.SBT_GUARDIAN: ("suspend", "distrust", "pauseIssuance"),
    ChainRole.COUNCIL: ("reinstate", "restoreTrust", "resumeIssuance"),
}
TOKEN_FUNCTION_ROLES: Final[dict[ChainRole, tuple[str, ...]]] = {
    ChainRole.TOKEN_AGENT: (
        "admit",
        "dismiss",
        "mint",
        "mintBatch",
        "freeze",
        "redeem",
        "announceRecovery",
        "recover",
        "setTransferFreeze",
    ),
    ChainRole.TOKEN_CONTROLLER: (
        "forcedTransfer",
        "setFrozenTokens",
        "redeemEarly",
        "burn",
        "reverseRedemption",
        "setDocument",
    ),
    ChainRole.TOKEN_GUARDIAN: ("pause",),
    ChainRole.COUNCIL: ("unpause", "cancelRecovery"),
}


VAULT_FUNCTION_ROLES: Final[dict[ChainRole, tuple[str, ...]]] = {
    ChainRole.COLLATERAL_AGENT: ("proposeRelease", "withdrawRelease", "executeRelease", "executeSale"),
    ChainRole.SALE_RECORDER: ("recordSale", "withdrawSale"),
    ChainRole.TOKEN_CONTROLLER: ("announceBorrowerChange",),
    ChainRole.TOKEN_GUARDIAN: ("pause", "cancelRelease", "cancelSale"),
    ChainRole.COUNCIL: ("unpause", "cancelBorrowerChange", "cancelSaleAddress"),
}


#: The manager's own restricted functions. Who may call them does not change by this; who may cancel them does.
MANAGER_FUNCTION_ROLES: Final[dict[ChainRole, tuple[str, ...]]] = {
    ChainRole.MANAGEMENT: (
        "labelRole",
        "grantRole",
        "revokeRole",
        "setRoleAdmin",
        "setRoleGuardian",
        "setGrantDelay",
        "setTargetFunctionRole",
        "setTargetAdminDelay",
        "setTargetClosed",
        "updateAuthority",
    ),
}
#: Roles whose scheduled operations the council may cancel.
GUARDED_ROLES: Final = (
    ChainRole.MANAGEMENT,
    ChainRole.SBT_ISSUER,
    ChainRole.ATTESTOR,
    ChainRole.SBT_GUARDIAN,
    ChainRole.TOKEN_AGENT,
    ChainRole.TOKEN_CONTROLLER,
    ChainRole.TOKEN_GUARDIAN,
    ChainRole.COLLATERAL_AGENT,
    ChainRole.SALE_RECORDER,
)
#: Roles that only the vault needs: a platform that was deployed before it gets them with it.
VAULT_ROLES: Final = (ChainRole.COLLATERAL_AGENT, ChainRole.SALE_RECORDER)


def _call(kind: str, to: str, function: str, *args: Any) -> Call:
    return Call(to=to, data=abi.encode_call(kind, function, *args), function=f"{kind}.{function}")


_remembered: ContextVar[dict[str, str] | None] = ContextVar("addresses of our contracts", default=None)


@contextmanager
def looking_up_contracts_once() -> Iterator[None]:
    """Within it the address of each of our contracts is read once: for making many calls of a kind."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def _only(kind: str) -> str:
    """The address of the one contract of this kind on our chain. Raises `Contract.DoesNotExist` before deployment."""
    remembered = _remembered.get()
    if remembered is not None and kind in remembered:
        return remembered[kind]
    address: str = Contract.objects.values_list("address", flat=True).get(chain_id=settings.CHAIN_ID, kind=kind)
    if remembered is not None:
        remembered[kind] = address
    return address


# --- InvestorSBT -------------------------------------------------------------------------------------------


def attestation_values(attestation: Attestation) -> tuple[Any, ...]:
    """The struct as the contract orders it."""
    return (
        attestation.holder,
        attestation.subject,
        attestation.categories,
        attestation.expires_at,
        attestation.evidence_hash,
        attestation.nonce,
        attestation.deadline,
    )


def _sbt(function: str, *args: Any) -> Call:
    return _call("InvestorSBT", _only(Contract.Kind.INVESTOR_SBT), function, *args)


def issue_sbt(attestation: Attestation, attestor: str, signature: bytes) -> Call:
    """Issue an SBT to the holder the officer attested. [SBT_ISSUER]"""
    return _sbt("issue", attestation_values(attestation), attestor, signature)


def renew_sbt(attestation: Attestation, attestor: str, signature: bytes) -> Call:
    """Give an existing SBT a fresh attestation. [SBT_ISSUER]"""
    return _sbt("renew", attestation_values(attestation), attestor, signature)


def suspend_sbt(holder: str) -> Call:
    """Stop an SBT from counting until the council lifts it. [SBT_GUARDIAN]"""
    return _sbt("suspend", holder)


def reinstate_sbt(holder: str) -> Call:
    """Lift a suspension. [COUNCIL]"""
    return _sbt("reinstate", holder)


def revoke_sbt(holder: str) -> Call:
    """End a suspended SBT. [SBT_ISSUER]"""
    return _sbt("revoke", holder)


def distrust(key: str, since: int) -> Call:
    """Stop what `key` issued or attested from Unix second `since` on from counting; may only widen. [SBT_GUARDIAN]"""
    return _sbt("distrust", key, since)


def restore_trust(key: str) -> Call:
    """Trust a key again, for everything it did. [COUNCIL]"""
    return _sbt("restoreTrust", key)


def pause_issuance() -> Call:
    """Stop issuing and renewing. [SBT_GUARDIAN]"""
    return _sbt("pauseIssuance")


def resume_issuance() -> Call:
    """Let issuing and renewing go on. [COUNCIL]"""
    return _sbt("resumeIssuance")


# --- AccessManager -----------------------------------------------------------------------------------------


def schedule_call(call: Call) -> Call:
    """Announce `call`, which its caller may make only after a delay; earliest time. [whoever may make it]"""
    return _call("AccessManager", _only(Contract.Kind.ACCESS_MANAGER), "schedule", call.to, call.data, 0)


def replace_role_holder(role: ChainRole, *, old: str, new: str, delay: int = 0) -> Call:
    """Give `role` to `new` with an execution delay in seconds and take it from `old`, in one transaction. [ADMIN]"""
    calls = [
        abi.encode_call("AccessManager", "grantRole", int(role), new, delay),
        abi.encode_call("AccessManager", "revokeRole", int(role), old),
    ]
    return _call("AccessManager", _only(Contract.Kind.ACCESS_MANAGER), "multicall", calls)


def cancel_scheduled(caller: str, target: str, data: bytes) -> Call:
    """Cancel what `caller` announced. [COUNCIL]"""
    return _call("AccessManager", _only(Contract.Kind.ACCESS_MANAGER), "cancel", caller, target, data)


# --- SecurityToken -----------------------------------------------------------------------------------------


def deploy_security_token(terms: TokenTerms) -> Call:
    """Put a new security on the chain. [deployer] Once mined, its row in `Contract` exists."""
    _manager, _sbt, terms_parameter, safeguards_parameter = abi.artifact("SecurityToken").constructor["inputs"]
    data = abi.encode_deployment(
        "SecurityToken",
        _only(Contract.Kind.ACCESS_MANAGER),
        _only(Contract.Kind.INVESTOR_SBT),
        abi.struct_values(terms_parameter, _terms_by_name(terms)),
        abi.struct_values(safeguards_parameter, _safeguards(terms)),
    )
    return Call(to=None, data=data, function="SecurityToken.constructor")


def _terms_by_name(terms: TokenTerms) -> dict[str, Any]:
    """`snake_case` fields under the contract's `camelCase` names."""
    return {_camel(name): value for name, value in asdict(terms).items()}


def _safeguards(terms: TokenTerms) -> dict[str, Any]:
    """What bounds the keys of the issue, from this installation's profile."""
    plan = profile()
    return {
        "controllerDelay": int(plan.controller_delay.total_seconds()),
        "recoveryDelay": int(plan.recovery_delay.total_seconds()),
        "admissionLimitPerDay": plan.admission_limit_per_day,
        "mintLimitPerDay": max(plan.mint_limit_factor * terms.authorised_units, 2),
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def configure_security_token(token: str) -> Call:
    """Wire the functions of a new token to the roles, in one transaction. [ADMIN] Doing it again changes nothing."""
    manager = _only(Contract.Kind.ACCESS_MANAGER)
    calls = function_role_calls("SecurityToken", token, TOKEN_FUNCTION_ROLES)
    return _call("AccessManager", manager, "multicall", calls)


def function_role_calls(kind: str, target: str, roles: dict[ChainRole, tuple[str, ...]]) -> list[bytes]:
    """AccessManager.setTargetFunctionRole for every role of `roles`, as parts of a multicall."""
    contract = abi.artifact(kind)
    return [
        abi.encode_call(
            "AccessManager",
            "setTargetFunctionRole",
            target,
            [selector for name in names for selector in contract.selectors_of(name)],
            int(role),
        )
        for role, names in roles.items()
    ]


def _token(token: str, function: str, *args: Any) -> Call:
    return _call("SecurityToken", token, function, *args)


def admit(token: str, holders: Sequence[str]) -> Call:
    """Let the SBTs of these holders receive the token. [TOKEN_AGENT]"""
    return _token(token, "admit", list(holders))


def dismiss(token: str, holders: Sequence[str]) -> Call:
    """Take the admission back; what they hold they keep. [TOKEN_AGENT]"""
    return _token(token, "dismiss", list(holders))


def mint(token: str, holder: str, units: int) -> Call:
    """Issue units within the authorised amount. [TOKEN_AGENT]"""
    return _token(token, "mint", holder, units)


def freeze(token: str, holder: str, units: int) -> Call:
    """Raise the frozen amount of `holder` to `units`; it may be more than the balance. [TOKEN_AGENT]"""
    return _token(token, "freeze", holder, units)


def pause(token: str) -> Call:
    """Stop every transfer. [TOKEN_GUARDIAN]"""
    return _token(token, "pause")


def unpause(token: str) -> Call:
    """Let transfers go on. [COUNCIL]"""
    return _token(token, "unpause")


def transfer(token: str, recipient: str, units: int) -> Call:
    """Pass units on. [holder]"""
    return _token(token, "transfer", recipient, units)


def announce_recovery(token: str, lost: str, replacement: str) -> Call:
    """Start the waiting time of a recovery between two wallets of one person. [TOKEN_AGENT]"""
    return _token(token, "announceRecovery", lost, replacement)


def object_to_recovery(token: str) -> Call:
    """Stop the recovery that was announced for the sender's own wallet. [holder]"""
    return _token(token, "objectToRecovery")


def recover(token: str, lost: str, replacement: str) -> Call:
    """Move everything to the replacement wallet, after the waiting time. [TOKEN_AGENT]"""
    return _token(token, "recover", lost, replacement)


def redeem(token: str, holder: str, units: int) -> Call:
    """Burn units that were paid back, from the maturity date on. [TOKEN_AGENT]"""
    return _token(token, "redeem", holder, units)


# A controller's calls: announced with `schedule_call`, then made directly once the delay is over.


def forced_transfer(token: str, holder: str, recipient: str, units: int, reason: bytes) -> Call:
    """Move units by authority to an effective, admitted address; `reason`: 32 bytes. [TOKEN_CONTROLLER, delayed]"""
    data = abi.encode_call(
        "SecurityToken", "forcedTransfer(address,address,uint256,bytes32)", holder, recipient, units, reason
    )
    return Call(to=token, data=data, function="SecurityToken.forcedTransfer")


def set_frozen(token: str, holder: str, units: int) -> Call:
    """Set the frozen amount, lower too. [TOKEN_CONTROLLER, delayed]"""
    return _token(token, "setFrozenTokens", holder, units)


def burn(token: str, holder: str, units: int, reason: bytes) -> Call:
    """Burn wrongly minted units; they may be minted again. [TOKEN_CONTROLLER, delayed]"""
    return _token(token, "burn", holder, units, reason)


def reverse_redemption(token: str, holder: str, units: int, reason: bytes) -> Call:
    """Give back units that were redeemed wrongly. [TOKEN_CONTROLLER, delayed]"""
    return _token(token, "reverseRedemption", holder, units, reason)


def cancel_recovery(token: str, lost: str) -> Call:
    """Call a recovery off and unlock the wallet. [COUNCIL]"""
    return _token(token, "cancelRecovery", lost)


# --- CollateralVault ---------------------------------------------------------------------------------------


def collateral_account(loan: bytes, borrower: str) -> str:
    """The account of this loan (32 opaque bytes) and borrower, 0x-hex. Computed; nothing need be on the chain yet."""
    return "0x" + keccak(abi.encode_values(["bytes32", "address"], (loan, borrower))).hex()


def collateral_deposit_address(account: str) -> str:
    """Where ETH for this account is sent to. Computed from the vault's address (CREATE2 of a clone). One query."""
    return deposit_address_of(_only(Contract.Kind.COLLATERAL_VAULT), account)


def deposit_address_of(vault: str, account: str) -> str:
    """The same for a given vault: OpenZeppelin's `Clones` with the account as immutable argument and salt."""
    # The vault made the code behind the clones first thing in its constructor: nonce 1 of its address.
    code = keccak(b"\xd6\x94" + to_canonical_address(vault) + b"\x01")[12:]
    key = bytes.fromhex(account[2:])
    runtime = (
        b"\x36\x3d\x3d\x37\x3d\x3d\x3d\x36\x3d\x73"
        + code
        + b"\x5a\xf4\x3d\x82\x80\x3e\x90\x3d\x91\x60\x2b\x57\xfd\x5b\xf3"
    )
    creation = b"\x61" + (len(runtime) + len(key)).to_bytes(2) + b"\x3d\x81\x60\x0a\x3d\x39\xf3" + runtime + key
    return str(to_checksum_address(keccak(b"\xff" + to_canonical_address(vault) + key + keccak(creation))[12:]))


def _vault(function: str, *args: Any) -> Call:
    return _call("CollateralVault", _only(Contract.Kind.COLLATERAL_VAULT), function, *args)


def _key(account: str) -> bytes:
    return bytes.fromhex(account.removeprefix("0x"))


def register_collateral_account(loan: bytes, borrower: str) -> Call:
    """Open the account with its deposit address; doing it again only takes in what lies there. [anybody]"""
    return _vault("open", loan, borrower)


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """Which account a call opens."""

    account: str
    loan: bytes
    borrower: str


def account_opened(call: Call) -> AccountOpened | None:
    """What `register_collateral_account` was made with; None for another call."""
    decoded = abi.decode_arguments("CollateralVault", call.data)
    if decoded is None or decoded[0] != "open":
        return None
    loan, borrower = bytes(decoded[1][0]), str(to_checksum_address(decoded[1][1]))
    return AccountOpened(collateral_account(loan, borrower), loan, borrower)


def sweep_collateral(loan: bytes, borrower: str) -> Call:
    """Take in what reached the deposit address before it was opened, or by force. [anybody]"""
    return register_collateral_account(loan, borrower)


def propose_collateral_release(account: str, release_id: bytes, wei: int) -> Call:
    """Announce that `wei` go back to the borrower; an id is used once. [COLLATERAL_AGENT]"""
    return _vault("proposeRelease", _key(account), release_id, wei)


def withdraw_collateral_release(account: str, release_id: bytes) -> Call:
    """Take a proposal back. [COLLATERAL_AGENT]"""
    return _vault("withdrawRelease", _key(account), release_id)


def execute_collateral_release(account: str, release_id: bytes) -> Call:
    """Return what was proposed, within 7 days of the end of the delay. [COLLATERAL_AGENT]"""
    return _vault("executeRelease", _key(account), release_id)


def cancel_collateral_release(account: str, release_id: bytes) -> Call:
    """Stop a release that was proposed. [TOKEN_GUARDIAN]"""
    return _vault("cancelRelease", _key(account), release_id)


def record_collateral_sale(account: str, sale_id: bytes, wei: int, expires_at: int) -> Call:
    """Allow up to `wei` to be sold until Unix second `expires_at`, at most 7 days ahead. [SALE_RECORDER]"""
    return _vault("recordSale", _key(account), sale_id, wei, expires_at)


def withdraw_collateral_sale(account: str, sale_id: bytes) -> Call:
    """Take back what is left of a recorded sale. [SALE_RECORDER]"""
    return _vault("withdrawSale", _key(account), sale_id)


def execute_collateral_sale(account: str, sale_id: bytes, wei: int) -> Call:
    """Send `wei` to the sale address within a recorded sale; portions add up. [COLLATERAL_AGENT]"""
    return _vault("executeSale", _key(account), sale_id, wei)


def cancel_collateral_sale(account: str, sale_id: bytes) -> Call:
    """Stop what is left of a recorded sale. [TOKEN_GUARDIAN]"""
    return _vault("cancelSale", _key(account), sale_id)


def pause_collateral() -> Call:
    """Stop releases and sales; deposits go on. [TOKEN_GUARDIAN]"""
    return _vault("pause")


def unpause_collateral() -> Call:
    """Let releases and sales go on. [COUNCIL]"""
    return _vault("unpause")


def announce_borrower_change(account: str, replacement: str) -> Call:
    """Announce another address for the borrower; scheduled first, then the vault's notice runs. [TOKEN_CONTROLLER]"""
    return _vault("announceBorrowerChange", _key(account), replacement)


def apply_borrower_change(account: str) -> Call:
    """Put the announced address in force once the notice is over. [anybody]"""
    return _vault("applyBorrowerChange", _key(account))


def cancel_borrower_change(account: str) -> Call:
    """Call a change of borrower's address off. [COUNCIL]"""
    return _vault("cancelBorrowerChange", _key(account))


def announce_sale_address(address: str) -> Call:
    """Announce another address for sales; the vault's notice runs. [ADMIN]"""
    return _vault("announceSaleAddress", address)


def apply_sale_address() -> Call:
    """Put the announced sale address in force once the notice is over. [anybody]"""
    return _vault("applySaleAddress")


def cancel_sale_address() -> Call:
    """Call a change of the sale address off. [COUNCIL]"""
    return _vault("cancelSaleAddress")


# --- DemoPriceFeed (a simulator) ---------------------------------------------------------------------------


def set_demo_price(feed: str, answer: int, updated_at: int = 0) -> Call:
    """Tell a simulated feed its next answer; `updated_at` zero: now. [the simulator's key]"""
    return _call("DemoPriceFeed", feed, "set", answer, updated_at)
