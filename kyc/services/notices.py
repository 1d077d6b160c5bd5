"""E-mails of each step, in the person's language. Asked for in the step's transaction, sent by a task or the sweep."""

from __future__ import annotations

import logging
import smtplib
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from kyc.models import Application, Evidence, Notice
from kyc.wake import wake

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 20


def notify(*, application: Application, template: str, key: object, **context: Any) -> Notice:
    """Ask for one e-mail to the applicant; the same `template` and `key` never twice. Part of the caller's transaction."""
    from kyc.tasks import send_notices_task

    notice, _ = Notice.objects.get_or_create(
        dedupe_key=f"{template}:{application.pk}:{key}",
        defaults={"user": application.user, "application": application, "template": template, "context": context},
    )
    wake(send_notices_task)
    return notice


def send_due_notices(*, limit: int = 50) -> int:
    """Send what is waiting, one transaction each, so that a crash repeats at most one. Number sent."""
    sent = 0
    waiting = Notice.objects.filter(sent_at__isnull=True, attempts__lt=MAX_ATTEMPTS).order_by("id")
    for pk in waiting.values_list("pk", flat=True)[:limit]:
        sent += _send(pk)
    return sent


@transaction.atomic
def _send(pk: int) -> int:
    notice = Notice.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk, sent_at=None).first()
    if notice is None:
        return 0
    notice.attempts += 1
    try:
        _mail(notice)
    except (smtplib.SMTPException, OSError) as error:
        notice.last_error = str(error)[:200]
        logger.warning("notice %s not sent: %s", pk, type(error).__name__)
    else:
        notice.sent_at = timezone.now()
    notice.save(update_fields=["attempts", "sent_at", "last_error"])
    return int(notice.sent_at is not None)


def _mail(notice: Notice) -> None:
    base = f"emails/kyc/{notice.template}"
    context = {**notice.context, "application": notice.application, "person": notice.user}
    context["link"] = settings.SITE_URL + reverse("kyc:status")
    with translation.override(notice.user.language):
        if "document" in context:
            context["document_name"] = Evidence.Kind(context["document"]).label
        subject = " ".join(render_to_string(f"{base}_subject.txt", context).split())
        message = EmailMultiAlternatives(subject, render_to_string(f"{base}_body.txt", context), to=[notice.user.email])
        message.attach_alternative(render_to_string(f"{base}_body.html", context), "text/html")
        message.send()
