"""Who may sign what, and the backends that hold the keys. Keys are never in the database, a log or an error.

A backend has one primitive: a signature over keccak-256 of a payload. Every backend we know of can give that (a
keystore and a KMS sign the digest, a web3signer hashes the payload itself), and both transactions (EIP-1559 over
EIP-2718) and typed data (EIP-712, `0x1901 ‖ domain ‖ struct`) are such payloads.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from django.conf import settings
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak
from rlp.codec import decode as rlp_decode
from rlp.codec import encode as rlp_encode
from rlp.exceptions import RLPException

from chain import abi
from chain.exceptions import PolicyViolation, SignerUnavailable
from chain.models import ChainTransaction, Contract, Signer
from chain.profiles import profile
from chain.types import Call, ChainRole, SignerRole

#: Half the order of secp256k1: a signature's `s` above it has a twin below (EIP-2).
HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
#: The keystore's password is a random 256-bit secret, not something a person remembers: nobody can try them all, so a
#: stretched key derivation would slow down only us. scrypt at N=1024 opens in a few milliseconds.
_SCRYPT_N: Final = 1024


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature over secp256k1, always with the low `s`."""

    r: int
    s: int
    y_parity: int

    def to_bytes(self) -> bytes:
        """65 bytes r ‖ s ‖ v with v in {27, 28}, as Solidity's ECDSA libraries read it."""
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + bytes([27 + self.y_parity])


class Backend(Protocol):
    """What every holder of keys offers."""

    def sign(self, address: str, payload: bytes) -> Signature:
        """A low-s signature of `address` over keccak-256(payload). Raises `SignerUnavailable`."""
        ...


class Keystore:
    """Web3 Secret Storage v3 files in `KEYSTORE_DIR`, one per address; opened keys live in process memory only."""

    def __init__(self, directory: Path, password: str) -> None:
        self._directory = directory
        self._password = password
        self._opened: dict[str, PrivateKey] = {}

    def create(self) -> str:
        """A new random key, written to its file; its address. The file is on disk before this returns."""
        return self.store(secrets.token_bytes(32))

    def store(self, private_key: bytes) -> str:
        """Write `private_key` encrypted (mode 0600, atomically, synced); its address. Storing it again is harmless."""
        if not self._password:
            raise SignerUnavailable("KEYSTORE_PASSWORD is not set")
        address: str = PrivateKey(private_key).public_key.to_checksum_address()
        content = create_keyfile_json(private_key, self._password.encode(), kdf="scrypt", iterations=_SCRYPT_N)  # type: ignore[arg-type]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._directory)  # mkstemp makes it 0600
        with os.fdopen(handle, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self._path(address))
        return address

    def has(self, address: str) -> bool:
        return self._path(address).exists()

    def sign(self, address: str, payload: bytes) -> Signature:
        signature = self._key(address).sign_msg_hash(keccak(payload))
        return _low_s(Signature(r=signature.r, s=signature.s, y_parity=signature.v))

    def _path(self, address: str) -> Path:
        return self._directory / f"{address.lower().removeprefix('0x')}.json"

    def _key(self, address: str) -> PrivateKey:
        if address not in self._opened:
            self._opened[address] = self._open(address)
        return self._opened[address]

    def _open(self, address: str) -> PrivateKey:
        try:
            content = json.loads(self._path(address).read_text())
            key = PrivateKey(decode_keyfile_json(content, self._password.encode()))  # type: ignore[arg-type]
        except OSError as error:
            raise SignerUnavailable(f"no keystore file for {address}") from error
        except (ValueError, TypeError, KeyError) as error:
            # `from None`: whatever the parser says about a key file stays out of the log.
            raise SignerUnavailable(f"the keystore file of {address} does not open: {type(error).__name__}") from None
        if key.public_key.to_checksum_address() != address:
            raise SignerUnavailable(f"the keystore file of {address} holds another key")
        return key


def _low_s(signature: Signature) -> Signature:
    if signature.s <= HALF_ORDER:
        return signature
    order = 2 * HALF_ORDER + 1
    return Signature(r=signature.r, s=order - signature.s, y_parity=1 - signature.y_parity)


