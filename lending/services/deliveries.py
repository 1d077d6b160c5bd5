"""Collateral on its way to the exchange for a sale, and back. Ether goes through the vault, bitcoin by officers.

Nothing is sold before it has arrived. What failed is tried again only when an officer says so, as a row of its own: the
vault uses an id once, so nothing leaves it twice.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.models import ChainTransaction, CollateralMovement
from chain.selectors import collateral_movements, final_block, signer_for_role
from chain.services import enqueue, open_incident
from chain.services.incidents import close_if_open
from chain.types import SignerRole
from lending.bitcoin.esplora import Esplora
from lending.bitcoin.exceptions import EsploraNotFound
from lending.exceptions import LoanRefused
from lending.models import Asset, Delivery, Deposit, DepositAddress, Loan, Sale
from lending.services.collateral.addresses import ether_network
from lending.services.collateral.rescreening import require_not_frozen
from lending.services.guards import locked_loan, move, require_officer, require_other
from portal.models import User

logger = logging.getLogger(__name__)
ENGINE: Final = "loan desk"
SUBJECT: Final = "lending.delivery"
State = Delivery.State
#: How long the vault lets a recorded sale be carried out; it allows seven days at most.
LIFE: Final = timedelta(days=6)
_TXID: Final = re.compile(r"[0-9a-f]{64}")
_OPEN: Final = (State.REQUESTED, State.SENT)


def ask_for(*, sale: Sale, asset: str, units: int) -> Delivery | None:
    """Ask for `units` to be brought to the exchange, on the locked sale; None while one is under way or a failed one
    waits for an officer."""
    last = sale.deliveries.filter(asset=asset, direction=Delivery.Direction.OUT).order_by("-id").first()
    if last is not None and last.state in (*_OPEN, State.FAILED):
        return None
    return _begin(sale, asset, units)


def _begin(sale: Sale, asset: str, units: int) -> Delivery:
    delivery = Delivery.objects.create(sale=sale, asset=asset, units=units, requested_at=timezone.now())
    if sale.venue == "paper" and settings.PAPER_DELIVERS_AT_ONCE:
        arrive(delivery, reference=f"paper-{delivery.pk}", actor=ENGINE)
    elif asset == Asset.ETH:
        _through_the_vault(delivery)
    return delivery


def at_exchange(sale: Sale, asset: str) -> int:
    """Base units of `asset` that stand at the exchange for this sale."""
    arrived = sale.deliveries.filter(asset=asset, state=State.ARRIVED)
    out, back = (
        int(arrived.filter(direction=each).aggregate(total=Sum("units"))["total"] or 0) for each in Delivery.Direction
    )
    sold = int(sale.orders.filter(asset=asset).aggregate(total=Sum("filled_units"))["total"] or 0)
    return out - back - sold


def bring_back(*, sale: Sale, asset: str) -> Delivery | None:
    """What was not sold goes back to the loan's own address, sent from the exchange by an officer, for both assets.

    None if nothing is there, or some is on its way back: the rest follows when that has arrived.
    """
    units = at_exchange(sale, asset)
    under_way = sale.deliveries.filter(asset=asset, direction=Delivery.Direction.BACK, state__in=_OPEN)
    if units <= 0 or under_way.exists():
        return None
    delivery = Delivery.objects.create(
        sale=sale, asset=asset, units=units, direction=Delivery.Direction.BACK, requested_at=timezone.now()
    )
    if sale.venue == "paper" and settings.PAPER_DELIVERS_AT_ONCE:
        arrive(delivery, reference=f"paper-{delivery.pk}", actor=ENGINE)
    return delivery


# --- ether ------------------------------------------------------------------------------------------------------------


def sale_id(delivery: Delivery) -> bytes:
    """The vault's id of a delivery: used once, whatever runs twice here."""
    return int(delivery.pk).to_bytes(32, "big")


