"""E-mails: written with the step they tell about, sent by a sweep, so neither a crash nor a lost broker loses one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from portal.models import User
from tokens.models import Notice

logger = logging.getLogger(__name__)
_GIVE_UP_AFTER = 20


def notify(*, user: User, template: str, context: Mapping[str, Any], dedupe_key: str) -> None:
    """Put one e-mail in the queue; the same key is one e-mail. Called inside the transaction of the step."""
    Notice.objects.get_or_create(
        dedupe_key=dedupe_key, defaults={"user": user, "template": template, "context": dict(context)}
    )


def send_notices(*, limit: int = 50) -> int:
    """Send what waits, one row at a time under its lock. Returns how many were sent.

    A mail server that does not answer leaves the row for the next sweep. Sent at least once: a crash between the
    server's answer and the commit sends it again.
    """
    waiting = Notice.objects.filter(sent_at__isnull=True, attempts__lt=_GIVE_UP_AFTER).order_by("attempts", "id")
    return sum(_send(pk) for pk in list(waiting.values_list("pk", flat=True)[:limit]))


@transaction.atomic
def _send(notice_id: int) -> int:
    notice = (
        Notice.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("user")
        .filter(pk=notice_id, sent_at__isnull=True)
        .first()
    )
    if notice is None:
        return 0
    notice.attempts += 1
    try:
        _message(notice).send()
    except (SMTPException, OSError) as error:
        logger.warning("notice %s not sent: %s", notice.pk, error)
        notice.last_error = str(error)[:200]
    else:
        notice.sent_at = timezone.now()
    notice.save(update_fields=["attempts", "last_error", "sent_at"])
    return int(notice.sent_at is not None)


def _message(notice: Notice) -> EmailMultiAlternatives:
    context = {**notice.context, "user": notice.user, "site_name": settings.SITE_NAME}
    context["link"] = settings.SITE_URL + notice.context.get("path", "/tokens/holdings/")
    base = f"emails/tokens/{notice.template}"
    with translation.override(notice.user.language):
        subject = " ".join(render_to_string(f"{base}_subject.txt", context).split())
        message = EmailMultiAlternatives(
            subject=subject, body=render_to_string(f"{base}_body.txt", context), to=[notice.user.email]
        )
        message.attach_alternative(render_to_string(f"{base}_body.html", context), "text/html")
    return message
