"""From approval to a token on a real node, and the token's life."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse

from chain import attestation as chain_attestation
from chain.gateway import gateway
from chain.types import SignerRole, Standing
from kyc import services
from kyc.models import Application, LifecycleStep, Party
from kyc.selectors import InvestorStatus, investor_status
from kyc.services.attestations import as_attestation
from kyc.tests.conftest import address
from portal.testing import sign_in, use_second_factor

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


def test_an_approved_person_gets_a_token_and_becomes_active(active, investor):
    assert active.state == Application.State.ACTIVE
    assert gateway().standing(address(active)) == Standing.EFFECTIVE
    assert investor_status(investor) == InvestorStatus.ACTIVE
    assert Party.objects.get(user=investor).is_verified
    assert active.effective_from is not None


def test_each_step_of_the_chain_is_visible_to_the_person(
    approved, platform, officer_key, second_reviewer, settle, investor, client
):
    services.attest(application_id=approved.pk, officer=second_reviewer)
    approved.refresh_from_db()
    assert approved.state == Application.State.ISSUING
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.PENDING
    client.force_login(investor)
    page = client.get("/kyc/status/").content.decode()
    step = approved.steps.get()
    assert step.transaction is not None
    assert step.transaction.mined_hash[:6] in page
    assert not Party.objects.get(user=investor).is_verified


def test_signing_twice_issues_one_token(approved, platform, officer_key, second_reviewer, refused):
    services.attest(application_id=approved.pk, officer=second_reviewer)
    code = refused(services.attest, application_id=approved.pk, officer=second_reviewer)
    assert code == "kyc.attestation.wrong_state"
    assert LifecycleStep.objects.count() == 1


def test_an_expired_signature_is_refused_and_a_fresh_one_taken(
    approved, platform, officer_key, second_reviewer, refused, settle
):
    record = services.prepare_attestation(application_id=approved.pk, officer=second_reviewer)
    type(record).objects.filter(pk=record.pk).update(deadline=1)
    record.refresh_from_db()
    signature = chain_attestation.sign(as_attestation(record), platform.signer(SignerRole.ATTESTOR))
    arguments = {"attestation_id": record.pk, "officer": second_reviewer, "signature": signature}
    assert refused(services.submit_attestation, **arguments) == "kyc.attestation.expired"
    approved.refresh_from_db()
    assert approved.state == Application.State.APPROVED
    services.attest(application_id=approved.pk, officer=second_reviewer)


def test_a_signature_from_the_officers_own_wallet_is_taken(approved, platform, second_reviewer, settle):
    wallet = platform.signer(SignerRole.ATTESTOR)
    services.set_officer_key(user=second_reviewer, address=wallet.address, actor="test")
    record = services.prepare_attestation(application_id=approved.pk, officer=second_reviewer)
    signature = chain_attestation.sign(as_attestation(record), wallet)
    for _click in range(2):
        services.submit_attestation(attestation_id=record.pk, officer=second_reviewer, signature=signature)
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.PENDING
    assert LifecycleStep.objects.count() == 1


def test_a_signature_of_another_key_or_over_something_else_is_refused(
    approved, platform, second_reviewer, reviewer, refused
):
    wallet = platform.signer(SignerRole.ATTESTOR)
    services.set_officer_key(
        user=second_reviewer, address=platform.signer(SignerRole.COUNCIL_OWNER).address, actor="test"
    )
    record = services.prepare_attestation(application_id=approved.pk, officer=second_reviewer)
    signature = chain_attestation.sign(as_attestation(record), wallet)
    arguments = {"attestation_id": record.pk, "signature": signature}
    assert refused(services.submit_attestation, officer=second_reviewer, **arguments) == "kyc.attestation.other_key"
    assert refused(services.submit_attestation, officer=reviewer, **arguments) == "kyc.attestation.not_yours"
    garbage = {"attestation_id": record.pk, "signature": bytes(65), "officer": second_reviewer}
    assert refused(services.submit_attestation, **garbage) == "chain.attestation.invalid_signature"
    approved.refresh_from_db()
    assert approved.state == Application.State.APPROVED


@pytest.fixture
def to_sign(approved, platform, second_reviewer):
    """What the second officer is asked to sign with their own wallet, and that wallet's signature of it."""
    wallet = platform.signer(SignerRole.ATTESTOR)
    services.set_officer_key(user=second_reviewer, address=wallet.address, actor="test")
    record = services.prepare_attestation(application_id=approved.pk, officer=second_reviewer)
    return record, chain_attestation.sign(as_attestation(record), wallet)


