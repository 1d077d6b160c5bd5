"""Asking the council for something: the one place that knows how a council decides."""

from __future__ import annotations

from chain.governance.proposals import request
from chain.models import ChainTransaction
from chain.types import Call, SignerRole
from portal.models import User


def council_call(
    *, call: Call, idempotency_key: str, purpose: str, subject: str = "", actor: User | None = None
) -> ChainTransaction:
    """Ask that the council make `call`; in the caller's transaction, and safe to repeat like `enqueue`.

    The row that comes back is what the asking app follows: it is submitted once the council agreed.
    """
    return request(
        role=SignerRole.COUNCIL,
        call=call,
        idempotency_key=idempotency_key,
        purpose=purpose,
        subject=subject,
        actor=actor,
    )
