"""What the pages of `chain`, and those that include its timeline, need in templates."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django import template

from chain import selectors
from chain.models import ChainTransaction, EventLog, Incident, SafeProposal
from chain.types import Standing, TimelineStep
from chain.wording import STANDINGS, event_sentence, function_sentence, incident_sentence

register = template.Library()


@register.simple_tag
def transaction_steps(transaction: ChainTransaction) -> list[TimelineStep]:
    """The timeline of a transaction, for `<c-timeline>`."""
    return selectors.transaction_timeline(transaction)


@register.filter
def timeline_version(transaction: ChainTransaction) -> str:
    """Changes whenever the timeline would look different, so that an unchanged one is not sent again."""
    parts = (transaction.state, int(transaction.is_settled), transaction.mined_hash[2:10])
    return "-".join(str(part) for part in parts)


@register.filter
def state_tone(transaction: ChainTransaction) -> str:
    """The badge's tone. In a block is never worded or coloured as done."""
    state = ChainTransaction.State
    if transaction.state == state.FINAL:
        return "good"
    if transaction.state in ChainTransaction.DEAD:
        return "bad"
    return "warn" if transaction.state == state.CANCELLING else "info"


@register.filter
def function_words(transaction: ChainTransaction) -> str:
    """What the transaction does, in a sentence."""
    return function_sentence(transaction.function)


@register.filter
def proposal_words(proposal: SafeProposal) -> str:
    """What the proposal does in the end, in a sentence."""
    return function_sentence(proposal.purpose_call)


@register.filter
def incident_words(incident: Incident) -> str:
    """What the incident means and what to do."""
    return incident_sentence(incident.kind)


@register.filter
def lookup(names: dict[str, str], key: str) -> str:
    """The name of an address, or nothing."""
    return names.get(key, "")


@register.filter
def pretty_json(data: Any) -> str:
    """JSON over several lines, for people who look into an incident."""
    return json.dumps(data, indent=2, ensure_ascii=False)


@register.simple_tag
def event_words(log: EventLog, names: dict[str, str], kinds: dict[str, str]) -> str:
    """What one event says, in a sentence, with the names this reader may know."""
    return event_sentence(kinds.get(log.address, ""), log.event, log.args, names)


@register.filter
def standing_words(standing: Standing) -> str:
    """What a verification is worth, in words."""
    return str(STANDINGS[standing])


@register.filter
def ether(wei: int) -> str:
    """Wei as ETH, exactly."""
    return f"{Decimal(int(wei)).scaleb(-18).normalize():,f}"


@register.filter
def units_plain(units: int) -> str:
    """Base units with thousands separators; the desk compares, it does not price."""
    return f"{int(units):,}"
