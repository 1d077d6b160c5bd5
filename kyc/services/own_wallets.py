"""A person's own wallets: proof that they hold the key, the token their wallet needs, signing in with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from chain import operations, siwe
from chain import selectors as chain_selectors
from chain import services as chain_services
from chain.gateway import parse_address
from chain.models import ChainTransaction
from chain.types import SignerRole
from kyc.exceptions import WalletRefused
from kyc.models import (
    Application,
    AttestationRecord,
    OfficerKey,
    SanctionsWallet,
    Wallet,
    WalletChallenge,
    WalletRequest,
)
from kyc.notices import tell
from kyc.selectors import current_application
from kyc.services.guards import require_officer
from portal import audit
from portal.models import User
from portal.state import require_transition

State = WalletRequest.State
Purpose = WalletChallenge.Purpose
ChainState = ChainTransaction.State
#: Outbox purpose of the token of a further wallet, and of what follows the person's first token.
ISSUE: Final = "kyc.wallet_token"
_STATEMENTS: Final = {
    Purpose.LINK: "I add this wallet to my account. This signature moves nothing and costs nothing.",
    Purpose.SIGN_IN: "I sign in with this wallet. This signature moves nothing and costs nothing.",
}
_VERIFIED: Final = (Application.State.ACTIVE, Application.State.RENEWING)
_STOPPED: Final = (
    Application.State.SUSPENDING,
    Application.State.SUSPENDED,
    Application.State.REVOKING,
    Application.State.REVOKED,
)


# --- proof of the key ------------------------------------------------------------------------------------------


def uri_of(purpose: str) -> str:
    """What a signature is for, as EIP-4361 names it; one made for signing in adds no wallet."""
    path = {Purpose.LINK: "/kyc/wallets/new/", Purpose.SIGN_IN: "/kyc/wallets/sign-in/"}[Purpose(purpose)]
    return f"{settings.SITE_URL}{path}"


@transaction.atomic
def ask_for_proof(*, purpose: str, address: str, user: User | None = None) -> tuple[str, str]:
    """The text to be signed by the key of `address`, and its nonce. Raises `InvalidAddress`."""
    checked = parse_address(address)
    WalletChallenge.objects.filter(created_at__lt=timezone.now() - timedelta(days=1)).delete()
    nonce = siwe.new_nonce()
    WalletChallenge.objects.create(nonce=nonce, purpose=purpose, user=user, address=checked)
    statement = _STATEMENTS[Purpose(purpose)]
    return siwe.message_for(address=checked, nonce=nonce, uri=uri_of(purpose), statement=statement), nonce


def _proven_address(*, purpose: str, text: str, signature: bytes, user: User | None) -> tuple[str, str]:
    """Verify, then use the nonce up: of two at the same moment one is refused. In the caller's transaction."""
    proven = siwe.verify(text=text, signature=signature, uri=uri_of(purpose))
    fresh = WalletChallenge.objects.filter(
        nonce=proven.nonce,
        purpose=purpose,
        user=user,
        address=proven.address,
        used_at=None,
        created_at__gt=timezone.now() - siwe.VALID_FOR,
    )
    if not fresh.update(used_at=timezone.now()):
        raise siwe.ProofRefused(
            _("This text was used already, or its time is over. Nothing was done. Please start again."),
            code="chain.siwe.nonce",
        )
    return proven.address, proven.nonce


def link_wallet(*, user: User, text: str, signature: bytes) -> Wallet:
    """Register the address that signed `text` as the person's own wallet, for good, and ask for its token.

    Only for verified people. Raises `ProofRefused`, or `WalletRefused` for an address that is somebody's already, or
    that is a key or a contract of the platform. An address on a sanctions list is refused too, and somebody has to look.
    """
    address = siwe.verify(text=text, signature=signature, uri=uri_of(Purpose.LINK)).address
    if _is_listed(address):
        chain_services.open_incident(
            kind="kyc.listed_wallet",
            detail=f"{address}, which stands on a sanctions list, was shown to be the wallet of account {user.pk}.",
            dedupe_key=f"kyc.listed_wallet:{user.pk}:{address}",
        )
        raise WalletRefused(
            _("This wallet cannot be added. Nothing was added. Please contact us."), code="kyc.wallet.not_possible"
        )
    return _link(user, text, signature)


