"""The one place that knows how ADMIN and COUNCIL act: their several officers, each with a wallet of their own.

Everything else asks `decide(…)` and `council(…)`. What a single officer's key can do is asked of `officer_keys(…)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chain import abi, operations
from chain.drills.keys import Key
from chain.drills.world import DrillBroken, World
from chain.types import Call, SignerRole

if TYPE_CHECKING:
    from chain.drills.engine import Scene


def configure(world: World, token: str) -> None:
    """Give the functions of a new security to the roles."""
    decide(world, [operations.configure_security_token(token)])


def decide(world: World, calls: Sequence[Call]) -> list[str]:
    """Have ADMIN make these calls, one after the other, with every delay that takes; the transactions' hashes."""
    return [_own_wallet(world, SignerRole.ADMIN, call) for call in calls]


def council(world: World, call: Call) -> list[str]:
    """Have COUNCIL make the call; the transactions' hashes."""
    return [_own_wallet(world, SignerRole.COUNCIL, call)]


def one_admin_key(scene: Scene) -> None:
    """One administrator's key is stolen."""
    scene.steal(Key.copy_of(scene.world.signer(SignerRole.ADMIN)))
    scene.theft()


def one_signer_of_each(scene: Scene) -> None:
    """One signer of the administrators and one of the council."""
    scene.steal(*(Key.copy_of(scene.world.signer(role)) for role in (SignerRole.ADMIN, SignerRole.COUNCIL)))
    scene.theft()


def manager_call(world: World, function: str, *args: object) -> Call:
    return Call(
        to=world.manager, data=abi.encode_call("AccessManager", function, *args), function=f"AccessManager.{function}"
    )


def _own_wallet(world: World, role: str, call: Call) -> str:
    key = Key.copy_of(world.signer(role))
    outcome = key.act(world.rpc, call)
    if not outcome.done:
        raise DrillBroken(f"{role} could not {call.function}: {outcome.reason}")
    return outcome.hash
