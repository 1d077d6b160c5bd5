"""What the outbox is asked in this app's name passes if the app's own rows say so, and no variation of it does."""

from __future__ import annotations

import pytest

from chain.models import ChainTransaction
from chain.tests.lies import assert_only_the_truth_passes, copy_of, verdict
from kyc import services
from kyc.models import AttestationRecord, LifecycleStep, Wallet, WalletRequest
from kyc.tests.conftest import make_effective
from kyc.tests.test_own_wallets import linked

__all__ = ["linked"]  # a fixture


@pytest.fixture
def lived(linked, platform, second_reviewer, settle):
    """Issued, renewed, suspended, reinstated, suspended again and revoked, with a further wallet that followed."""
    request = WalletRequest.objects.get()
    services.attest_wallet(request_id=request.pk, officer=second_reviewer)
    make_effective(platform, settle)
    services.renew(application_id=linked.pk, officer=second_reviewer, reason="yearly", risk_rating="low")
    settle()
    services.attest_wallet(request_id=request.pk, officer=second_reviewer)
    settle()
    for change in (services.suspend, services.reinstate, services.suspend, services.revoke):
        change(application_id=linked.pk, officer=second_reviewer, reason="asked to")
        settle()
    return linked


NAMES = ("kyc.issue_sbt", "kyc.renew_sbt", "kyc.suspend_sbt", "kyc.reinstate_sbt", "kyc.revoke_sbt",
         "kyc.wallet_token", "kyc.follow_suspend", "kyc.follow_reinstate", "kyc.follow_revoke")  # fmt: skip


def test_only_what_officers_asked_for_passes_however_long_ago_it_was(lived):
    assert_only_the_truth_passes(*NAMES)


def test_a_token_that_arrives_after_a_suspension_is_suspended_in_our_own_name(
    linked, platform, second_reviewer, settle
):
    services.attest_wallet(request_id=WalletRequest.objects.get().pk, officer=second_reviewer)
    services.suspend(application_id=linked.pk, officer=second_reviewer, reason="asked to")
    settle()
    settle()
    assert_only_the_truth_passes("kyc.follow_suspend")


@pytest.mark.parametrize(
    "change", [{"signature": None, "attestor": None, "signed_at": None}, {"holder": "0x" + "11" * 20}]
)
def test_no_token_is_issued_without_the_signature_that_is_kept(linked, change):
    row = ChainTransaction.objects.get(purpose="kyc.issue_sbt")
    assert verdict(row) == "asked"
    AttestationRecord.objects.update(**change)
    assert verdict(row) == "unasked"


def test_a_step_is_taken_once(linked, second_reviewer):
    services.suspend(application_id=linked.pk, officer=second_reviewer, reason="asked to")
    row = ChainTransaction.objects.get(purpose="kyc.suspend_sbt")
    again = copy_of(row)
    assert verdict(again) == "unasked"
    LifecycleStep.objects.filter(transaction=row).update(transaction=again)
    assert (verdict(row), verdict(again)) == ("unasked", "unasked")


def test_only_the_persons_own_wallets_follow(linked, second_reviewer, stranger, platform, settle):
    services.attest_wallet(request_id=WalletRequest.objects.get().pk, officer=second_reviewer)
    make_effective(platform, settle)
    services.suspend(application_id=linked.pk, officer=second_reviewer, reason="asked to")
    row = ChainTransaction.objects.get(purpose="kyc.follow_suspend")
    assert verdict(row) == "asked"
    Wallet.objects.filter(user=linked.user, is_primary=False).update(user=stranger)
    assert verdict(row) == "unasked"