def _is_listed(address: str) -> bool:
    return SanctionsWallet.objects.filter(
        entry__sanctions_list__is_current=True, address_key__in=[address, address.lower()]
    ).exists()


@transaction.atomic
def _link(user: User, text: str, signature: bytes) -> Wallet:
    application = _verified_application(user)
    address, _nonce = _proven_address(purpose=Purpose.LINK, text=text, signature=signature, user=user)
    _require_free(address)
    try:
        with transaction.atomic():
            wallet = Wallet.objects.create(user=user, address=address, kind=Wallet.Kind.OWN)
    except IntegrityError as error:
        raise _taken() from error
    request = WalletRequest.objects.create(wallet=wallet)
    tell(application=application, kind="wallet_added", key=wallet.pk, wallet=address)
    audit.record(
        action="kyc.wallet.linked",
        subject_type="kyc.wallet",
        subject_id=wallet.pk,
        actor=user,
        to_state=request.state,
        data={"address": address, "user": user.pk, "request": request.pk},
    )
    return wallet


def _verified_application(user: User) -> Application:
    application = current_application(user)
    if application is None or application.state not in _VERIFIED:
        raise WalletRefused(
            _("Only verified people can add a wallet. Nothing was added. Finish your verification first."),
            code="kyc.wallet.not_verified",
        )
    return application


def _require_free(address: str) -> None:
    if Wallet.objects.filter(address=address).exists():
        raise _taken()
    if OfficerKey.objects.filter(address=address).exists() or chain_selectors.is_ours(address):
        raise WalletRefused(
            _("This address belongs to the platform and cannot be a person's wallet. Nothing was added."),
            code="kyc.wallet.platform_address",
        )


def _taken() -> WalletRefused:
    return WalletRefused(
        _("This wallet is registered already. An address belongs to one person for good. Nothing was added."),
        code="kyc.wallet.taken",
    )


@transaction.atomic
def person_signing_in(*, text: str, signature: bytes, nonce: str) -> User:
    """Whose own wallet signed `text` to sign in; `nonce` is what this browser was given. Raises `ProofRefused`.

    Who is answered for has shown one factor only: the caller goes on with the second.
    """
    address, used = _proven_address(purpose=Purpose.SIGN_IN, text=text, signature=signature, user=None)
    if used != nonce:
        raise siwe.ProofRefused(
            _("This text was not asked for by this browser. Nothing was done. Please start again."),
            code="chain.siwe.nonce",
        )
    wallet = Wallet.objects.filter(address=address, kind=Wallet.Kind.OWN, user__is_active=True).first()
    if wallet is None:
        raise WalletRefused(
            _("No account belongs to this wallet. Sign in with your e-mail address and add the wallet there."),
            code="kyc.wallet.unknown",
        )
    audit.record(
        action="kyc.wallet.signed_in",
        subject_type="kyc.wallet",
        subject_id=wallet.pk,
        actor=wallet.user,
        data={"address": address},
    )
    return wallet.user


# --- the token of a further wallet -------------------------------------------------------------------------------


def locked_request(request_id: int) -> WalletRequest:
    """The request's row, locked until the transaction ends."""
    rows = WalletRequest.objects.select_for_update(of=("self",)).select_related("wallet__user")
    return rows.get(pk=request_id)


def application_of(request: WalletRequest) -> Application:
    """The verification this wallet's token rests on. Raises `WalletRefused` when the person is not verified now."""
    application = current_application(request.wallet.user)
    if application is None or application.state not in _VERIFIED:
        raise WalletRefused(
            _("This person is not verified now. Nothing was signed."), code="kyc.wallet_request.not_verified"
        )
    return application


