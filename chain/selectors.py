"""What the database knows of the chain. Nothing here asks the node except `chain_status`, which never waits for it long.

Every selector issues a constant number of queries however many rows it returns. Units are base units of the token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, Sum, When
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain.head import head_memory
from chain.models import (
    Attempt,
    ChainTransaction,
    CollateralAccount,
    CollateralMovement,
    Contract,
    Cursor,
    Distrust,
    EventLog,
    Holding,
    Incident,
    SbtRecord,
    Signer,
    TokenState,
)
from chain.outside.models import OutsideTransaction
from chain.profiles import SIMULATED_FEEDS
from chain.registry import visibility
from chain.types import (
    BalanceView,
    ChainStatus,
    CollateralBalance,
    CollateralDeposit,
    DailyChange,
    MovementView,
    Restriction,
    SbtView,
    Standing,
    TimelineStep,
)
from chain.wording import RESTRICTIONS, error_sentence
from portal.compiled import Instances, RowCount, Rows, pair
from portal.exceptions import DomainError
from portal.memo import once_per_request
from portal.models import Role, User


class PlatformNotReady(DomainError):
    """The contracts or signers are not set up on this chain yet."""

    status_code = 503


# --- how current what we show is ------------------------------------------------------------------


def chain_status() -> ChainStatus:
    """How far the chain has been read, and the node's head as it was a second or two ago.

    `indexed` is -1 and `indexed_at` None before the first block; `indexed_at` is the time of block `indexed`.
    `finalized` is the block up to which what we show can no longer be undone. A node that is down costs at most
    about one second, then is remembered as down for a few seconds. One query.
    """
    cursor = _cursor()
    return ChainStatus(
        head=head_memory.head(),
        finalized=cursor.final_number if cursor.final_number >= 0 else None,
        indexed=cursor.number,
        indexed_at=cursor.block_at,
    )


@once_per_request
def _cursor() -> Cursor:
    return next(iter(_cursors(settings.CHAIN_ID)), None) or Cursor(chain_id=settings.CHAIN_ID)


_cursors: Final = Instances(lambda chain_id: Cursor.objects.filter(chain_id=chain_id))


# --- verification tokens ------------------------------------------------------------------------------


def sbt_for(address: str) -> SbtView | None:
    """The SBT of `address` as of the cursor; None if it never had one or it was revoked. Three queries."""
    return sbts_for([address]).get(address)


def sbts_for(addresses: Iterable[str]) -> dict[str, SbtView]:
    """The SBTs of many addresses, by address; addresses without one are missing. Three queries."""
    records = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, address__in=set(addresses), revoked=False)
    cursor = _cursor()
    distrusted = dict(_distrusted(settings.CHAIN_ID))
    now = chain_time(cursor)
    return {record.address: _sbt_view(record, cursor, distrusted, now) for record in records}


_distrusted: Final = Rows(lambda chain_id: Distrust.objects.filter(chain_id=chain_id).values_list("key", "since"), pair)


def chain_time(cursor: Cursor) -> datetime:
    """The time by which the next block will judge: ours, or the last block's where the chain runs ahead of us."""
    now = timezone.now()
    return max(now, cursor.block_at) if cursor.block_at else now


def _sbt_view(record: SbtRecord, cursor: Cursor, distrusted: dict[str, datetime], now: datetime) -> SbtView:
    return SbtView(
        address=record.address,
        token_id=record.token_id,
        categories=record.categories,
        issued_at=record.issued_at,
        effective_from=record.effective_from,
        expires_at=record.expires_at,
        suspended=record.suspended,
        standing=standing_of(record, distrusted, now),
        is_final=record.block_number <= cursor.final_number,
        transaction_hash=record.transaction_hash,
    )


def standing_of(record: SbtRecord, distrusted: dict[str, datetime], now: datetime) -> Standing:
    """What `InvestorSBT.standingOf` would answer at `now`: the gravest first, as the contract orders them."""
    answers = (
        (record.revoked, Standing.NONE),
        (record.suspended, Standing.SUSPENDED),
        (_is_distrusted(record.issuer, record.issued_at, distrusted), Standing.ISSUER_DISTRUSTED),
        (_is_distrusted(record.attestor, record.issued_at, distrusted), Standing.ATTESTOR_DISTRUSTED),
        (now >= record.expires_at, Standing.EXPIRED),
        (now < record.effective_from, Standing.PENDING),
    )
    return next((standing for applies, standing in answers if applies), Standing.EFFECTIVE)


