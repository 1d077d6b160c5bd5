"""Judging the outbox: did anybody ask for this? (decision 037)

The submitter asks before it signs, from the rows as they are then; what nobody asked for is refused and called out at
once. The watch for alarms asks again for every transaction of ours whose events it reads, and compares what was asked
for with the bytes that were really sent: whoever runs the worker's code can skip the first question, not the second.
The stored verdict is for people to read. Nothing here trusts it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.utils import InterfaceError, OperationalError
from eth_utils.crypto import keccak

from chain import abi, operations, signers
from chain.errands import Check, Errand, check_of
from chain.exceptions import NodeUnavailable
from chain.governance import safe as safes
from chain.governance.proposals import ANNOUNCE, SAFE_OF, carrying_out, inner_call, operation_id, salt_of
from chain.models import Attempt, ChainTransaction, Contract, Incident, SafeProposal
from chain.services.incidents import close_if_open, open_incident
from chain.types import Call, SignerRole

logger = logging.getLogger(__name__)

Verdict = ChainTransaction.Verdict
#: The reason a refused row keeps.
NOBODY_ASKED: Final = "nobody asked for it"
_BROKEN: Final = "chain.judging_failed"
_ROLE_BEHIND: Final = {kind: role for role, kind in SAFE_OF.items()}


def identity(row: ChainTransaction) -> tuple[Any, ...]:
    """What a verdict is about: a row that differs in any of it has not been judged."""
    return (row.to, bytes(row.data), int(row.value_wei), row.purpose, row.idempotency_key, row.subject)


# --- the question --------------------------------------------------------------------------------------------------


def judge(rows: Sequence[ChainTransaction]) -> dict[int, str]:
    """ASKED or UNASKED by id. A row whose check fails is left out, and an incident is opened.

    `rows` come with their signers. A constant number of queries for each purpose among them; writes nothing else.
    """
    errands = _errands(rows)
    verdicts: dict[int, str] = {row.pk: Verdict.UNASKED for row in rows}
    by_purpose: defaultdict[str, list[Errand]] = defaultdict(list)
    for errand in errands:
        by_purpose[errand.purpose].append(errand)
    broken: dict[int, Exception] = {}
    with operations.looking_up_contracts_once():
        for purpose, asked in by_purpose.items():
            check = check_of(purpose)
            if check is not None:
                verdicts |= dict.fromkeys(_asked(check, asked, broken), Verdict.ASKED)
    for pk in broken:
        del verdicts[pk]
    _note_broken(rows, broken)
    return verdicts


def _asked(check: Check, errands: Sequence[Errand], broken: dict[int, Exception]) -> set[int]:
    """Which of `errands` were asked for. One that makes the check fail is asked about alone and goes to `broken`."""
    try:
        return _ask(check, errands)
    except (NodeUnavailable, OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(errands) == 1:
            logger.exception("nobody can say whether transaction %s was asked for", errands[0].row)
            broken[errands[0].row] = error
            return set()
    return {pk for errand in errands for pk in _asked(check, [errand], broken)}


def _ask(check: Check, errands: Sequence[Errand]) -> set[int]:
    with transaction.atomic():  # what fails in the database takes back its own savepoint and no more
        return set(check(errands)) & {errand.row for errand in errands}


def _note_broken(rows: Sequence[ChainTransaction], broken: Mapping[int, Exception]) -> None:
    """An incident for every row nobody can judge, closed again once somebody can. One query where there is none."""
    for pk, error in broken.items():
        open_incident(
            kind=_BROKEN,
            detail=f"Nobody can say whether transaction {pk} was asked for: {type(error).__name__}. It is not signed, "
            "and what it does on the chain counts as somebody else's. It is tried again by every sweep.",
            dedupe_key=_broken_key(pk),
            data={"transaction": pk},
        )
    judged = {_broken_key(row.pk) for row in rows if row.pk not in broken}
    open_now = Incident.objects.filter(kind=_BROKEN, closed_at=None).values_list("dedupe_key", flat=True)
    for key in judged & set(open_now):
        close_if_open(dedupe_key=key, reason="judged")


def _broken_key(pk: int) -> str:
    return f"judging:{pk}"


# --- out of the wrapping ---------------------------------------------------------------------------------------------


def _errands(rows: Sequence[ChainTransaction]) -> list[Errand]:
    """What each row would have done in the end. One that officers should stand behind and do not is left out.

    One query, and none where nothing goes through officers.
    """
    relayed = [row for row in rows if row.signer.role == SignerRole.RELAYER]
    proposals: dict[int, SafeProposal] = {}
    if relayed:
        pks = [row.pk for row in relayed]
        found = SafeProposal.objects.filter(Q(relay__in=pks) | Q(transaction__in=pks))
        for each in found.select_related("safe", "transaction__signer"):
            proposals[each.relay_id] = proposals[each.transaction_id] = each
    errands = []
    for row in rows:
        if row.signer.role != SignerRole.RELAYER:
            errands.append(Errand(row.pk, row, row.signer.role, signers.call_of(row)))
        elif (proposal := proposals.get(row.pk)) is not None and _fits(row, proposal):
            errands.append(_of_officers(row, proposal))
    return errands


def _fits(row: ChainTransaction, proposal: SafeProposal) -> bool:
    """`_carries`, and no for rows that were tampered with so that nothing can be read from them."""
    try:
        return proposal.safe.kind in _ROLE_BEHIND and _carries(row, proposal)
    except (ValueError, TypeError, IndexError):
        return False


def _of_officers(row: ChainTransaction, proposal: SafeProposal) -> Errand:
    to, data = inner_call(proposal)
    role = _ROLE_BEHIND[Contract.Kind(proposal.safe.kind)]
    return Errand(row.pk, proposal.transaction, role, Call(to=to, data=data, function=proposal.purpose_call))


def _carries(row: ChainTransaction, proposal: SafeProposal) -> bool:
    """Whether the row's bytes are the proposal's and no others, and the proposal is of one piece."""
    if not proposal.operation_id:
        return row.pk == proposal.relay_id == proposal.transaction_id and _is_relay_of(row, proposal)
    salt = salt_of(proposal.transaction.idempotency_key)
    if not _announces(proposal, salt):
        return False
    to, data = inner_call(proposal)
    call = Call(to=to, data=data, function="")
    if "0x" + operation_id(call, salt=salt).hex() != proposal.operation_id:
        return False
    if row.pk == proposal.relay_id:
        is_announcement = row.purpose == ANNOUNCE and row.idempotency_key == f"announce:{salt.hex()}"
        return is_announcement and _is_relay_of(row, proposal)
    return (row.to, bytes(row.data)) == (proposal.to, carrying_out(call, salt=salt)) and not row.value_wei


def _announces(proposal: SafeProposal, salt: bytes) -> bool:
    """Whether the Safe's call is `schedule` of no value, after nothing, under this salt. The delay is the chain's business."""
    decoded = abi.decode_arguments("TimelockController", bytes(proposal.data))
    if decoded is None or decoded[0] != "schedule":
        return False
    _target, value, _data, predecessor, announced_salt, _delay = decoded[1]
    return (value, predecessor, announced_salt) == (0, bytes(32), salt)


def _is_relay_of(row: ChainTransaction, proposal: SafeProposal) -> bool:
    """Whether the row is `execTransaction` of the proposal's call, whoever's signatures it carries: the Safe counts those."""
    decoded = abi.decode_arguments(proposal.safe.kind, bytes(row.data))
    if decoded is None or decoded[0] != "execTransaction" or row.value_wei:
        return False
    wanted = safes.execution(proposal.safe, to=proposal.to, data=bytes(proposal.data), signatures=bytes(decoded[1][-1]))
    return (row.to, bytes(row.data)) == (wanted.to, wanted.data)


# --- what was really sent ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """Transactions of ours among some hashes: `purposes` of those that were asked for, by hash, and the others' rows."""

    purposes: Mapping[str, str]
    unasked: Sequence[ChainTransaction]


