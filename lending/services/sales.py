"""Selling just enough of a loan's collateral: begin, slice by slice, book each fill once, end.

A slice's order is committed with its client id before it is placed; whatever happens then, the next step asks the
exchange what became of that id before anything else is sold. Fills are booked by that id, once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from chain.services.incidents import close_if_open, open_incident
from lending.exceptions import LoanRefused, NoAcceptedPrice
from lending.execution.sizing import Slice, next_slice
from lending.execution.venues import (
    ORDER_LIFE,
    OrderRefused,
    Outcome,
    Smallest,
    Ticket,
    Venue,
    VenueNonsense,
    VenueUnavailable,
    venue,
)
from lending.models import (
    Asset,
    Breach,
    Loan,
    MarginCall,
    Position,
    Price,
    Sale,
    SaleOrder,
    Setback,
    Stage,
)
from lending.models.prices import pair_of
from lending.money import ASSET_DIGITS, floor_minor, from_minor
from lending.selectors.collateral import is_frozen
from lending.selectors.prices import accepted_price
from lending.selectors.valuation import Valuation, value_loan
from lending.services import deliveries, positions, setbacks
from lending.services.deliveries import at_exchange
from lending.services.guards import locked_loan, move, require_officer, require_other
from lending.services.notices import tell
from portal import audit
from portal.models import User

logger = logging.getLogger(__name__)
ENGINE: Final = "loan desk"
SUBJECT: Final = "lending.sale"
#: After an order was refused by the exchange nothing is placed for so long.
REFUSED_REST: Final = timedelta(seconds=60)
#: So much more than a sale needs now is brought to the exchange; what is left goes back.
DELIVERY_OVER_PERCENT: Final = 10


def start_sale(
    *,
    loan: Loan,
    cause: str,
    breach: Breach | None = None,
    call: MarginCall | None = None,
    decided_by: User | None = None,
    reason: str = "",
    repay: Decimal | None = None,
) -> Sale:
    """→ IN_SALE on the locked loan, with a sale by the numbers of its terms. Nothing is sold yet. Asked again: the same."""
    running = Sale.objects.filter(loan=loan, state__in=Sale.RUNNING).first()
    if running is not None:
        return running
    terms = loan.terms
    sale = Sale.objects.create(
        loan=loan,
        breach=breach,
        call=call,
        cause=cause,
        venue=settings.SALE_VENUE,
        repay=repay,
        target_bps=terms.sale_target_bps,
        cost_bps=terms.sale_cost_bps + terms.sale_fee_bps,
        fee_bps=terms.sale_fee_bps,
        slice_limit=terms.slice_limit,
        close_out_below=terms.close_out_below,
        decided_by=decided_by,
        reason=reason,
        started_at=timezone.now(),
    )
    positions.set_stage(loan=loan, stage=Stage.NONE)
    tell(user=loan.borrower, kind="lending.sale_started", key=sale.pk, params={"loan": loan.reference})
    move(
        loan,
        Loan.State.IN_SALE,
        actor=decided_by or ENGINE,
        action="lending.loan.in_sale",
        subject="lending.loan",
        reason=reason,
        data={"sale": sale.pk, "cause": cause},
    )
    return sale


def sell_to_repay(loan: Loan, actor: User | str, minor: int) -> Sale:
    """The borrower's wish (`lending.hooks.repayment_from_collateral`, locked loan): sell what repays `minor`.

    An open call stays open: it is judged, and its deadline acted upon, when the sale is over. Needs accepted prices.
    """
    value_loan(loan)
    person = actor if isinstance(actor, User) else None
    return start_sale(loan=loan, cause=Sale.Cause.BORROWER, decided_by=person, repay=from_minor(minor, loan.currency))


def run_sales(*, limit: int = 100) -> int:
    """One step of every running sale; how many made one. One sale's trouble keeps no other waiting.

    More than `limit` running sales take turns by lot: many may wait for their collateral, and none waits behind them.
    """
    kind, running = Setback.Kind.SALE, Sale.objects.filter(state__in=Sale.RUNNING)
    setbacks.forget_gone(kind=kind, waiting=running)
    steps = 0
    went_on: list[int] = []
    for sale_id, loan_id in list(running.order_by("?").values_list("pk", "loan_id")[:limit]):
        try:
            steps += step(sale_id=sale_id)
            went_on.append(sale_id)
        except Exception as error:
            logger.exception("sale %s could not go on; it is tried again", sale_id)
            setbacks.note_failure(kind=kind, row_id=sale_id, loan_id=loan_id, error=error)
    setbacks.note_success(kind=kind, row_ids=went_on)
    return steps


def step(*, sale_id: int, back_end: Venue | None = None) -> bool:
    """Settle what is open, else plan and place the next slice, else end the sale. True if something was settled or ended.

    No transaction is open while the exchange is asked.
    """
    if Sale.objects.filter(pk=sale_id, pause=Sale.Pause.NONSENSE).exists():
        return False  # a person looks first: `resume_sale`
    back_end = back_end or venue(Sale.objects.values_list("venue", flat=True).get(pk=sale_id))
    order = SaleOrder.objects.filter(sale_id=sale_id, state__in=SaleOrder.UNSETTLED).first()
    if order is None:
        least = _smallest_orders(sale_id, back_end)
        order = None if least is None else _plan(sale_id, least)
    if order is None:
        return not Sale.objects.filter(pk=sale_id, state__in=Sale.RUNNING).exists()
    return _settle(order, back_end)


def _smallest_orders(sale_id: int, back_end: Venue) -> dict[str, Smallest] | None:
    """What the exchange takes at the least, by asset; None, and the sale is paused, if it does not say."""
    currency = Sale.objects.values_list("loan__currency", flat=True).get(pk=sale_id)
    try:
        return {asset: back_end.smallest(pair_of(asset, currency)) for asset in Asset.values}
    except (VenueUnavailable, VenueNonsense) as error:
        with transaction.atomic():
            sale = Sale.objects.select_for_update().get(pk=sale_id)
            if sale.state in Sale.RUNNING:
                _pause(sale, Sale.Pause.EXCHANGE, str(error))
        return None


# --- one slice --------------------------------------------------------------------------------------------------------


@transaction.atomic
def _plan(sale_id: int, smallest: Mapping[str, Smallest] | None = None) -> SaleOrder | None:
    """The next slice as a committed order, or None: ended, paused, or collateral is still on its way."""
    loan = locked_loan(Sale.objects.values_list("loan_id", flat=True).get(pk=sale_id))
    sale = Sale.objects.select_for_update().get(pk=sale_id)
    if sale.state not in Sale.RUNNING or sale.orders.filter(state__in=SaleOrder.UNSETTLED).exists():
        return None
    if sale.pause == Sale.Pause.NONSENSE or _was_just_refused(sale):
        return None
    if is_frozen(loan):
        _pause(sale, Sale.Pause.FROZEN)
        return None
    try:
        valuation = value_loan(loan)
    except NoAcceptedPrice:
        _pause(sale, Sale.Pause.PRICE)
        return None
    if sale.repay is not None:
        _press(sale, loan, valuation)
    least = _least(loan, valuation, smallest or {})
    piece = _next(sale, loan, valuation, least)
    if piece is None:
        _finish(sale, loan, valuation, least)
        return None
    if not _is_delivered(sale, piece, _next(sale, loan, valuation, least, slice_limit=valuation.worth + 1) or piece):
        _pause(sale, Sale.Pause.DELIVERY)
        return None
    _go_on(sale)
    return _order(sale, loan, piece)


def _was_just_refused(sale: Sale) -> bool:
    """The exchange refused the last order: it is asked again after a while, not with every step."""
    last = sale.orders.order_by("-number").first()
    return (
        last is not None
        and last.state == SaleOrder.State.REFUSED
        and last.sent_at is not None
        and (last.ended_at or last.sent_at) > timezone.now() - REFUSED_REST
    )


def _least(loan: Loan, valuation: Valuation, smallest: Mapping[str, Smallest]) -> dict[str, int]:
    """Base units of the smallest orders at the lowest price that would be taken."""
    prices = {"BTC": valuation.prices.btc, "ETH": valuation.prices.eth}
    keep = 10_000 - loan.terms.slice_slippage_bps
    return {
        asset: smallest[asset].units(asset, price * keep / 10_000)
        for asset, price in prices.items()
        if price is not None and asset in smallest
    }


def _next(
    sale: Sale, loan: Loan, valuation: Valuation, least: Mapping[str, int], *, slice_limit: Decimal | None = None
) -> Slice | None:
    repay = None if sale.repay is None else _left_to_repay(sale, sale.repay)
    if repay is not None and repay <= 0:
        return None
    holdings = {Asset.BTC.value: valuation.btc_sats, Asset.ETH.value: valuation.eth_wei}
    prices = {"BTC": valuation.prices.btc, "ETH": valuation.prices.eth}
    return next_slice(
        holdings={asset: units for asset, units in holdings.items() if units},
        prices={asset: price for asset, price in prices.items() if price is not None},
        debt=from_minor(valuation.debt, valuation.currency),
        target_bps=sale.target_bps,
        slice_limit=slice_limit or sale.slice_limit,
        close_out_below=sale.close_out_below,
        repay=repay,
        least=least,
        # What a slice brings at the worst is its limit: with it the amount is reached and not just missed.
        cost_bps=sale.cost_bps + (loan.terms.slice_slippage_bps if repay is not None else 0),
    )


def _press(sale: Sale, loan: Loan, valuation: Valuation) -> None:
    """A borrower's own sale becomes one to the target, for good, once the sale level is reached or a call's deadline passed."""
    from lending.services.calls import end_call_by_sale

    late = MarginCall.objects.filter(loan=loan, state=MarginCall.State.OPEN, deadline__lte=timezone.now()).exists()
    fell = valuation.debt > 0 and not valuation.reaches(loan.terms.sale_bps + 1)
    if not late and not fell:
        return
    wish, sale.cause, sale.repay = sale.repay, Sale.Cause.PRICE if fell else Sale.Cause.DEADLINE, None
    sale.save(update_fields=["cause", "repay"])
    end_call_by_sale(loan)
    audit.record(
        action="lending.sale.pressed",
        subject_type=SUBJECT,
        subject_id=sale.pk,
        actor=ENGINE,
        from_state=sale.state,
        to_state=sale.state,
        data={"cause": sale.cause, "wish": str(wish)},
    )


def _left_to_repay(sale: Sale, repay: Decimal) -> Decimal:
    """What the borrower's sale has still to bring after costs; nothing once less than a hundredth is missing.

    A market that takes a little less than was expected would otherwise keep it open for ever smaller orders.
    """
    sums = sale.orders.aggregate(proceeds=Sum("proceeds"), fee=Sum("fee"))
    net = (sums["proceeds"] or Decimal(0)) - (sums["fee"] or Decimal(0))
    left = repay - net * (10_000 - sale.fee_bps) / 10_000
    return left if left * 100 >= repay else Decimal(0)


def _order(sale: Sale, loan: Loan, piece: Slice) -> SaleOrder:
    price = accepted_price(pair_of(piece.asset, loan.currency))
    if price is None:
        raise NoAcceptedPrice("", code="lending.price.none")
    number = sale.orders.count() + 1
    return SaleOrder.objects.create(
        sale=sale,
        number=number,
        client_order_id=f"musubi-{sale.pk}-{number}",
        asset=piece.asset,
        units=piece.units,
        limit_price=_limit(price, loan.terms.slice_slippage_bps),
        price=price,
    )


def _limit(price: Price, slippage_bps: int) -> Decimal:
    least: Decimal = price.value * (10_000 - slippage_bps) / 10_000
    return least.quantize(Decimal(1) if price.pair.endswith("JPY") else Decimal("0.1"))


def _settle(order: SaleOrder, back_end: Venue) -> bool:
    """Ask what became of the order, place it if the exchange never saw it, and book it once it is final."""
    ticket = _ticket(order)
    try:
        outcome = back_end.find(ticket) if order.sent_at else None
        if outcome is None:
            outcome = _place(order, ticket, back_end)
    except VenueUnavailable as error:
        _trouble(order, Sale.Pause.EXCHANGE, str(error))
        return False
    except VenueNonsense as error:
        _trouble(order, Sale.Pause.NONSENSE, str(error))
        return False
    except OrderRefused as error:
        _refuse(order, str(error))
        return True
    if outcome is None or not outcome.is_final:
        return False
    return _book(order.pk, outcome)


def _ticket(order: SaleOrder) -> Ticket:
    symbol = pair_of(order.asset, order.sale.loan.currency)
    return Ticket(order.client_order_id, symbol, order.asset, int(order.units), order.limit_price)


def _place(order: SaleOrder, ticket: Ticket, back_end: Venue) -> Outcome | None:
    """Place the order, unless an answer may still be on its way or prices broke since: then it waits or is dropped."""
    now = timezone.now()
    if order.sent_at is not None and now < order.sent_at + 2 * ORDER_LIFE:
        return None
    if accepted_price(ticket.symbol) is None or order.created_at < now - timedelta(minutes=2):
        raise OrderRefused("its price is no longer accepted; the slice is planned anew")
    # Committed before the exchange hears of it: from here on it is asked about before it is sent again.
    # Of two workers one may send it, and what it sends is void before the other may try.
    if not SaleOrder.objects.filter(pk=order.pk, sent_at=order.sent_at, state__in=SaleOrder.UNSETTLED).update(
        sent_at=now
    ):
        return None
    return back_end.place(replace(ticket, void_after=now + ORDER_LIFE))


@transaction.atomic
def _book(order_id: int, outcome: Outcome) -> bool:
    """PLANNED/PLACED → FINAL: the fills are booked once, under the order's client id. False if that was done already."""
    from lending.services.repayments import Proceeds, book_crumb, book_sale

    loan = locked_loan(SaleOrder.objects.values_list("sale__loan_id", flat=True).get(pk=order_id))
    order = SaleOrder.objects.select_for_update().select_related("sale").get(pk=order_id)
    if order.state not in SaleOrder.UNSETTLED:
        return False
    gross = floor_minor(outcome.proceeds, loan.currency)
    cost = min(gross, floor_minor(outcome.fee, loan.currency))
    if outcome.units and gross > cost:
        book_sale(
            loan_id=loan.pk,
            proceeds=Proceeds(asset=order.asset, units=outcome.units, gross=gross, cost=cost),
            reference=order.client_order_id,
            value_on=timezone.localdate(),
            actor=ENGINE,
            memo={"sale": order.sale_id, "order": order.pk, "price": order.price_id},
        )
    elif outcome.units:
        book_crumb(
            loan_id=loan.pk,
            asset=order.asset,
            units=outcome.units,
            reference=order.client_order_id,
            value_on=timezone.localdate(),
        )
    order.exchange_order_id, order.filled_units = outcome.exchange_order_id, outcome.units
    order.proceeds, order.fee = from_minor(gross, loan.currency), from_minor(cost, loan.currency)
    order.ended_at = timezone.now()
    move(
        order,
        SaleOrder.State.FINAL,
        actor=ENGINE,
        action="lending.sale_order.final",
        subject="lending.sale_order",
        also=["exchange_order_id", "filled_units", "proceeds", "fee", "ended_at"],
        data={"sale": order.sale_id, "units": str(outcome.units), "proceeds": str(order.proceeds)},
    )
    close_if_open(dedupe_key=f"lending.sale:{order.sale_id}", reason="the sale goes on")
    return True


