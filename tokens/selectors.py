"""Every read of this app. Each issues a constant number of queries however many rows it answers."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from django.db.models import Q, QuerySet
from django.utils import timezone

from chain.selectors import (
    balances_for,
    chain_status,
    daily_changes_for,
    holders_of,
    movements_for,
    sbts_for,
    token_state,
)
from chain.types import BalanceView, ChainStatus, MovementView, Standing
from kyc.models import Wallet
from kyc.selectors import names_by_user, people_by_address, wallets_for
from portal.compiled import Rows
from portal.exports import safe_cell
from portal.memo import once_per_request
from portal.models import User
from portal.money import Money
from portal.units import format_units
from tokens.models import (
    TOKYO,
    AddressBookEntry,
    AdmissionRequest,
    Payment,
    Recovery,
    Security,
    Solicitation,
    Subscription,
    Transfer,
)
from tokens.over_time import ValueLine, values_over_time
from tokens.precheck import labels_of, precheck, precheck_typed, sending_wallet
from tokens.services.guards import looks_after_securities
from tokens.services.placements import counted_solicitations, placement_rule
from tokens.types import (
    Board,
    BoardLine,
    HistoryLine,
    HolderLine,
    HoldersReport,
    HoldingView,
    OpenOffer,
    OpenRecovery,
    Portfolio,
    TransferView,
)

__all__ = [
    "address_book_for",
    "admission_requests_open",
    "admissions_for",
    "board_for",
    "effective_wallets",
    "history_csv",
    "history_for",
    "holders_csv",
    "holders_report",
    "holding_for",
    "holdings_csv",
    "holdings_for",
    "names_for",
    "open_offers_to",
    "open_recoveries_for",
    "portfolio_for",
    "portfolio_over_time",
    "precheck",
    "precheck_typed",
    "recoveries_for",
    "securities",
    "sending_wallet",
    "subscriptions_for",
    "transfer_for",
    "transfers_for",
]

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"


# --- securities ------------------------------------------------------------------------------------------


def securities(*, state: str = "", search: str = "") -> QuerySet[Security]:
    """All securities, newest first, for staff."""
    rows = Security.objects.select_related("created_by", "approved_by")
    if state:
        rows = rows.filter(state=state)
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(isin__icontains=search) | Q(symbol__icontains=search))
    return rows


def securities_known_to(user: User) -> list[Security]:
    """Securities on the chain that this person was solicited for, holds, is admitted to or asked to receive.

    A private placement is not shown to anybody else.
    """
    tokens = [row.token for row in balances_for([wallet.address for wallet in wallets_for(user)])]
    mine = Q(token__in=tokens) | Q(solicitations__investor=user) | Q(admission_requests__user=user)
    return list(Security.objects.filter(mine, state__in=Security.ON_CHAIN).distinct())


@once_per_request
def open_offers_to(user: User) -> list[OpenOffer]:
    """Open invitations of this person, newest first; read once per page, where the menu counts them too."""
    return _open_offers(user.pk)


_open_offers: Final = Rows(
    lambda user: (
        Subscription.objects.filter(
            investor=user, state=Subscription.State.INVITED, security__state=Security.State.OFFERED
        )
        .order_by("-id")
        .values_list("pk", "security__name")
    ),
    OpenOffer,
)


def subscriptions_for(user: User) -> QuerySet[Subscription]:
    """This person's part in every placement, newest first, with securities and transactions."""
    rows = Subscription.objects.filter(investor=user).select_related("security", "mint", "admission")
    return rows.order_by("-id")


# --- holdings --------------------------------------------------------------------------------------------


def holdings_for(user: User) -> list[HoldingView]:
    """What this person's wallets hold, or held until the last final block. Four queries."""
    wallets = {wallet.address: wallet for wallet in wallets_for(user)}
    rows = [row for row in balances_for(list(wallets)) if row.units or row.final_units or row.frozen_units]
    known = _by_token(row.token for row in rows)
    views = [_holding(known[row.token], row, wallets[row.holder].kind) for row in rows if row.token in known]
    return sorted(views, key=lambda view: (view.security.maturity_date, view.security.pk, view.wallet))


