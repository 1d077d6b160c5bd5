"""What an applicant is told about their verification, in words."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from kyc.models import Application, Evidence
from portal.notices.kinds import NoticeKind, notice_kinds
from portal.notices.models import Notice
from portal.notices.services import notify
from portal.registry import Text


def _document_name(params: dict[str, Any]) -> dict[str, Any]:
    return {"document": Evidence.Kind(params["document"]).label}


def _kind(name: str, label: Text, subject: Text, *body: Text, tone: str = "info", **more: Any) -> NoticeKind:
    return NoticeKind(
        name=f"kyc.{name}",
        group=_("Verification"),
        label=label,
        subject=subject,
        body=body,
        facts=((_("Reference"), "reference"),),
        tone=tone,
        action=_("How your verification stands"),
        page="kyc:status",
        **more,
    )


KINDS: Final = (
    _kind(
        "submitted",
        _("Your application was received"),
        _("We have received your application %(reference)s"),
        _("We have received your application. Two officers will look at it, usually within three working days."),
        _("You need not do anything. We write to you when there is news."),
    ),
    _kind(
        "sent_back",
        _("A document is needed again"),
        _("We need one document again"),
        _("We need this document again: %(document)s."),
        _("Why: %(reason)s"),
        _("Everything else is kept. Sign in, open “Verification” and upload a new one."),
        tone="warn",
        prepare=_document_name,
    ),
    _kind(
        "approved",
        _("Your application was approved"),
        _("Your application was approved"),
        _("Two officers have approved your application. Your verification token is being prepared."),
        _("You need not do anything. We write to you when it is effective."),
        tone="good",
    ),
    _kind(
        "rejected",
        _("Your application was not accepted"),
        _("About your application %(reference)s"),
        _("We are sorry: we could not accept your application. Nothing of yours was moved."),
        _("You may apply again if your circumstances have changed."),
        tone="bad",
    ),
    _kind(
        "issued",
        _("Your verification token is on the chain"),
        _("Your verification token is on the chain"),
        _(
            "Your verification token has been put on the chain. It is not final yet, and it takes effect after a waiting"
            " time that protects you."
        ),
    ),
    _kind(
        "active",
        _("Your verification is effective"),
        _("You are verified"),
        _("Your verification is effective. You can now hold securities and receive them from others."),
        tone="good",
    ),
    _kind(
        "renewed",
        _("Your verification was renewed"),
        _("Your verification was renewed"),
        _("Your verification was renewed. You need not do anything."),
        tone="good",
    ),
    _kind(
        "wallet_added",
        _("A wallet was added to your account"),
        _("A wallet was added to your account"),
        _("The wallet %(wallet)s was added to your account after it signed that it is yours. An officer signs next."),
        _("If it was not you, sign out everywhere, change your password and tell us at once."),
        tone="warn",
        security=True,
    ),
    _kind(
        "wallet_token",
        _("Your wallet can hold securities"),
        _("Your wallet can hold securities"),
        _(
            "The wallet %(wallet)s has its verification token. It counts after a short wait; the page of your wallets"
            " says from when."
        ),
        _("To receive a security in it, ask its issuer to admit this wallet."),
        tone="good",
    ),
    _kind(
        "review_due",
        _("Your verification is due for review"),
        _("Your verification is due for review"),
        _(
            "Your verification is due for its regular review within 30 days. Please tell us if your name, address or"
            " circumstances have changed."
        ),
        tone="warn",
    ),
    _kind(
        "expired",
        _("Your verification has expired"),
        _("Your verification has expired"),
        _("Your verification has expired. What you hold stays yours, but nothing can be moved until it is renewed."),
        _("We will contact you about what is needed."),
        tone="bad",
        security=True,
    ),
    _kind(
        "suspended",
        _("Your verification is suspended"),
        _("Your verification is suspended"),
        _(
            "Your verification is suspended for now. What you hold stays yours; nothing can be moved until we lift the"
            " suspension."
        ),
        _("If you did not expect this, please contact us."),
        tone="bad",
        security=True,
    ),
    _kind(
        "reinstated",
        _("Your verification is valid again"),
        _("Your verification is valid again"),
        _("The suspension was lifted. You can hold and receive securities again."),
        tone="good",
        security=True,
    ),
    _kind(
        "revoked",
        _("Your verification was withdrawn"),
        _("Your verification was withdrawn"),
        _("Your verification was withdrawn. What you hold stays yours until it is redeemed."),
        _("You may apply again."),
        tone="bad",
        security=True,
    ),
)


def connect() -> None:
    for kind in KINDS:
        notice_kinds.register(kind)


def key_for(application: Application, key: object) -> str:
    return f"{application.pk}:{key}"


def tell(*, application: Application, kind: str, key: object, **params: Any) -> Notice:
    """Tell the applicant; the same kind and key of one application never twice. Part of the caller's transaction."""
    return notify(
        user=application.user,
        kind=f"kyc.{kind}",
        key=key_for(application, key),
        params={"reference": application.reference, "addressee": application.name, **params},
    )