_keystores: dict[tuple[str, str], Keystore] = {}


def keystore() -> Keystore:
    """The keystore of `KEYSTORE_DIR`; one per directory and process, so that opened keys stay opened."""
    identity = (str(settings.KEYSTORE_DIR), settings.KEYSTORE_PASSWORD)
    if identity not in _keystores:
        _keystores[identity] = Keystore(Path(settings.KEYSTORE_DIR), settings.KEYSTORE_PASSWORD)
    return _keystores[identity]


_BACKENDS: Final[Mapping[str, Callable[[], Backend]]] = {Signer.Backend.KEYSTORE: keystore}


def backend_of(signer: Signer) -> Backend:
    return _BACKENDS[signer.backend]()


# --- transactions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unsigned:
    """The fields of an EIP-1559 transaction before it is signed. Amounts in wei."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: str | None
    value: int
    data: bytes

    def fields(self) -> list[Any]:
        to = to_canonical_address(self.to) if self.to else b""
        fees = [self.max_priority_fee_per_gas, self.max_fee_per_gas, self.gas_limit]
        return [self.chain_id, self.nonce, *fees, to, self.value, self.data, []]


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes a node takes, and the hash it will know them by."""

    raw: bytes
    hash: str


def sign_unsigned(signer: Signer, unsigned: Unsigned) -> Signed:
    """The signed bytes of one transaction (EIP-2718 type 2). The caller has checked the policy."""
    fields = unsigned.fields()
    signature = backend_of(signer).sign(signer.address, b"\x02" + _rlp(fields))
    raw = b"\x02" + _rlp([*fields, signature.y_parity, signature.r, signature.s])
    return Signed(raw=raw, hash="0x" + keccak(raw).hex())


def _rlp(fields: list[Any]) -> bytes:
    """Recursive length prefix, the Yellow Paper's serialisation."""
    return bytes(rlp_encode(fields))  # type: ignore[no-untyped-call]


def call_in(raw: bytes) -> tuple[str | None, bytes, int] | None:
    """Target, calldata and value that signed bytes of ours carry out; None for bytes that are no such transaction."""
    try:
        if raw[:1] != b"\x02":
            return None
        fields = rlp_decode(raw[1:])  # type: ignore[no-untyped-call]
        to, value, data = fields[5], fields[6], fields[7]
        return checksummed("0x" + to.hex()) if to else None, bytes(data), int.from_bytes(value)
    except (RLPException, IndexError, TypeError, ValueError):
        return None


# --- policy --------------------------------------------------------------------------------------------