def holding_for(user: User, security: Security, *, sender: str = "") -> HoldingView | None:
    """What the wallet a transfer would leave from holds of `security`; None without one."""
    wallet = sending_wallet(user, security, address=sender)
    if wallet is None or security.token is None:
        return None
    rows = [row for row in balances_for([wallet.address]) if row.token == security.token]
    nothing = BalanceView(
        token=security.token, holder=wallet.address, units=0, final_units=0, frozen_units=0, is_admitted=False
    )
    return _holding(security, rows[0] if rows else nothing, wallet.kind)


def portfolio_for(user: User) -> Portfolio:
    """The holdings with their sum at face, one sum per currency."""
    holdings = holdings_for(user)
    totals: dict[str, Money] = {}
    for holding in holdings:
        currency = holding.security.currency
        totals[currency] = totals.get(currency, Money(Decimal(0), currency)) + holding.value
    return Portfolio(holdings=holdings, totals=[totals[currency] for currency in sorted(totals)])


def portfolio_over_time(user: User) -> list[ValueLine]:
    """What this person held at the end of each day, at face, one line per currency. Three queries.

    At face, because a privately placed bond has no market price; from the indexed movements, provisional ones too.
    """
    changes = daily_changes_for([wallet.address for wallet in wallets_for(user)], zone=TOKYO)
    known = _by_token(row.token for row in changes)
    worth = [(row.day, known[row.token].value_of(row.units)) for row in changes if row.token in known]
    return values_over_time(worth, until=timezone.now().astimezone(TOKYO).date())


def _holding(security: Security, row: BalanceView, wallet_kind: str) -> HoldingView:
    return HoldingView(
        security=security,
        wallet=row.holder,
        wallet_kind=wallet_kind,
        units=row.units,
        final_units=row.final_units,
        # Frozen is what is held and frozen: a freeze may be for more than that (ERC-7943).
        frozen_units=min(row.frozen_units, row.units),
        is_admitted=row.is_admitted,
    )


def _by_token(tokens: Iterable[str]) -> dict[str, Security]:
    known, wanted = _read_so_far(), set(tokens)
    if missing := wanted - known.keys():
        known |= {row.token: row for row in Security.objects.filter(token__in=missing) if row.token}
    return {token: known[token] for token in wanted & known.keys()}


@once_per_request
def _read_so_far() -> dict[str, Security]:
    """Grows during one GET: a page about holdings, their worth over time and their movements needs the same ones each time."""
    return {}


def history_for(user: User, *, security: Security | None = None, limit: int = 50) -> list[HistoryLine]:
    """The newest movements of this person's wallets, newest first. Eight queries at most."""
    own = {wallet.address for wallet in wallets_for(user)}
    rows = movements_for(own, token=security.token if security else None, limit=limit)
    known = _by_token(row.token for row in rows)
    labels = labels_of(user)
    ids = _transfers_behind({row.transaction_hash for row in rows})
    return [_history_line(row, known[row.token], own, labels, ids) for row in rows if row.token in known]


def _transfers_behind(hashes: set[str]) -> dict[str, int]:
    """Our transfers by the hash of the transaction that carried them, whoever sent it (one query)."""
    kept = Transfer.objects.filter(transaction__mined_hash__in=hashes).values_list("transaction__mined_hash", "pk")
    own = Transfer.objects.filter(outside__hash__in=hashes).values_list("outside__hash", "pk")
    return dict(kept.union(own, all=True))


