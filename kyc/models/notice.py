"""E-mails to send: the row is the queue, so a lost broker loses none."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Notice(models.Model):
    """One e-mail to one person, written in the transaction of the step it tells about."""

    user = models.ForeignKey("portal.User", on_delete=models.PROTECT, related_name="+")
    application = models.ForeignKey("kyc.Application", on_delete=models.PROTECT, related_name="notices")
    template = models.CharField(
        max_length=40, help_text="templates/emails/kyc/<template>_{subject.txt,body.txt,body.html}"
    )
    context = models.JSONField(default=dict)
    dedupe_key = models.CharField(max_length=80, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.IntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(sent_at__isnull=True), name="kyc_notice_unsent")]
        verbose_name = _("e-mail about a verification")
        verbose_name_plural = _("e-mails about verifications")

    def __str__(self) -> str:
        return f"{self.template} {self.application_id}"
