"""What this app asked the chain for: securities, allotments, transfers, admissions, controls and recoveries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from django.db.models import Model, QuerySet

from chain import operations
from chain.errands import Errand, asked_by, keyed
from chain.types import Call, SignerRole
from portal.money import Money
from tokens.models import AdmissionRequest, ControlAction, Recovery, Security, Subscription, Transfer
from tokens.services import admissions, controls, placements, securities, transfers

_Row = TypeVar("_Row", bound=Model)
#: Whether this row of ours wanted this errand, under the last number of its key (the attempt; 1 where there is none).
Rule = Callable[[Any, Errand, int], bool]

#: Decided by the issuer for good: what was allocated is what was paid for.
_ALLOCATED: Final = frozenset(Subscription.TAKES_UNITS)


def _wanted(errands: Sequence[Errand], name: str, key: str, rows: QuerySet[_Row], rule: Rule) -> set[int]:
    """Those whose key and subject name a row of ours, called `name`, that wanted exactly this."""
    found = keyed(errands, key, subject=f"{name}:#")
    known = rows.in_bulk([numbers[0] for _errand, numbers in found])
    return {
        errand.row
        for errand, numbers in found
        if numbers[0] in known and rule(known[numbers[0]], errand, numbers[1] if len(numbers) > 1 else 1)
    }


def _is_agents(errand: Errand, call: Call) -> bool:
    return errand.role == SignerRole.TOKEN_AGENT and errand.is_for(call)


# --- securities --------------------------------------------------------------------------------------------------------


@asked_by("tokens.deploy_security")
def securities_were_approved(errands: Sequence[Errand]) -> Collection[int]:
    """The terms and documents two people agreed on, each attempt once."""

    def rule(security: Security, errand: Errand, attempt: int) -> bool:
        return (
            security.approved_by_id is not None
            and 0 < attempt <= security.deployment_attempt
            and errand.role == SignerRole.DEPLOYER
            and errand.is_for(securities.deployment_call(security))
        )

    rows = Security.objects.prefetch_related("documents")
    return _wanted(errands, securities.SUBJECT, f"{securities.SUBJECT}:#:deploy:#", rows, rule)


@asked_by("tokens.configure_security")
def securities_stand(errands: Sequence[Errand]) -> Collection[int]:
    """The usual roles on the contract that this security has."""

    def rule(security: Security, errand: Errand, attempt: int) -> bool:
        return (
            security.token is not None
            and 0 < attempt <= security.deployment_attempt
            and errand.role == SignerRole.ADMIN
            and errand.is_for(operations.configure_security_token(security.token))
        )

    rows = Security.objects.all()
    return _wanted(errands, securities.SUBJECT, f"{securities.SUBJECT}:#:configure:#", rows, rule)


# --- placements --------------------------------------------------------------------------------------------------------


def _is_issued(subscription: Subscription, attempt: int) -> bool:
    return (
        subscription.state in _ALLOCATED
        and 0 < attempt <= subscription.issue_attempt
        and subscription.wallet is not None
        and subscription.security.token is not None
    )


def _paid_units(row: Subscription) -> int:
    paid = sum((payment.amount for payment in row.payments.all()), Decimal(0))
    return int(row.security.units_for(Money(paid, row.security.currency)))


@asked_by("tokens.admit_for_allotment")
def subscribers_are_admitted(errands: Sequence[Errand]) -> Collection[int]:
    """The wallet that the units of an allocation go to."""

    def rule(row: Subscription, errand: Errand, attempt: int) -> bool:
        if not _is_issued(row, attempt):
            return False
        return _is_agents(errand, operations.admit(str(row.security.token), [str(row.wallet)]))

    rows = Subscription.objects.select_related("security")
    return _wanted(errands, placements.SUBJECT, f"{placements.SUBJECT}:#:admit:#", rows, rule)


@asked_by("tokens.mint_allotment")
def allotments_are_paid(errands: Sequence[Errand]) -> Collection[int]:
    """What was allocated, to the wallet it was subscribed for; an attempt once, and never above what was paid for."""

    def rule(row: Subscription, errand: Errand, attempt: int) -> bool:
        if not _is_issued(row, attempt) or int(row.allocated_units) > _paid_units(row):
            return False
        return _is_agents(errand, operations.mint(str(row.security.token), str(row.wallet), int(row.allocated_units)))

    rows = Subscription.objects.select_related("security").prefetch_related("payments")
    return _wanted(errands, placements.SUBJECT, f"{placements.SUBJECT}:#:mint:#", rows, rule)


@asked_by("tokens.admit_on_demand")
def issuer_admitted(errands: Sequence[Errand]) -> Collection[int]:
    """A person's request that the issuer decided."""

    def rule(row: AdmissionRequest, errand: Errand, attempt: int) -> bool:
        is_decided = row.decided_by_id is not None and row.state != AdmissionRequest.State.DECLINED
        if not is_decided or not 0 < attempt <= row.attempt or row.security.token is None:
            return False
        return _is_agents(errand, operations.admit(row.security.token, [row.wallet]))

    rows = AdmissionRequest.objects.select_related("security")
    return _wanted(errands, admissions.SUBJECT, f"{admissions.SUBJECT}:#:admit:#", rows, rule)


