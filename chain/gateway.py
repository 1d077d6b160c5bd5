"""Live reads: one `eth_call` each, decoded. What pages show comes from the database; this is for deciding now."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

from chain import abi
from chain.exceptions import CallRefused, InvalidAddress, NodeUnavailable
from chain.models import Contract
from chain.rpc import Rpc, RpcError, as_hex, as_int, node
from chain.types import ChainRole, Restriction, Standing

ZERO_ADDRESS = "0x" + "0" * 40


class Gateway:
    """Typed questions to the contracts at the head of the chain.

    Every method raises `NodeUnavailable` (503) if the node does not answer, and `CallRefused` if the contract reverts.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def standing(self, address: str) -> Standing:
        """What the SBT of `address` is worth at this moment."""
        (value,) = self._read("InvestorSBT", _only(Contract.Kind.INVESTOR_SBT), "standingOf", address)
        return Standing(value)

    def restriction(self, token: str, sender: str, recipient: str, units: int) -> Restriction:
        """Why a transfer would be refused at this moment; NONE if it would go through."""
        (code,) = self._read("SecurityToken", token, "detectTransferRestriction", sender, recipient, units)
        return Restriction(code)

    def balance(self, token: str, holder: str) -> int:
        """Base units, frozen ones included."""
        return int(self._read("SecurityToken", token, "balanceOf", holder)[0])

    def is_admitted(self, token: str, holder: str) -> bool:
        """Whether the present SBT of `holder` is admitted on `token`."""
        return bool(self._read("SecurityToken", token, "isAdmitted", holder)[0])

    def is_attestor(self, address: str) -> bool:
        """Whether `address` may sign attestations now."""
        manager = _only(Contract.Kind.ACCESS_MANAGER)
        return bool(self._read("AccessManager", manager, "hasRole", int(ChainRole.ATTESTOR), address)[0])

    def is_contract(self, address: str) -> bool:
        """Whether there is code at `address`."""
        return len(self._call("eth_getCode", address, "latest")) > 2

    def head(self) -> int:
        """Number of the newest block."""
        return as_int(self._call("eth_blockNumber"))

    def read(self, kind: str, to: str, function: str, *args: Any) -> tuple[Any, ...]:
        """Any view of a contract of ours, decoded."""
        return self._read(kind, to, function, *args)

    def _read(self, kind: str, to: str, function: str, *args: Any) -> tuple[Any, ...]:
        call = {"to": to, "data": as_hex(abi.encode_call(kind, function, *args))}
        answer = bytes.fromhex(self._call("eth_call", call, "latest").removeprefix("0x"))
        if not answer:
            # A view of ours always returns something; nothing means there is no contract at that address.
            raise NodeUnavailable(f"there is no {kind} at {to} on the chain behind this node")
        return abi.decode_result(kind, function, answer)

    def _call(self, method: str, *params: Any) -> str:
        try:
            return str(self._rpc.call(method, *params))
        except RpcError as error:
            if error.is_revert:
                raise CallRefused(abi.decode_error(error.revert_data)) from error
            raise NodeUnavailable(error.message) from error


def gateway() -> Gateway:
    """The gateway to the node of `CHAIN_RPC_URL`."""
    return Gateway(node())


def _only(kind: str) -> str:
    return Contract.objects.values_list("address", flat=True).get(chain_id=settings.CHAIN_ID, kind=kind)


def parse_address(text: str) -> str:
    """The EIP-55 checksummed form of what a person typed or pasted; all-lowercase and all-uppercase are accepted.

    Raises `InvalidAddress` with code `chain.address.malformed`, `.bad_checksum` or `.zero`.
    """
    address = text.strip()
    if not is_hex_address(address) or not address.lower().startswith("0x"):
        raise InvalidAddress(
            _("This is not an address. An address starts with 0x, followed by 40 digits and letters from a to f."),
            code="chain.address.malformed",
        )
    digits = address[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(address):
        raise InvalidAddress(
            _("The address has a typing error: its capital and small letters do not fit. Please copy it again."),
            code="chain.address.bad_checksum",
        )
    if int(digits, 16) == 0:
        raise InvalidAddress(
            _("This is the zero address, which nobody owns. Please enter the recipient's own address."),
            code="chain.address.zero",
        )
    return str(to_checksum_address(address))