def request_token(*, record: AttestationRecord, officer: User) -> WalletRequest:
    """REQUESTED | FAILED → ISSUING with its outbox row; in the caller's transaction, with the signed `record`."""
    from kyc.services.attestations import as_attestation

    pk = WalletRequest.objects.values_list("pk", flat=True).get(wallet__address=record.holder)
    request = locked_request(pk)
    require_transition(
        {State.REQUESTED: {State.ISSUING}, State.FAILED: {State.ISSUING}},
        current=request.state,
        target=State.ISSUING,
        code="kyc.wallet_request.wrong_state",
    )
    known = chain_selectors.sbt_for(record.holder)
    operation = operations.renew_sbt if known else operations.issue_sbt
    request.attempt += 1
    request.attestation, request.decided_by, request.failure = record, officer, ""
    request.transaction = chain_services.request(
        role=SignerRole.SBT_ISSUER,
        call=operation(as_attestation(record), str(record.attestor), bytes(record.signature or b"")),
        idempotency_key=f"kyc.wallet_request:{request.pk}:{request.attempt}",
        purpose=ISSUE,
        subject=f"kyc.application:{record.application_id}",
        valid_until=datetime.fromtimestamp(record.deadline, UTC),
    )
    fields = ["attempt", "attestation", "decided_by", "failure", "transaction"]
    _move(request, State.ISSUING, actor=officer, action="kyc.wallet_request.issuing", fields=fields)
    return request


@transaction.atomic
def give_custody_wallet(*, holder: str, officer: User) -> WalletRequest:
    """REQUESTED: a further wallet that we keep, for the verified person whose wallet `holder` is in wrong hands.

    Once its token is final it is the person's primary wallet; the old one stays theirs, with what is still on it. Asked
    again before that, it is the same one. Raises `WalletRefused` for somebody who keeps their own key, or is suspended.
    """
    require_officer(officer)
    old = Wallet.objects.filter(address=holder).select_related("user").first()
    if old is None or old.kind != Wallet.Kind.CUSTODY:
        raise WalletRefused(
            _("We do not keep the key of this wallet: its owner adds another one. Nothing was changed."),
            code="kyc.wallet.own_key",
        )
    User.objects.select_for_update().get(pk=old.user_id)
    _verified_application(old.user)
    known = WalletRequest.objects.filter(wallet__user=old.user, wallet__kind=Wallet.Kind.CUSTODY)
    under_way = known.exclude(state__in=[State.FINAL, State.DECLINED]).first()
    if under_way is not None:
        return under_way
    signer = chain_services.create_custody_signer(label=f"user {old.user_id}")
    wallet = Wallet.objects.create(user=old.user, address=signer.address, kind=Wallet.Kind.CUSTODY, signer=signer)
    request = WalletRequest.objects.create(wallet=wallet)
    audit.record(
        action="kyc.wallet.opened",
        subject_type="kyc.wallet",
        subject_id=wallet.pk,
        actor=officer,
        to_state=request.state,
        data={"address": wallet.address, "user": old.user_id, "kind": wallet.kind, "replaces": holder},
    )
    return request


@transaction.atomic
def decline_wallet(*, request_id: int, officer: User, reason: str) -> WalletRequest:
    """REQUESTED | FAILED → DECLINED, with the reason. The address stays the person's; it gets no token."""
    request = locked_request(request_id)
    require_officer(officer)
    if request.wallet.user_id == officer.pk or not reason.strip():
        raise WalletRefused(
            _("Give a reason; nobody decides on their own wallet. Nothing was changed."),
            code="kyc.wallet_request.decline",
        )
    request.decided_by, request.reason = officer, reason.strip()
    _move(
        request,
        State.DECLINED,
        actor=officer,
        action="kyc.wallet_request.declined",
        reason=reason.strip(),
        fields=["decided_by", "reason"],
    )
    return request


def ask_again(*, user: User, actor: str) -> None:
    """FINAL → REQUESTED for every further wallet of a person verified anew; in the caller's transaction."""
    for pk in WalletRequest.objects.filter(wallet__user=user, state=State.FINAL).values_list("pk", flat=True):
        ask_again_for(request_id=pk, actor=actor)


def ask_again_for(*, request_id: int, actor: User | str) -> None:
    """FINAL → REQUESTED for one wallet; any other state is left alone. In the caller's transaction."""
    request = locked_request(request_id)
    if request.state == State.FINAL:
        _move(request, State.REQUESTED, actor=actor, action="kyc.wallet_request.due")


