"""The worker's credentials in a thief's hands: no key is seen, but whatever the signers' policy allows is signed."""

from __future__ import annotations

import secrets

from chain.drills.keys import USUAL_TIP, Key, Outcome
from chain.drills.world import World
from chain.exceptions import PolicyViolation
from chain.models import ChainTransaction, Signer
from chain.rpc import Rpc
from chain.types import Call

State = ChainTransaction.State


class Oracle(Key):
    """Signs by asking the platform's own outbox."""

    def __init__(self, world: World, role: str, signer: Signer | None = None) -> None:
        self.world = world
        self.signer = signer or world.signer(role)
        super().__init__(f"worker ({role})")  # a key of its own that nobody trusts; only the address matters
        self.address = self.signer.address

    def act(self, rpc: Rpc, call: Call, *, tip: int = USUAL_TIP) -> Outcome:
        """Ask through the front door; the policy or the contract may refuse."""
        if Signer.objects.get(pk=self.signer.pk).halted_reason:
            return Outcome("the signer is halted")
        try:
            row = self.world.ask(call, self.signer, key=f"oracle:{secrets.token_hex(12)}")
        except PolicyViolation as refused:
            return Outcome(f"policy: {refused.reason}")
        return self._outcome(row)

    def insert(self, call: Call) -> ChainTransaction:
        """Write the row into the table by hand, past every check of ours; what became of it."""
        row = ChainTransaction.objects.create(
            signer=self.signer,
            idempotency_key=f"forged:{secrets.token_hex(12)}",
            purpose="kyc.issue_sbt",
            function=call.function,
            to=call.to,
            data=call.data,
        )
        self._outcome(row)
        return row

    def _outcome(self, row: ChainTransaction) -> Outcome:
        self.world.forged.append(row.pk)
        self.world.carry_out(row)
        if row.state in (State.MINED, State.FINAL):
            return Outcome("", row.gas_used or 0, row.mined_hash, self.world.now())
        return Outcome(row.error_code or row.state)
