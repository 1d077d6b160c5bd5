"""Queries whose SQL is written once answer like those Django writes anew."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from portal.compiled import KEY, RowCount, filled
from portal.models import Role, User
from portal.notices.models import Notice
from portal.notices.selectors import unread_count
from portal.selectors import has_second_factor
from portal.testing import make_person, sign_in

pytestmark = pytest.mark.django_db


def test_each_person_is_counted_for_themselves() -> None:
    first, second = make_person("a@example.jp"), make_person("b@example.jp")
    for number in range(3):
        Notice.objects.create(user=first, kind="any", key=str(number))
    assert (unread_count(first), unread_count(second)) == (3, 0)
    Notice.objects.create(user=second, kind="any", key="1")
    assert (unread_count(first), unread_count(second)) == (3, 1)


def test_the_query_is_built_once_and_asked_each_time(django_assert_num_queries) -> None:
    built: list[int] = []

    def rows(key: int):
        built.append(key)
        return User.objects.filter(pk=key)

    person, count = make_person("a@example.jp"), RowCount(rows)
    with django_assert_num_queries(2):
        assert (count(person.pk), count(person.pk + 1)) == (1, 0)
    assert built == [KEY]


def test_counting_stops_at_the_most_that_is_asked_for() -> None:
    for number in range(4):
        make_person(f"p{number}@example.jp")
    assert RowCount(lambda _key: User.objects.all(), at_most=3)() == 3


def test_a_key_is_filled_in_whatever_kind_of_number_its_column_holds() -> None:
    from chain.models import Cursor

    Cursor.objects.create(chain_id=77)
    assert RowCount(lambda chain_id: Cursor.objects.filter(chain_id=chain_id))(77) == 1


def test_only_the_key_itself_is_filled_in() -> None:
    assert filled(("x", KEY, True, 7, str(KEY)), 5) == ["x", 5, True, 7, str(KEY)]


@pytest.mark.parametrize("role", [None, Role.KYC_OFFICER])
def test_the_person_signed_in_is_read_as_anybody_is(role) -> None:
    person = make_person("a@example.jp", role=role, second_factor=role is not None)
    other = make_person("b@example.jp")
    read, plain = User.objects.signed_in(person.pk), User.objects.with_standing().get(pk=person.pk)
    assert read is not None
    assert (read, read.email, read.language) == (plain, plain.email, plain.language)
    assert (read.roles, has_second_factor(read)) == (plain.roles, role is not None)
    assert User.objects.signed_in(max(person.pk, other.pk) + 1) is None


def test_whether_the_person_of_a_request_has_a_second_factor_is_not_asked_again(django_assert_num_queries) -> None:
    browser = sign_in(make_person("a@example.jp", role=Role.KYC_OFFICER, second_factor=True))
    request = RequestFactory().get("/")
    request.session = browser.session
    person: Any = SimpleLazyObject(lambda: get_user(request))
    assert person.is_authenticated
    with django_assert_num_queries(0):
        assert has_second_factor(person)


def test_whole_rows_are_the_model_s_own_and_each_person_s() -> None:
    from kyc.models import Wallet
    from kyc.selectors import wallets_for

    first, second = make_person("a@example.jp"), make_person("b@example.jp")
    for number, owner in enumerate([first, first, second]):
        Wallet.objects.create(user=owner, address=f"0x{number + 1:040x}", kind="own", is_primary=number == 1)
    found = wallets_for(first)
    assert found == list(Wallet.objects.filter(user=first))
    assert [(row.is_primary, row.kind, row.created_at.tzinfo is not None) for row in found] == [
        (True, "own", True),
        (False, "own", True),
    ]
    assert len(wallets_for(second)) == 1