def _is_distrusted(key: str, at: datetime, distrusted: dict[str, datetime]) -> bool:
    since = distrusted.get(key)
    return since is not None and at >= since


# --- holdings --------------------------------------------------------------------------------------------


def balances_for(addresses: Collection[str]) -> list[BalanceView]:
    """Every token these addresses hold, held until the last final block, or are admitted on. One query."""
    return list(_balances_of(frozenset(addresses)))


@once_per_request
def _balances_of(addresses: frozenset[str]) -> list[BalanceView]:
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES, {"own": list(addresses), "chain": settings.CHAIN_ID})
        return [_balance(*row) for row in cursor.fetchall()]


def _balance(token: str, holder: str, *rest: Any) -> BalanceView:
    units, final, frozen, is_admitted = rest
    return BalanceView(token, holder, int(units), int(final), int(frozen), bool(is_admitted))


#: As `_balance_views` reads them: what is held, was held at the final block, is frozen or admitted.
_BALANCES: Final = """
    SELECT token, holder, units, final_units, frozen_units, admitted_sbt > 0 AND admitted_sbt = (
        SELECT token_id FROM chain_sbtrecord AS sbt
        WHERE sbt.chain_id = %(chain)s AND NOT sbt.revoked AND sbt.address = holding.holder LIMIT 1
    )
    FROM chain_holding AS holding
    WHERE chain_id = %(chain)s AND holder = ANY(%(own)s)
          AND (units > 0 OR final_units > 0 OR frozen_units > 0 OR admitted_sbt > 0)
"""


def holders_of(token: str) -> list[BalanceView]:
    """Who holds `token` at the head or at the final block, largest holding first. One query."""
    rows = Holding.objects.filter(chain_id=settings.CHAIN_ID, token=token).filter(Q(units__gt=0) | Q(final_units__gt=0))
    return _balance_views(rows.order_by("-units", "holder"))


def admitted_on(token: str) -> list[BalanceView]:
    """Whose live SBT is admitted on `token`, whether they hold any of it or not. One query."""
    rows = Holding.objects.filter(chain_id=settings.CHAIN_ID, token=token, admitted_sbt__gt=0).order_by("holder")
    return [view for view in _balance_views(rows) if view.is_admitted]


def _balance_views(rows: QuerySet[Holding]) -> list[BalanceView]:
    live = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, revoked=False, address=OuterRef("holder"))
    return [
        BalanceView(
            token=holding.token,
            holder=holding.holder,
            units=holding.units,
            final_units=holding.final_units,
            frozen_units=holding.frozen_units,
            # The token admits an SBT, not an address: a new SBT of the same address must be admitted again.
            is_admitted=holding.admitted_sbt > 0 and holding.live_sbt == holding.admitted_sbt,
        )
        for holding in rows.annotate(live_sbt=Subquery(live.values("token_id")[:1]))
    ]


def movements_for(addresses: Collection[str], *, token: str | None = None, limit: int = 50) -> list[MovementView]:
    """The newest `limit` transfers from or to these addresses, newest first. Two queries."""
    values: dict[str, Any] = {"own": list(set(addresses)), "chain": settings.CHAIN_ID, "token": token, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_MOVEMENTS, values | {"final": _cursor().final_number})
        return [_movement(*row) for row in cursor.fetchall()]


def _movement(*row: Any) -> MovementView:
    token, sender, recipient, units, number, at, transaction_hash, is_final = row
    return MovementView(token, sender, recipient, int(units), number, at, transaction_hash, is_final)


_MOVEMENTS: Final = """
    SELECT token, sender, recipient, units, block_number, at, transaction_hash, block_number <= %(final)s
    FROM chain_movement
    WHERE chain_id = %(chain)s AND (sender = ANY(%(own)s) OR recipient = ANY(%(own)s))
          AND (%(token)s::text IS NULL OR token = %(token)s)
    ORDER BY block_number DESC, log_id DESC LIMIT %(limit)s
"""


_DAILY: Final = """
    SELECT token, (at AT TIME ZONE %(zone)s)::date AS day,
           sum(CASE WHEN recipient = ANY(%(own)s) THEN units ELSE 0 END) - sum(CASE WHEN sender = ANY(%(own)s) THEN units ELSE 0 END)
    FROM chain_movement
    WHERE chain_id = %(chain)s AND (sender = ANY(%(own)s) OR recipient = ANY(%(own)s))
    GROUP BY token, day ORDER BY day, token
"""


