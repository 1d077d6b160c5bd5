"""The back office shows the engine's records and changes none of them."""

from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse

from chain import services
from chain.models import Attempt, ChainTransaction, Contract, Incident, Signer
from chain.tests.steps import funder_on, pay
from portal.models import User

pytestmark = pytest.mark.django_db
MODELS = [Contract, Signer, ChainTransaction, Incident]


@pytest.fixture
def request_of_root(rf):
    request = rf.get("/")
    request.user = User.objects.create_superuser("root@example.com", "a long enough password")
    return request


@pytest.mark.parametrize("model", MODELS)
def test_nothing_can_be_added_changed_or_deleted(request_of_root, model):
    page = admin.site.get_model_admin(model)
    assert page.has_view_permission(request_of_root)
    assert not page.has_add_permission(request_of_root)
    assert not page.has_change_permission(request_of_root)
    assert not page.has_delete_permission(request_of_root)


def test_a_transaction_and_its_attempts_can_be_looked_at(node, request_of_root):
    row = pay(funder_on(node), "one")
    services.run_submit_sweep()
    page: Any = admin.site.get_model_admin(ChainTransaction)
    for response in (page.changelist_view(request_of_root), page.change_view(request_of_root, str(row.pk))):
        assert "ETH.transfer" in response.render().content.decode()
    assert Attempt.objects.get().hash in page.change_view(request_of_root, str(row.pk)).render().content.decode()
    assert reverse("admin:chain_chaintransaction_changelist")
