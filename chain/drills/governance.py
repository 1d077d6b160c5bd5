"""The one place that knows how ADMIN and COUNCIL act: their several officers, each with a wallet of their own.

Everything else asks `decide(…)` and `council(…)`. What a single officer's key can do is asked of `one_admin_key` and
`one_signer_of_each`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain import abi, operations
from chain.drills.keys import Key
from chain.drills.world import DrillBroken, World
from chain.gateway import gateway
from chain.governance import proposals, safe
from chain.models import Contract, Signer
from chain.types import Call, SignerRole

if TYPE_CHECKING:
    from chain.drills.engine import Scene


def configure(world: World, token: str) -> None:
    """Give the functions of a new security to the roles."""
    decide(world, [operations.configure_security_token(token)])


def decide(world: World, calls: Sequence[Call]) -> list[str]:
    """Have ADMIN make these calls with the timelock's delay; the transactions' hashes.

    All are announced first, so they wait together.
    """
    timelock = Contract.objects.get(kind=Contract.Kind.TIMELOCK).address
    (delay,) = gateway().read("TimelockController", timelock, "getMinDelay")
    salts = [secrets.token_bytes(32) for _call in calls]
    hashes = [
        _sign_together(world, Contract.Kind.ADMIN_SAFE, timelock, proposals.schedule_data(call, salt=salt, delay=delay))
        for call, salt in zip(calls, salts, strict=True)
    ]
    world.wait_for_officers(delay)
    for call, salt in zip(calls, salts, strict=True):
        data = abi.encode_call("TimelockController", "execute", call.to, 0, call.data, bytes(32), salt)
        hashes.append(_made(world, SignerRole.RELAYER, Call(timelock, data, "TimelockController.execute")))
    return hashes


def council(world: World, call: Call) -> list[str]:
    """Have COUNCIL make the call; the transactions' hashes."""
    return [_sign_together(world, Contract.Kind.COUNCIL_SAFE, str(call.to), call.data)]


def one_admin_key(scene: Scene) -> None:
    """One administrator's key is stolen."""
    scene.steal(Key.copy_of(scene.world.signer(SignerRole.ADMIN_OWNER)))
    scene.theft()


def one_signer_of_each(scene: Scene) -> None:
    """One signer of the administrators and one of the council."""
    owners = (SignerRole.ADMIN_OWNER, SignerRole.COUNCIL_OWNER)
    scene.steal(*(Key.copy_of(scene.world.signer(role)) for role in owners))
    scene.theft()


def manager_call(world: World, function: str, *args: object) -> Call:
    return Call(
        to=world.manager, data=abi.encode_call("AccessManager", function, *args), function=f"AccessManager.{function}"
    )


def _sign_together(world: World, kind: Contract.Kind, to: str, data: bytes) -> str:
    """As many officers as the Safe wants sign with their own wallets; anybody brings it to the chain."""
    account = Contract.objects.get(kind=kind)
    (nonce,) = gateway().read(kind, account.address, "nonce")
    (threshold,) = gateway().read(kind, account.address, "getThreshold")
    digest = keccak(safe.payload(account, to=to, data=data, nonce=nonce))
    signatures: dict[str, bytes] = {}
    for signer in Signer.objects.filter(role=safe.OWNER_ROLES[kind]).order_by("pk")[:threshold]:
        signed = Key.copy_of(signer).private.sign_msg_hash(digest)
        signatures[signer.address] = (
            signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([27 + signed.v])
        )
    call = safe.execution(account, to=to, data=data, signatures=safe.joined(signatures))
    return _made(world, SignerRole.RELAYER, call)


def _made(world: World, role: str, call: Call) -> str:
    outcome = Key.copy_of(world.signer(role)).act(world.rpc, call)
    if not outcome.done:
        raise DrillBroken(f"{role} could not {call.function}: {outcome.reason}")
    return outcome.hash
