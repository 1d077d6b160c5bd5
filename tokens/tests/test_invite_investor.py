"""The ledger of solicited persons: 49 and no 50th, across issues of the same kind and six months."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from portal.models import Role
from tokens import services
from tokens.exceptions import InvestorNotEligible, NotYourRole, SolicitationRefused
from tokens.models import Security, Solicitation, Subscription
from tokens.services.placements import solicit
from tokens.tests.conftest import person, terms, verified_party
from tokens.wiring import ensure_first_placement_rule


def offered(issuer, second, **changes):
    """A security on offer, as a deployment leaves it."""
    security = services.create_security(actor=issuer, terms=terms(**changes))
    token = f"0x{security.pk:040x}"
    Security.objects.filter(pk=security.pk).update(
        state=Security.State.OFFERED, token=token, approved_by=second, approved_at=timezone.now()
    )
    security.refresh_from_db()
    return security


def fill(security, count, actor, *, start=0, at=None):
    at = at or timezone.now()
    rows = [
        Solicitation(
            security=security,
            investor=actor,
            person_key=f"person-{number}",
            kind_key=security.kind_key,
            number=number,
            solicited_at=at,
            solicited_by=actor,
        )
        for number in range(start, start + count)
    ]
    Solicitation.objects.bulk_create(rows)


@pytest.fixture
def security(issuer, second_issuer):
    return offered(issuer, second_issuer)


def verified(email):
    user = person(email)
    verified_party(user, email)
    return user


def test_the_49th_is_invited_and_the_50th_is_refused(security, issuer):
    fill(security, 48, issuer)
    services.invite_investor(security_id=security.pk, investor=verified("a@example.com"), actor=issuer)
    with pytest.raises(SolicitationRefused) as refusal:
        services.invite_investor(security_id=security.pk, investor=verified("b@example.com"), actor=issuer)
    assert refusal.value.code == "tokens.placement.too_many_solicited"
    assert Solicitation.objects.count() == 49
    assert Subscription.objects.count() == 1


def test_issues_of_the_same_kind_count_together(security, issuer, second_issuer):
    fill(security, 49, issuer)
    other = offered(issuer, second_issuer, symbol="MSB2", isin="JP3000000020")
    with pytest.raises(SolicitationRefused):
        services.invite_investor(security_id=other.pk, investor=verified("a@example.com"), actor=issuer)
    elsewhere = offered(issuer, second_issuer, symbol="MSB3", isin="JP3000000038", issuer_name="Another issuer")
    services.invite_investor(security_id=elsewhere.pk, investor=verified("b@example.com"), actor=issuer)


def test_somebody_solicited_before_counts_once(security, issuer, second_issuer):
    fill(security, 48, issuer)
    alice = verified("a@example.com")
    services.invite_investor(security_id=security.pk, investor=alice, actor=issuer)
    other = offered(issuer, second_issuer, symbol="MSB2", isin="JP3000000020")
    services.invite_investor(security_id=other.pk, investor=alice, actor=issuer)
    assert Solicitation.objects.latest("id").number == 49


def test_what_is_six_months_old_no_longer_counts(security, issuer):
    fill(security, 49, issuer, at=timezone.now() - timedelta(days=190))
    services.invite_investor(security_id=security.pk, investor=verified("a@example.com"), actor=issuer)


def test_inviting_twice_is_one_invitation(security, issuer):
    alice = verified("a@example.com")
    first = services.invite_investor(security_id=security.pk, investor=alice, actor=issuer)
    assert services.invite_investor(security_id=security.pk, investor=alice, actor=issuer) == first
    assert Solicitation.objects.count() == 1


def test_somebody_unverified_is_not_invited(security, issuer, stranger):
    with pytest.raises(InvestorNotEligible):
        services.invite_investor(security_id=security.pk, investor=stranger, actor=issuer)
    assert not Solicitation.objects.exists()


def test_only_qualified_institutions_are_invited_where_the_placement_says_so(issuer, second_issuer):
    security = offered(issuer, second_issuer, placement_type=Security.PlacementType.QII_ONLY)
    fill(security, 60, issuer)
    with pytest.raises(InvestorNotEligible):
        services.invite_investor(security_id=security.pk, investor=verified("a@example.com"), actor=issuer)
    institution = person("q@example.com")
    verified_party(institution, "Institution", is_qii=True)
    services.invite_investor(security_id=security.pk, investor=institution, actor=issuer)


def test_a_draft_is_not_offered_to_anybody(draft, issuer):
    with pytest.raises(SolicitationRefused):
        services.invite_investor(security_id=draft.pk, investor=verified("a@example.com"), actor=issuer)


def test_only_an_issuer_invites(security, administrator):
    with pytest.raises(NotYourRole):
        services.invite_investor(security_id=security.pk, investor=verified("a@example.com"), actor=administrator)


class LedgerProperty(TestCase):
    """Whatever the order of people and issues, the ledger of one kind never holds a 50th person."""

    @settings(max_examples=15, deadline=None)
    @given(calls=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 70)), min_size=40, max_size=90))
    def test_there_is_never_a_50th_person(self, calls):
        ensure_first_placement_rule()
        issuer, second = person("i@example.com", Role.ISSUER), person("j@example.com", Role.ISSUER)
        issues = [offered(issuer, second), offered(issuer, second, symbol="MSB2", isin="JP3000000020")]
        seen: set[int] = set()
        pairs: set[tuple[int, int]] = set()
        for which, who in calls:
            if (which, who) in pairs:
                continue
            try:
                with transaction.atomic():
                    solicit(security=issues[which], investor=issuer, person_key=str(who), actor=issuer)
            except SolicitationRefused:
                assert len(seen) == 49
                assert who not in seen
            else:
                seen.add(who)
                pairs.add((which, who))
        assert len(seen) <= 49


@pytest.mark.django_db(transaction=True)
def test_two_officers_at_the_same_moment_do_not_invite_a_50th():
    issuer, second = person("i@example.com", Role.ISSUER), person("j@example.com", Role.ISSUER)
    security = offered(issuer, second)
    fill(security, 48, issuer)
    people = [verified("a@example.com"), verified("b@example.com")]
    outcomes: list[str] = []

    def invite(investor):
        try:
            services.invite_investor(security_id=security.pk, investor=investor, actor=issuer)
            outcomes.append("invited")
        except SolicitationRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=invite, args=(investor,)) for investor in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["invited", "refused"]
    assert Solicitation.objects.count() == 49
