"""Officers see what waits and hand a signature in; others do not."""

from __future__ import annotations

import re

import pytest
from django.db import transaction

from chain import operations, services
from chain.governance import safe as safes
from chain.models import SafeProposal, Signer
from chain.tests.test_proposals import DAY, drive, is_granted
from chain.tests.test_proposals import announced as wait_begins
from chain.types import ChainRole, SignerRole
from portal.models import AuditEntry, Role, User
from portal.testing import make_person, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def proposal(platform, settings):
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    with transaction.atomic():
        row = services.request(
            role=SignerRole.COUNCIL, call=operations.resume_issuance(), idempotency_key="k", purpose="test"
        )
    services.run_submit_sweep()
    return SafeProposal.objects.select_related("safe").get(transaction=row)


@pytest.fixture
def administrator(db):
    return sign_in(make_person("admin@musubi.example", role=Role.ADMINISTRATOR, second_factor=True))


def test_an_officer_finds_the_proposal_its_payload_and_who_must_still_sign(administrator, proposal):
    listed = administrator.get("/chain/proposals/").content.decode()
    assert f'href="/chain/proposals/{proposal.pk}/"' in listed
    page = administrator.get(f"/chain/proposals/{proposal.pk}/").content.decode()
    assert safes.digest(proposal) in page
    assert "2 more signatures are needed." in page
    for owner in Signer.objects.filter(role=SignerRole.COUNCIL_OWNER):
        assert owner.address in page


def test_a_signature_that_is_handed_in_is_recorded_under_who_made_it(administrator, proposal):
    signer = Signer.objects.filter(role=SignerRole.COUNCIL_OWNER).order_by("pk")[0]
    signature = "0x" + safes.sign(proposal, signer).hex()
    answer = administrator.post(f"/chain/proposals/{proposal.pk}/sign/", {"signature": signature})
    assert answer.status_code == 302
    assert proposal.signatures.get().owner == signer.address
    assert "1 more signature is needed." in administrator.get(f"/chain/proposals/{proposal.pk}/").content.decode()


@pytest.mark.parametrize(("text", "status"), [("0xzz", 422), ("0x" + "11" * 65, 400), ("", 422)])
def test_what_is_no_signature_is_refused_with_a_sentence(administrator, proposal, text, status):
    answer = administrator.post(f"/chain/proposals/{proposal.pk}/sign/", {"signature": text})
    assert answer.status_code == status
    assert proposal.signatures.count() == 0


def test_an_auditor_looks_and_does_not_sign(client, proposal):
    client.force_login(make_person("auditor@musubi.example", role=Role.AUDITOR, second_factor=True))
    page = client.get(f"/chain/proposals/{proposal.pk}/")
    assert page.status_code == 200
    assert "Hand in the signature" not in page.content.decode()
    assert client.post(f"/chain/proposals/{proposal.pk}/sign/", {"signature": "0x"}).status_code == 403


@pytest.mark.parametrize("role", [None, Role.KYC_OFFICER, Role.ISSUER])
def test_nobody_else_sees_proposals(client, proposal, role):
    client.force_login(make_person("other@musubi.example", role=role, second_factor=True))
    assert client.get("/chain/proposals/").status_code == 403
    assert client.get(f"/chain/proposals/{proposal.pk}/").status_code == 403


# --- ending one --------------------------------------------------------------------------------------------


@pytest.fixture
def careful(db):
    """An administrator who used the second factor just now."""
    return sign_in(make_person("careful@musubi.example", role=Role.ADMINISTRATOR, second_factor=True), fresh=True)


@pytest.fixture
def announced(platform, settings):
    """An admin's announcement whose waiting time runs."""
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    return wait_begins(platform, delay=DAY)


def posted(browser, page, **fields):
    """Fill in the form of `page` and send it, as its button does."""
    html = browser.get(page).content.decode()
    token = re.search(r'name="once_token" value="([^"]+)"', html)
    assert token, "the page has no form"
    return browser.post(page, {"once_token": token[1], **fields})


