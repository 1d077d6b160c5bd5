"""The pages of the chain engine: who may see what, and what they say."""

from __future__ import annotations

import itertools

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chain.models import Attempt, Block, ChainTransaction, Contract, Cursor, EventLog, Incident, Signer
from chain.registry import visibility
from portal.models import AuditEntry, Role, User
from portal.testing import use_second_factor

pytestmark = pytest.mark.django_db
State = ChainTransaction.State
HASH = "0x" + "ab" * 32
ALICE_ADDRESS = "0x00000000000000000000000000000000000A11cE"
_numbers = itertools.count(1)


def person(email: str, role: Role | None = None) -> User:
    user = User.objects.create_user(email, "a long enough password", language="en")
    user.emailaddress_set.create(email=email, verified=True, primary=True)
    if role:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
        Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})
    return user


def signed_in(user: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    use_second_factor(client, user)
    return client


@pytest.fixture
def administrator() -> User:
    return person("admin@example.com", Role.ADMINISTRATOR)


@pytest.fixture
def auditor() -> User:
    return person("auditor@example.com", Role.AUDITOR)


@pytest.fixture
def alice() -> User:
    return person("alice@example.com")


@pytest.fixture
def stranger() -> User:
    return person("stranger@example.com")


@pytest.fixture(autouse=True)
def nobody_registered(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    """Each test starts with an empty registry, whatever apps are installed, and with no node."""
    monkeypatch.setattr(visibility, "_rules", {})
    monkeypatch.setattr(visibility, "_addresses", [])
    monkeypatch.setattr(visibility, "_names", [])
    settings.CHAIN_RPC_URL = "http://127.0.0.1:9"


@pytest.fixture
def signer() -> Signer:
    return Signer.objects.create(
        chain_id=settings.CHAIN_ID, address=ALICE_ADDRESS, role="token_agent", label="token agent", next_nonce=4
    )


def transaction_in(signer: Signer, state: str, **fields) -> ChainTransaction:
    number = next(_numbers)
    nonce = None if state in (State.QUEUED, State.EXPIRED, State.REFUSED) else number
    return ChainTransaction.objects.create(
        signer=signer, idempotency_key=f"key:{number}", purpose="tokens.mint", subject="tokens.transfer:7",
        function="SecurityToken.mint", to=ALICE_ADDRESS, data=b"", state=state, nonce=nonce, **fields,
    )  # fmt: skip


@pytest.fixture
def transaction(signer: Signer) -> ChainTransaction:
    now = timezone.now()
    row = transaction_in(signer, State.BROADCAST, submitted_at=now)
    Attempt.objects.create(
        transaction=row, hash=HASH, raw=b"", max_fee_per_gas=2, max_priority_fee_per_gas=1, first_sent_at=now
    )
    return row


@pytest.fixture
def movement(signer: Signer) -> EventLog:
    """Block 9 holds a transfer of 30 units from Alice's address to another."""
    Contract.objects.create(
        chain_id=settings.CHAIN_ID, kind="SecurityToken", address="0x" + "7" * 40, deployed_block=1, bytecode_hash="0x"
    )
    Cursor.objects.create(chain_id=settings.CHAIN_ID, number=9, hash="0x9", final_number=8, block_at=timezone.now())
    block = Block.objects.create(chain_id=settings.CHAIN_ID, number=9, hash="0x9", parent_hash="0x8", at=timezone.now())
    return EventLog.objects.create(
        chain_id=settings.CHAIN_ID, block=block, block_number=9, block_hash="0x9", log_index=0, transaction_hash=HASH,
        address="0x" + "7" * 40, event="Transfer",
        args={"from": ALICE_ADDRESS, "to": "0x" + "b" * 40, "value": "30"},
    )  # fmt: skip


def test_a_stranger_is_not_told_that_a_transaction_exists(transaction, stranger) -> None:
    for name in ("chain:transaction", "chain:transaction-timeline"):
        assert signed_in(stranger).get(reverse(name, args=[transaction.pk])).status_code == 404
    assert signed_in(stranger).get(reverse("chain:events", args=[HASH])).status_code == 404


def test_a_visitor_is_sent_to_sign_in(transaction) -> None:
    response = Client().get(reverse("chain:transaction", args=[transaction.pk]))
    assert response.status_code == 302
    assert reverse("account_login") in response["Location"]


def test_a_person_sees_the_transactions_that_an_app_says_concern_them(transaction, alice, stranger) -> None:
    visibility.register("tokens.transfer", lambda user, subject: user == alice and subject == "tokens.transfer:7")
    url = reverse("chain:transaction", args=[transaction.pk])
    page = signed_in(alice).get(url)
    assert page.status_code == 200
    assert "Credit newly issued units to an investor." in page.text
    assert transaction.idempotency_key not in page.text
    assert signed_in(stranger).get(url).status_code == 404


def test_administrators_and_auditors_see_the_attempts(transaction, administrator, auditor) -> None:
    for reader in (administrator, auditor):
        page = signed_in(reader).get(reverse("chain:transaction", args=[transaction.pk]))
        assert HASH in page.text
        assert transaction.idempotency_key in page.text


def test_the_timeline_asks_for_itself_until_the_transaction_is_settled(transaction, administrator) -> None:
    client, url = signed_in(administrator), reverse("chain:transaction-timeline", args=[transaction.pk])
    assert "every 2s" in client.get(url).text
    ChainTransaction.objects.filter(pk=transaction.pk).update(
        state=State.FINAL, is_settled=True, block_hash="0x9", mined_at=timezone.now(), settled_at=timezone.now()
    )
    final = client.get(url)
    assert "hx-get" not in final.text
    assert final["HX-Trigger"] == "transaction-settled"


def test_an_unchanged_timeline_is_not_sent_again(transaction, administrator) -> None:
    client, url = signed_in(administrator), reverse("chain:transaction-timeline", args=[transaction.pk])
    assert client.get(url, {"seen": "broadcast-0-"}).status_code == 204
    assert client.get(url, {"seen": "queued-0-"}).status_code == 200


def test_what_is_in_a_block_is_not_worded_as_done(transaction, administrator) -> None:
    ChainTransaction.objects.filter(pk=transaction.pk).update(
        state=State.MINED, block_hash="0x9", block_number=9, mined_at=timezone.now(), mined_hash=HASH
    )
    text = signed_in(administrator).get(reverse("chain:transaction-timeline", args=[transaction.pk])).text
    assert "In a block, not final yet" in text
    assert "can still be undone" in text


def test_the_events_page_says_in_words_what_a_transaction_did(movement, administrator) -> None:
    text = signed_in(administrator).get(reverse("chain:events", args=[HASH])).text
    assert "30 units moved from token agent (0x0000…11cE) to 0xbbbb…bbbb." in text
    assert "In a block, not final yet" in text


def test_the_owner_of_an_address_in_an_event_may_read_it(movement, alice, stranger) -> None:
    visibility.register_addresses(lambda user: [ALICE_ADDRESS] if user == alice else [])
    url = reverse("chain:events", args=[HASH])
    assert signed_in(alice).get(url).status_code == 200
    assert signed_in(stranger).get(url).status_code == 404
    assert "token agent" not in signed_in(alice).get(url).text


@pytest.mark.parametrize("text", ["0x12", "not-a-hash", "0x" + "zz" * 32])
def test_what_is_no_transaction_hash_is_not_found(administrator, text) -> None:
    assert signed_in(administrator).get(f"/chain/tx/{text}/").status_code == 404


def test_the_console_is_for_administrators_and_auditors(administrator, auditor, alice) -> None:
    url = reverse("chain:console")
    assert signed_in(administrator).get(url).status_code == 200
    assert signed_in(auditor).get(url).status_code == 200
    assert signed_in(alice).get(url).status_code == 403


def test_the_console_loads_while_the_node_is_down_and_says_so(transaction, administrator) -> None:
    page = signed_in(administrator).get(reverse("chain:console"))
    assert "The node does not answer" in page.text
    assert "token_agent" in page.text


def test_the_console_asks_the_database_a_constant_number_of_times(
    signer, administrator, django_assert_max_num_queries
) -> None:
    client, url = signed_in(administrator), reverse("chain:console")
    client.get(url)
    for _ in range(30):
        transaction_in(signer, State.QUEUED)
        Incident.objects.create(kind="x", detail="y", dedupe_key=f"d{next(_numbers)}")
    with django_assert_max_num_queries(30):
        client.get(url)


def test_an_administrator_closes_an_incident_with_a_reason(administrator) -> None:
    incident = Incident.objects.create(kind="chain.history_rewritten", detail="…", dedupe_key="d")
    url = reverse("chain:incident-close", args=[incident.pk])
    client = signed_in(administrator)
    client.post(url, {"reason": ""})
    incident.refresh_from_db()
    assert incident.closed_at is None
    client.post(url, {"reason": "the node was replaced"})
    incident.refresh_from_db()
    assert incident.closed_by == administrator
    entry = AuditEntry.objects.get(action="chain.incident.closed")
    assert (entry.actor, entry.reason) == (administrator, "the node was replaced")


def test_an_auditor_closes_nothing(auditor) -> None:
    incident = Incident.objects.create(kind="x", detail="…", dedupe_key="d")
    response = signed_in(auditor).post(reverse("chain:incident-close", args=[incident.pk]), {"reason": "no"})
    incident.refresh_from_db()
    assert (response.status_code, incident.closed_at) == (403, None)


def test_actions_are_refused_by_get(administrator, transaction) -> None:
    client = signed_in(administrator)
    assert client.get(reverse("chain:incident-close", args=[1])).status_code == 405
    assert client.get(reverse("chain:transaction-cancel", args=[transaction.pk])).status_code == 405


def test_a_halted_key_is_let_go_on_with_a_reason(node, signer, administrator) -> None:
    Signer.objects.filter(pk=signer.pk).update(halted_reason="nonce 3 was used elsewhere")
    client = signed_in(administrator)
    assert "nonce 3 was used elsewhere" in client.get(reverse("chain:console")).text
    client.post(reverse("chain:signer-resume", args=[signer.pk]), {"reason": "it was our own test"})
    signer.refresh_from_db()
    assert signer.halted_reason == ""


def test_a_halted_key_stays_halted_while_the_node_is_down(signer, administrator) -> None:
    Signer.objects.filter(pk=signer.pk).update(halted_reason="nonce 3 was used elsewhere")
    client = signed_in(administrator)
    page = client.post(reverse("chain:signer-resume", args=[signer.pk]), {"reason": "it was our own test"}, follow=True)
    signer.refresh_from_db()
    assert signer.halted_reason
    assert "cannot be reached right now" in page.text


def test_cancelling_a_transaction_that_waits_ends_it_and_a_repeated_click_changes_nothing(signer, administrator):
    row = transaction_in(signer, State.QUEUED)
    client, url = signed_in(administrator), reverse("chain:transaction-cancel", args=[row.pk])
    client.post(url)
    again = client.post(url, follow=True)
    row.refresh_from_db()
    assert row.state == State.REFUSED
    assert "can no longer be stopped" in again.text


def test_the_pages_speak_japanese(transaction, administrator) -> None:
    administrator.language = "ja"
    administrator.save()
    text = signed_in(administrator).get(reverse("chain:transaction", args=[transaction.pk])).text
    assert "投資家に新規発行分を記録します。" in text
