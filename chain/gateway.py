"""Live reads: one `eth_call` each, decoded. What pages show comes from the database; this is for deciding now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from eth_abi.exceptions import DecodingError
from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

from chain import abi
from chain.exceptions import CallRefused, InvalidAddress, NodeUnavailable
from chain.models import Contract
from chain.rpc import Request, Rpc, RpcError, as_hex, as_int, node
from chain.types import ChainRole, PriceFeedAnswer, Restriction, Standing

ZERO_ADDRESS = "0x" + "0" * 40
#: Chainlink's interface; whose code answers does not matter.
_FEED: Final = "AggregatorV3Interface"


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

    def transfer_verdict(self, token: str, sender: str, recipient: str, units: int) -> tuple[Restriction, bool]:
        """Why a transfer would be refused at this moment, and whether the recipient is a contract; asked at once."""
        question = self._question("SecurityToken", token, "detectTransferRestriction", sender, recipient, units)
        try:
            answer, code = self._rpc.gather(
                [("eth_call", [question, "latest"]), ("eth_getCode", [recipient, "latest"])]
            )
        except RpcError as error:
            raise self._refused(error) from error
        (restriction,) = self._decoded("SecurityToken", token, "detectTransferRestriction", answer)
        return Restriction(restriction), len(code) > 2

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

    def collateral_balances(self, accounts: Sequence[str], block: int | None = None) -> dict[str, int]:
        """Wei of each account of the vault, by account, as the chain says at `block` (the head if none is given)."""
        vault = _only(Contract.Kind.COLLATERAL_VAULT)
        at = "latest" if block is None else hex(block)
        asked: list[Request] = []
        for account in accounts:
            data = as_hex(abi.encode_call("CollateralVault", "balanceOf", bytes.fromhex(account[2:])))
            asked.append(("eth_call", [{"to": vault, "data": data}, at]))
        return dict(zip(accounts, self._numbers(asked), strict=True))

    def collateral_total(self, block: int | None = None) -> int:
        """Wei of all accounts of the vault, as the chain says at `block` (the head if none is given)."""
        data = as_hex(abi.encode_call("CollateralVault", "totalCollateral"))
        call = {"to": _only(Contract.Kind.COLLATERAL_VAULT), "data": data}
        return self._numbers([("eth_call", [call, "latest" if block is None else hex(block)])])[0]

    def collateral_release(self, account: str, release_id: bytes) -> tuple[int, int]:
        """(wei still to be returned, Unix second from which it may be made) of a release; zeros: there never was one."""
        key, vault = bytes.fromhex(account[2:]), _only(Contract.Kind.COLLATERAL_VAULT)
        ((wei, executable_at),) = self._read("CollateralVault", vault, "releaseOf", key, release_id)
        return int(wei), int(executable_at)

    def collateral_sale(self, account: str, sale_id: bytes) -> tuple[int, int]:
        """(wei that may still be sold, Unix second at which it ends) of a recorded sale; zeros: there never was one."""
        key, vault = bytes.fromhex(account[2:]), _only(Contract.Kind.COLLATERAL_VAULT)
        ((wei, expires_at),) = self._read("CollateralVault", vault, "saleOf", key, sale_id)
        return int(wei), int(expires_at)

    def price_feed(self, address: str) -> PriceFeedAnswer:
        """The newest round of a price feed: any contract that answers Chainlink's AggregatorV3Interface.

        Raises `CallRefused` for a feed without a round, and for an answer that is not of that interface.
        """
        try:
            (decimals,) = self._read(_FEED, address, "decimals")
            number, answer, _started, updated_at, _answered = self._read(_FEED, address, "latestRoundData")
            at = datetime.fromtimestamp(updated_at, UTC)
        except (DecodingError, OverflowError, ValueError, OSError) as error:
            raise CallRefused("the feed does not answer as a price feed does") from error
        return PriceFeedAnswer(answer=int(answer), decimals=int(decimals), updated_at=at, round_id=int(number))

    def head(self) -> int:
        """Number of the newest block."""
        return as_int(self._call("eth_blockNumber"))

    def read(self, kind: str, to: str, function: str, *args: Any) -> tuple[Any, ...]:
        """Any view of a contract of ours, decoded."""
        return self._read(kind, to, function, *args)

    def _read(self, kind: str, to: str, function: str, *args: Any) -> tuple[Any, ...]:
        return self._decoded(
            kind, to, function, self._call("eth_call", self._question(kind, to, function, *args), "latest")
        )

    @staticmethod
    def _question(kind: str, to: str, function: str, *args: Any) -> dict[str, str]:
        return {"to": to, "data": as_hex(abi.encode_call(kind, function, *args))}

    @staticmethod
    def _decoded(kind: str, to: str, function: str, hexadecimal: str) -> tuple[Any, ...]:
        answer = bytes.fromhex(hexadecimal.removeprefix("0x"))
        if not answer:
            # A view of ours always returns something; nothing means there is no contract at that address.
            raise NodeUnavailable(f"there is no {kind} at {to} on the chain behind this node")
        return abi.decode_result(kind, function, answer)

    def _numbers(self, asked: Sequence[Request]) -> list[int]:
        try:
            answers = self._rpc.gather(asked)
        except RpcError as error:
            raise NodeUnavailable(error.message) from error
        if not all(len(answer) > 2 for answer in answers):
            raise NodeUnavailable("there is no such contract on the chain behind this node at that block")
        return [as_int(answer) for answer in answers]

    def _call(self, method: str, *params: Any) -> str:
        try:
            return str(self._rpc.call(method, *params))
        except RpcError as error:
            raise self._refused(error) from error

    @staticmethod
    def _refused(error: RpcError) -> CallRefused | NodeUnavailable:
        """What the node's no means: the contract reverted, or the node could not be asked."""
        return CallRefused(abi.decode_error(error.revert_data)) if error.is_revert else NodeUnavailable(error.message)


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