def _history_line(
    row: MovementView, security: Security, own: set[str], labels: dict[str, str], ids: dict[str, int]
) -> HistoryLine:
    direction = _direction(row, own)
    counterparty = {"in": row.sender, "out": row.recipient, "own": row.recipient}.get(direction, "")
    return HistoryLine(
        security=security,
        direction=direction,
        counterparty=counterparty,
        label=labels.get(counterparty, ""),
        units=row.units,
        at=row.at,
        block_number=row.block_number,
        transaction_hash=row.transaction_hash,
        is_final=row.is_final,
        transfer_id=ids.get(row.transaction_hash),
    )


def _direction(row: MovementView, own: set[str]) -> str:
    if row.sender == ZERO_ADDRESS:
        return "issued"
    if row.recipient == ZERO_ADDRESS:
        return "redeemed"
    if row.sender in own and row.recipient in own:
        return "own"
    return "in" if row.recipient in own else "out"


# --- transfers -------------------------------------------------------------------------------------------


def transfers_for(user: User, *, limit: int = 50) -> list[TransferView]:
    """Transfers asked for by this person or addressed to one of their wallets, newest first. Three queries."""
    own = [wallet.address for wallet in wallets_for(user)]
    rows = (
        Transfer.objects.filter(Q(requested_by=user) | Q(recipient__in=own))
        .exclude(~Q(requested_by=user) & Q(state__in=_HIDDEN_FROM_RECIPIENT))
        .exclude(~Q(requested_by=user) & Q(outside__isnull=False, state=Transfer.State.REQUESTED))
        .select_related("security", "transaction", "outside")
    )
    labels = labels_of(user)
    return [_transfer_view(row, user, labels) for row in rows[:limit]]


#: What the recipient is not told of: it may never reach them.
_HIDDEN_FROM_RECIPIENT = (Transfer.State.REFUSED, Transfer.State.FAILED, Transfer.State.NOT_SENT)


def transfer_for(user: User, transfer_id: int) -> TransferView | None:
    """One transfer, if this person is its sender, its recipient, or staff who look after securities."""
    transfer = Transfer.objects.select_related("security", "transaction", "outside").filter(pk=transfer_id).first()
    if transfer is None or not may_see_transfer(user, transfer):
        return None
    return _transfer_view(transfer, user, labels_of(user))


def may_see_transfer(user: User, transfer: Transfer) -> bool:
    if transfer.requested_by_id == user.pk:
        return True
    if looks_after_securities(user):
        return True
    if transfer.state in _HIDDEN_FROM_RECIPIENT or _only_meant(transfer):
        # Nothing reached the recipient: what somebody only tried is not their business.
        return False
    return any(wallet.address == transfer.recipient for wallet in wallets_for(user))


def _only_meant(transfer: Transfer) -> bool:
    """The sender's own wallet has not signed it: nothing of it exists but the wish."""
    return transfer.outside_id is not None and transfer.state == Transfer.State.REQUESTED


def _transfer_view(transfer: Transfer, user: User, labels: dict[str, str]) -> TransferView:
    incoming = transfer.requested_by_id != user.pk
    counterparty = transfer.sender if incoming else transfer.recipient
    return TransferView(
        transfer=transfer, is_incoming=incoming, counterparty=counterparty, label=labels.get(counterparty, "")
    )


def recoveries_for(user: User) -> QuerySet[Recovery]:
    """Recoveries of this person's wallets, newest first."""
    return Recovery.objects.filter(user=user).select_related(
        "security", "announcement", "completion", "objection", "own_objection"
    )


def open_recoveries_for(user: User) -> list[OpenRecovery]:
    """Those this person can still object to or must know of, newest first."""
    return _open_recoveries(user.pk)


_open_recoveries: Final = Rows(
    lambda user: Recovery.objects.filter(user=user, state__in=Recovery.OPEN).values_list(
        "pk", "state", "security__name"
    ),
    OpenRecovery,
)


def address_book_for(user: User) -> QuerySet[AddressBookEntry]:
    return AddressBookEntry.objects.filter(user=user)


