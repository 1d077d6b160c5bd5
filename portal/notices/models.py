"""Notices and what each person wants by e-mail. The row is the queue: a lost broker or mail server loses none."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Notice(models.Model):
    """One thing one person is told, written in the transaction of the step it tells about. `key` makes it once."""

    class Mail(models.TextChoices):
        WAITING = "waiting", _("Waiting to be sent")
        SENT = "sent", _("Sent")
        UNWANTED = "unwanted", _("Not wanted by e-mail")
        GIVEN_UP = "given_up", _("Given up; the mail server never took it")

    user = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(_("kind"), max_length=60, help_text="name of a registered NoticeKind, e.g. kyc.approved")
    key = models.CharField(max_length=120)
    params = models.JSONField(default=dict, blank=True)
    path = models.CharField(max_length=300, blank=True, help_text="page of ours that it leads to")
    created_at = models.DateTimeField(_("told"), auto_now_add=True)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    address = models.EmailField(blank=True, help_text="where the e-mail goes, if not to the person's own address")
    mail = models.CharField(_("e-mail"), max_length=10, choices=Mail.choices, default=Mail.WAITING)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(auto_now_add=True)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "key"], name="portal_notice_once"),
            models.CheckConstraint(
                condition=Q(mail="sent", sent_at__isnull=False) | (~Q(mail="sent") & Q(sent_at__isnull=True)),
                name="portal_notice_sent_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(mail="waiting"), name="portal_notice_waiting"),
            models.Index(fields=["user"], condition=Q(read_at__isnull=True), name="portal_notice_unread"),
            models.Index(fields=["user", "-id"], name="portal_notice_of"),
        ]
        verbose_name = _("notice")
        verbose_name_plural = _("notices")

    def __str__(self) -> str:
        return f"{self.kind} → {self.user_id}"


class NoticePreference(models.Model):
    """What a person chose about one kind; without a row, it comes by e-mail."""

    user = models.ForeignKey("portal.User", on_delete=models.CASCADE, related_name="notice_preferences")
    kind = models.CharField(max_length=60)
    by_email = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="portal_notice_preference_once")]
        verbose_name = _("choice of notices")
        verbose_name_plural = _("choices of notices")

    def __str__(self) -> str:
        return f"{self.user_id} {self.kind} {self.by_email}"
