"""What this app asked the chain for: verification tokens and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from chain import operations
from chain.errands import Errand, asked_by, keyed
from chain.types import Call, SignerRole
from kyc.models import AttestationRecord, LifecycleStep, Wallet, WalletRequest
from kyc.services.attestations import as_attestation
from kyc.services.lifecycle import MOVES, purpose_of
from kyc.services.own_wallets import ISSUE

Kind = LifecycleStep.Kind
SUBJECT: Final = "kyc.application"
_OF_HOLDER: Final[dict[str, Callable[[str], Call]]] = {
    Kind.SUSPEND: operations.suspend_sbt,
    Kind.REINSTATE: operations.reinstate_sbt,
    Kind.REVOKE: operations.revoke_sbt,
}


def _attested(record: AttestationRecord, *, renewed: bool) -> Call:
    make = operations.renew_sbt if renewed else operations.issue_sbt
    return make(as_attestation(record), str(record.attestor), bytes(record.signature or b""))


@asked_by(*map(purpose_of, Kind.values))
def steps_were_taken(errands: Sequence[Errand]) -> Collection[int]:
    """The officer's step of that kind: with the attestation they signed, or about a wallet of the same person."""
    found = keyed(errands, "kyc.step:#")
    steps = (
        LifecycleStep.objects.select_related("application", "attestation")
        .prefetch_related("application__user__wallets")
        .in_bulk([pk for _errand, (pk,) in found])
    )
    return {
        errand.row
        for errand, (pk,) in found
        if (step := steps.get(pk)) is not None
        and step.transaction_id == errand.transaction.pk
        and errand.purpose == purpose_of(step.kind)
        and errand.subject == f"{SUBJECT}:{step.application_id}"
        and errand.role == MOVES[Kind(step.kind)].signer
        and _is_of_step(errand, step)
    }


def _is_of_step(errand: Errand, step: LifecycleStep) -> bool:
    if step.kind in (Kind.ISSUE, Kind.RENEW):
        record = step.attestation
        return (
            record is not None
            and record.signature is not None
            and record.application_id == step.application_id
            and errand.is_for(_attested(record, renewed=step.kind == Kind.RENEW))
        )
    # Which wallet is the primary one may change later; whose wallet it is does not.
    wallets = step.application.user.wallets.all()
    return any(errand.is_for(_OF_HOLDER[step.kind](wallet.address)) for wallet in wallets)


@asked_by(ISSUE)
def further_wallets_were_attested(errands: Sequence[Errand]) -> Collection[int]:
    """An officer's signature for this wallet of this person, under one of the attempts there were.

    A request keeps its last attestation only. Signed attestations are kept for good, each with a nonce of its own.
    """
    found = keyed(errands, "kyc.wallet_request:#:#")
    requests = WalletRequest.objects.select_related("wallet").in_bulk([pk for _errand, (pk, _number) in found])
    records = AttestationRecord.objects.select_related("application").filter(
        purpose=AttestationRecord.Purpose.WALLET,
        signature__isnull=False,
        holder__in={request.wallet.address for request in requests.values()},
    )
    by_holder: dict[str, list[AttestationRecord]] = {}
    for record in records:
        by_holder.setdefault(record.holder, []).append(record)
    return {
        errand.row
        for errand, (pk, number) in found
        if (request := requests.get(pk)) is not None
        and 0 < number <= request.attempt
        and errand.role == SignerRole.SBT_ISSUER
        and any(
            record.application.user_id == request.wallet.user_id
            and errand.subject == f"{SUBJECT}:{record.application_id}"
            and any(errand.is_for(_attested(record, renewed=renewed)) for renewed in (False, True))
            for record in by_holder.get(request.wallet.address, ())
        )
    }


_FOLLOWED: Final[dict[str, tuple[str, str]]] = {
    f"kyc.follow_{kind}": (kind, MOVES[kind].signer) for kind in (Kind.SUSPEND, Kind.REINSTATE, Kind.REVOKE)
}


#: A step's number, or the attempt at whose end a token arrived for somebody who was stopped meanwhile; and the wallet.
_FOLLOWS: Final = re.compile(r"kyc\.follow:([a-z]+):(arrived:)?([1-9][0-9]{0,17}):(0x[0-9a-fA-F]{40})")


@asked_by(*_FOLLOWED)
def further_tokens_follow(errands: Sequence[Errand]) -> Collection[int]:
    """A wallet of the person whose first token went through the same; or one whose token arrived when they were stopped."""
    found = [(errand, match) for errand in errands if (match := _FOLLOWS.fullmatch(errand.key))]
    wallets = (
        Wallet.objects.select_related("request")
        .prefetch_related("user__applications")
        .in_bulk({match[4] for _errand, match in found}, field_name="address")
    )
    steps = LifecycleStep.objects.in_bulk([int(match[3]) for _errand, match in found if not match[2]])
    return {
        errand.row
        for errand, match in found
        if (wallet := wallets.get(match[4])) is not None
        and match[1] == _FOLLOWED[errand.purpose][0]
        and _is_of_person(errand, wallet)
        and (_arrived(wallet, match) if match[2] else _follows(errand, steps.get(int(match[3]))))
    }


def _is_of_person(errand: Errand, wallet: Wallet) -> bool:
    kind, role = _FOLLOWED[errand.purpose]
    applications = {f"{SUBJECT}:{each.pk}" for each in wallet.user.applications.all()}
    return errand.role == role and errand.subject in applications and errand.is_for(_OF_HOLDER[kind](wallet.address))


def _follows(errand: Errand, step: LifecycleStep | None) -> bool:
    return (
        step is not None
        and step.kind == _FOLLOWED[errand.purpose][0]
        and errand.subject == f"{SUBJECT}:{step.application_id}"
    )


def _arrived(wallet: Wallet, match: re.Match[str]) -> bool:
    request: WalletRequest | None = getattr(wallet, "request", None)
    return match[1] == Kind.SUSPEND and request is not None and int(match[3]) <= request.attempt