def address_book_csv(user: User) -> str:
    """The address book as CSV, safe in a spreadsheet; the same file can be read in again."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["label", "address", "saved_at"])
    for entry in address_book_for(user):
        at = entry.created_at.astimezone(TOKYO).isoformat(timespec="seconds")
        writer.writerow([safe_cell(cell) for cell in (entry.label, entry.address, at)])
    return "\ufeff" + out.getvalue()


def names_for(user: User, addresses: Iterable[str]) -> dict[str, str]:
    """Names this reader may see: their own address book; for staff also the people behind the wallets."""
    wanted = set(addresses)
    names = {address: label for address, label in labels_of(user).items() if address in wanted}
    if looks_after_securities(user):
        names |= {address: person.name for address, person in people_by_address(wanted).items()}
    return names


# --- the issuer's pages ----------------------------------------------------------------------------------


def holders_report(security: Security) -> HoldersReport:
    """Everybody who holds `security`, by name, and how their sum compares with the contract's supply."""
    if security.token is None:
        return HoldersReport(holders=[], total_units=0, supply_units=0, authorised_units=security.authorised_units)
    rows = holders_of(security.token)
    people = people_by_address(row.holder for row in rows)
    state = token_state(security.token)
    lines = [
        HolderLine(
            address=row.holder,
            name=people[row.holder].name if row.holder in people else "",
            units=row.units,
            final_units=row.final_units,
            frozen_units=min(row.frozen_units, row.units),
            is_admitted=row.is_admitted,
        )
        for row in rows
    ]
    return HoldersReport(
        holders=lines,
        total_units=sum(line.units for line in lines),
        supply_units=state.supply_units,
        authorised_units=state.authorised_units or security.authorised_units,
    )


def board_for(security: Security) -> Board:
    """The placement of `security`: everybody solicited, what each did, what is left."""
    rows = list(
        Subscription.objects.filter(security=security).select_related("investor", "mint", "admission").order_by("id")
    )
    payments: dict[int, list[Payment]] = defaultdict(list)
    for payment in Payment.objects.filter(subscription__security=security):
        payments[payment.subscription_id].append(payment)
    for row in rows:
        row.security = security
    names = names_by_user(row.investor_id for row in rows)
    lines = [_board_line(row, payments[row.pk], names.get(row.investor_id, "")) for row in rows]
    taken = sum(row.allocated_units for row in rows if row.state in Subscription.TAKES_UNITS)
    small = security.placement_type == Security.PlacementType.SMALL_NUMBER
    now = timezone.now()
    rule = placement_rule(now.astimezone(TOKYO).date())
    return Board(
        lines=lines,
        solicitations=list(Solicitation.objects.filter(security=security).select_related("investor")),
        solicited_count=counted_solicitations(security, at=now).values("person_key").distinct().count(),
        solicited_limit=rule.solicited_below if small else None,
        subscribed_units=sum(row.units for row in rows if row.state not in _NOT_SUBSCRIBED),
        allocated_units=taken,
        issued_units=sum(row.allocated_units for row in rows if row.state == Subscription.State.ALLOTTED),
        available_units=security.authorised_units - taken,
        notice_duty=notice_duty(security),
    )


_NOT_SUBSCRIBED = (Subscription.State.INVITED, Subscription.State.DECLINED, Subscription.State.WITHDRAWN)


def notice_duty(security: Security) -> bool:
    """Whether the amount reaches the rule's notice duty (DOMAIN §3: from JPY 100m; yen only)."""
    if security.currency != Security.Currency.JPY:
        return False
    rule = placement_rule(timezone.now().astimezone(TOKYO).date())
    return security.authorised_amount.amount >= rule.notice_from_amount