#: Per role, the functions it may call on contracts of ours. What is not listed is not signed.
FUNCTIONS: Final[Mapping[str, frozenset[str]]] = {
    SignerRole.DEPLOYER: frozenset(
        {
            "AccessManager.multicall",
            "SafeProxyFactory.createProxyWithNonce",
            "TimelockController.grantRole",
            "TimelockController.renounceRole",
        }
    ),
    SignerRole.RELAYER: frozenset(
        {"AdminSafe.execTransaction", "CouncilSafe.execTransaction", "TimelockController.execute"}
    ),
    SignerRole.SBT_ISSUER: frozenset({"InvestorSBT.issue", "InvestorSBT.renew", "InvestorSBT.revoke"}),
    SignerRole.SBT_GUARDIAN: frozenset({"InvestorSBT.suspend", "InvestorSBT.distrust", "InvestorSBT.pauseIssuance"}),
    SignerRole.TOKEN_AGENT: frozenset(
        {
            "SecurityToken.admit",
            "SecurityToken.dismiss",
            "SecurityToken.mint",
            "SecurityToken.mintBatch",
            "SecurityToken.freeze",
            "SecurityToken.redeem",
            "SecurityToken.announceRecovery",
            "SecurityToken.recover",
            "SecurityToken.setTransferFreeze",
        }
    ),
    SignerRole.TOKEN_CONTROLLER: frozenset(
        {
            "AccessManager.schedule",
            "CollateralVault.announceBorrowerChange",
            "SecurityToken.forcedTransfer",
            "SecurityToken.setFrozenTokens",
            "SecurityToken.burn",
            "SecurityToken.reverseRedemption",
        }
    ),
    SignerRole.TOKEN_GUARDIAN: frozenset(
        {"SecurityToken.pause", "CollateralVault.pause", "CollateralVault.cancelRelease", "CollateralVault.cancelSale"}
    ),
    SignerRole.COLLATERAL_AGENT: frozenset(
        {
            "CollateralVault.open",
            "CollateralVault.proposeRelease",
            "CollateralVault.withdrawRelease",
            "CollateralVault.executeRelease",
            "CollateralVault.executeSale",
            "CollateralVault.applyBorrowerChange",
            "CollateralVault.applySaleAddress",
        }
    ),
    SignerRole.SALE_RECORDER: frozenset({"CollateralVault.recordSale", "CollateralVault.withdrawSale"}),
    SignerRole.PRICE_SIMULATOR: frozenset({"DemoPriceFeed.set"}),
    SignerRole.CUSTODY: frozenset({"SecurityToken.transfer", "SecurityToken.objectToRecovery"}),
}
#: Calls inside an AccessManager.multicall are looked at one by one.
MULTICALL_FUNCTIONS: Final[Mapping[str, frozenset[str]]] = {
    SignerRole.DEPLOYER: frozenset(
        {"labelRole", "grantRole", "renounceRole", "setTargetFunctionRole", "setRoleGuardian", "setTargetAdminDelay"}
    ),
}
#: What several officers together may be asked for, per role that has no key.
PROPOSALS: Final[Mapping[str, frozenset[str]]] = {
    SignerRole.ADMIN: frozenset(
        {"AccessManager.multicall", "CollateralVault.announceSaleAddress", "CollateralVault.setLimits"}
    ),
    SignerRole.COUNCIL: frozenset(
        {
            "InvestorSBT.reinstate",
            "InvestorSBT.restoreTrust",
            "InvestorSBT.resumeIssuance",
            "SecurityToken.unpause",
            "SecurityToken.cancelRecovery",
            "CollateralVault.unpause",
            "CollateralVault.cancelBorrowerChange",
            "CollateralVault.cancelSaleAddress",
            "AccessManager.cancel",
            "TimelockController.cancel",
        }
    ),
}
_ADMIN_STEPS: Final = frozenset({"setTargetFunctionRole", "grantRole", "revokeRole", "labelRole", "setRoleGuardian"})
#: Whose functions a controller announces.
_SCHEDULED_ON: Final = (Contract.Kind.SECURITY_TOKEN, Contract.Kind.COLLATERAL_VAULT)
#: Roles that may put new contracts of ours on the chain.
DEPLOYING_ROLES: Final = frozenset({SignerRole.DEPLOYER})


def check_policy(signer: Signer, call: Call) -> None:
    """Pass if `signer` may sign `call`; raise `PolicyViolation` otherwise.

    Judged by what the bytes say, never by the row's label: the target must be a contract of ours (or, for the gas
    funder, a signer of ours), and the selector must be a listed function of that contract.
    """
    if signer.state != Signer.State.ACTIVE:
        raise PolicyViolation(f"the key {signer.address} is {signer.state}")
    if call.to is None:
        _check_deployment(signer, call)
    elif not call.data:
        _check_payment(signer, call)
    else:
        _check_function(signer, call)


def check_proposal(role: str, call: Call) -> None:
    """Pass if officers may be asked to let `role` make `call`; raise `PolicyViolation` otherwise. Judged by the bytes."""
    contract = Contract.objects.filter(chain_id=settings.CHAIN_ID, address=call.to).first()
    decoded = abi.decode_arguments(contract.kind, call.data) if contract else None
    name = f"{contract.kind}.{decoded[0]}" if contract and decoded else "an unknown function"
    if decoded is None or name not in PROPOSALS[role] or name != call.function or call.value_wei:
        raise PolicyViolation(f"{role} is never asked for {name}")
    if name == "AccessManager.multicall":
        for data in decoded[1][0]:
            step = abi.decode_arguments("AccessManager", bytes(data))
            if step is None or step[0] not in _ADMIN_STEPS:
                raise PolicyViolation(f"{role} is never asked for {step[0] if step else 'an unknown function'}")
            if step[0] == "setRoleGuardian" and step[1][1] != ChainRole.COUNCIL:
                raise PolicyViolation(f"{role} is never asked to let anybody but the council cancel")


