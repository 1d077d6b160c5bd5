"""What the projections should say, computed the slow and obvious way, and what they do say, in the same form."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from chain.models import (
    CollateralAccount,
    CollateralMovement,
    Distrust,
    Holding,
    Movement,
    SbtRecord,
    TokenState,
)
from chain.selectors import collateral_balances
from chain.tests.simulated_chain import TOKEN, Event, SimulatedBlock, SimulatedChain

ZERO = "0x" + "0" * 40


class Ledger:
    """A plain fold of events, one at a time, with nothing ever undone."""

    def __init__(self) -> None:
        self.units: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.frozen: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.admitted: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.supply: defaultdict[str, int] = defaultdict(int)
        self.paused: defaultdict[str, bool] = defaultdict(bool)
        self.authorised: defaultdict[str, int] = defaultdict(int)
        self.sbts: dict[str, dict[str, Any]] = {}
        self.distrust: dict[str, int] = {}
        self.movements: list[tuple[Any, ...]] = []
        self.accounts: dict[bytes, dict[str, Any]] = {}
        self.collateral: list[tuple[Any, ...]] = []
        self.held: defaultdict[bytes, int] = defaultdict(int)

    def read(self, chain: SimulatedChain, *, through: int | None = None) -> Ledger:
        for block, event in chain.events(through=through):
            self.add(block, event)
        return self

    def add(self, block: SimulatedBlock, event: Event) -> None:
        a, token = event.args, event.address
        match event.name:
            case "Transfer" if event.kind == TOKEN:
                self._move(block, token, a["from"], a["to"], a["value"])
            case "Frozen":
                self.frozen[token, a["account"]] = a["amount"]
            case "Admitted":
                self.admitted[token, a["holder"]] = a["sbtId"]
            case "Dismissed":
                self.admitted[token, a["holder"]] = 0
            case "Paused":
                self.paused[token] = True
            case "Unpaused":
                self.paused[token] = False
            case "AuthorisedAmountRaised" | "AuthorisedAmountLowered":
                self.authorised[token] = a["authorised"]
            case "SbtIssued" | "SbtRenewed":
                former = self.sbts.get(a["holder"], {})
                kept = former.get("suspended", False) if event.name == "SbtRenewed" else False
                self.sbts[a["holder"]] = {"args": a, "at": block.header.at, "suspended": kept, "revoked": False}
            case "SbtSuspended":
                self.sbts[a["holder"]]["suspended"] = True
            case "SbtReinstated":
                self.sbts[a["holder"]]["suspended"] = False
            case "SbtRevoked":
                self.sbts[a["holder"]]["revoked"] = True
            case "KeyDistrusted":
                self.distrust[a["key"]] = a["since"]
            case "KeyTrustRestored":
                self.distrust.pop(a["key"], None)
            case "AccountOpened":
                self.accounts[a["account"]] = a
            case "Deposited":
                self._pay(block, a, event.name, a["amount"], a["from"], a["origin"], "")
            case "Released":
                self._pay(block, a, event.name, -a["amount"], a["to"], "", "0x" + a["releaseId"].hex())
            case "Sold":
                self._pay(block, a, event.name, -a["amount"], a["to"], "", "0x" + a["saleId"].hex())

    def _pay(self, block: SimulatedBlock, a: dict[str, Any], kind: str, wei: int, *about: str) -> None:
        account = "0x" + a["account"].hex()
        self.collateral.append((account, kind, abs(wei), *about, block.header.number, block.header.at))
        self.held[a["account"]] += wei

    def _move(self, block: SimulatedBlock, token: str, sender: str, recipient: str, units: int) -> None:
        self.movements.append((token, sender, recipient, units, block.header.number, block.header.at))
        if sender == ZERO:
            self.supply[token] += units
        else:
            self.units[token, sender] -= units
        if recipient == ZERO:
            self.supply[token] -= units
        else:
            self.units[token, recipient] += units

    def snapshot(self, final: Ledger) -> dict[str, Any]:
        keys = {*self.units, *final.units, *self.frozen, *self.admitted}
        holdings = {
            k: (self.units.get(k, 0), final.units.get(k, 0), self.frozen.get(k, 0), self.admitted.get(k, 0))
            for k in keys
        }
        tokens = {*self.supply, *self.paused, *self.authorised}
        states = {
            t: (
                self.supply.get(t, 0),
                self.authorised.get(t, 0),
                sum(1 for (token, _), units in self.units.items() if token == t and units > 0),
                self.paused.get(t, False),
            )
            for t in tokens
        }
        return {
            "holdings": {k: v for k, v in holdings.items() if any(v)},
            "tokens": {k: v for k, v in states.items() if any(v)},
            "sbts": {
                h: (
                    r["args"]["tokenId"], "0x" + r["args"]["subject"].hex(), r["args"]["categories"], r["at"],
                    r["args"]["effectiveFrom"], r["args"]["expiresAt"], r["args"]["issuer"], r["args"]["attestor"],
                    r["suspended"], r["revoked"],
                )
                for h, r in self.sbts.items()
            },
            "distrust": dict(self.distrust),
            "movements": sorted(self.movements),
            "accounts": {
                "0x" + k.hex(): ("0x" + a["loan"].hex(), a["borrower"], a["depositAddress"])
                for k, a in self.accounts.items()
            },
            "collateral": sorted(self.collateral),
            "held": {
                "0x" + k.hex(): (self.held[k], final.held.get(k, 0)) for k in self.held
            },
        }  # fmt: skip


def stored_snapshot() -> dict[str, Any]:
    """Every projection as the database has it."""
    return {
        "holdings": {
            (h.token, h.holder): (h.units, h.final_units, h.frozen_units, h.admitted_sbt)
            for h in Holding.objects.all()
        },
        "tokens": {
            t.token: (t.supply_units, t.authorised_units, t.holders, t.paused) for t in TokenState.objects.all()
        },
        "sbts": {
            r.address: (
                r.token_id, r.subject, r.categories, r.issued_at, int(r.effective_from.timestamp()),
                int(r.expires_at.timestamp()), r.issuer, r.attestor, r.suspended, r.revoked,
            )
            for r in SbtRecord.objects.all()
        },
        "distrust": {d.key: int(d.since.timestamp()) for d in Distrust.objects.all()},
        "movements": sorted(
            (m.token, m.sender, m.recipient, m.units, m.block_number, m.at) for m in Movement.objects.all()
        ),
        "accounts": {a.account: (a.loan, a.borrower, a.deposit_address) for a in CollateralAccount.objects.all()},
        "collateral": sorted(
            (m.account, m.kind, m.amount_wei, m.party, m.origin, m.reference, m.block_number, m.at)
            for m in CollateralMovement.objects.all()
        ),
        "held": {
            account: (balance.wei, balance.final_wei)
            for account, balance in collateral_balances(
                CollateralMovement.objects.values_list("account", flat=True)
            ).items()
        },
    }  # fmt: skip