# --- transfers -----------------------------------------------------------------------------------------------------------


@asked_by("tokens.transfer")
def holders_sent(errands: Sequence[Errand]) -> Collection[int]:
    """A transfer of the wallet's own holder, once, with the wallet's own key."""

    def rule(row: Transfer, errand: Errand, _attempt: int) -> bool:
        return (
            row.transaction_id == errand.transaction.pk
            and errand.role == SignerRole.CUSTODY
            and errand.transaction.signer.address == row.sender
            and row.security.token is not None
            and errand.is_for(operations.transfer(row.security.token, row.recipient, int(row.units)))
        )

    rows = Transfer.objects.select_related("security")
    return _wanted(errands, transfers.SUBJECT, f"{transfers.SUBJECT}:#", rows, rule)


# --- control and recovery --------------------------------------------------------------------------------------------------


@asked_by("tokens.control")
def administrators_acted(errands: Sequence[Errand]) -> Collection[int]:
    def rule(row: ControlAction, errand: Errand, _attempt: int) -> bool:
        if row.transaction_id != errand.transaction.pk or row.security.token is None:
            return False
        call, role = controls.call_for(row, row.security.token)
        return errand.role == role and errand.is_for(call)

    rows = ControlAction.objects.select_related("security")
    return _wanted(errands, controls.SUBJECT, f"{controls.SUBJECT}:#", rows, rule)


def _recovery(errands: Sequence[Errand], key: str, rule: Rule) -> set[int]:
    rows = Recovery.objects.select_related("security").exclude(security__token=None)
    return _wanted(errands, controls.RECOVERY, f"{controls.RECOVERY}:#:{key}", rows, rule)


@asked_by("tokens.admit_for_recovery")
def replacements_are_admitted(errands: Sequence[Errand]) -> Collection[int]:
    def rule(row: Recovery, errand: Errand, _attempt: int) -> bool:
        return _is_agents(errand, operations.admit(str(row.security.token), [row.replacement]))

    return _recovery(errands, "admit", rule)


@asked_by("tokens.announce_recovery")
def recoveries_were_announced(errands: Sequence[Errand]) -> Collection[int]:
    def rule(row: Recovery, errand: Errand, _attempt: int) -> bool:
        return row.announcement_id == errand.transaction.pk and _is_agents(
            errand, operations.announce_recovery(str(row.security.token), row.lost, row.replacement)
        )

    return _recovery(errands, "announce", rule)


@asked_by("tokens.complete_recovery")
def recoveries_are_completed(errands: Sequence[Errand]) -> Collection[int]:
    def rule(row: Recovery, errand: Errand, attempt: int) -> bool:
        return 0 < attempt <= row.attempt and _is_agents(
            errand, operations.recover(str(row.security.token), row.lost, row.replacement)
        )

    return _recovery(errands, "complete:#", rule)


@asked_by("tokens.object_to_recovery")
def holders_objected(errands: Sequence[Errand]) -> Collection[int]:
    """With the key of the wallet that is called lost."""

    def rule(row: Recovery, errand: Errand, attempt: int) -> bool:
        return (
            0 < attempt <= row.objection_attempt
            and errand.role == SignerRole.CUSTODY
            and errand.transaction.signer.address == row.lost
            and errand.is_for(operations.object_to_recovery(str(row.security.token)))
        )

    return _recovery(errands, "object:#", rule)
