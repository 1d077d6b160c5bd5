"""After any sequence of blocks, reorganisations and finality, the projections equal a replay from nothing."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import transaction
from eth_utils.address import to_checksum_address
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chain.models import Contract, Cursor
from chain.services.indexer import index_once
from chain.services.projections import replay_projections
from chain.tests.projection_model import ZERO, Ledger, stored_snapshot
from chain.tests.simulated_chain import SBT, TOKEN, VAULT, Event, SimulatedChain

pytestmark = pytest.mark.django_db


def _address(number: int) -> str:
    return to_checksum_address(f"0x{number:040x}")


TOKENS = [_address(0x701), _address(0x702)]
SBT_ADDRESS = _address(0x5B7)
VAULT_ADDRESS = _address(0x7A1)
ACCOUNTS = [bytes([n]) * 32 for n in (1, 2)]
HOLDERS = [_address(0xA1), _address(0xB2), _address(0xC3)]
KEYS = [_address(0xE1), _address(0xE2)]


def _token_event(draw: st.DrawFn, ledger: Ledger) -> Event:
    token, holder = draw(st.sampled_from(TOKENS)), draw(st.sampled_from(HOLDERS))
    amount = draw(st.integers(0, 2**70))
    name = draw(st.sampled_from(["mint", "move", "move", "burn", "Frozen", "Admitted", "Dismissed", "Pause", "Raise"]))
    held = ledger.units[token, holder]
    match name:
        case "mint":
            args = {"from": ZERO, "to": holder, "value": amount}
        case "move":
            args = {"from": holder, "to": draw(st.sampled_from(HOLDERS)), "value": min(amount, held)}
        case "burn":
            args = {"from": holder, "to": ZERO, "value": min(amount, held)}
        case "Frozen":
            return Event(TOKEN, token, name, {"account": holder, "amount": amount})
        case "Pause":
            name = draw(st.sampled_from(["Paused", "Unpaused"]))
            return Event(TOKEN, token, name, {"account": holder})
        case "Raise":
            return Event(TOKEN, token, "AuthorisedAmountRaised", {"authorised": amount})
        case _:
            return Event(TOKEN, token, name, {"holder": holder, "sbtId": draw(st.integers(1, 9))})
    return Event(TOKEN, token, "Transfer", args)


def _sbt_event(draw: st.DrawFn, ledger: Ledger) -> Event:
    holder = draw(st.sampled_from(HOLDERS))
    if draw(st.booleans()):
        key, since = draw(st.sampled_from(KEYS)), draw(st.integers(0, 2**32))
        if draw(st.booleans()):
            return Event(SBT, SBT_ADDRESS, "KeyDistrusted", {"key": key, "since": since})
        return Event(SBT, SBT_ADDRESS, "KeyTrustRestored", {"key": key})
    record = ledger.sbts.get(holder)
    if record is None or record["revoked"]:
        return _attested(draw, "SbtIssued", holder)
    name = draw(st.sampled_from(["SbtRenewed", "SbtSuspended", "SbtReinstated", "SbtRevoked"]))
    if name == "SbtRenewed":
        return _attested(draw, name, holder)
    return Event(SBT, SBT_ADDRESS, name, {"holder": holder, "tokenId": record["args"]["tokenId"]})


def _attested(draw: st.DrawFn, name: str, holder: str) -> Event:
    args = {
        "holder": holder,
        "tokenId": draw(st.integers(1, 2**100)),
        "subject": draw(st.binary(min_size=32, max_size=32)),
        "categories": draw(st.integers(1, 7)),
        "effectiveFrom": draw(st.integers(1, 2**32)),
        "expiresAt": draw(st.integers(1, 2**32)),
        "issuer": KEYS[0],
        "attestor": KEYS[1],
        "evidenceHash": b"\x01" * 32,
    }
    return Event(SBT, SBT_ADDRESS, name, args)


def _vault_event(draw: st.DrawFn, ledger: Ledger) -> Event:
    account = draw(st.sampled_from(ACCOUNTS))
    if account not in ledger.accounts:
        opened = {"account": account, "loan": account, "borrower": HOLDERS[0], "depositAddress": HOLDERS[1]}
        return Event(VAULT, VAULT_ADDRESS, "AccountOpened", opened)
    held, amount = ledger.held[account], draw(st.integers(1, 2**80))
    name = draw(st.sampled_from(["Deposited", "Released", "Sold"] if held else ["Deposited"]))
    if name == "Deposited":
        args = {"account": account, "from": draw(st.sampled_from([ZERO, HOLDERS[2]])), "amount": amount}
        return Event(VAULT, VAULT_ADDRESS, name, args | {"origin": HOLDERS[2]})
    reference = "releaseId" if name == "Released" else "saleId"
    args = {"account": account, reference: draw(st.binary(min_size=32, max_size=32)), "to": HOLDERS[0]}
    return Event(VAULT, VAULT_ADDRESS, name, args | {"amount": min(amount, held)})


def _mine(draw: st.DrawFn, chain: SimulatedChain) -> None:
    """A few blocks whose events are possible after what the chain already says."""
    ledger = Ledger().read(chain)
    for _ in range(draw(st.integers(1, 4))):
        events: list[Event] = []
        chain.mine(events)
        block = chain.blocks[-1]
        for _ in range(draw(st.integers(0, 4))):
            event = draw(st.sampled_from([_token_event, _token_event, _sbt_event, _vault_event]))(draw, ledger)
            ledger.add(block, event)
            events.append(event)
        chain.drop(1)
        chain.mine(events)


def _reorganise(draw: st.DrawFn, chain: SimulatedChain) -> None:
    """Drop some blocks that are not final; mostly others follow, sometimes the same come back."""
    depth = draw(st.integers(0, chain.head - max(chain.finalized, 0)))
    if depth == 0:
        return
    dropped = chain.drop(depth)
    what = draw(st.sampled_from(["others", "others", "index, then the same", "shorter"]))
    if what == "others":
        _mine(draw, chain)
    elif what == "index, then the same":
        _mine(draw, chain)
        _index(chain)
        chain.drop(chain.head - dropped[0].header.number + 1)
        chain.restore(dropped)


def _index(chain: SimulatedChain) -> None:
    for _ in range(200):
        if index_once(chain).is_current:
            return
    raise AssertionError("the indexer never became current")


def _walk(draw: st.DrawFn, chain: SimulatedChain) -> None:
    step = draw(st.sampled_from(["mine", "mine", "reorganise", "finalise", "index", "index", "one step", "deploy"]))
    match step:
        case "mine":
            _mine(draw, chain)
        case "reorganise":
            _reorganise(draw, chain)
        case "finalise":
            # A node calls final only what it has; so does ours only what it has read.
            chain.finalized = draw(st.integers(chain.finalized, chain.head))
            _index(chain)
        case "index":
            _index(chain)
        case "one step":
            index_once(chain)
        case "deploy" if Contract.objects.count() < 4:
            # The row is written some time after the contract began to speak.
            _follow(TOKENS[1])


def _follow(address: str) -> None:
    kind = {SBT_ADDRESS: SBT, VAULT_ADDRESS: VAULT}.get(address, TOKEN)
    Contract.objects.create(
        chain_id=settings.CHAIN_ID, kind=kind, address=address, deployed_block=0, bytecode_hash="0x"
    )


@given(data=st.data())
@hypothesis_settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_projections_equal_a_replay_from_nothing_after_any_blocks_and_reorganisations(data: st.DataObject) -> None:
    with transaction.atomic():
        chain = SimulatedChain()
        _follow(TOKENS[0])
        _follow(SBT_ADDRESS)
        _follow(VAULT_ADDRESS)
        for _ in range(data.draw(st.integers(1, 12))):
            _walk(data.draw, chain)  # type: ignore[arg-type]
        if Contract.objects.count() < 4:
            _follow(TOKENS[1])
        chain.mine([])
        _index(chain)
        cursor = Cursor.objects.get()
        expected = Ledger().read(chain).snapshot(Ledger().read(chain, through=cursor.final_number))
        stored = stored_snapshot()
        replay_projections(chain_id=settings.CHAIN_ID)
        replayed = stored_snapshot()
        transaction.set_rollback(True)
    assert stored == expected
    assert replayed == expected