def call_of(row: ChainTransaction) -> Call:
    """The call a row asks for, from its stored bytes."""
    return Call(to=row.to, data=bytes(row.data), function=row.function, value_wei=row.value_wei)


def _check_deployment(signer: Signer, call: Call) -> None:
    if signer.role not in DEPLOYING_ROLES:
        raise PolicyViolation(f"{signer.role} may not deploy contracts")
    kind = deployed_kind(call.data)
    if call.value_wei or kind is None:
        raise PolicyViolation("only contracts of ours may be deployed")
    if kind == Contract.Kind.PRICE_FEED and not profile().simulates_prices:
        raise PolicyViolation("price feeds are not simulated here")


def deployed_kind(data: bytes) -> str | None:
    """Which contract of ours this creation code deploys; None if it is not one."""
    return next((kind for kind in abi.KINDS if data.startswith(abi.artifact(kind).bytecode)), None)


def _check_payment(signer: Signer, call: Call) -> None:
    """A plain payment of ETH: only from the gas funder, only to a signer of ours, only up to the top-up limit."""
    if signer.role != SignerRole.GAS_FUNDER:
        raise PolicyViolation(f"{signer.role} may not send ETH")
    if call.value_wei > settings.CHAIN_TOP_UP_LIMIT_WEI:
        raise PolicyViolation("the payment is above the top-up limit")
    if not Signer.objects.filter(chain_id=signer.chain_id, address=call.to).exists():
        raise PolicyViolation("the gas funder pays signers of ours only")


def _check_function(signer: Signer, call: Call) -> None:
    contract = Contract.objects.filter(chain_id=signer.chain_id, address=call.to).first()
    if contract is None:
        raise PolicyViolation(f"{call.to} is not a contract of ours")
    decoded = abi.decode_arguments(contract.kind, call.data)
    name = f"{contract.kind}.{decoded[0]}" if decoded else "an unknown function"
    if decoded is None or name not in FUNCTIONS.get(signer.role, frozenset()):
        raise PolicyViolation(f"{signer.role} may not call {name}")
    if name != call.function:
        raise PolicyViolation(f"the row says {call.function}, its bytes call {name}")
    if call.value_wei:
        raise PolicyViolation("no function of ours takes ETH")
    if name == "AccessManager.multicall":
        _check_multicall(signer, decoded[1][0])
    if name == "AccessManager.schedule":
        _check_schedule(signer, decoded[1])


def _check_multicall(signer: Signer, calls: tuple[bytes, ...]) -> None:
    allowed = MULTICALL_FUNCTIONS.get(signer.role, frozenset())
    for data in calls:
        decoded = abi.decode_arguments("AccessManager", bytes(data))
        if decoded is None or decoded[0] not in allowed:
            raise PolicyViolation(f"{signer.role} may not call {decoded[0] if decoded else 'an unknown function'}")


def _check_schedule(signer: Signer, arguments: tuple[Any, ...]) -> None:
    """What may be announced is what the signer may call directly on a security or the vault; nothing of the manager."""
    target, data, _when = arguments
    contract = Contract.objects.filter(
        chain_id=signer.chain_id, address=checksummed(target), kind__in=_SCHEDULED_ON
    ).first()
    decoded = abi.decode_arguments(contract.kind, bytes(data)) if contract else None
    name = f"{contract.kind}.{decoded[0]}" if contract and decoded else "an unknown function"
    if decoded is None or name not in FUNCTIONS.get(signer.role, frozenset()):
        raise PolicyViolation(f"{signer.role} may not announce {name}")


def checksummed(address: str) -> str:
    return str(to_checksum_address(address))
