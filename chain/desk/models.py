"""Alarms, the evidence behind them, and the steps people took: containing first, then restoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class OptionalAddressField(models.CharField):  # type: ignore[type-arg]  # generic in the stubs only
    """An EIP-55 checksummed address, 42 characters; empty where none is concerned."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"max_length": 42, "blank": True, "default": "", **kwargs})  # type: ignore[arg-type]


class Alarm(models.Model):
    """One cause for which a duty officer is called. What happens again while it is open joins it as evidence."""

    class Kind(models.TextChoices):
        UNAPPROVED_ISSUE = "unapproved_issue", _("Verification nobody approved")
        FOREIGN_ISSUE = "foreign_issue", _("Verification submitted by somebody else")
        FOREIGN_SCHEDULE = "foreign_schedule", _("Operation announced by somebody else")
        POWER_CHANGED = "power_changed", _("Roles or delays changed")
        FOREIGN_ACT = "foreign_act", _("Privileged act the platform did not make")
        UNASKED = "unasked", _("Transaction nobody here asked for")
        KEY_USED_ELSEWHERE = "key_used_elsewhere", _("Signing key used elsewhere")
        CUSTODY_OUTFLOW = "custody_outflow", _("Units left a wallet we keep, without us")
        BURST = "burst", _("Burst of admissions or new units")
        VELOCITY = "velocity", _("Transfers above the holder’s habit")
        LEDGER_DIFFERS = "ledger_differs", _("Ledger and chain differ")
        KEY_REPORTED = "key_reported", _("Holder reports a stolen key")

    class Severity(models.IntegerChoices):
        LOOK = 1, _("Look at it today")
        ACT = 2, _("Act now")

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        CONTAINED = "contained", _("Being contained")
        CLOSED = "closed", _("Closed")

    TRANSITIONS: ClassVar[Mapping[str, Collection[str]]] = {
        State.OPEN: {State.CONTAINED, State.CLOSED},
        State.CONTAINED: {State.CLOSED},
        State.CLOSED: set(),
    }

    chain_id = models.BigIntegerField()
    kind = models.CharField(max_length=24, choices=Kind.choices)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    cause = models.CharField(max_length=160, help_text="one open alarm per cause")
    key = OptionalAddressField(help_text="the key that seems to be in wrong hands")
    holder = OptionalAddressField(help_text="whose holdings are in danger, or who got what they should not")
    token = OptionalAddressField(help_text="the security concerned; empty: all of them")
    since = models.DateTimeField(help_text="when it began on the chain, as far as is known")
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    conclusion = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(
                fields=["chain_id", "cause"], condition=~Q(state="closed"), name="chain_alarm_one_per_cause"
            ),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False) | ~Q(state="closed") & Q(closed_at__isnull=True),
                name="chain_alarm_closed_whole",
            ),
        ]
        indexes = [models.Index(fields=["state", "-severity", "opened_at"], name="chain_alarm_queue")]

    def __str__(self) -> str:
        return f"{self.kind} {self.state} [{self.cause}]"


class AlarmEvidence(models.Model):
    """One thing that was seen. `key` makes the same event count once, also when the chain is read again."""

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="evidence")
    key = models.CharField(max_length=160, unique=True)
    event = models.CharField(max_length=60, blank=True)
    kind = models.CharField(max_length=40, blank=True, help_text="of the contract")
    args = models.JSONField(default=dict)
    transaction_hash = models.CharField(max_length=66, blank=True)
    block_number = models.BigIntegerField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("evidence of an alarm")
        verbose_name_plural = _("evidence of alarms")
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.event} {self.transaction_hash[:10]}"