@pytest.mark.parametrize("fault", ["twin", "short", "compact", "long"])
def test_a_malleable_or_short_signature_is_refused_on_the_page(to_sign, approved, second_reviewer, fault):
    record, good = to_sign
    s = int.from_bytes(good[32:64])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    bad = {
        "twin": good[:32] + (order - s).to_bytes(32) + bytes([55 - good[64]]),
        "short": good[:64],
        "compact": good[:32] + (s | (good[64] - 27) << 255).to_bytes(32),
        "long": good + b"\x00",
    }[fault]
    browser, page = sign_in(second_reviewer), reverse("kyc:attestation", args=[record.pk])
    use_second_factor(browser, second_reviewer)
    answer = browser.post(page, {"signature": "0x" + bad.hex()})
    assert answer.status_code in (400, 422)
    assert 'role="alert"' in answer.text or "aria-invalid" in answer.text
    record.refresh_from_db()
    approved.refresh_from_db()
    assert (record.signature, approved.state) == (None, Application.State.APPROVED)
    assert browser.post(page, {"signature": "0x" + good.hex()}).status_code == 302
    approved.refresh_from_db()
    assert approved.state == Application.State.ISSUING


def test_a_signature_counts_for_the_attestation_it_was_made_for_only(to_sign, approved, second_reviewer, refused):
    _first, signature = to_sign
    second = services.prepare_attestation(application_id=approved.pk, officer=second_reviewer)
    arguments = {"attestation_id": second.pk, "officer": second_reviewer, "signature": signature}
    assert refused(services.submit_attestation, **arguments) == "kyc.attestation.other_key"


def test_a_signature_whose_time_runs_out_on_its_way_comes_back_and_is_made_anew(
    approved, platform, officer_key, second_reviewer, settle, refused
):
    services.attest(application_id=approved.pk, officer=second_reviewer)
    record = approved.attestations.get()
    platform.node.pass_time(25 * 3600)
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.ATTESTED
    assert "DeadlinePassed" in approved.problem
    type(record).objects.filter(pk=record.pk).update(deadline=int(time.time()) - 1)
    arguments = {"application_id": approved.pk, "officer": second_reviewer}
    assert refused(services.retry_issue, **arguments) == "kyc.attestation.expired"


def test_a_key_without_the_role_on_chain_is_refused(approved, platform, second_reviewer, refused, tmp_path):
    from eth_account import Account

    account = Account.create()
    services.set_officer_key(user=second_reviewer, address=account.address, actor="test")
    record = services.prepare_attestation(application_id=approved.pk, officer=second_reviewer)
    signed = Account.unsafe_sign_hash(chain_attestation.digest(as_attestation(record)), account.key)
    arguments = {"attestation_id": record.pk, "signature": bytes(signed.signature), "officer": second_reviewer}
    assert refused(services.submit_attestation, **arguments) == "kyc.attestation.not_attestor"


def test_with_the_node_down_the_signature_waits_and_nothing_is_lost(
    approved, platform, officer_key, second_reviewer, settings, settle
):
    running = settings.CHAIN_RPC_URL
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"
    services.attest(application_id=approved.pk, officer=second_reviewer)
    approved.refresh_from_db()
    assert approved.state == Application.State.ISSUING
    settings.CHAIN_RPC_URL = running
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.PENDING


def test_a_refusal_by_the_contract_comes_back_to_the_officer_with_its_reason(
    approved, platform, officer_key, second_reviewer, settle
):
    from chain import operations
    from chain import services as chain_services

    chain_services.enqueue(
        call=operations._sbt("pauseIssuance"),
        signer=platform.signer(SignerRole.SBT_GUARDIAN),
        idempotency_key="pause",
        purpose="test",
    )
    settle()
    services.attest(application_id=approved.pk, officer=second_reviewer)
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.ATTESTED
    assert "IssuancePaused" in approved.problem
    chain_services.request(
        call=operations._sbt("resumeIssuance"),
        role=SignerRole.COUNCIL,
        idempotency_key="resume",
        purpose="test",
    )
    settle()
    services.retry_issue(application_id=approved.pk, officer=second_reviewer)
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.PENDING
    assert approved.problem == ""