def daily_changes_for(addresses: Collection[str], *, zone: tzinfo) -> list[DailyChange]:
    """What the movements of each day, begun at midnight in `zone`, did to the holdings of these addresses together.

    Oldest first, one row per token and day, added up by the database. One query.
    """
    values: dict[str, Any] = {"zone": str(zone), "own": list(set(addresses)), "chain": settings.CHAIN_ID}
    with connection.cursor() as cursor:
        cursor.execute(_DAILY, values)
        return [DailyChange(token, day, int(units)) for token, day, units in cursor.fetchall()]


def token_state(token: str) -> TokenState:
    """What the security's contract says of itself as of the cursor; all zero while it has not been read. One query."""
    known = TokenState.objects.filter(chain_id=settings.CHAIN_ID, token=token).first()
    return known or TokenState(chain_id=settings.CHAIN_ID, token=token)


# --- transactions ------------------------------------------------------------------------------------------


def transactions_for(subject: str) -> QuerySet[ChainTransaction]:
    """Everything asked of the chain for this subject, newest first."""
    return ChainTransaction.objects.filter(subject=subject).order_by("-id")


def transaction_timeline(transaction: ChainTransaction) -> list[TimelineStep]:
    """asked → submitted → in block → final, or where it ended instead; `at` None is still to come. One query at most.

    A transaction that reverted or was cancelled has the step `final` too: until then a reorganisation may revive it.
    """
    state = ChainTransaction.State
    asked = TimelineStep(key="asked", at=transaction.created_at)
    if transaction.state in (state.EXPIRED, state.REFUSED):
        detail = error_sentence(transaction.error_code) if transaction.state == state.REFUSED else ""
        return [asked, TimelineStep(key=transaction.state, at=transaction.settled_at, detail=detail)]
    submitted = TimelineStep(key="submitted", at=transaction.submitted_at, transaction_hash=_hash_to_show(transaction))
    final = TimelineStep(key="final", at=transaction.settled_at if transaction.is_settled else None)
    return [asked, submitted, _outcome_step(transaction), final]


def _outcome_step(transaction: ChainTransaction) -> TimelineStep:
    state = ChainTransaction.State
    key, detail = "in_block", ""
    if transaction.state == state.REVERTED:
        key, detail = "reverted", error_sentence(transaction.error_code)
    elif transaction.state in (state.CANCELLING, state.CANCELLED):
        key = "cancelled"
    return TimelineStep(
        key=key,
        at=transaction.mined_at if transaction.block_hash else None,
        transaction_hash=transaction.mined_hash,
        block_number=transaction.block_number,
        detail=detail,
    )


def outside_timeline(row: OutsideTransaction) -> list[TimelineStep]:
    """The same steps for what a person sends from their own wallet. No query."""
    state = OutsideTransaction.State
    asked = TimelineStep(key="asked", at=row.created_at)
    if row.state == state.WITHDRAWN:
        return [asked, TimelineStep(key="cancelled", at=row.created_at)]
    submitted = TimelineStep(key="submitted", at=row.submitted_at, transaction_hash=row.hash)
    key, detail, at = "in_block", "", row.mined_at
    if row.state == state.REVERTED:
        key, detail = "reverted", error_sentence(row.error_code)
    elif row.state == state.REPLACED:
        key, at = "cancelled", row.settled_at
    in_block = TimelineStep(
        key=key,
        at=at,
        transaction_hash=row.hash if row.block_hash else "",
        block_number=row.block_number,
        detail=detail,
    )
    return [asked, submitted, in_block, TimelineStep(key="final", at=row.settled_at if row.is_settled else None)]


def _hash_to_show(transaction: ChainTransaction) -> str:
    """The attempt that was mined, else the newest one that was sent."""
    if transaction.mined_hash or transaction.submitted_at is None:
        return transaction.mined_hash
    newest = Attempt.objects.filter(transaction=transaction).order_by("-id").values_list("hash", flat=True).first()
    return newest or ""


def transaction_visible_to(user: User, transaction: ChainTransaction) -> bool:
    """Administrators and auditors see all; anybody else only what an app says concerns them (`chain.registry`)."""
    return sees_everything(user) or visibility.allows(user, transaction.subject)


def sees_everything(user: User) -> bool:
    """May this person look at the whole engine: its signers, queues, incidents and every transaction?"""
    return user.has_role(Role.ADMINISTRATOR) or user.has_role(Role.AUDITOR)


