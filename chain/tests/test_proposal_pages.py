"""Officers see what waits and hand a signature in; others do not."""

from __future__ import annotations

import pytest
from django.db import transaction

from chain import operations, services
from chain.governance import safe as safes
from chain.models import SafeProposal, Signer
from chain.types import SignerRole
from portal.models import Role
from portal.testing import make_person

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
def administrator(client):
    client.force_login(make_person("admin@musubi.example", role=Role.ADMINISTRATOR, second_factor=True))
    return client


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
