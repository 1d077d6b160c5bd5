"""Before every signature its page says in one sentence who signs what, and whether it can be undone (`<c-signing>`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from portal.tests.test_value_views import VALUE

TEMPLATES = Path(settings.BASE_DIR) / "templates"

#: Where a person signs in a wallet of their own, presses the button upon which a key kept here signs, or binds themselves
#: as a borrower; the page of each.
SIGNS = {
    "chain:alarm-contain": "chain/desk/alarm_contain.html",
    "chain:alarm-restore": "chain/desk/alarm_restore.html",
    "chain:operation-cancel": "chain/desk/operation_cancel.html",
    "chain:proposal-cancel": "chain/proposal_end.html",
    "chain:proposal-sign": "chain/proposal.html",
    "kyc:attestation": "kyc/attestation_sign.html",
    "kyc:case-attest": "kyc/case_actions.html",
    "kyc:case-lifecycle": "kyc/case_actions.html",
    "kyc:case-renew": "kyc/case_actions.html",
    "kyc:wallet-new": "kyc/wallet_new.html",
    "kyc:wallet-request-attest": "kyc/wallet_requests.html",
    "kyc:wallet-sign-in": "kyc/wallet_sign_in.html",
    "lending:contract-accept": "lending/contract_accept.html",
    "lending:draw": "lending/draw.html",
    "lending:repay": "lending/repay.html",
    "lending:return-addresses": "lending/return_addresses.html",
    "lending:withdraw": "lending/withdraw.html",
    "lending:withdrawal-decide": "lending/work.html",
    "tokens:admission-approve": "tokens/admissions.html",
    "tokens:control": "tokens/control.html",
    "tokens:objection-begin": "tokens/recovery_detail.html",
    "tokens:recovery-detail": "tokens/recovery_detail.html",
    "tokens:recovery-new": "tokens/recovery_new.html",
    "tokens:security-approve": "tokens/security_approve.html",
    "tokens:subscription-issue": "tokens/subscription_work.html",
    "tokens:subscription-subscribe": "tokens/subscription_subscribe.html",
    "tokens:transfer-begin": "tokens/transfer_detail.html",
    "tokens:transfer-confirm": "tokens/transfer_confirm.html",
}

#: Moves value or decides, and this press signs nothing new: it is written down, asked for, paid at a bank, decided by
#: officers whose decision another step carries out, goes on with what was signed for before, or undoes.
WRITTEN_DOWN = {
    "chain:proposal-withdraw",
    "chain:signer-resume",
    "chain:transaction-cancel",
    "kyc:case-retry",
    "lending:breaker-reset",
    "lending:credit-apply",
    "lending:credit-confirm",
    "lending:credit-decide",
    "lending:delivery-act",
    "lending:disposition",
    "lending:disposition-confirm",
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
    "lending:repayment-confirm",
    "lending:repayment-record",
    "lending:return-address-decide",
    "lending:sale-resume",
    "lending:write-off-decide",
    "lending:write-off-propose",
    "lending:wrong-asset",
    "tokens:recovery-complete",
    "tokens:security-retry",
    "tokens:subscription-allocate",
    "tokens:subscription-payment",
}


def test_every_page_of_value_is_known_to_sign_or_not() -> None:
    assert VALUE - set(SIGNS) == WRITTEN_DOWN


#: The officers' list says it once, above all of its rows.
BORROWERS = sorted(name for name in SIGNS if name.startswith("lending:") and name != "lending:withdrawal-decide")


@pytest.mark.parametrize("name", BORROWERS)
def test_a_borrower_reads_it_beneath_what_they_enter_and_above_the_button(name: str) -> None:
    text = (TEMPLATES / SIGNS[name]).read_text()
    form = text[text.index(f"action=\"{{% url '{name}'") :]
    assert form.index("{{ form }}") < form.index("<c-signing") < form.index("<c-button")


@pytest.mark.parametrize("name", SIGNS)
def test_the_summary_stands_before_what_signs(name: str) -> None:
    text = (TEMPLATES / SIGNS[name]).read_text()
    assert "<c-signing" in text, f"{SIGNS[name]} says nothing before the signature"
    assert "<c-wallet" not in text or text.index("<c-signing") < text.index("<c-wallet")


def test_no_wallet_is_asked_anywhere_without_a_summary() -> None:
    asking = {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html") if "<c-wallet" in path.read_text()}
    assert asking - {"elements/wallet.html", "portal/styleguide.html"} <= set(SIGNS.values())
    assert len(asking) > 4