@dataclass(frozen=True, slots=True)
class SeenTransaction:
    """A transaction on the chain as one reader may see it: `transaction` if we asked for it, and its events of ours."""

    hash: str
    transaction: ChainTransaction | None
    events: list[EventLog]
    is_final: bool
    names: dict[str, str]
    kinds: dict[str, str]

    @property
    def block_number(self) -> int | None:
        return self.events[0].block_number if self.events else None

    @property
    def at(self) -> datetime | None:
        return self.events[0].block.at if self.events else None


def transaction_seen_by(user: User, transaction_hash: str) -> SeenTransaction | None:
    """What this person may see of a transaction; None if there is nothing, or nothing that concerns them."""
    attempt = Attempt.objects.filter(hash=transaction_hash).select_related("transaction__signer").first()
    transaction = attempt.transaction if attempt else None
    events = list(events_of(transaction_hash))
    if transaction is None and not events:
        return None
    addresses = {value for event in events for value in _addresses_in(event)}
    is_asked_for = transaction is not None and transaction_visible_to(user, transaction)
    if not (sees_everything(user) or is_asked_for or addresses & visibility.addresses_of(user)):
        return None
    return SeenTransaction(
        hash=transaction_hash,
        transaction=transaction if is_asked_for else None,
        events=events,
        is_final=bool(events) and events[0].block_number <= _cursor().final_number,
        names=names_for(user, addresses),
        kinds=dict(Contract.objects.filter(chain_id=settings.CHAIN_ID).values_list("address", "kind")),
    )


def _addresses_in(event: EventLog) -> list[str]:
    values = [value for value in event.args.values() if isinstance(value, str)]
    return [value for value in values if len(value) == 42 and value.startswith("0x")]


def names_for(user: User, addresses: Iterable[str]) -> dict[str, str]:
    """Names of addresses as far as this reader may know them: the platform's own, and what the apps say."""
    wanted = set(addresses)
    signers = Signer.objects.filter(chain_id=settings.CHAIN_ID, address__in=wanted).exclude(label="")
    contracts = Contract.objects.filter(chain_id=settings.CHAIN_ID, address__in=wanted)
    own = dict(contracts.values_list("address", "kind"))
    if sees_everything(user):
        own |= dict(signers.values_list("address", "label"))
    return own | visibility.names_of(user, wanted)


def events_of(transaction_hash: str) -> QuerySet[EventLog]:
    """The canonical events of ours in one transaction, in order."""
    return (
        EventLog.objects.filter(chain_id=settings.CHAIN_ID, transaction_hash=transaction_hash, canonical=True)
        .select_related("block")
        .order_by("log_index")
    )


def was_logged(*, address: str, event: str, args: Mapping[str, str], since_block: int = 0) -> bool:
    """Whether `address` logged `event` with these arguments from `since_block` on, in blocks that count at present."""
    logs = EventLog.objects.filter(
        chain_id=settings.CHAIN_ID, address=address, event=event, canonical=True, block_number__gte=since_block
    )
    return logs.filter(**{f"args__{name}": value for name, value in args.items()}).exists()


def open_incidents_for(user: User) -> int | None:
    """How many incidents wait for a person; None for those who do not look after them. One query."""
    if not sees_everything(user):
        return None
    return _open_incidents() or None


_open_incidents: Final = RowCount(lambda _key: Incident.objects.filter(closed_at=None))


# --- where things are ----------------------------------------------------------------------------------------


def is_ours(address: str) -> bool:
    """Whether this address is a contract or a signing key of the platform, custody wallets included. Two queries."""
    known = {"chain_id": settings.CHAIN_ID, "address": address}
    return Contract.objects.filter(**known).exists() or Signer.objects.filter(**known).exists()


def signer_for_role(role: str) -> Signer:
    """The platform's signer for a `SignerRole` that has one. Raises `PlatformNotReady`. One query."""
    rows = Signer.objects.filter(chain_id=settings.CHAIN_ID, role=role, state=Signer.State.ACTIVE)
    signer = rows.order_by("id").first()
    if signer is None:
        raise PlatformNotReady(_NOT_READY, code="chain.signer.missing", role=role)
    return signer


def contract_address(kind: str) -> str:
    """Where the one contract of this `Contract.Kind` stands. Raises `PlatformNotReady`. One query."""
    rows = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=kind).order_by("id")
    address = rows.values_list("address", flat=True).first()
    if address is None:
        raise PlatformNotReady(_NOT_READY, code="chain.contract.missing", kind=kind)
    return address


_NOT_READY = _(
    "The contracts are not set up on this chain yet. Nothing was done. Ask an administrator to finish the set-up, then try again."
)


