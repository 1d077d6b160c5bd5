"""The mail this installation sent, read from the files Django's file backend writes."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

_SEPARATOR = b"\n" + b"-" * 79 + b"\n"


@dataclass(frozen=True)
class SentMail:
    """One message, as its recipient would read it."""

    recipient: str
    subject: str
    sent_at: datetime | None
    text: str


def sent_mail(folder: Path, *, recipient: str = "", limit: int = 50) -> list[SentMail]:
    """The newest messages first; of one recipient, when given. Empty where nothing was sent yet."""
    found: list[SentMail] = []
    for path in sorted(folder.glob("*.log"), key=lambda each: each.stat().st_mtime_ns, reverse=True):
        messages = [part for part in path.read_bytes().split(_SEPARATOR) if part.strip()]
        for raw in reversed(messages):
            mail = _read(raw)
            if recipient in ("", mail.recipient):
                found.append(mail)
            if len(found) >= limit:
                return found
    return found


def _read(raw: bytes) -> SentMail:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    body = message.get_body(preferencelist=("plain", "html"))
    text = body.get_content() if body else ""
    if body and body.get_content_subtype() == "html":
        text = re.sub(r"<[^>]+>", " ", text)
    return SentMail(
        recipient=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        sent_at=_instant(str(message["Date"] or "")),
        text=text.strip(),
    )


def _instant(date: str) -> datetime | None:
    """The header's time; "-0000" means UTC of an unknown place (RFC 5322), which Python leaves without a zone."""
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