class ResponseStep(models.Model):
    """One thing done in response: who asked for it, why, and the transaction that carries it.

    ASKED: in the outbox, or a proposal that officers sign. A step for what already is so ends UNNEEDED at once.
    """

    class Kind(models.TextChoices):
        SUSPEND = "suspend", _("Suspend the verification")
        FREEZE = "freeze", _("Freeze the holding")
        PAUSE = "pause", _("Pause the security")
        PAUSE_ISSUANCE = "pause_issuance", _("Stop issuing verifications")
        DISTRUST = "distrust", _("Stop trusting the key")
        DISMISS = "dismiss", _("End the admission")
        CANCEL = "cancel", _("Cancel the announced operation")
        REINSTATE = "reinstate", _("Lift the suspension")
        UNPAUSE = "unpause", _("Lift the pause")
        RESUME_ISSUANCE = "resume_issuance", _("Let verifications be issued again")
        RESTORE_TRUST = "restore_trust", _("Trust the key again")
        CANCEL_RECOVERY = "cancel_recovery", _("Call the recovery off")
        SCHEDULE = "schedule", _("Announce")
        EXECUTE = "execute", _("Carry out what was announced")
        REATTEST = "reattest", _("Attest again")
        NEW_WALLET = "new_wallet", _("Give a new wallet")
        ADMIT = "admit", _("Admit the new wallet")
        ROTATE = "rotate", _("Replace the key")
        PAUSE_COLLATERAL = "pause_collateral", _("Pause returns and sales of collateral")
        STOP_RELEASE = "stop_release", _("Stop a return of collateral")
        STOP_SALE = "stop_sale", _("Stop a sale of collateral")
        CANCEL_BORROWER = "cancel_borrower", _("Cancel the change of a borrower’s address")
        CANCEL_SALE_ADDRESS = "cancel_sale_address", _("Cancel the change of the address for sold collateral")
        UNPAUSE_COLLATERAL = "unpause_collateral", _("Let returns and sales of collateral go on")

    CONTAINING: ClassVar[frozenset[str]] = frozenset(
        {
            Kind.SUSPEND,
            Kind.FREEZE,
            Kind.PAUSE,
            Kind.PAUSE_ISSUANCE,
            Kind.DISTRUST,
            Kind.DISMISS,
            Kind.CANCEL,
            Kind.PAUSE_COLLATERAL,
            Kind.STOP_RELEASE,
            Kind.STOP_SALE,
            Kind.CANCEL_BORROWER,
            Kind.CANCEL_SALE_ADDRESS,
        }
    )

    class State(models.TextChoices):
        ASKED = "asked", _("Asked for")
        IN_BLOCK = "in_block", _("In a block")
        DONE = "done", _("Done")
        FAILED = "failed", _("Not done")
        UNNEEDED = "unneeded", _("Was so already")

    #: FAILED is provisional while a reorganisation can still bring the transaction back.
    TRANSITIONS: ClassVar[Mapping[str, Collection[str]]] = {
        State.ASKED: {State.IN_BLOCK, State.DONE, State.FAILED, State.UNNEEDED},
        State.IN_BLOCK: {State.ASKED, State.DONE, State.FAILED},
        State.FAILED: {State.ASKED, State.IN_BLOCK},
        State.DONE: set(),
        State.UNNEEDED: set(),
    }

    alarm = models.ForeignKey(Alarm, null=True, blank=True, on_delete=models.PROTECT, related_name="steps")
    chain_id = models.BigIntegerField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ASKED)
    fingerprint = models.CharField(max_length=66, help_text="kind and call: the same thing is under way once")
    target = OptionalAddressField(help_text="the holder, key or caller concerned")
    token = OptionalAddressField()
    function = models.CharField(max_length=80, blank=True, help_text="of an announced operation")
    data = models.JSONField(default=dict)
    reason = models.CharField(max_length=300)
    requested_by = models.ForeignKey("portal.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    scheduled = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="executions")
    transaction = models.OneToOneField(
        "chain.ChainTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    error_code = models.CharField(max_length=120, blank=True)

    class Meta:
        verbose_name = _("response step")
        verbose_name_plural = _("response steps")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["chain_id", "fingerprint"],
                condition=Q(state__in=["asked", "in_block"]),
                name="chain_response_once_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.state} {self.target or self.token}"


class AlarmRule(models.Model):
    """What counts as too much, from a day on. The newest rule whose day has come is in force; rules are never changed."""

    effective_from = models.DateField(unique=True)
    burst_minutes = models.PositiveIntegerField(default=10, help_text="length of the window for bursts")
    burst_admissions = models.PositiveIntegerField(default=50, help_text="admissions on one security in the window")
    burst_mints = models.PositiveIntegerField(
        default=50, help_text="credits of new units of one security in the window"
    )
    velocity_hours = models.PositiveIntegerField(default=24, help_text="length of the window for a holder's transfers")
    velocity_share_bps = models.PositiveIntegerField(default=9_000, help_text="of what was held when the window began")
    velocity_factor = models.PositiveIntegerField(default=3, help_text="times the most ever moved in one window before")
    velocity_habit_days = models.PositiveIntegerField(default=90, help_text="how far back the habit is looked for")
    source = models.CharField(max_length=200, help_text="who decided it, and where that is written")

    class Meta:
        verbose_name = _("alarm rule")
        verbose_name_plural = _("alarm rules")
        ordering = ["-effective_from"]

    def __str__(self) -> str:
        return f"from {self.effective_from}"

    @property
    def burst_window(self) -> timedelta:
        return timedelta(minutes=self.burst_minutes)

    @property
    def velocity_window(self) -> timedelta:
        return timedelta(hours=self.velocity_hours)


class Watch(models.Model):
    """How far the indexed events of one chain were looked at for alarms."""

    chain_id = models.BigIntegerField(unique=True)
    last_log_id = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("alarm watch")
        verbose_name_plural = _("alarm watches")

    def __str__(self) -> str:
        return f"chain {self.chain_id} to event {self.last_log_id}"