@transaction.atomic
def _refuse(order: SaleOrder, problem: str) -> None:
    row = SaleOrder.objects.select_for_update().get(pk=order.pk)
    if row.state != SaleOrder.State.PLANNED:
        return
    row.problem, row.ended_at = problem[:200], timezone.now()
    move(
        row,
        SaleOrder.State.REFUSED,
        actor=ENGINE,
        action="lending.sale_order.refused",
        subject="lending.sale_order",
        also=["problem", "ended_at"],
        reason=problem,
    )
    if row.sent_at is not None:
        _pause(Sale.objects.select_for_update().get(pk=row.sale_id), Sale.Pause.EXCHANGE, problem)


@transaction.atomic
def _trouble(order: SaleOrder, pause: str, problem: str) -> None:
    sale = Sale.objects.select_for_update().get(pk=order.sale_id)
    SaleOrder.objects.filter(pk=order.pk).update(problem=problem[:200])
    _pause(sale, pause, problem)


# --- the sale ---------------------------------------------------------------------------------------------------------


def _pause(sale: Sale, pause: str, detail: str = "") -> None:
    """SELLING → PAUSED on the locked sale, and the desk is told, also when one cause follows another."""
    if sale.pause == pause:
        return
    was_paused, sale.pause = sale.state == Sale.State.PAUSED, pause
    if pause != Sale.Pause.DELIVERY:
        open_incident(
            kind="lending.sale_paused",
            detail=f"Sale {sale.pk}: {sale.get_pause_display()}. {detail}"[:500],
            dedupe_key=f"lending.sale:{sale.pk}",
            data={"sale": sale.pk},
        )
    if was_paused:
        sale.save(update_fields=["pause"])
        return
    move(
        sale,
        Sale.State.PAUSED,
        actor=ENGINE,
        action="lending.sale.paused",
        subject=SUBJECT,
        also=["pause"],
        reason=pause,
    )