def sent_by_us(hashes: Iterable[str]) -> Sent:
    """Judge whatever the outbox says it sent under `hashes`, as the apps say now and as the signed bytes are.

    A cancellation does nothing on the chain, so whatever happened under its hash was no cancellation.
    """
    found = Attempt.objects.filter(hash__in=set(hashes), transaction__signer__chain_id=settings.CHAIN_ID)
    attempts = list(found.select_related("transaction__signer").order_by("pk"))
    verdicts = judge(list({each.transaction_id: each.transaction for each in attempts}.values()))
    sound = [
        each for each in attempts if verdicts.get(each.transaction_id) == Verdict.ASKED and _is_what_was_asked(each)
    ]
    purposes = {each.hash: each.transaction.purpose for each in sound}
    unasked = {
        each.transaction_id: each.transaction
        for each in attempts
        if each.hash not in purposes and each.transaction_id in verdicts
    }
    return Sent(purposes, list(unasked.values()))


def _is_what_was_asked(attempt: Attempt) -> bool:
    """Whether the bytes have this hash and carry out the row's call."""
    raw, row = bytes(attempt.raw), attempt.transaction
    if attempt.is_cancellation or "0x" + keccak(raw).hex() != attempt.hash:
        return False
    return signers.call_in(raw) == (row.to, bytes(row.data), int(row.value_wei))


def ours_among(hashes: Collection[str]) -> set[str]:
    """Which of these transactions the platform sent because somebody here asked for them."""
    return set(sent_by_us(hashes).purposes)