def _through_the_vault(delivery: Delivery) -> None:
    """Record the sale with one key and carry it out with another, in the transaction that asks for the delivery."""
    account = (
        DepositAddress.objects.filter(loan_id=delivery.sale.loan_id, asset=Asset.ETH, network=ether_network())
        .exclude(account="")
        .values_list("account", flat=True)
        .first()
    )
    if account is None:
        _failed(delivery, "the loan has no account in the vault")
        return
    ends, subject = timezone.now() + LIFE, f"{SUBJECT}:{delivery.pk}"
    wei = int(delivery.units)
    recorded = enqueue(
        call=operations.record_collateral_sale(account, sale_id(delivery), wei, int(ends.timestamp())),
        signer=signer_for_role(SignerRole.SALE_RECORDER),
        idempotency_key=f"{subject}:record",
        purpose="lending.sale_recorded",
        subject=subject,
        valid_until=ends,
    )
    delivery.transaction = enqueue(
        call=operations.execute_collateral_sale(account, sale_id(delivery), wei),
        signer=signer_for_role(SignerRole.COLLATERAL_AGENT),
        idempotency_key=f"{subject}:execute",
        purpose="lending.sale_executed",
        subject=subject,
        depends_on=recorded,
        # A block later: the node that is asked for gas has to have seen the record.
        not_before=timezone.now() + timedelta(seconds=settings.SALE_EXECUTION_WAIT_SECONDS),
        valid_until=ends,
    )
    delivery.save(update_fields=["transaction"])


@transaction.atomic
def vault_failed(*, delivery_id: int, code: str) -> None:
    """The vault refused, or nobody may send: the ether is still there. REQUESTED → FAILED, and the desk is told."""
    delivery = _locked(delivery_id)
    if delivery.state in _OPEN:
        _failed(delivery, code or "stopped")


@transaction.atomic
def sold(*, delivery_id: int, account: str, wei: int, txid: str) -> None:
    """The vault sent it to the sale address in a block that is final: → ARRIVED. Told twice it is once."""
    if not Delivery.objects.filter(pk=delivery_id, asset=Asset.ETH).exists():
        return
    delivery = _locked(delivery_id)
    if delivery.state not in (*_OPEN, State.FAILED) or int(delivery.units) != wei:
        return
    if not DepositAddress.objects.filter(loan_id=delivery.sale.loan_id, account=account.lower()).exists():
        return
    arrive(delivery, reference=txid, actor=ENGINE)


def follow_ether() -> None:
    """What the index knows of deliveries and no handler told: the vault's `Sold` in final blocks."""
    rows = Delivery.objects.filter(asset=Asset.ETH, direction=Delivery.Direction.OUT, state__in=[*_OPEN, State.FAILED])
    for delivery in rows.exclude(transaction=None).select_related("sale"):
        accounts = DepositAddress.objects.filter(
            loan_id=delivery.sale.loan_id, asset=Asset.ETH, network=ether_network()
        )
        made = (
            collateral_movements(list(accounts.values_list("account", flat=True)))
            .filter(kind=CollateralMovement.Kind.SOLD, reference="0x" + sale_id(delivery).hex())
            .first()
        )
        if made is not None and made.block_number <= final_block():
            sold(
                delivery_id=delivery.pk,
                account=made.account,
                wei=int(made.amount_wei),
                txid=made.transaction_hash,
            )
        elif delivery.state in _OPEN and made is None and _is_dead(delivery.transaction):
            vault_failed(delivery_id=delivery.pk, code=delivery.transaction.error_code if delivery.transaction else "")


def _is_dead(row: ChainTransaction | None) -> bool:
    return row is not None and row.state in ChainTransaction.DEAD and row.is_settled


# --- bitcoin, and everything an officer does ------------------------------------------------------------------------


@transaction.atomic
def record_sent(*, delivery_id: int, txid: str, actor: User) -> Delivery:
    """REQUESTED → SENT by the officer who signed it with the custodian (or ordered it at the exchange): its `txid`.

    The same id again changes nothing. Raises LoanRefused for something that is no transaction's id or is used already.
    """
    require_officer(actor)
    delivery = _locked(delivery_id)
    require_other(actor, delivery.sale.loan.borrower_id)
    txid = _plain(txid.strip())
    if delivery.state == State.SENT and delivery.reference == txid:
        return delivery
    if not _TXID.fullmatch(txid) or Delivery.objects.filter(reference=txid).exclude(pk=delivery.pk).exists():
        raise LoanRefused(
            _("This is not the id of a transaction, or it stands for another delivery. Nothing was changed."),
            code="lending.delivery.txid",
        )
    if delivery.asset == Asset.ETH and delivery.direction == Delivery.Direction.OUT:
        raise LoanRefused(
            _("Ether goes to the exchange through the vault by itself. Nothing was changed."),
            code="lending.delivery.vault",
        )
    delivery.reference, delivery.recorded_by, delivery.sent_at = txid, actor, timezone.now()
    move(
        delivery,
        State.SENT,
        actor=actor,
        action="lending.delivery.sent",
        subject=SUBJECT,
        also=["reference", "recorded_by", "sent_at"],
        data={"sale": delivery.sale_id, "txid": txid},
    )
    return delivery


