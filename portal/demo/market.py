"""The world outside the loan desk, as the demo's visitors move it: prices, Bitcoin, Ether. Everything here is simulated.

Prices go to the simulated exchanges and, on the chain, to the simulated feeds; coins come from wallets of nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from django.conf import settings
from eth_account import Account

from chain import operations
from chain.selectors import PlatformNotReady, price_feeds, signer_for_role
from chain.services import enqueue
from chain.services.deployment import FEED_DECIMALS
from chain.types import SignerRole
from portal.demo.chain_keeper import Node

ASSETS: Final = ("BTC", "ETH")
#: One step of a demonstration; a real market has no such bounds.
LEAST_YEN, MOST_YEN = Decimal(1_000), Decimal(1_000_000_000)
MOST_SATS, MOST_WEI = 100 * 10**8, 1_000 * 10**18


class MarketRefused(Exception):
    """A simulator did not take it; the message says what it answered."""


def is_there() -> bool:
    """True where the demo started its simulators."""
    return bool(settings.DEMO and settings.EXCHANGE_SIMULATOR_URL and settings.BITCOIN_ESPLORA_URL)


def prices() -> dict[str, Decimal]:
    """What the exchanges are told to say, by pair."""
    told = _ask(settings.EXCHANGE_SIMULATOR_URL + "/sim/prices")
    return {pair: Decimal(price) for pair, price in told.items()}


def set_price(asset: str, yen: Decimal) -> None:
    """One coin costs `yen`, and as much in dollars as USD/JPY says. Accepted prices follow with the next rounds."""
    if asset not in ASSETS or not LEAST_YEN <= yen <= MOST_YEN:
        raise MarketRefused(f"{asset} {yen}")
    dollars = (yen / prices()["USD/JPY"]).quantize(Decimal("0.01"))
    _tell({f"{asset}/JPY": yen.quantize(Decimal(1)), f"{asset}/USD": dollars})


def fall(percent: int) -> None:
    """Both coins lose so much, in both currencies."""
    if not 0 < percent < 100:
        raise MarketRefused(f"{percent} %")
    for asset in ASSETS:
        set_price(asset, prices()[f"{asset}/JPY"] * (100 - percent) / 100)


def _tell(changed: Mapping[str, Decimal]) -> None:
    _ask(settings.EXCHANGE_SIMULATOR_URL + "/sim/prices", {pair: str(value) for pair, value in changed.items()})
    kept = Path(os.environ["MUSUBI_RUN_DIR"]) / "exchanges" / "prices.json"
    draft = kept.with_suffix(".new")
    draft.write_text(json.dumps({pair: str(value) for pair, value in prices().items()}))
    draft.replace(kept)
    tell_feeds()


def tell_feeds() -> None:
    """The simulated Chainlink feeds say what the exchanges say; where the chain is not ready they say nothing."""
    told = prices()
    told["JPY/USD"] = 1 / told["USD/JPY"]
    try:
        signer = signer_for_role(SignerRole.PRICE_SIMULATOR)
    except PlatformNotReady:
        return
    for pair, feed in price_feeds().items():
        value = told.get(pair)
        if value is None:
            continue
        answer = int(value.scaleb(FEED_DECIMALS))
        enqueue(
            call=operations.set_demo_price(feed, answer),
            signer=signer,
            idempotency_key=f"demo-price:{pair}:{os.urandom(8).hex()}",
            purpose="demo.price",
        )


# --- coins ---------------------------------------------------------------------------------------------------------


def send_bitcoin(address: str, sats: int, *, sender: str = "visitor") -> str:
    """Pay an address from the simulated wallet of `sender`; the transaction's id. Blocks follow by themselves."""
    if not 0 < sats <= MOST_SATS:
        raise MarketRefused(f"{sats} sat")
    return str(_ask(settings.BITCOIN_ESPLORA_URL + "/sim/send", {"outputs": {address: sats}, "sender": sender}))


def sign_bitcoin(psbt: str) -> str:
    """What the simulated custodian makes of an unsigned transaction."""
    return str(_ask(settings.BITCOIN_ESPLORA_URL + "/sim/sign", {"psbt": psbt}))


def send_ether_from_exchange(address: str, wei: int) -> str:
    """The simulated exchange sends ether that was delivered to it; the transaction's hash. Needs a development node."""
    node, exchange = Node(settings.CHAIN_RPC_URL), signer_for_role(SignerRole.SALE_WALLET).address
    there = int(node.ask("eth_getBalance", exchange, "latest"), 16)
    if there < wei:
        raise MarketRefused(f"the exchange has {there} wei")
    node.ask("anvil_setBalance", exchange, hex(there + 10**17))  # for the network's fee, which is its own
    node.ask("anvil_impersonateAccount", exchange)
    return str(
        node.ask("eth_sendTransaction", {"from": exchange, "to": address, "value": hex(wei), "gas": hex(300_000)})
    )


def mine(blocks: int = 1) -> str:
    """Find so many blocks at once; the hash of the last."""
    return str(_ask(settings.BITCOIN_ESPLORA_URL + "/sim/mine", {"count": max(1, min(blocks, 144))}))


def bitcoin_wallet(name: str) -> str:
    """A Bitcoin address of somebody in the demo whose key nobody has: for coins that go back."""
    from lending.bitcoin.simulator.chain import wallet_of

    return wallet_of(name)


def ether_wallet() -> str:
    """The demo's wallet of Ether, different in every installation."""
    return str(Account.from_key(_ether_key()).address)


def _ether_key() -> bytes:
    return hashlib.sha256(b"collateral" + os.environ["DEMO_TOTP_SEED"].encode()).digest()


def send_ether(address: str, wei: int) -> str:
    """Pay an address from the demo's wallet, which the development node fills; the transaction's hash."""
    if not 0 < wei <= MOST_WEI:
        raise MarketRefused(f"{wei} wei")
    node = Node(settings.CHAIN_RPC_URL)
    sender = ether_wallet()
    node.ask("anvil_setBalance", sender, hex(wei + 10**19))
    signed = Account.sign_transaction(
        {
            "chainId": settings.CHAIN_ID,
            "nonce": int(node.ask("eth_getTransactionCount", sender, "pending"), 16),
            "to": address,
            "value": wei,
            "gas": 300_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        },
        _ether_key(),
    )
    return str(node.ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))


def _ask(url: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data=data), timeout=10) as response:  # noqa: S310 (a simulator on loopback)
            answer = response.read().decode()
    except HTTPError as error:
        raise MarketRefused(error.read().decode(errors="replace")[:200]) from error
    except OSError as error:
        raise MarketRefused(str(error)) from error
    return json.loads(answer) if answer.startswith("{") else answer
