"""Every page that takes something in is one of two: it moves value or signs and asks for the second factor, or it is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

APPS = ("kyc", "tokens", "chain", "lending")

#: Moves value, signs, or decides that somebody else's does: a fresh second factor comes first.
VALUE = {
    "chain:alarm-contain",
    "chain:alarm-restore",
    "chain:operation-cancel",
    "chain:proposal-cancel",
    "chain:proposal-sign",
    "chain:proposal-withdraw",
    "chain:signer-resume",
    "chain:transaction-cancel",
    "kyc:attestation",
    "kyc:case-attest",
    "kyc:case-lifecycle",
    "kyc:case-renew",
    "kyc:case-retry",
    "kyc:wallet-new",
    "kyc:wallet-request-attest",
    "lending:breaker-reset",
    "lending:contract-accept",
    "lending:credit-apply",
    "lending:credit-confirm",
    "lending:credit-decide",
    "lending:disposition",
    "lending:disposition-confirm",
    "lending:delivery-act",
    "lending:draw",
    "lending:draw-release",
    "lending:hand-return-decide",
    "lending:hand-return-record",
    "lending:limit-decide",
    "lending:limit-enter",
    "lending:line-state",
    "lending:loan-approve",
    "lending:loan-decline",
    "lending:loan-request",
    "lending:psbt-prepare",
    "lending:psbt-signed",
    "lending:renewal-decide",
    "lending:repay",
    "lending:repayment-confirm",
    "lending:repayment-record",
    "lending:return-address-decide",
    "lending:return-addresses",
    "lending:withdraw",
    "lending:withdrawal-decide",
    "lending:sale-resume",
    "lending:write-off-decide",
    "lending:write-off-propose",
    "lending:wrong-asset",
    "tokens:admission-approve",
    "tokens:control",
    "tokens:recovery-complete",
    "tokens:recovery-detail",
    "tokens:recovery-new",
    "tokens:security-approve",
    "tokens:security-retry",
    "tokens:subscription-allocate",
    "tokens:subscription-issue",
    "tokens:subscription-payment",
    "tokens:subscription-subscribe",
    "tokens:transfer-confirm",
}

#: Takes something in, and no value moves by it. What a wallet of one's own sends is confirmed before, at
#: `tokens:transfer-confirm`; an objection only stops; reporting a stolen key must never be held up.
HARMLESS = {
    "chain:alarm-close",
    "chain:incident-close",
    "chain:stolen-key",
    "kyc:application-check",
    "kyc:application-start",
    "kyc:attestation-prepare",
    "kyc:case-claim",
    "kyc:case-confirm",
    "kyc:case-decide",
    "kyc:case-release",
    "kyc:case-screen",
    "kyc:evidence",
    "kyc:evidence-remove",
    "kyc:hit-decide",
    "kyc:hit-propose",
    "kyc:owner-add",
    "kyc:owner-edit",
    "kyc:owner-remove",
    "kyc:section",
    "kyc:wallet-message",
    "kyc:wallet-request-decline",
    "kyc:wallet-request-sign",
    "kyc:wallet-sign-in",
    "lending:assurance",
    "lending:credit-claim",
    "lending:credit-release",
    "lending:credit-withdraw",
    "lending:deposit",
    "lending:draw-cancel",
    "lending:draw-refuse",
    "lending:evidence-add",
    "lending:loan-cancel",
    "lending:renew",
    "lending:stress",
    "lending:repayment-reject",
    "lending:return-address-cancel",
    "tokens:address-book",
    "tokens:address-import",
    "tokens:address-remove",
    "tokens:admission-decline",
    "tokens:document-add",
    "tokens:document-remove",
    "tokens:objection-begin",
    "tokens:objection-report",
    "tokens:placement-invite",
    "tokens:receive",
    "tokens:security-cancel",
    "tokens:security-close",
    "tokens:security-edit",
    "tokens:security-new",
    "tokens:security-send-back",
    "tokens:security-submit",
    "tokens:subscription-decline",
    "tokens:subscription-withdraw",
    "tokens:subscription-work",
    "tokens:transfer-begin",
    "tokens:transfer-give-up",
    "tokens:transfer-new",
    "tokens:transfer-report",
}


def test_every_page_that_moves_value_or_signs_asks_for_the_second_factor():
    views = posting_views()
    assert not {name for name in VALUE if not getattr(views[name], "moves_value", False)}


def test_no_page_that_takes_something_in_is_left_unjudged():
    assert set(posting_views()) == VALUE | HARMLESS
    assert not VALUE & HARMLESS


def posting_views() -> dict[str, Any]:
    """The views of our own apps that accept POST, by the name of their address."""
    return {name: view for name, view in named_views(get_resolver()) if takes_post(view)}


def named_views(resolver: URLResolver, app: str = "") -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from named_views(entry, entry.app_name or app)
        elif isinstance(entry, URLPattern) and app in APPS:
            yield f"{app}:{entry.name}", entry.callback


def takes_post(view: Any) -> bool:
    """Whether no decorator around the view lists the methods without POST."""
    while view is not None:
        for cell in view.__closure__ or ():
            methods = cell.cell_contents
            if isinstance(methods, list) and "GET" in methods and "POST" not in methods:
                return False
        view = getattr(view, "__wrapped__", None)
    return True