def test_a_proposal_that_waits_for_signatures_is_withdrawn_with_a_reason(careful, proposal):
    page = f"/chain/proposals/{proposal.pk}/withdraw/"
    assert page in careful.get(f"/chain/proposals/{proposal.pk}/").content.decode()
    assert posted(careful, page, reason="").status_code == 422
    assert posted(careful, page, reason="asked by mistake").status_code == 302
    proposal.refresh_from_db()
    assert (proposal.state, proposal.transaction.state) == ("cancelled", "refused")
    entry = AuditEntry.objects.get(action="chain.proposal.cancelled", subject_id=str(proposal.pk))
    assert entry.actor is not None
    assert (entry.reason, entry.actor.email) == ("asked by mistake", "careful@musubi.example")
    assert page not in careful.get(f"/chain/proposals/{proposal.pk}/").content.decode()
    assert "Nothing can be done here any more" in careful.get(page).content.decode()


def test_withdrawing_what_was_submitted_meanwhile_is_refused_in_words(careful, proposal):
    page = f"/chain/proposals/{proposal.pk}/withdraw/"
    (token,) = re.findall(r'name="once_token" value="([^"]+)"', careful.get(page).content.decode())
    SafeProposal.objects.filter(pk=proposal.pk).update(state="sent")
    answer = careful.post(page, {"once_token": token, "reason": "too late"})
    assert answer.status_code >= 400
    assert "already submitted" in answer.content.decode()
    proposal.refresh_from_db()
    assert proposal.state == "sent"


def test_the_council_cancels_an_announcement_and_it_is_never_carried_out(careful, announced, platform, settings):
    settings.DEMO_SIGNS_FOR_OFFICERS = True
    page = f"/chain/proposals/{announced.pk}/cancel/"
    assert posted(careful, page).status_code == 302
    assert posted(careful, page).status_code == 302
    cancelling = SafeProposal.objects.get(purpose_call="TimelockController.cancel")
    drive(platform, 12)
    announced.refresh_from_db()
    cancelling.refresh_from_db()
    assert (announced.state, cancelling.state) == ("cancelled", "done")
    assert announced.transaction.state == "refused"
    platform.node.pass_time(2 * DAY)
    drive(platform)
    assert not is_granted()


def test_a_cancellation_that_was_withdrawn_can_be_asked_for_again(careful, announced, settings):
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    actor = User.objects.get(email="careful@musubi.example")
    first = services.propose_cancellation(proposal_id=announced.pk, actor=actor)
    assert services.propose_cancellation(proposal_id=announced.pk, actor=actor) == first
    services.withdraw_proposal(proposal_id=first.proposal.pk, actor=actor, reason="not needed")
    second = services.propose_cancellation(proposal_id=announced.pk, actor=actor)
    assert second != first
    assert second.state == "queued"


@pytest.mark.parametrize("role", [None, Role.KYC_OFFICER, Role.AUDITOR])
@pytest.mark.parametrize("what", ["withdraw", "cancel"])
def test_only_administrators_end_proposals(proposal, role, what):
    browser = sign_in(make_person("no@musubi.example", role=role, second_factor=True), fresh=True)
    assert browser.get(f"/chain/proposals/{proposal.pk}/{what}/").status_code == 403
    assert browser.post(f"/chain/proposals/{proposal.pk}/{what}/", {"reason": "x"}).status_code == 403
    proposal.refresh_from_db()
    assert proposal.state == "collecting"


@pytest.mark.parametrize("step", ["withdraw", "cancel", "sign"])
def test_the_second_factor_is_asked_before_a_proposal_is_signed_or_ends(proposal, step):
    administrator = make_person("admin@musubi.example", role=Role.ADMINISTRATOR, second_factor=True)
    browser = sign_in(administrator, fresh=False)
    answer = browser.post(f"/chain/proposals/{proposal.pk}/{step}/", {"reason": "x", "signature": "0x"})
    assert "reauthenticate" in answer["Location"]
    proposal.refresh_from_db()
    assert proposal.state == "collecting"


def test_officers_read_whose_key_takes_which_role_before_they_sign(administrator, platform, settings):
    settings.DEMO_SIGNS_FOR_OFFICERS = False
    old, new = "0x" + "11" * 20, "0x" + "22" * 20
    with transaction.atomic():
        row = services.request(
            role=SignerRole.ADMIN,
            call=operations.replace_role_holder(ChainRole.SBT_ISSUER, old=old, new=new),
            idempotency_key="rotate",
            purpose="test",
        )
    page = administrator.get(f"/chain/proposals/{row.proposal.pk}/").content.decode()
    assert f"Give the role SBT_ISSUER to {new}." in page
    assert f"Take the role SBT_ISSUER from {old}." in page
