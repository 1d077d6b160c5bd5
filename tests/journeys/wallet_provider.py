"""A browser wallet for the journeys: announces itself by EIP-6963, speaks EIP-1193, and signs for real with a key of its own.

The key stays in the test's process; the page only has what a wallet's extension puts there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_keyfile.keyfile import decode_keyfile_json
from playwright.sync_api import Page

from portal.demo.layout import Layout

_SCRIPT = """
(() => {
  const listeners = {};
  const provider = {
    request: async ({ method, params }) => {
      const answer = JSON.parse(await window.__wallet(method, JSON.stringify(params ?? [])));
      if (answer.error) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
      if (method === 'wallet_switchEthereumChain') (listeners.chainChanged ?? []).forEach((f) => f(params[0].chainId));
      return answer.result;
    },
    on: (event, f) => { (listeners[event] ??= []).push(f); },
    removeListener: () => {},
  };
  const info = { uuid: '350670db-19fa-4704-a166-e52e178b59d2', name: 'Test Wallet', icon: '', rdns: 'example.musubi.test' };
  const announce = () => window.dispatchEvent(
    new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }));
  window.addEventListener('eip6963:requestProvider', announce);
  announce();
})();
"""


def demo_key(layout: Layout, address: str) -> bytes:
    """The key of one of the demo's officers, out of its keystore: the officer has it in a wallet of their own as well."""
    return key_in(layout.run / "keystore", layout.secrets()["KEYSTORE_PASSWORD"], address)


def key_in(keystore: Path, password: str, address: str) -> bytes:
    """The key of `address` out of a keystore."""
    path = keystore / f"{address.lower().removeprefix('0x')}.json"
    return bytes(decode_keyfile_json(json.loads(path.read_text()), password.encode()))  # type: ignore[arg-type]


@dataclass
class TestWallet:
    """One key and what its owner answers: `rejects` counts the questions that are declined first."""

    __test__ = False
    key: bytes
    rpc_url: str
    chain_id: int = 31337
    rejects: int = 0
    locked: bool = False
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(Account.from_key(self.key).address)

    def open_in(self, page: Page) -> None:
        page.expose_function("__wallet", self._answer)
        page.add_init_script(_SCRIPT)

    def fund(self) -> None:
        """Ether for the network's fee, as the owner of a wallet has some."""
        self.rpc("anvil_setBalance", self.address, hex(10**18))

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = requests.post(self.rpc_url, json=body, timeout=10).json()
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def _answer(self, method: str, raw: str) -> str:
        self.asked.append(method)
        signs = method in ("personal_sign", "eth_signTypedData_v4", "eth_sendTransaction")
        if signs and self.rejects:
            self.rejects -= 1
            return json.dumps({"error": {"code": 4001, "message": "User rejected the request."}})
        try:
            return json.dumps({"result": self._do(method, json.loads(raw))})
        except Exception as error:  # as a wallet answers
            return json.dumps({"error": {"code": -32603, "message": str(error)}})

    def _do(self, method: str, params: list[Any]) -> Any:
        account = Account.from_key(self.key)
        if method == "eth_requestAccounts":
            return [] if self.locked else [account.address.lower()]
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "wallet_switchEthereumChain":
            self.chain_id = int(params[0]["chainId"], 16)
            return None
        if method == "personal_sign":
            message = encode_defunct(hexstr=params[0])
        elif method == "eth_signTypedData_v4":
            message = encode_typed_data(full_message=json.loads(params[1]))
        elif method == "eth_sendTransaction":
            return self._send(params[0])
        else:
            raise ValueError(f"{method} is not supported")
        return "0x" + bytes(account.sign_message(message).signature).hex()

    def _send(self, call: dict[str, Any]) -> str:
        fields = {
            "chainId": self.chain_id,
            "nonce": int(self.rpc("eth_getTransactionCount", self.address, "latest"), 16),
            "to": call["to"],
            "data": call["data"],
            "value": 0,
            "gas": 500_000,
            "maxFeePerGas": 20 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        }
        raw = Account.sign_transaction(fields, self.key).raw_transaction
        return str(self.rpc("eth_sendRawTransaction", "0x" + bytes(raw).hex()))