def apply_wallet_outcome(*, transaction_row: ChainTransaction, state: str) -> None:
    """Bring the request in line with its transaction; in the engine's database transaction. Told twice: no change."""
    found = WalletRequest.objects.filter(transaction=transaction_row).values_list("pk", flat=True).first()
    if found is None:
        return
    request = locked_request(found)
    targets: dict[str, str] = {
        ChainState.MINED: State.IN_BLOCK,
        ChainState.FINAL: State.FINAL,
        ChainState.BROADCAST: State.ISSUING,
        **dict.fromkeys(ChainTransaction.DEAD, State.FAILED),
    }
    target = targets.get(state)
    if target is None or target == request.state or target not in WalletRequest.TRANSITIONS[State(request.state)]:
        return
    request.failure = (transaction_row.error_code or state)[:200] if target == State.FAILED else ""
    _move(request, target, actor="chain", action=f"kyc.wallet_request.{target}", fields=["failure"])
    if target in (State.IN_BLOCK, State.FINAL):
        _arrived(request)


def _arrived(request: WalletRequest) -> None:
    """Tell the person. One who was suspended while the token was on its way is suspended with it."""
    application = current_application(request.wallet.user)
    if application is None:
        return
    if application.state in _STOPPED:
        # Asked of this address alone: the index does not know its token yet.
        _follow(application, "suspend", f"arrived:{request.attempt}", request.wallet.address)
    elif request.state == State.FINAL:
        _make_primary(request.wallet)
        tell(
            application=application,
            kind="wallet_token",
            key=f"{request.wallet_id}:{request.attempt}",
            wallet=request.wallet.address,
        )


def _make_primary(wallet: Wallet) -> None:
    """A further wallet that we keep is there because the key of the one before is in wrong hands: it takes its place."""
    if wallet.kind == Wallet.Kind.CUSTODY and not wallet.is_primary:
        Wallet.objects.filter(user=wallet.user_id, is_primary=True).update(is_primary=False)
        Wallet.objects.filter(pk=wallet.pk).update(is_primary=True)


#: What the person's first token goes through, their other tokens go through too.
_FOLLOWING: Final[dict[str, tuple[Any, str]]] = {
    "suspend": (operations.suspend_sbt, SignerRole.SBT_GUARDIAN),
    "reinstate": (operations.reinstate_sbt, SignerRole.COUNCIL),
    "revoke": (operations.revoke_sbt, SignerRole.SBT_ISSUER),
}


def follow_first_token(*, application: Application, kind: str, key: object) -> int:
    """Ask the same of the tokens of the person's further wallets; in the caller's transaction. How many were asked."""
    if kind not in _FOLLOWING:
        return 0
    wallets = Wallet.objects.filter(user=application.user_id, is_primary=False)
    tokens = chain_selectors.sbts_for(wallets.values_list("address", flat=True))
    concerned = [address for address, sbt in tokens.items() if (kind == "suspend") is not sbt.suspended]
    for address in sorted(concerned):
        _follow(application, kind, key, address)
    return len(concerned)


def _follow(application: Application, kind: str, key: object, address: str) -> None:
    operation, role = _FOLLOWING[kind]
    chain_services.request(
        role=role,
        call=operation(address),
        idempotency_key=f"kyc.follow:{kind}:{key}:{address}",
        purpose=f"kyc.follow_{kind}",
        subject=f"kyc.application:{application.pk}",
    )


def following_went_on(*, transaction_row: ChainTransaction, state: str) -> None:
    """A further token that does not follow the first one is something a person must look at."""
    if state in ChainTransaction.DEAD and transaction_row.is_settled and "Already" not in transaction_row.error_code:
        chain_services.open_incident(
            kind="kyc.wallet_token_did_not_follow",
            detail=f"{transaction_row.function} for a further wallet of {transaction_row.subject} was refused: "
            f"{transaction_row.error_code or state}.",
            dedupe_key=f"kyc.follow:{transaction_row.pk}",
        )


def _move(
    request: WalletRequest,
    target: str,
    *,
    actor: User | str,
    action: str,
    reason: str = "",
    fields: list[str] | None = None,
) -> None:
    source = request.state
    require_transition(WalletRequest.TRANSITIONS, current=source, target=target, code=f"{action}.wrong_state")
    request.state = target
    request.save(update_fields=["state", "changed_at", *(fields or [])])
    audit.record(
        action=action,
        subject_type="kyc.wallet_request",
        subject_id=request.pk,
        actor=actor,
        from_state=source,
        to_state=target,
        reason=reason,
        data={"wallet": request.wallet_id, "transaction": request.transaction_id},
    )
