"""Sales of collateral: why, how much, in which slices, and how the collateral reached the exchange."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from chain.models import UnitsField
from lending.models.prices import RateField
from lending.models.terms import Asset, MoneyField


class Sale(models.Model):
    """Just enough of one loan's collateral is sold to restore a target. One open sale per loan.

    Its numbers are those of the loan's terms when it began. What was sold is the sum of its orders.
    """

    class State(models.TextChoices):
        SELLING = "selling", _("Selling")
        PAUSED = "paused", _("Paused")
        DONE = "done", _("Target restored")
        SOLD_OUT = "sold_out", _("All collateral sold, shortfall owed")
        STOPPED = "stopped", _("Stopped: no longer needed")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.SELLING: {State.PAUSED, State.DONE, State.SOLD_OUT, State.STOPPED},
        State.PAUSED: {State.SELLING},
        State.DONE: set(),
        State.SOLD_OUT: set(),
        State.STOPPED: set(),
    }
    RUNNING = (State.SELLING, State.PAUSED)

    class Cause(models.TextChoices):
        PRICE = "price", _("Coverage fell to the sale level")
        DEADLINE = "deadline", _("Deadline of a call passed")
        OFFICER = "officer", _("Decided by officers")
        BORROWER = "borrower", _("Asked for by the borrower")

    class Pause(models.TextChoices):
        PRICE = "price", _("No accepted price")
        EXCHANGE = "exchange", _("The exchange does not answer")
        NONSENSE = "nonsense", _("The exchange answered nonsense")
        DELIVERY = "delivery", _("Collateral is on its way to the exchange")
        FROZEN = "frozen", _("Collateral is being checked")

    loan = models.ForeignKey("lending.Loan", on_delete=models.PROTECT, related_name="sales")
    breach = models.OneToOneField(
        "lending.Breach", null=True, blank=True, on_delete=models.PROTECT, related_name="sale"
    )
    call = models.OneToOneField(
        "lending.MarginCall", null=True, blank=True, on_delete=models.PROTECT, related_name="sale"
    )
    cause = models.CharField(_("cause"), max_length=10, choices=Cause.choices)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.SELLING)
    pause = models.CharField(_("why it is paused"), max_length=10, choices=Pause.choices, blank=True)
    venue = models.CharField(_("where it is sold"), max_length=20, help_text="the execution back end")
    repay = MoneyField(
        _("amount to repay"), null=True, blank=True, help_text="asked for by the borrower; otherwise the target decides"
    )
    target_bps = models.PositiveIntegerField()
    cost_bps = models.PositiveIntegerField(help_text="expected, with slippage")
    fee_bps = models.PositiveIntegerField(default=0, help_text="of the desk, from the proceeds")
    slice_limit = MoneyField(_("largest slice"))
    close_out_below = MoneyField(_("remainder that is sold along"))
    decided_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("sale of collateral")
        verbose_name_plural = _("sales of collateral")
        constraints = [
            models.UniqueConstraint(
                fields=["loan"], condition=Q(state__in=["selling", "paused"]), name="lending_sale_one_running"
            ),
            models.CheckConstraint(
                condition=Q(cause="borrower", repay__gt=0) | (~Q(cause="borrower") & Q(repay__isnull=True)),
                name="lending_sale_repay",
            ),
            models.CheckConstraint(
                condition=Q(state="paused") & ~Q(pause="") | ~Q(state="paused") & Q(pause=""), name="lending_sale_pause"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["selling", "paused"], ended_at__isnull=True)
                | (~Q(state__in=["selling", "paused"]) & Q(ended_at__isnull=False)),
                name="lending_sale_ended",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["selling", "paused"]), name="lending_sale_running")
        ]

    def __str__(self) -> str:
        return f"{self.loan_id} {self.state}"


class Delivery(models.Model):
    """Collateral on its way from custody to the exchange for a sale, or back what was not needed.

    ETH leaves the vault by a recorded transaction, BTC by one that officers sign; either way the reference is kept and
    nothing is sold that has not arrived.
    """

    class Direction(models.TextChoices):
        OUT = "out", _("To the exchange")
        BACK = "back", _("Back to custody")

    class State(models.TextChoices):
        REQUESTED = "requested", _("To be sent")
        SENT = "sent", _("On its way")
        ARRIVED = "arrived", _("Arrived")
        FAILED = "failed", _("Failed")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.REQUESTED: {State.SENT, State.ARRIVED, State.FAILED},
        State.SENT: {State.ARRIVED, State.FAILED},
        State.ARRIVED: set(),
        # The vault may have sent what was given up.
        State.FAILED: {State.ARRIVED},
    }

    sale = models.ForeignKey(Sale, on_delete=models.PROTECT, related_name="deliveries")
    direction = models.CharField(max_length=4, choices=Direction.choices, default=Direction.OUT)
    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices)
    units = UnitsField(help_text="satoshi or wei")
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    reference = models.CharField(_("transaction"), max_length=80, blank=True)
    recorded_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    confirmed_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    transaction = models.ForeignKey(
        "chain.ChainTransaction",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="of ether: the last call asked of the vault",
    )
    block_height = models.BigIntegerField(null=True, blank=True, help_text="of bitcoin: where it was last seen")
    psbt = models.TextField(blank=True, help_text="of bitcoin: the transaction to sign")
    coins = models.JSONField(default=list, help_text="of bitcoin: what it spends")
    change_address = models.ForeignKey(
        "lending.DepositAddress", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    problem = models.CharField(max_length=200, blank=True)
    requested_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    arrived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("delivery of collateral")
        verbose_name_plural = _("deliveries of collateral")
        constraints = [
            models.CheckConstraint(condition=Q(units__gt=0), name="lending_delivery_positive"),
            models.UniqueConstraint(
                fields=["sale", "asset", "direction"],
                condition=Q(state__in=["requested", "sent"]),
                name="lending_delivery_one_under_way",
            ),
            models.CheckConstraint(
                condition=~Q(state="arrived") | (Q(arrived_at__isnull=False) & ~Q(reference="")),
                name="lending_delivery_arrived_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sale_id} {self.direction} {self.units} {self.asset}"


class SaleOrder(models.Model):
    """One slice: an order with a client id of ours that was stored before it was placed.

    Its fills are booked once, when it can no longer change. An answer that was lost is looked up by the client id.
    """

    class State(models.TextChoices):
        PLANNED = "planned", _("To be placed")
        PLACED = "placed", _("Placed")
        FINAL = "final", _("Settled")
        REFUSED = "refused", _("Not placed")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.PLANNED: {State.PLACED, State.FINAL, State.REFUSED},
        State.PLACED: {State.FINAL},
        State.FINAL: set(),
        State.REFUSED: set(),
    }
    UNSETTLED = (State.PLANNED, State.PLACED)

    sale = models.ForeignKey(Sale, on_delete=models.PROTECT, related_name="orders")
    number = models.PositiveSmallIntegerField()
    client_order_id = models.CharField(max_length=40, unique=True, help_text="ours; the same id is one order")
    exchange_order_id = models.CharField(max_length=80, blank=True)
    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices)
    units = UnitsField(help_text="satoshi or wei")
    limit_price = RateField(_("lowest price"))
    price = models.ForeignKey("lending.Price", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="when it was last sent; it is void after its deadline"
    )
    filled_units = UnitsField(default=0)
    proceeds = MoneyField(_("proceeds"), default=0, help_text="before the exchange's fee")
    fee = MoneyField(_("fee of the exchange"), default=0)
    problem = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("slice of a sale")
        verbose_name_plural = _("slices of sales")
        constraints = [
            models.UniqueConstraint(fields=["sale", "number"], name="lending_order_number"),
            # The next slice is planned when the last one is settled: what it must sell depends on that.
            models.UniqueConstraint(
                fields=["sale"], condition=Q(state__in=["planned", "placed"]), name="lending_order_one_unsettled"
            ),
            models.CheckConstraint(
                condition=Q(units__gt=0, filled_units__lte=F("units"), proceeds__gte=0, fee__gte=0, limit_price__gt=0),
                name="lending_order_amounts",
            ),
            models.CheckConstraint(
                condition=Q(filled_units=0, proceeds=0, fee=0) | Q(state="final"), name="lending_order_fills_are_final"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["planned", "placed"]), name="lending_order_unsettled")
        ]

    def __str__(self) -> str:
        return self.client_order_id
