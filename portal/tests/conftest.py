"""The people of the portal's tests: one of each role and an investor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from portal import testing
from portal.models import Role, User

MakePerson = Callable[..., User]
SignIn = Callable[..., Client]


@pytest.fixture
def make_person(db: None) -> MakePerson:
    return testing.make_person


@pytest.fixture
def sign_in() -> SignIn:
    return testing.sign_in


@pytest.fixture
def investor(make_person: MakePerson) -> User:
    return make_person("investor@example.com", second_factor=True)


@pytest.fixture
def administrator(make_person: MakePerson) -> User:
    return make_person("administrator@example.com", role=Role.ADMINISTRATOR, second_factor=True)


@pytest.fixture
def second_administrator(make_person: MakePerson) -> User:
    return make_person("second@example.com", role=Role.ADMINISTRATOR, second_factor=True)


@pytest.fixture
def auditor(make_person: MakePerson) -> User:
    return make_person("auditor@example.com", role=Role.AUDITOR, second_factor=True)
