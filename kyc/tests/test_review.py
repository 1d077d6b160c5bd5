"""Two officers, four eyes, every arrow of the state machine and none besides."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from kyc import notices, services
from kyc.models import Application, DatedRule, Decision, Evidence, Party, Wallet
from kyc.selectors import InvestorStatus, current_application, investor_status, next_case, party_for
from kyc.services.guards import move
from kyc.tests.conftest import add, approve, fill_in, pdf, png, submit
from portal.models import AuditEntry, Role, User
from portal.notices.models import Notice
from portal.notices.services import send_notices
from portal.state import WrongState

pytestmark = pytest.mark.django_db
State = Application.State


# --- the state machine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"),
    [(a, b) for a, b in itertools.product(State, State) if b not in Application.TRANSITIONS[a]],
    ids=lambda state: state.value,
)
def test_an_arrow_that_is_not_drawn_is_refused_and_leaves_no_trace(draft, source, target):
    ready = {"submitted_at": timezone.now(), "screening_ready": True}
    Application.objects.filter(pk=draft.pk).update(state=source, **ready)
    draft.refresh_from_db()
    before = AuditEntry.objects.count()
    with pytest.raises(WrongState), transaction.atomic():
        move(draft, target, actor="test", action="kyc.test")
    draft.refresh_from_db()
    assert draft.state == source
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    ("source", "target"),
    [(a, b) for a in State for b in sorted(Application.TRANSITIONS[a])],
    ids=lambda state: str(state),
)
def test_an_arrow_that_is_drawn_is_taken_with_an_audit_row(draft, source, target):
    ready = {"submitted_at": timezone.now(), "screening_ready": True}
    Application.objects.filter(pk=draft.pk).update(state=source, **ready)
    draft.refresh_from_db()
    with transaction.atomic():
        move(draft, target, actor="test", action="kyc.test", reason="because")
    entry = AuditEntry.objects.get(action="kyc.test")
    assert (entry.from_state, entry.to_state, entry.reason) == (source, target, "because")


def test_every_state_has_its_row_in_the_table():
    assert set(Application.TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", ["approved_first", "approved", "attested"])
def test_the_database_itself_lets_nobody_through_with_an_open_hit(submitted, state):
    with pytest.raises(IntegrityError), transaction.atomic():
        Application.objects.filter(pk=submitted.pk).update(state=state, open_hits=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Application.objects.filter(pk=submitted.pk).update(state=state, screening_ready=False)


# --- draft and submission -------------------------------------------------------------------------------------------


def test_starting_twice_finds_the_same_application(investor):
    first = services.start_application(user=investor, kind="individual")
    assert services.start_application(user=investor, kind="corporate") == first


def test_staff_cannot_apply_with_their_work_account(reviewer, refused):
    assert refused(services.start_application, user=reviewer, kind="individual") == "kyc.application.staff"


def test_an_unfinished_application_is_not_submitted(investor, refused):
    application = services.start_application(user=investor, kind="individual")
    code = refused(services.submit_application, application_id=application.pk, user=investor, declares=True)
    assert code == "kyc.submit.incomplete"


def test_the_declarations_are_needed(draft, investor, refused):
    code = refused(services.submit_application, application_id=draft.pk, user=investor, declares=False)
    assert code == "kyc.submit.declarations"


def test_answers_are_kept_in_one_width(draft):
    person = draft.individual
    assert person.postal_code == "100-0001"
    assert person.phone == "0312345678"
    assert person.address == "東京都千代田区千代田1-1"


@pytest.mark.parametrize(
    ("section", "answers", "field"),
    [
        ("name", {"family_kana": "Aoki"}, "family_kana"),
        ("name", {"family_romaji": "青木"}, "family_romaji"),
        ("name", {"birth_date": timezone.localdate() - timedelta(days=365 * 17)}, "birth_date"),
        ("name", {"birth_date": timezone.localdate() + timedelta(days=1)}, "birth_date"),
        ("address", {"phone": "call me"}, "phone"),
        ("address", {"residence": "ZZ"}, "residence"),
        ("purpose", {"purpose": "world domination"}, "purpose"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused_with_its_field(draft, investor, section, answers, field):
    from kyc.exceptions import InvalidAnswers

    with pytest.raises(InvalidAnswers) as caught:
        services.update_section(application_id=draft.pk, user=investor, section=section, answers=answers)
    assert field in caught.value.errors


@pytest.mark.parametrize("number", ["7000012050003", "700001205000", "70000120500021", "abc"])
def test_a_corporate_number_with_a_wrong_check_digit_is_refused(company_draft, investor, refused, number):
    code = refused(
        services.update_section,
        application_id=company_draft.pk,
        user=investor,
        section="company",
        answers={"corporate_number": number},
    )
    assert code == "kyc.section.invalid"


def test_a_company_without_a_beneficial_owner_is_not_submitted(company_draft, investor, refused):
    services.remove_owner(application_id=company_draft.pk, user=investor, owner_id=company_draft.owners.get().pk)
    code = refused(services.submit_application, application_id=company_draft.pk, user=investor, declares=True)
    assert code == "kyc.submit.incomplete"


def test_owners_cannot_have_more_than_everything_together(company_draft, investor, refused):
    from kyc.tests.conftest import OWNER

    answers = {**OWNER, "share_bps": 4001}
    code = refused(services.save_owner, application_id=company_draft.pk, user=investor, answers=answers)
    assert code == "kyc.owner.shares"


def test_a_submitted_application_cannot_be_changed(submitted, investor, refused):
    code = refused(
        services.update_section, application_id=submitted.pk, user=investor, section="pep", answers={"is_pep": True}
    )
    assert code == "kyc.application.not_editable"


def test_somebody_elses_application_cannot_be_changed_or_submitted(draft, stranger, refused):
    arguments = {"application_id": draft.pk, "user": stranger}
    code = refused(services.update_section, section="pep", answers={"is_pep": True}, **arguments)
    assert code == "kyc.application.not_yours"
    assert refused(services.submit_application, declares=True, **arguments) == "kyc.application.not_yours"


# --- the queue ------------------------------------------------------------------------------------------------------------


def test_only_one_officer_gets_a_case(submitted, reviewer, second_reviewer, refused):
    services.claim(application_id=submitted.pk, officer=reviewer)
    services.claim(application_id=submitted.pk, officer=reviewer)
    assert refused(services.claim, application_id=submitted.pk, officer=second_reviewer) == "kyc.case.taken"
    services.release(application_id=submitted.pk, officer=reviewer)
    services.claim(application_id=submitted.pk, officer=second_reviewer)
    submitted.refresh_from_db()
    assert submitted.assigned_to == second_reviewer


def test_an_officer_never_reviews_their_own(submitted, investor, refused):
    from django.contrib.auth.models import Group

    investor.groups.add(Group.objects.get_or_create(name=Role.KYC_OFFICER)[0])
    officer = type(investor).objects.get(pk=investor.pk)
    assert refused(services.claim, application_id=submitted.pk, officer=officer) == "kyc.officer.own_application"
    assert next_case(officer=officer) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        Application.objects.filter(pk=submitted.pk).update(assigned_to=officer)


def test_an_auditor_and_an_investor_cannot_decide(submitted, auditor, stranger, refused):
    for person in (auditor, stranger):
        assert refused(services.claim, application_id=submitted.pk, officer=person) == "kyc.officer.required"


def test_a_case_that_was_not_claimed_cannot_be_decided(submitted, reviewer, second_reviewer, refused):
    services.claim(application_id=submitted.pk, officer=reviewer)
    arguments = {"application_id": submitted.pk, "verdict": "approve", "reason": "x", "risk_rating": "low"}
    assert refused(services.decide, officer=second_reviewer, **arguments) == "kyc.case.not_claimed"


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"verdict": "approve", "reason": "  ", "risk_rating": "low"}, "kyc.decision.reason"),
        ({"verdict": "approve", "reason": "x"}, "kyc.decision.risk"),
        ({"verdict": "confirm", "reason": "x"}, "kyc.decision.unknown"),
        ({"verdict": "send_back", "reason": "x"}, "kyc.decision.evidence"),
    ],
)
def test_a_decision_needs_its_parts(submitted, reviewer, refused, answers, code):
    services.claim(application_id=submitted.pk, officer=reviewer)
    assert refused(services.decide, application_id=submitted.pk, officer=reviewer, **answers) == code


# --- four eyes ---------------------------------------------------------------------------------------------------------------


def test_the_officer_who_approved_cannot_confirm(submitted, reviewer, refused):
    services.claim(application_id=submitted.pk, officer=reviewer)
    services.decide(application_id=submitted.pk, officer=reviewer, verdict="approve", reason="x", risk_rating="low")
    arguments = {"application_id": submitted.pk, "officer": reviewer}
    assert refused(services.confirm, agrees=True, reason="x", **arguments) == "kyc.case.same_officer"
    assert refused(services.claim, **arguments) == "kyc.case.same_officer"
    assert next_case(officer=reviewer) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.create(
            application=submitted, officer=reviewer, round=submitted.round, verdict="confirm", reason="x"
        )


def test_two_officers_approve_and_the_person_has_a_party_and_a_wallet(approved, investor):
    assert approved.state == State.APPROVED
    party = party_for(investor)
    assert party is not None
    assert (party.name, party.address) == ("青木 花子", "東京都千代田区千代田1-1")
    assert len(party.subject_bytes) == 32
    assert Wallet.objects.get(user=investor).is_primary
    assert not party.is_verified
    assert investor_status(investor) == InvestorStatus.APPROVED_PENDING


def test_the_next_review_follows_the_risk_rating(investor, sample_list, reviewer, second_reviewer):
    application = approve(submit(fill_in(investor)), reviewer, second_reviewer)
    today = timezone.localdate()
    assert application.next_review_on is not None
    assert application.next_review_on.year == today.year + 3
    assert application.verified_on == today
    assert application.verification_rule is not None
    assert application.verification_rule.subject == "verification"


def test_a_second_officer_who_disagrees_returns_it_and_it_can_be_approved_anew(submitted, reviewer, second_reviewer):
    services.claim(application_id=submitted.pk, officer=reviewer)
    services.decide(application_id=submitted.pk, officer=reviewer, verdict="approve", reason="x", risk_rating="low")
    services.confirm(application_id=submitted.pk, officer=second_reviewer, agrees=False, reason="look at the address")
    submitted.refresh_from_db()
    assert submitted.state == State.IN_REVIEW
    approve(submitted, reviewer, second_reviewer)
    assert submitted.state == State.APPROVED


def test_a_double_click_on_confirm_opens_one_wallet(submitted, reviewer, second_reviewer, refused):
    approve(submitted, reviewer, second_reviewer)
    arguments = {"application_id": submitted.pk, "officer": second_reviewer, "agrees": True, "reason": "x"}
    assert refused(services.confirm, **arguments) == "kyc.case.wrong_state"
    assert Wallet.objects.count() == 1
    assert Party.objects.count() == 1


def test_images_alone_are_refused_from_the_day_the_rule_says(investor, sample_list, reviewer, refused):
    application = services.start_application(user=investor, kind="individual")
    from kyc.tests.conftest import ANSWERS

    for section, answers in ANSWERS.items():
        services.update_section(application_id=application.pk, user=investor, section=section, answers=answers)
    DatedRule.objects.filter(subject="verification", effective_from__gt=timezone.localdate()).delete()
    DatedRule.objects.filter(subject="verification").update(
        value={"individual": [["image"], ["ic_chip"]], "corporate": [["registry"]]}
    )
    add(application, investor, "passport", png())
    submit(application)
    DatedRule.objects.create(
        subject="verification",
        version="today",
        effective_from=timezone.localdate(),
        value={"individual": [["ic_chip"], ["jpki"]], "corporate": [["registry"]]},
    )
    services.claim(application_id=application.pk, officer=reviewer)
    arguments = {"application_id": application.pk, "officer": reviewer, "verdict": "approve", "reason": "x"}
    assert refused(services.decide, risk_rating="low", **arguments) == "kyc.verification.not_accepted"


def test_a_document_sent_back_is_replaced_and_the_rest_is_kept(submitted, investor, reviewer):
    services.claim(application_id=submitted.pk, officer=reviewer)
    evidence = submitted.evidence.get()
    services.decide(
        application_id=submitted.pk,
        officer=reviewer,
        verdict="send_back",
        reason="unreadable",
        evidence_id=evidence.pk,
    )
    assert investor_status(investor) == InvestorStatus.SENT_BACK
    newer = add(submitted, investor, "ic_chip", pdf() + b"\n%%EOF\n", replaces_id=evidence.pk)
    evidence.refresh_from_db()
    assert (evidence.state, evidence.replaced_by) == (Evidence.State.REPLACED, newer)
    submit(submitted)
    assert (submitted.state, submitted.round) == (State.SUBMITTED, 2)
    assert submitted.screening_ready


def test_a_rejected_person_may_apply_again(submitted, reviewer, investor):
    services.claim(application_id=submitted.pk, officer=reviewer)
    services.decide(application_id=submitted.pk, officer=reviewer, verdict="reject", reason="forged")
    assert investor_status(investor) == InvestorStatus.REJECTED
    again = services.start_application(user=investor, kind="individual")
    assert again != submitted
    assert current_application(investor) == again


def test_every_step_leaves_an_audit_row_with_who_and_why(approved, reviewer, second_reviewer):
    rows = AuditEntry.objects.filter(subject_type="kyc.application", subject_id=str(approved.pk)).order_by("sequence")
    assert [(row.action, row.actor) for row in rows if row.actor in (reviewer, second_reviewer)] == [
        ("kyc.application.claimed", reviewer),
        ("kyc.application.approved_first", reviewer),
        ("kyc.application.approved", second_reviewer),
    ]


# --- e-mails -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "word"), [("en", "Two officers"), ("ja", "本人確認")])
def test_an_email_is_written_in_the_persons_language_and_sent_once(approved, investor, mailoutbox, language, word):
    investor.language = language
    investor.save()
    assert send_notices() >= 2
    assert send_notices() == 0
    message = mailoutbox[-1]
    assert message.to == [investor.email]
    assert word in message.body
    assert message.alternatives[0][1] == "text/html"


def test_every_notice_is_worded_in_both_languages(approved, investor, mailoutbox):
    Notice.objects.all().delete()
    params = {"document": "passport", "reason": "blurred", "wallet": approved.reference}
    for language in ("en", "ja"):
        User.objects.filter(pk=investor.pk).update(language=language)
        for kind in notices.KINDS:
            notices.tell(application=approved, kind=kind.name.removeprefix("kyc."), key=language, **params)
        assert send_notices(limit=100) == len(notices.KINDS)
    assert all(message.subject and message.body and "%(" not in message.body for message in mailoutbox)


def test_a_review_is_announced_once_for_each_date(active, mailoutbox):
    soon = timezone.localdate() + timedelta(days=20)
    for expected, due in ((1, soon), (0, soon), (1, soon + timedelta(days=1))):
        Application.objects.filter(pk=active.pk).update(next_review_on=due)
        assert services.announce_reviews() == expected
