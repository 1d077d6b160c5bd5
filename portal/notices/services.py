"""Telling people. A notice is written with the step it tells about; a sweep sends its e-mail."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from smtplib import SMTPException
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from portal.models import User
from portal.notices.kinds import NoticeKind, Wording, kind_named, notice_kinds, packed, worded
from portal.notices.models import Notice, NoticePreference
from portal.wake import wake

logger = logging.getLogger(__name__)

#: With the waits between them (10 s, 20 s, … at most an hour), about four days of a mail server that is away.
MAX_ATTEMPTS = 100
LONGEST_WAIT = timedelta(hours=1)


def notify(
    *, user: User, kind: str, key: object, params: Mapping[str, Any] | None = None, path: str = "", address: str = ""
) -> Notice:
    """Tell `user`; the same kind and key never twice. Part of the caller's transaction: undone with it.

    `params` fill the kind's words: text, integers, `Money`, dates and instants. `path` is the page it leads to.
    `address` sends the e-mail somewhere else, as to the address somebody just took out of the account.
    """
    notify_all(users=[user], kind=kind, key=key, params=params, path=path, address=address)
    return Notice.objects.get(user=user, kind=kind, key=str(key))


def notify_all(
    *,
    users: Iterable[User],
    kind: str,
    key: object,
    params: Mapping[str, Any] | None = None,
    path: str = "",
    address: str = "",
) -> int:
    """The same for many people in a constant number of queries. Returns how many people it was meant for."""
    from portal.tasks import send_notices_task

    registered, kept = kind_named(kind), packed(params or {})
    if path and (not path.startswith("/") or path.startswith("//")):
        raise ValueError(f"a notice leads to a page of ours, not to {path!r}")
    worded(kind=registered, params=kept, path=path)  # a param that is missing fails here, not in the sweep
    people = list(users)
    unwanted = _without_email(registered, people)
    Notice.objects.bulk_create(
        [
            Notice(
                user=user,
                kind=kind,
                key=str(key),
                params=kept,
                path=path,
                address=address,
                mail=Notice.Mail.UNWANTED if user.pk in unwanted else Notice.Mail.WAITING,
            )
            for user in people
        ],
        ignore_conflicts=True,
        batch_size=1000,
    )
    wake(send_notices_task)
    return len(people)


def _without_email(kind: NoticeKind, people: list[User]) -> set[int]:
    if kind.security:
        return set()
    chosen = NoticePreference.objects.filter(kind=kind.name, by_email=False, user__in=people)
    return set(chosen.values_list("user_id", flat=True))


@transaction.atomic
def choose_notices(*, user: User, by_email: Iterable[str]) -> None:
    """From now on `user` gets exactly these kinds by e-mail, and every security kind whatever they chose."""
    wanted = set(by_email)
    for kind in notice_kinds:
        if not kind.security and kind.concerns(user.roles):
            NoticePreference.objects.update_or_create(
                user=user, kind=kind.name, defaults={"by_email": kind.name in wanted}
            )


def mark_read(*, user: User, notice_id: int | None = None) -> int:
    """Note that `user` has seen one notice, or all. Returns how many were new."""
    unread = Notice.objects.filter(user=user, read_at__isnull=True)
    if notice_id is not None:
        unread = unread.filter(pk=notice_id)
    return unread.update(read_at=timezone.now())


def send_notices(*, limit: int = 50) -> int:
    """Send the e-mails that are due, one row at a time under its lock. Returns how many were sent.

    Sent at least once: a crash between the mail server's answer and the commit sends it again, under the same
    Message-ID. A server that does not answer is tried again ever more rarely.
    """
    due = Notice.objects.filter(mail=Notice.Mail.WAITING, next_attempt_at__lte=timezone.now())
    waiting = list(due.order_by("next_attempt_at", "id").values_list("pk", flat=True)[:limit])
    return sum(_send(pk) for pk in waiting)


@transaction.atomic
def _send(notice_id: int) -> int:
    waiting = Notice.objects.select_for_update(skip_locked=True, of=("self",)).select_related("user")
    notice = waiting.filter(pk=notice_id, mail=Notice.Mail.WAITING).first()
    if notice is None:
        return 0
    notice.attempts += 1
    try:
        _message(notice).send()
    except (SMTPException, OSError) as error:
        _failed(notice, error)
    else:
        notice.mail, notice.sent_at, notice.last_error = Notice.Mail.SENT, timezone.now(), ""
    notice.save(update_fields=["attempts", "mail", "sent_at", "next_attempt_at", "last_error"])
    return int(notice.mail == Notice.Mail.SENT)


def _failed(notice: Notice, error: Exception) -> None:
    logger.warning("notice %s not sent: %s", notice.pk, type(error).__name__)
    notice.last_error = str(error)[:200]
    notice.next_attempt_at = timezone.now() + min(timedelta(seconds=5 * 2 ** min(notice.attempts, 12)), LONGEST_WAIT)
    if notice.attempts >= MAX_ATTEMPTS:
        notice.mail = Notice.Mail.GIVEN_UP
        logger.error("notice %s given up after %s attempts", notice.pk, notice.attempts)


def _message(notice: Notice) -> EmailMultiAlternatives:
    with translation.override(notice.user.language):
        words = worded(kind=kind_named(notice.kind), params=notice.params, path=notice.path)
        context = {
            "words": words,
            "name": notice.params.get("addressee") or str(notice.user),
            "link": settings.SITE_URL + words.path if words.path else "",
            "site_name": settings.SITE_NAME,
            "security": kind_named(notice.kind).security,
        }
        message = EmailMultiAlternatives(
            subject=_subject(words),
            body=render_to_string("emails/notices/notice.txt", context),
            to=[notice.address or notice.user.email],
            headers={"Message-ID": _message_id(notice), "Auto-Submitted": "auto-generated"},
        )
        message.attach_alternative(render_to_string("emails/notices/notice.html", context), "text/html")
    return message


def _subject(words: Wording) -> str:
    return f"[{settings.SITE_NAME}] {words.subject}"


def _message_id(notice: Notice) -> str:
    """The same for every attempt, so that a mailbox can tell a repeat."""
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    return f"<notice-{notice.pk}@{host}>"
