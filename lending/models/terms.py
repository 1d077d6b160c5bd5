"""Product terms: every number of a loan, versioned by currency, kind of borrower and day; and the bank calendar."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Literal, overload

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from chain.models import UnitsField


class Currency(models.TextChoices):
    JPY = "JPY", _("Yen")
    USD = "USD", _("US dollar")


class Asset(models.TextChoices):
    BTC = "BTC", "Bitcoin"
    ETH = "ETH", "Ether"


class BorrowerKind(models.TextChoices):
    """The same words as `kyc` uses for a party."""

    INDIVIDUAL = "individual", _("Individual")
    CORPORATE = "corporate", _("Company")


@overload
def MoneyField(
    verbose_name: Any, *, null: Literal[True], **options: Any
) -> models.DecimalField[Decimal | int | None, Decimal | None]: ...


@overload
def MoneyField(verbose_name: Any, **options: Any) -> models.DecimalField[Decimal | int, Decimal]: ...


def MoneyField(verbose_name: Any, **options: Any) -> Any:  # noqa: N802
    """An amount of the row's currency: up to 18 digits and cents; yen are whole."""
    return models.DecimalField(verbose_name, max_digits=20, decimal_places=2, **options)


def default_maturity_notice_days() -> list[int]:
    return [30, 7, 1]


