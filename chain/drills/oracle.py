"""The worker's credentials in a thief's hands: no key is seen, but whatever the signers' policy allows is signed.

Two ways lead there. He writes into the outbox and lets the platform's own worker sign; or he runs a worker of his own,
which asks nobody, keeps the books as ours does, and says of every row that it was asked for.
"""

from __future__ import annotations

import secrets
from typing import Final

from django.db import transaction

from chain import signers
from chain.drills.keys import USUAL_TIP, Key, Outcome, call_request, reason_of
from chain.drills.world import World
from chain.exceptions import PolicyViolation
from chain.models import ChainTransaction, Signer
from chain.rpc import Rpc, RpcError, as_int
from chain.services.judging import NOBODY_ASKED
from chain.services.market import look
from chain.services.submitter import new_attempt
from chain.types import Call, SignerRole

State = ChainTransaction.State
#: In whose name the platform itself does such things: what the thief would write on his rows.
_NAMES: Final = {
    "ETH.transfer": "chain.top_up",
    "InvestorSBT.issue": "kyc.issue_sbt",
    "InvestorSBT.renew": "kyc.renew_sbt",
    "InvestorSBT.revoke": "kyc.revoke_sbt",
    "SecurityToken.admit": "tokens.admit_on_demand",
    "SecurityToken.announceRecovery": "tokens.announce_recovery",
    "SecurityToken.mint": "tokens.mint_allotment",
    "SecurityToken.recover": "tokens.complete_recovery",
    "SecurityToken.transfer": "tokens.transfer",
}


class Oracle(Key):
    """Signs by way of the platform's own outbox."""

    def __init__(self, world: World, role: str, signer: Signer | None = None) -> None:
        self.world = world
        self.signer = signer or world.signer(role)
        super().__init__(f"worker ({role})")  # a key of its own that nobody trusts; only the address matters
        self.address = self.signer.address
        #: What he tried through our worker, and which of it our worker signed.
        self.slipped_in: set[str] = set()
        self.let_through: set[str] = set()

    def act(self, rpc: Rpc, call: Call, *, tip: int = USUAL_TIP) -> Outcome:
        """Once through our worker for each function, then by his own; the policy or the contract may refuse."""
        if Signer.objects.get(pk=self.signer.pk).halted_reason:
            return Outcome("the signer is halted")
        try:
            signers.check_policy(self.signer, call)
        except PolicyViolation as refused:
            return Outcome(f"policy: {refused.reason}")
        if call.function not in self.slipped_in:
            row = self.slip_in(call)
            if row.error_code != NOBODY_ASKED:
                self.let_through.add(call.function)
                return self._outcome(row)
        return self._by_own_worker(rpc, call)

    def slip_in(self, call: Call) -> ChainTransaction:
        """Write the row into the table by hand and let our worker go on; what became of it."""
        self.slipped_in.add(call.function)
        row = ChainTransaction.objects.create(**self._row(call))
        self.world.carry_out(row)
        return row

    def _by_own_worker(self, rpc: Rpc, call: Call) -> Outcome:
        try:
            gas = as_int(rpc.call("eth_estimateGas", call_request(self.address, call), "latest"))
        except RpcError as error:
            return Outcome(reason_of(error))
        with transaction.atomic():
            signer = Signer.objects.select_for_update().get(pk=self.signer.pk)
            lie = {"state": State.SIGNED, "nonce": signer.next_nonce, "verdict": ChainTransaction.Verdict.ASKED}
            row = ChainTransaction.objects.create(**self._row(call), gas_limit=gas + gas // 4, **lie)
            new_attempt(signer, row, look(rpc).fees).save()
            signer.next_nonce += 1
            signer.save(update_fields=["next_nonce"])
        self.world.carry_out(row)
        return self._outcome(row)

    def _row(self, call: Call) -> dict[str, object]:
        usual = "chain.deploy" if self.signer.role == SignerRole.DEPLOYER else "chain.response"
        return {
            "signer": self.signer,
            "idempotency_key": f"forged:{secrets.token_hex(12)}",
            "purpose": _NAMES.get(call.function, usual),
            "function": call.function,
            "to": call.to,
            "data": call.data,
            "value_wei": call.value_wei,
        }

    def _outcome(self, row: ChainTransaction) -> Outcome:
        if row.state in (State.MINED, State.FINAL):
            return Outcome("", row.gas_used or 0, row.mined_hash, self.world.now())
        return Outcome(row.error_code or row.state)