def _go_on(sale: Sale) -> None:
    if sale.state == Sale.State.PAUSED:
        # The exchange's trouble is over when it has carried an order out: see `_book`.
        if sale.pause != Sale.Pause.EXCHANGE:
            close_if_open(dedupe_key=f"lending.sale:{sale.pk}", reason="the sale goes on")
        sale.pause = ""
        move(sale, Sale.State.SELLING, actor=ENGINE, action="lending.sale.resumed", subject=SUBJECT, also=["pause"])


@transaction.atomic
def resume_sale(*, sale_id: int, actor: User, reason: str) -> Sale:
    """PAUSED → SELLING by an officer who looked at what the exchange said, and says what they found.

    The exchange is asked again what became of the last order; nothing else is sold before it answers something true.
    """
    require_officer(actor)
    loan = locked_loan(Sale.objects.values_list("loan_id", flat=True).get(pk=sale_id))
    require_other(actor, loan.borrower_id)
    sale = Sale.objects.select_for_update().get(pk=sale_id)
    if not reason.strip() or sale.pause != Sale.Pause.NONSENSE:
        raise LoanRefused(
            _(
                "Only a sale that stopped at an impossible answer is resumed by hand, with what you found. Nothing was changed."
            ),
            code="lending.sale.not_stopped",
        )
    close_if_open(dedupe_key=f"lending.sale:{sale.pk}", reason="an officer looked at it")
    sale.pause = ""
    move(
        sale,
        Sale.State.SELLING,
        actor=actor,
        action="lending.sale.resumed",
        subject=SUBJECT,
        also=["pause"],
        reason=reason,
    )
    return sale