@transaction.atomic
def confirm_arrival(*, delivery_id: int, actor: User) -> Delivery:
    """SENT → ARRIVED by a second officer who saw it at the exchange. Twice is once. What comes back the chain tells."""
    require_officer(actor)
    delivery = _locked(delivery_id)
    if delivery.state == State.ARRIVED:
        return delivery
    if delivery.direction == Delivery.Direction.BACK:
        raise LoanRefused(
            _("It has arrived when it stands on the loan’s own address; that is recorded by itself."),
            code="lending.delivery.back",
        )
    require_other(actor, delivery.recorded_by_id, delivery.sale.loan.borrower_id)
    delivery.confirmed_by = actor
    delivery.save(update_fields=["confirmed_by"])
    arrive(delivery, reference=delivery.reference, actor=actor)
    return delivery


@transaction.atomic
def give_up(*, delivery_id: int, actor: User, reason: str) -> Delivery:
    """REQUESTED/SENT → FAILED by an officer: the coins did not leave. Ether's way is the vault's to end."""
    require_officer(actor)
    delivery = _locked(delivery_id)
    require_other(actor, delivery.sale.loan.borrower_id)
    if not reason.strip() or delivery.transaction_id is not None:
        raise LoanRefused(_("Say why. Nothing was changed."), code="lending.delivery.no_reason")
    _failed(delivery, reason.strip(), actor=actor)
    return delivery


@transaction.atomic
def retry(*, delivery_id: int, actor: User) -> Delivery:
    """After a failure an officer looked at: the same amount is asked for anew, as another row. Twice is once."""
    require_officer(actor)
    failed = _locked(delivery_id)
    require_other(actor, failed.sale.loan.borrower_id)
    require_not_frozen(failed.sale.loan)
    rows = failed.sale.deliveries.filter(asset=failed.asset, direction=failed.direction)
    newest = rows.order_by("-id")[0]
    if newest.pk != failed.pk:
        return newest
    is_back = failed.direction == Delivery.Direction.BACK
    if failed.state != State.FAILED or (failed.sale.state not in Sale.RUNNING and not is_back):
        raise LoanRefused(
            _("Only what failed can be tried again, while its sale runs. Nothing was changed."),
            code="lending.delivery.not_failed",
        )
    close_if_open(dedupe_key=_key(failed), reason="tried again by an officer")
    if is_back:
        return bring_back(sale=failed.sale, asset=failed.asset) or failed
    return _begin(failed.sale, failed.asset, int(failed.units))


def follow_bitcoin(service: Esplora, tip: int) -> None:
    """Note in which block what was sent is, and let it arrive by itself if it demonstrably paid the exchange's address."""
    from lending.services.bitcoin import needed_confirmations

    rows = Delivery.objects.filter(asset=Asset.BTC, state=State.SENT)
    for delivery_id, txid in list(rows.values_list("pk", "reference")):
        try:
            found = service.transaction(txid)
        except EsploraNotFound:
            continue
        with transaction.atomic():
            delivery = _locked(delivery_id)
            if delivery.state != State.SENT:
                continue
            delivery.block_height = found.status.height if found.status.confirmed else None
            delivery.save(update_fields=["block_height"])
            paid = sum(out.sats for out in found.outputs if out.address == settings.BITCOIN_SALE_ADDRESS)
            deep = found.status.confirmed and tip - found.status.height + 1 >= needed_confirmations(int(delivery.units))
            is_out = delivery.direction == Delivery.Direction.OUT
            # What we prepared pays the network's fee from the amount (`lending.bitcoin.psbt`).
            is_whole = paid in (int(delivery.units), int(delivery.units) - found.fee)
            if deep and is_out and settings.BITCOIN_SALE_ADDRESS and is_whole:
                arrive(delivery, reference=txid, actor=ENGINE)


# --- shared -----------------------------------------------------------------------------------------------------------


def watch_deliveries() -> None:
    """Tell the desk of each delivery that is under way for longer than `DELIVERY_LATE_MINUTES`."""
    late = timezone.now() - timedelta(minutes=settings.DELIVERY_LATE_MINUTES)
    for delivery in Delivery.objects.filter(state__in=_OPEN, requested_at__lte=late).select_related("sale__loan"):
        open_incident(
            kind="lending.delivery_late",
            detail=f"{delivery.asset} of loan {delivery.sale.loan.reference} is on its way since "
            f"{delivery.requested_at:%Y-%m-%d %H:%M} UTC; its sale waits.",
            dedupe_key=_key(delivery),
            data={"delivery": delivery.pk, "sale": delivery.sale_id},
        )


