"""Hard limits, and who counts together."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from lending.models.terms import Asset, Currency, MoneyField


class RelatedGroup(models.Model):
    """Persons and companies that stand or fall together: their debts count as one."""

    name = models.CharField(pgettext_lazy("group", "name"), max_length=120, unique=True)
    reason = models.TextField(_("why they count together"))
    created_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("related group")
        verbose_name_plural = _("related groups")

    def __str__(self) -> str:
        return self.name


class GroupMember(models.Model):
    """A legal person's place in a group. One person is in one group at most."""

    group = models.ForeignKey(RelatedGroup, on_delete=models.PROTECT, related_name="members")
    subject = models.CharField(max_length=66, unique=True, help_text="the legal person (kyc party)")
    added_by = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("member of a related group")
        verbose_name_plural = _("members of related groups")

    def __str__(self) -> str:
        return f"{self.group_id} {self.subject[:10]}"


class Limit(models.Model):
    """The most that may be owed at once in one currency. Without a limit in force nothing is lent.

    `asset` limits the debt that stands on one asset: each loan's debt counts with that asset's part of its collateral.
    Versioned: the newest approved row of its scope binds.
    """

    class Scope(models.TextChoices):
        BORROWER = "borrower", _("Each borrower")
        GROUP = "group", _("Each related group")
        ASSET = "asset", _("Each asset")
        BOOK = "book", _("Whole book")

    class State(models.TextChoices):
        ENTERED = "entered", _("Waiting for the second person")
        APPROVED = "approved", _("In force")
        REFUSED = "refused", _("Refused")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        State.ENTERED: {State.APPROVED, State.REFUSED},
        State.APPROVED: set(),
        State.REFUSED: set(),
    }

    scope = models.CharField(_("applies to"), max_length=10, choices=Scope.choices)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    asset = models.CharField(_("asset"), max_length=3, choices=Asset.choices, blank=True)
    amount = MoneyField(_("limit"))
    state = models.CharField(max_length=10, choices=State.choices, default=State.ENTERED)
    is_verified = models.BooleanField(_("checked against its source"), default=False)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    entered_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["scope", "currency", "asset", "-id"]
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
        constraints = [
            models.CheckConstraint(condition=~Q(approved_by=F("entered_by")), name="lending_limit_two_people"),
            models.CheckConstraint(
                # What the installation brings along has nobody's name, and says so by not being verified.
                condition=~Q(state="approved")
                | Q(entered_by__isnull=False, approved_by__isnull=False)
                | Q(entered_by__isnull=True, approved_by__isnull=True, is_verified=False),
                name="lending_limit_approved_by_two",
            ),
            # Zero is allowed: it closes the desk.
            models.CheckConstraint(condition=Q(amount__gte=0), name="lending_limit_not_negative"),
            models.CheckConstraint(
                condition=Q(scope="asset", asset__in=["BTC", "ETH"]) | (~Q(scope="asset") & Q(asset="")),
                name="lending_limit_asset",
            ),
        ]
        indexes = [models.Index(fields=["scope", "currency", "asset", "-decided_at"], name="lending_limit_newest")]

    def __str__(self) -> str:
        return f"{self.scope} {self.asset} {self.amount} {self.currency}"