def test_suspending_reinstating_and_revoking_follow_the_chain(active, platform, reviewer, settle, refused):
    arguments = {"application_id": active.pk, "officer": reviewer}
    assert refused(services.revoke, reason="x", **arguments) == "kyc.revoke.not_suspended"
    assert refused(services.suspend, reason=" ", **arguments) == "kyc.decision.reason"
    services.suspend(reason="lost device", **arguments)
    active.refresh_from_db()
    assert active.state == Application.State.SUSPENDING
    assert not Party.objects.get(user=active.user).is_verified
    settle()
    active.refresh_from_db()
    assert active.state == Application.State.SUSPENDED
    assert gateway().standing(address(active)) == Standing.SUSPENDED
    services.reinstate(reason="found", **arguments)
    settle()
    active.refresh_from_db()
    assert active.state == Application.State.ACTIVE
    assert Party.objects.get(user=active.user).is_verified
    services.suspend(reason="closing", **arguments)
    settle()
    services.revoke(reason="closed", **arguments)
    settle()
    active.refresh_from_db()
    assert active.state == Application.State.REVOKED
    assert active.closed_at is not None
    assert gateway().standing(address(active)) == Standing.NONE
    assert investor_status(active.user) == InvestorStatus.REVOKED


def test_a_renewal_extends_to_the_next_review(active, platform, second_reviewer, settle):
    before = active.next_review_on
    services.renew(application_id=active.pk, officer=second_reviewer, reason="reviewed", risk_rating="high")
    active.refresh_from_db()
    assert active.state == Application.State.RENEWING
    assert investor_status(active.user) == InvestorStatus.ACTIVE
    settle()
    active.refresh_from_db()
    assert active.state == Application.State.ACTIVE
    assert active.next_review_on != before
    assert active.risk_rating == "high"
    assert gateway().standing(address(active)) == Standing.EFFECTIVE


def test_a_token_whose_review_has_come_expires(active):
    from django.utils import timezone

    Application.objects.filter(pk=active.pk).update(next_review_on=timezone.localdate())
    assert services.expire_due() == 1
    assert services.expire_due() == 0
    active.refresh_from_db()
    assert active.state == Application.State.EXPIRED
    assert not Party.objects.get(user=active.user).is_verified


def test_a_hit_on_a_new_list_suspends_and_does_not_revoke(active, platform, settle, tmp_path, reviewer, refused):
    import shutil
    from datetime import date

    from kyc.management.commands.load_sanctions_list import SAMPLE

    folder = tmp_path / "list"
    shutil.copytree(SAMPLE, folder)
    text = (folder / "sdn.csv").read_text().replace("\x1a", "")
    row = '990998,"AOKI, Hanako","individual","SAMPLE",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"DOB 12 Apr 1985"\r\n'
    (folder / "sdn.csv").write_text(text + row)
    services.load_sanctions_list(kind="ofac", directory=folder, name="newer", published_on=date(2026, 11, 20))
    services.run_due_screenings()
    active.refresh_from_db()
    assert active.state == Application.State.SUSPENDING
    settle()
    active.refresh_from_db()
    assert active.state == Application.State.SUSPENDED
    arguments = {"application_id": active.pk, "officer": reviewer, "reason": "x"}
    assert refused(services.reinstate, **arguments) == "kyc.reinstate.hit"


def test_a_reorganisation_takes_the_token_back_to_being_issued_and_it_comes_again(
    approved, platform, officer_key, second_reviewer, settle
):
    from kyc.services.lifecycle import apply_outcome

    services.attest(application_id=approved.pk, officer=second_reviewer)
    settle()
    approved.refresh_from_db()
    assert approved.state == Application.State.PENDING
    row = approved.steps.get().transaction
    apply_outcome(transaction_row=row, state="broadcast")
    apply_outcome(transaction_row=row, state="broadcast")
    approved.refresh_from_db()
    assert approved.state == Application.State.ISSUING
    apply_outcome(transaction_row=row, state="mined")
    apply_outcome(transaction_row=row, state="final")
    apply_outcome(transaction_row=row, state="final")
    approved.refresh_from_db()
    assert approved.state == Application.State.PENDING


def test_with_redis_down_a_submission_is_kept_and_the_sweep_screens_it(
    draft, sample_list, broker_down, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        services.submit_application(application_id=draft.pk, user=draft.user, declares=True)
    draft.refresh_from_db()
    assert draft.state == Application.State.SUBMITTED
    assert not draft.screening_ready
    services.run_due_screenings()
    draft.refresh_from_db()
    assert draft.screening_ready