def arrive(delivery: Delivery, *, reference: str, actor: User | str) -> None:
    """→ ARRIVED on the locked row: it stands at the exchange (or is back) by the transaction `reference`."""
    delivery.reference, delivery.arrived_at = reference, timezone.now()
    close_if_open(dedupe_key=_key(delivery), reason="it arrived")
    move(
        delivery,
        State.ARRIVED,
        actor=actor,
        action="lending.delivery.arrived",
        subject=SUBJECT,
        also=["reference", "arrived_at"],
        data={"sale": delivery.sale_id, "units": str(delivery.units), "asset": delivery.asset},
    )
    _follow_up(delivery, actor)


# --- what comes back --------------------------------------------------------------------------------------------------


def brought_by(deposit: Deposit) -> Delivery | None:
    """The delivery whose coins a deposit brings back: by its transaction, or while one is under way by its exact amount.

    The amount is enough. Should a borrower pay just as much meanwhile, the exchange's coins count instead when they come.
    """
    rows = Delivery.objects.filter(
        direction=Delivery.Direction.BACK, asset=deposit.asset, sale__loan_id=deposit.loan_id
    ).order_by("id")
    named = rows.filter(state__in=[State.SENT, State.ARRIVED], reference=_plain(deposit.txid)).first()
    return named or rows.filter(state__in=_OPEN, units=deposit.units).first()


def may_be_back(deposit: Deposit) -> bool:
    """True while coins are asked back whose transaction nobody recorded: the deposit could be they, less a fee."""
    return Delivery.objects.filter(
        direction=Delivery.Direction.BACK,
        asset=deposit.asset,
        sale__loan_id=deposit.loan_id,
        state=State.REQUESTED,
    ).exists()


@transaction.atomic
def came_back(*, delivery_id: int, txid: str) -> None:
    """→ ARRIVED: the coins stand on the loan's own address, confirmed and checked. Told twice it is once."""
    delivery = _locked(delivery_id)
    if delivery.state != State.ARRIVED:
        arrive(delivery, reference=_plain(txid), actor=ENGINE)


def _plain(txid: str) -> str:
    return txid.lower().removeprefix("0x")


def _follow_up(delivery: Delivery, actor: User | str) -> None:
    """A delivery of a sale that is over has ended: what stands at the exchange comes back, and what is back in custody
    goes on to the borrower if the loan is repaid."""
    from lending.services.collateral.closing import return_what_is_left

    sale = delivery.sale
    if sale.state in Sale.RUNNING:
        return
    bring_back(sale=sale, asset=delivery.asset)
    if sale.loan.state == Loan.State.REPAID:
        return_what_is_left(locked_loan(sale.loan_id), actor)


# --- failures ---------------------------------------------------------------------------------------------------------


def _failed(delivery: Delivery, problem: str, *, actor: User | str = ENGINE) -> None:
    delivery.problem = problem[:200]
    move(
        delivery,
        State.FAILED,
        actor=actor,
        action="lending.delivery.failed",
        subject=SUBJECT,
        reason=problem,
        also=["problem"],
        data={"sale": delivery.sale_id},
    )
    is_out = delivery.direction == Delivery.Direction.OUT
    if is_out and delivery.sale.state not in Sale.RUNNING:
        # The sale ended without it: the coins are where they belong.
        close_if_open(dedupe_key=_key(delivery), reason="its sale is over")
        _follow_up(delivery, actor)
        return
    open_incident(
        kind="lending.delivery_failed",
        detail=f"{delivery.asset} of sale {delivery.sale_id} did not leave "
        f"{'custody' if is_out else 'the exchange'}: {problem}"[:500],
        dedupe_key=_key(delivery),
        data={"delivery": delivery.pk, "sale": delivery.sale_id},
    )


def _key(delivery: Delivery) -> str:
    return f"{SUBJECT}:{delivery.pk}"


def _locked(delivery_id: int) -> Delivery:
    """Loan first, then delivery: the order of locks everywhere."""
    locked_loan(Delivery.objects.values_list("sale__loan_id", flat=True).get(pk=delivery_id))
    return Delivery.objects.select_for_update(of=("self",)).select_related("sale__loan").get(pk=delivery_id)


locked_delivery = _locked