def _finish(sale: Sale, loan: Loan, valuation: Valuation, least: Mapping[str, int]) -> None:
    """Nothing more is to be sold: the target is there, or no collateral is left and the shortfall is booked openly.

    A remainder that no exchange takes is as good as none: it stays the borrower's and goes back with what is repaid.
    """
    from lending.services.calls import end_call_by_sale
    from lending.services.repayments import finish_sale

    _go_on(sale)
    position = Position.objects.get(loan=loan)
    sold = sale.orders.filter(filled_units__gt=0).exists()
    held = {Asset.BTC.value: position.btc_sats, Asset.ETH.value: int(position.eth_wei)}
    is_empty = not any(units and units >= least.get(asset, 0) for asset, units in held.items())
    is_short = is_empty and position.debt > 0 and not valuation.reaches(sale.target_bps)
    target = Sale.State.SOLD_OUT if is_short else Sale.State.DONE if sold else Sale.State.STOPPED
    sale.ended_at = timezone.now()
    close_if_open(dedupe_key=f"lending.sale:{sale.pk}", reason="the sale ended")
    move(sale, target, actor=ENGINE, action=f"lending.sale.{target}", subject=SUBJECT, also=["ended_at"])
    for asset in Asset.values:
        deliveries.bring_back(sale=sale, asset=asset)
    if target == Sale.State.SOLD_OUT:
        end_call_by_sale(loan)
    finish_sale(loan_id=loan.pk, actor=ENGINE, is_sold_out=is_short)
    tell(user=loan.borrower, kind="lending.sale_ended", key=sale.pk, params={"loan": loan.reference})


# --- collateral on its way to the exchange ----------------------------------------------------------------------------


def _is_delivered(sale: Sale, piece: Slice, whole: Slice) -> bool:
    """Whether the slice stands at the exchange. If not, what the `whole` sale needs is asked for at once, with something
    over: the market moves while it is on its way, and a second way would take as long again.
    """
    there = at_exchange(sale, piece.asset)
    if there >= piece.units:
        return True
    position = Position.objects.get(loan_id=sale.loan_id)
    held = position.btc_sats if piece.asset == Asset.BTC else int(position.eth_wei)
    price = accepted_price(pair_of(piece.asset, position.currency))
    # No slice is smaller than `close_out_below`, so one of that size must stand there after the market took its part.
    least = int((sale.close_out_below / price.value).scaleb(ASSET_DIGITS[piece.asset])) + 1 if price else 0
    wanted = (
        max(piece.units, whole.units * (100 + DELIVERY_OVER_PERCENT) // 100 + least)
        if whole.asset == piece.asset
        else piece.units
    )
    deliveries.ask_for(sale=sale, asset=piece.asset, units=min(held, wanted) - there)
    return at_exchange(sale, piece.asset) >= piece.units