def explorer_url(tx_hash: str) -> str:
    """Where a person can look at a transaction: the public explorer if there is one, else our own page of its events."""
    if settings.CHAIN_EXPLORER_TX_URL:
        pattern: str = settings.CHAIN_EXPLORER_TX_URL
        return pattern.format(hash=tx_hash) if "{hash}" in pattern else f"{pattern}{tx_hash}"
    return reverse("chain:events", args=[tx_hash])


# --- in words ------------------------------------------------------------------------------------------------


def restriction_sentence(restriction: Restriction | int) -> str:
    """The whole refusal for a person: what was asked, why not, that nothing moved, what to do."""
    return str(RESTRICTIONS[Restriction(restriction)].sentence)


def restriction_reason(restriction: Restriction | int) -> str:
    """The reason alone, a few words."""
    return str(RESTRICTIONS[Restriction(restriction)].reason)


# --- collateral in the vault -----------------------------------------------------------------------------


def final_block() -> int:
    """The last block that no reorganisation can undo, as indexed; -1 before the first. One query."""
    return _cursor().final_number


def collateral_account_for(account: str) -> CollateralAccount | None:
    """An account that was opened, as indexed. One query."""
    return CollateralAccount.objects.select_related("log").filter(chain_id=settings.CHAIN_ID, account=account).first()


def collateral_payee(account: str) -> str | None:
    """The address that the vault pays for an account now: as opened, or as changed since; None while it is not open.

    As indexed, two queries: a change that waits for its notice does not count yet.
    """
    opened = collateral_account_for(account)
    if opened is None:
        return None
    changed = (
        EventLog.objects.filter(
            chain_id=opened.chain_id,
            address=opened.log.address,
            event="BorrowerChanged",
            args__account=account,
            canonical=True,
        )
        .order_by("-block_number", "-log_index")
        .first()
    )
    return str(changed.args["next"]) if changed is not None else opened.borrower


def collateral_accounts_for(accounts: Iterable[str]) -> dict[str, CollateralAccount]:
    """The accounts among these that were opened, as indexed, by account. One query."""
    rows = CollateralAccount.objects.filter(chain_id=settings.CHAIN_ID, account__in=set(accounts))
    return {row.account: row for row in rows}


def collateral_movements(accounts: Iterable[str]) -> QuerySet[CollateralMovement]:
    """What came into and left these accounts, in the chain's order. One query when read."""
    rows = CollateralMovement.objects.filter(chain_id=settings.CHAIN_ID, account__in=set(accounts))
    return rows.order_by("block_number", "log_id")


def collateral_deposits(accounts: Iterable[str]) -> list[CollateralDeposit]:
    """Every deposit into these accounts that the chain still has, in its order. Two queries.

    One that a reorganisation took back is not here any more; if it comes again it mostly is another log.
    """
    final = final_block()
    return [
        CollateralDeposit(
            log_id=row.log_id,
            account=row.account,
            amount_wei=row.amount_wei,
            sender=row.party,
            origin=row.origin,
            is_final=row.block_number <= final,
            block_number=row.block_number,
            at=row.at,
            transaction_hash=row.transaction_hash,
        )
        for row in collateral_movements(accounts).filter(kind=CollateralMovement.Kind.DEPOSITED)
    ]


def collateral_balance(account: str) -> CollateralBalance:
    """What one account holds as indexed. Two queries."""
    return collateral_balances([account])[account]


def collateral_balances(accounts: Iterable[str]) -> dict[str, CollateralBalance]:
    """What these accounts hold as indexed, by account; nothing is zero. Two queries, however many."""
    wanted = set(accounts)
    signed = Case(When(kind=CollateralMovement.Kind.DEPOSITED, then=F("amount_wei")), default=-F("amount_wei"))
    rows = (
        CollateralMovement.objects.filter(chain_id=settings.CHAIN_ID, account__in=wanted)
        .values_list("account")
        .annotate(wei=Sum(signed), final_wei=Sum(signed, filter=Q(block_number__lte=final_block())))
    )
    found = {account: CollateralBalance(account, int(wei), int(final or 0)) for account, wei, final in rows}
    return {account: found.get(account, CollateralBalance(account)) for account in wanted}


def price_feeds() -> dict[str, str]:
    """Address of the price feed of each pair, e.g. `ETH/USD`: from the settings, or the simulated ones. One query."""
    if settings.PRICE_FEEDS:
        return dict(settings.PRICE_FEEDS)
    feeds = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=Contract.Kind.PRICE_FEED).order_by("pk")
    return dict(zip(SIMULATED_FEEDS, feeds.values_list("address", flat=True), strict=False))
