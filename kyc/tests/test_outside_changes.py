"""What happens to a token past this portal, and what a customer may learn of why theirs is suspended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone, translation

from chain import operations
from chain import services as chain_services
from chain.models import Incident
from chain.types import SignerRole
from kyc import services
from kyc.models import Application, LifecycleStep, ScreeningHit
from kyc.services.lifecycle import SCREENING_REASON, apply_outcome
from kyc.services.outside import OUTSIDE
from kyc.tests.conftest import address
from portal.models import AuditEntry, User
from portal.notices.models import Notice
from portal.notices.services import send_notices

State = Application.State
#: Words that would tell a customer of a list, in either language.
TELLTALE = ("sanction", "screen", "list", " hit", "OFAC", "制裁", "スクリーニング", "リスト", "該当")


def done_elsewhere(platform, settle, call, role, key):
    """A transaction that this app did not ask for."""
    chain_services.enqueue(call=call, signer=platform.signer(role), idempotency_key=key, purpose="test")
    settle()


def test_a_suspension_made_past_the_portal_is_followed(active, platform, settle):
    done_elsewhere(platform, settle, operations.suspend_sbt(address(active)), SignerRole.SBT_GUARDIAN, "outside")
    active.refresh_from_db()
    assert active.state == State.SUSPENDED
    step = active.steps.get(kind="suspend")
    assert (step.reason, step.transaction, step.outcome) == (OUTSIDE, None, LifecycleStep.Outcome.FINAL)
    trail = AuditEntry.objects.filter(action="kyc.token.suspend_outside", subject_id=str(active.pk))
    assert set(trail.values_list("from_state", "to_state")) == {("active", "suspending"), ("suspending", "suspended")}


def test_a_revocation_made_past_the_portal_closes_the_application(active, platform, settle, reviewer):
    services.suspend(application_id=active.pk, officer=reviewer, reason="x")
    settle()
    done_elsewhere(platform, settle, operations.revoke_sbt(address(active)), SignerRole.SBT_ISSUER, "outside")
    active.refresh_from_db()
    assert active.state == State.REVOKED
    assert active.closed_at is not None
    assert active.user.notices.filter(kind="kyc.revoked").exists()


def test_what_the_portal_did_itself_is_not_taken_for_somebody_elses(active, platform, settle, reviewer):
    services.suspend(application_id=active.pk, officer=reviewer, reason="x")
    settle()
    assert active.steps.filter(reason=OUTSIDE).count() == 0
    assert active.steps.filter(kind="suspend").count() == 1


def test_where_the_table_has_no_arrow_nothing_happens(active, platform, settle):
    Application.objects.filter(pk=active.pk).update(state=State.RENEWING)
    done_elsewhere(platform, settle, operations.suspend_sbt(address(active)), SignerRole.SBT_GUARDIAN, "outside")
    active.refresh_from_db()
    assert active.state == State.RENEWING
    assert not Incident.objects.filter(kind="chain.event_handler_failed").exists()


# --- a suspension for a hit ------------------------------------------------------------------------------


@pytest.fixture
def flagged(active: Application, sample_list: object) -> ScreeningHit:
    """Somebody active with an open hit, not yet suspended."""
    run = active.screening_runs.get()
    hit = ScreeningHit.objects.create(
        run=run,
        application=active,
        entry=run.sanctions_list.entries.all()[0],
        who=ScreeningHit.Who.APPLICANT,
        subject_name="AOKI Hanako",
        listed_name="AOKI, Hanako",
        score=97,
        explanation={},
        fingerprint="f",
    )
    Application.objects.filter(pk=active.pk).update(open_hits=1)
    return hit


def refused(application: Application, reason: str = "AccessManagedUnauthorized") -> LifecycleStep:
    """The open suspension comes back refused."""
    step = application.steps.get(outcome="open")
    assert step.transaction is not None
    step.transaction.error_code = reason
    apply_outcome(transaction_row=step.transaction, state="reverted")
    step.refresh_from_db()
    return step


def test_a_refused_suspension_rests_longer_every_time_and_somebody_is_told(flagged):
    active = flagged.application
    for rest in (30, 60, 120):
        assert services.suspend_flagged() == 1
        step = refused(active)
        assert step.outcome == LifecycleStep.Outcome.FAILED
        assert services.suspend_flagged() == 0
        moments_ago = timezone.now() - timedelta(seconds=rest - 5)
        LifecycleStep.objects.filter(pk=step.pk).update(changed_at=moments_ago)
        assert services.suspend_flagged() == 0
        LifecycleStep.objects.filter(pk=step.pk).update(changed_at=timezone.now() - timedelta(seconds=rest + 1))
    assert Incident.objects.get(kind="kyc.suspension_refused").closed_at is None


def test_a_suspension_that_somebody_else_made_first_is_what_was_wanted(flagged):
    active = flagged.application
    services.suspend_flagged()
    refused(active, "InvestorSBT_AlreadySuspended")
    active.refresh_from_db()
    assert active.state == State.SUSPENDED
    assert not Incident.objects.filter(kind="kyc.suspension_refused").exists()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_customer_does_not_learn_of_a_hit(flagged, mailoutbox, language):
    active = flagged.application
    User.objects.filter(pk=active.user_id).update(language=language)
    Notice.objects.all().delete()
    services.suspend_flagged()
    send_notices()
    (letter,) = mailoutbox
    browser = Client(headers={"accept-language": language})
    browser.force_login(active.user)
    page = browser.get("/kyc/status/").content.decode()
    main = page[page.index("<main") : page.index("</main>")]
    for text in (letter.subject, letter.body.replace("\n", " "), main):
        assert not [word for word in TELLTALE if word in text], text


def test_the_officer_sees_the_cause_in_their_language(flagged, reviewer):
    services.suspend_flagged()
    step = flagged.application.steps.get(outcome="open")
    assert step.reason == SCREENING_REASON
    with translation.override("en"):
        assert step.cause == "Undecided sanctions hit"
    with translation.override("ja"):
        assert step.cause != "Undecided sanctions hit"