class ProductTerms(models.Model):
    """The terms that new loans of one currency and kind of borrower get from a day on. Approved rows never change.

    A loan keeps the row it was approved with. `is_verified` is false for working choices that nobody has checked
    against the published product yet.
    """

    class State(models.TextChoices):
        ENTERED = "entered", _("Waiting for the second person")
        APPROVED = "approved", _("In force from its day")
        REFUSED = "refused", _("Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.ENTERED: {State.APPROVED, State.REFUSED},
        State.APPROVED: set(),
        State.REFUSED: set(),
    }

    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    borrower_kind = models.CharField(_("kind of borrower"), max_length=12, choices=BorrowerKind.choices)
    effective_from = models.DateField(_("effective from"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.ENTERED)

    rate_min_bps = models.PositiveIntegerField(_("lowest rate"), help_text="basis points a year")
    rate_max_bps = models.PositiveIntegerField(_("highest rate"), help_text="basis points a year")
    late_rate_bps = models.PositiveIntegerField(_("late rate"), help_text="basis points a year, in place of the rate")
    term_months = models.PositiveSmallIntegerField(_("term in months"))
    amount_min = MoneyField(_("smallest loan"))
    amount_max = MoneyField(_("largest loan"))
    income_divisor = models.PositiveSmallIntegerField(
        _("part of the yearly income"),
        null=True,
        blank=True,
        help_text=_("3 means: a line of at most one third. Empty means no cap."),
    )
    origination_fee_bps = models.PositiveIntegerField(_("fee at the first draw"), default=0, help_text="basis points")
    sale_fee_bps = models.PositiveIntegerField(_("fee of a sale"), default=0, help_text="basis points of the proceeds")

    origination_bps = models.PositiveIntegerField(_("coverage at a draw"))
    reminder_first_bps = models.PositiveIntegerField(_("coverage of the first reminder"))
    reminder_second_bps = models.PositiveIntegerField(_("coverage of the second reminder"))
    call_bps = models.PositiveIntegerField(_("collateral is called below"))
    sale_bps = models.PositiveIntegerField(_("collateral is sold from"))
    call_target_bps = models.PositiveIntegerField(_("a call asks for coverage of"))
    sale_target_bps = models.PositiveIntegerField(_("a sale restores coverage of"))
    withdrawal_floor_bps = models.PositiveIntegerField(_("coverage kept by a withdrawal"))
    call_cure_bps = models.PositiveIntegerField(_("a call is cured at coverage of"), default=17_500)
    call_cured_by_price = models.BooleanField(
        _("a price cures a call"), default=True, help_text=_("If not, only what the borrower does counts.")
    )
    maturity_notice_days = ArrayField(
        models.PositiveSmallIntegerField(),
        verbose_name=_("days before the due day on which the borrower is reminded"),
        default=default_maturity_notice_days,
        help_text=_("Each reminder is given once. Empty: none."),
        blank=True,
    )
    call_deadline_hours = models.PositiveIntegerField(_("hours to answer a call"))

    sale_cost_bps = models.PositiveIntegerField(_("expected cost of a sale"), help_text="fees and slippage")
    slice_slippage_bps = models.PositiveIntegerField(
        _("a slice is sold at most so far below the price"), default=200, help_text="basis points"
    )
    slice_limit = MoneyField(_("largest slice of a sale"))
    close_out_below = MoneyField(_("a remainder below this is sold with the rest"))
    deposit_min_sats = models.PositiveBigIntegerField(_("smallest deposit of bitcoin"), help_text="satoshi")
    deposit_min_wei = UnitsField(verbose_name=_("smallest deposit of ether"), help_text="wei")

    source = models.CharField(_("source"), max_length=300, blank=True)
    is_verified = models.BooleanField(_("checked against its source"), default=False)
    entered_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["currency", "borrower_kind", "-effective_from", "-id"]
        verbose_name = _("product terms")
        verbose_name_plural = _("product terms")
        constraints = [
            models.UniqueConstraint(
                fields=["currency", "borrower_kind", "effective_from"],
                condition=Q(state="approved"),
                name="lending_terms_one_a_day",
            ),
            models.CheckConstraint(condition=~Q(approved_by=F("entered_by")), name="lending_terms_two_people"),
            models.CheckConstraint(
                # What the installation brings along has nobody's name, and says so by not being verified.
                condition=~Q(state="approved")
                | Q(entered_by__isnull=False, approved_by__isnull=False)
                | Q(entered_by__isnull=True, approved_by__isnull=True, is_verified=False),
                name="lending_terms_approved_by_two",
            ),
            # A rate of zero or less is no loan (usury law caps what a late charge may be: 20 % a year).
            models.CheckConstraint(
                condition=Q(
                    rate_min_bps__gt=0,
                    rate_max_bps__gte=F("rate_min_bps"),
                    late_rate_bps__gte=F("rate_max_bps"),
                    late_rate_bps__lte=2000,
                ),
                name="lending_terms_rates",
            ),
            models.CheckConstraint(
                condition=Q(
                    origination_bps__gte=F("reminder_first_bps"),
                    reminder_first_bps__gt=F("reminder_second_bps"),
                    reminder_second_bps__gt=F("call_bps"),
                    call_bps__gt=F("sale_bps"),
                    sale_bps__gt=10_000,
                ),
                name="lending_terms_steps_fall",
            ),
            models.CheckConstraint(
                condition=Q(
                    call_target_bps__gte=F("call_cure_bps"),
                    call_cure_bps__gte=F("call_bps"),
                    sale_target_bps__gt=F("sale_bps"),
                    withdrawal_floor_bps__gte=F("origination_bps"),
                ),
                name="lending_terms_targets",
            ),
            models.CheckConstraint(
                condition=Q(amount_min__gt=0, amount_max__gte=F("amount_min"), slice_limit__gt=0, term_months__gt=0),
                name="lending_terms_amounts",
            ),
            # At such a cost no sale could reach its target: proceeds × target must exceed the debt they pay.
            models.CheckConstraint(
                condition=Q(sale_cost_bps__lt=2000, slice_slippage_bps__lt=2000), name="lending_terms_cost"
            ),
            models.CheckConstraint(
                condition=Q(income_divisor__isnull=True) | Q(income_divisor__gte=1), name="lending_terms_income"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.borrower_kind} {self.effective_from:%Y-%m-%d}"


class BankDay(models.Model):
    """A day on which banks behave otherwise than weekends, national holidays and the turn of the year say.

    Entered by one person and reviewed by another; counts only once reviewed.
    """

    day = models.DateField(_("day"), unique=True)
    is_open = models.BooleanField(_("banks are open"))
    reason = models.CharField(_("reason"), max_length=200)
    entered_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    reviewed_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-day"]
        verbose_name = _("exceptional bank day")
        verbose_name_plural = _("exceptional bank days")
        constraints = [
            models.CheckConstraint(condition=~Q(reviewed_by=F("entered_by")), name="lending_bank_day_two_people"),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {'open' if self.is_open else 'closed'}"