def _board_line(subscription: Subscription, payments: list[Payment], name: str) -> BoardLine:
    currency = subscription.security.currency
    paid = Money(sum((payment.amount for payment in payments), Decimal(0)), currency)
    kept = subscription.security.value_of(subscription.allocated_units)
    nothing = Money(Decimal(0), currency)
    decided = subscription.state in (*Subscription.TAKES_UNITS, Subscription.State.NOT_ALLOCATED)
    return BoardLine(
        subscription=subscription,
        name=name or str(subscription.investor),
        due=subscription.due,
        paid=paid,
        missing=subscription.due - paid if subscription.state == Subscription.State.SUBSCRIBED else nothing,
        refund=paid - kept if decided else nothing,
        payments=payments,
    )


def admission_requests_open(security: Security | None = None) -> QuerySet[AdmissionRequest]:
    """Requests the issuer has to decide, oldest first."""
    rows = AdmissionRequest.objects.filter(state__in=[AdmissionRequest.State.REQUESTED, AdmissionRequest.State.FAILED])
    if security is not None:
        rows = rows.filter(security=security)
    return rows.select_related("security", "user", "transaction").order_by("id")


def effective_wallets(user: User) -> list[Wallet]:
    """The person's wallets that securities can go to, primary first: those whose SBT is effective."""
    wallets = wallets_for(user)
    tokens = sbts_for([wallet.address for wallet in wallets])
    return [row for row in wallets if row.address in tokens and tokens[row.address].standing is Standing.EFFECTIVE]


def admissions_for(user: User) -> QuerySet[AdmissionRequest]:
    return AdmissionRequest.objects.filter(user=user).select_related("security", "transaction")


# --- files -----------------------------------------------------------------------------------------------


def holdings_csv(user: User) -> str:
    """The holdings as CSV: plain decimals, safe in a spreadsheet, with the block they were read at."""
    status = chain_status()
    header = ["security", "isin", "wallet", "units", "final_units", "frozen_units", "face_value", "currency"]
    rows = [
        [
            view.security.name,
            view.security.isin,
            view.wallet,
            *(_plain(units, view.security) for units in (view.units, view.final_units, view.frozen_units)),
            f"{view.value.amount:f}",
            view.security.currency,
        ]
        for view in holdings_for(user)
    ]
    return _csv(header, rows, status)


def history_csv(user: User, *, security: Security | None = None) -> str:
    """The movements as CSV, newest first, at most 10,000."""
    header = [
        "at",
        "security",
        "isin",
        "direction",
        "counterparty",
        "units",
        "face_value",
        "currency",
        "block",
        "final",
    ]
    rows = [
        [
            line.at.astimezone(TOKYO).isoformat(timespec="seconds"),
            line.security.name,
            line.security.isin,
            line.direction,
            line.counterparty,
            _plain(line.units, line.security),
            f"{line.value.amount:f}",
            line.security.currency,
            str(line.block_number),
            "yes" if line.is_final else "no",
        ]
        for line in history_for(user, security=security, limit=10_000)
    ]
    return _csv(header, rows, chain_status())


def holders_csv(security: Security) -> str:
    """The holders of a security as CSV, for staff."""
    header = ["name", "address", "units", "final_units", "frozen_units", "face_value", "currency"]
    rows = [
        [
            line.name,
            line.address,
            *(_plain(units, security) for units in (line.units, line.final_units, line.frozen_units)),
            f"{security.value_of(line.units).amount:f}",
            security.currency,
        ]
        for line in holders_report(security).holders
    ]
    return _csv(header, rows, chain_status())


def _plain(units: int, security: Security) -> str:
    return format_units(units, decimals=security.decimals, grouping=False)


def _csv(header: list[str], rows: Iterable[list[str]], status: ChainStatus) -> str:
    """Every row carries the block it was read at, so that a single copied row still says so. UTF-8 with a mark."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*header, "as_of_block", "as_of"])
    at = status.indexed_at.astimezone(TOKYO).isoformat(timespec="seconds") if status.indexed_at else ""
    for row in rows:
        writer.writerow([safe_cell(cell) for cell in [*row, status.indexed, at]])
    return "\ufeff" + out.getvalue()
