"""A person adds a wallet of their own, an officer attests it, and they sign in with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from chain import attestation as chain_attestation
from chain import selectors as chain_selectors
from chain import siwe
from chain.models import ChainTransaction, Incident
from chain.testing import Anvil
from chain.types import SignerRole, Standing
from kyc import services
from kyc.models import (
    Application,
    SanctionsEntry,
    SanctionsList,
    SanctionsWallet,
    Wallet,
    WalletChallenge,
    WalletRequest,
)
from kyc.services.attestations import as_attestation
from kyc.services.own_wallets import uri_of
from kyc.tests.conftest import make_effective
from portal.models import Role, User
from portal.notices.services import send_notices
from portal.testing import code_now, make_person, sign_in

KEY = Account.from_key("0x" + "11" * 32)
OTHER = Account.from_key("0x" + "22" * 32)


def signed(text: str, key: Any = KEY) -> bytes:
    return bytes(key.sign_message(encode_defunct(text=text)).signature)


def link(user: User, key: Any = KEY) -> Wallet:
    text, _nonce = services.ask_for_proof(purpose="link", address=key.address, user=user)
    return services.link_wallet(user=user, text=text, signature=signed(text, key))


@pytest.fixture
def verified(submitted: Application) -> Application:
    """Verified as far as our own records say; without a chain."""
    Application.objects.filter(pk=submitted.pk).update(state=Application.State.ACTIVE)
    submitted.refresh_from_db()
    return submitted


# --- the proof ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestProof:
    def text(self, **changes: str) -> str:
        text = siwe.message_for(address=KEY.address, nonce="a" * 16, uri=uri_of("link"), statement="Mine.")
        for old, new in (value.split("→") for value in changes.values()):
            assert old in text
            text = text.replace(old, new)
        return text

    def code(self, text: str, *, key: Any = KEY, uri: str = "", **more: Any) -> str:
        with pytest.raises(siwe.ProofRefused) as caught:
            siwe.verify(text=text, signature=signed(text, key), uri=uri or uri_of("link"), **more)
        return caught.value.code.rpartition(".")[2]

    def test_what_we_asked_for_and_the_key_signed_proves_the_address(self) -> None:
        text = self.text()
        proven = siwe.verify(text=text, signature=signed(text), uri=uri_of("link"))
        assert (proven.address, proven.nonce) == (KEY.address, "a" * 16)

    def test_another_website_is_refused(self) -> None:
        assert self.code(self.text(a=f"{siwe.domain()} wants→evil.example wants")) == "domain"

    def test_another_purpose_is_refused(self) -> None:
        assert self.code(self.text(), uri=uri_of("sign_in")) == "uri"

    def test_another_network_is_refused(self) -> None:
        assert self.code(self.text(a="Chain ID: 31337→Chain ID: 1")) == "chain"

    def test_a_text_whose_time_is_over_is_refused_even_if_it_says_otherwise(self) -> None:
        later = timezone.now() + siwe.VALID_FOR
        assert self.code(self.text(), now=later) == "expired"
        year = timezone.now().year
        assert self.code(self.text(a=f"Expiration Time: {year}→Expiration Time: {year + 5}"), now=later) == "expired"

    def test_a_text_from_the_future_is_refused(self) -> None:
        assert self.code(self.text(), now=timezone.now() - timedelta(minutes=2)) == "too_early"

    @pytest.mark.parametrize("text", ["", "hello", "x" * 5000])
    def test_a_text_of_another_form_is_refused(self, text: str) -> None:
        assert self.code(text) == "malformed"

    def test_somebody_elses_signature_is_refused(self, platform: Any) -> None:
        assert self.code(self.text(), key=OTHER) == "signature"

    def test_the_copy_of_a_signature_with_the_high_s_is_refused(self, platform: Any) -> None:
        text = self.text()
        good = signed(text)
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        high = order - int.from_bytes(good[32:64])
        copy = good[:32] + high.to_bytes(32) + bytes([55 - good[64]])
        with pytest.raises(siwe.ProofRefused):
            siwe.verify(text=text, signature=copy, uri=uri_of("link"))

    def test_a_signature_that_is_cut_short_or_too_long_is_refused(self, platform: Any) -> None:
        text = self.text()
        good = signed(text)
        compact = good[:32] + (int.from_bytes(good[32:64]) | (good[64] - 27) << 255).to_bytes(32)  # EIP-2098
        for bad in (b"", good[:64], compact, good + b"\x00", bytes(65), good[:64] + b"\x1d"):
            with pytest.raises(siwe.ProofRefused) as caught:
                siwe.verify(text=text, signature=bad, uri=uri_of("link"))
            assert caught.value.code == "chain.siwe.signature"
        assert siwe.verify(text=text, signature=good, uri=uri_of("link")).address == KEY.address

    @pytest.mark.parametrize(
        ("behaviour", "code"),
        [
            ("reverts", "60006000fd"),
            ("answers nothing", "00"),
            ("answers four bytes", "631626ba7e60e01b60005260046000f3"),
            ("answers true", "600160005260206000f3"),
            ("answers with something behind", "631626ba7e60e01b60011760005260206000f3"),
            ("answers two words", "631626ba7e60e01b60005260406000f3"),
            ("never ends", "5b600056"),
        ],
    )
    def test_a_contract_wallet_that_says_anything_but_yes_proves_nothing(
        self, platform: Any, behaviour: str, code: str
    ) -> None:
        text = siwe.message_for(address=OTHER.address, nonce="b" * 16, uri=uri_of("link"), statement="Mine.")
        platform.node.call("anvil_setCode", OTHER.address, "0x" + code)
        with pytest.raises(siwe.ProofRefused) as caught:
            siwe.verify(text=text, signature=b"\x01" * 65, uri=uri_of("link"))
        assert caught.value.code == "chain.siwe.signature", behaviour

    def test_a_contract_wallet_speaks_for_itself(self, platform: Any) -> None:
        """ERC-1271: the contract's answer counts; one that answers anything else proves nothing."""
        text = siwe.message_for(address=OTHER.address, nonce="b" * 16, uri=uri_of("link"), statement="Mine.")
        arguments: Any = {"text": text, "signature": b"\x01" * 80, "uri": uri_of("link")}
        set_code(platform.node, OTHER.address, answer="1626ba7e")
        assert siwe.verify(**arguments).address == OTHER.address
        set_code(platform.node, OTHER.address, answer="ffffffff")
        with pytest.raises(siwe.ProofRefused):
            siwe.verify(**arguments)


def set_code(node: Anvil, address: str, *, answer: str) -> None:
    """A contract that answers every call with `answer` in a word: PUSH4 … PUSH1 e0 SHL PUSH1 0 MSTORE RETURN(0, 32)."""
    node.call("anvil_setCode", address, f"0x63{answer}60e01b60005260206000f3")


# --- adding a wallet -----------------------------------------------------------------------------------------------


def test_a_verified_person_adds_a_wallet_and_is_told_by_mail(verified, investor):
    wallet = link(investor)
    assert (wallet.address, wallet.kind, wallet.is_primary) == (KEY.address, "own", False)
    assert wallet.request.state == WalletRequest.State.REQUESTED
    send_notices()
    assert KEY.address in mail.outbox[-1].body


def test_a_person_who_is_not_verified_adds_none(submitted, investor, refused):
    text, _nonce = services.ask_for_proof(purpose="link", address=KEY.address, user=investor)
    arguments = {"user": investor, "text": text, "signature": signed(text)}
    assert refused(services.link_wallet, **arguments) == "kyc.wallet.not_verified"


def test_a_nonce_is_good_once_and_for_one_person_only(verified, investor, stranger, refused):
    text, _nonce = services.ask_for_proof(purpose="link", address=KEY.address, user=stranger)
    arguments = {"user": investor, "text": text, "signature": signed(text)}
    assert refused(services.link_wallet, **arguments) == "chain.siwe.nonce"
    text, _nonce = services.ask_for_proof(purpose="link", address=KEY.address, user=investor)
    services.link_wallet(user=investor, text=text, signature=signed(text))
    assert refused(services.link_wallet, user=investor, text=text, signature=signed(text)) == "chain.siwe.nonce"


@pytest.mark.parametrize("purpose", ["link", "sign_in"])
def test_the_zero_address_is_asked_for_no_proof(verified, investor, purpose):
    answer = sign_in(investor).post(reverse("kyc:wallet-message", args=[purpose]), {"address": "0x" + "0" * 40})
    assert (answer.status_code, answer.json()["code"]) == (400, "chain.address.zero")
    assert not WalletChallenge.objects.exists()


def test_a_text_we_never_gave_out_adds_nothing(verified, investor, refused):
    text = siwe.message_for(address=KEY.address, nonce="c" * 16, uri=uri_of("link"), statement="Mine.")
    assert refused(services.link_wallet, user=investor, text=text, signature=signed(text)) == "chain.siwe.nonce"
    assert not Wallet.objects.filter(address=KEY.address).exists()


def test_an_address_belongs_to_one_person_for_good(verified, investor, stranger, refused):
    Wallet.objects.create(user=stranger, address=KEY.address, kind="own")
    assert refused(link, user=investor) == "kyc.wallet.taken"


def test_a_key_of_the_platform_is_nobodys_wallet(verified, investor, second_reviewer, refused):
    services.set_officer_key(user=second_reviewer, address=KEY.address, actor="test")
    assert refused(link, user=investor) == "kyc.wallet.platform_address"


def test_a_wallet_on_a_sanctions_list_is_refused_and_somebody_has_to_look(verified, investor, refused):
    entry = SanctionsEntry.objects.filter(sanctions_list=SanctionsList.objects.get(is_current=True))[0]
    SanctionsWallet.objects.create(entry=entry, currency="ETH", address=KEY.address, address_key=KEY.address.lower())
    assert refused(link, user=investor) == "kyc.wallet.not_possible"
    assert not Wallet.objects.filter(address=KEY.address).exists()
    assert Incident.objects.filter(kind="kyc.listed_wallet").count() == 1


# --- its token -----------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(active: Application, platform: Any) -> Application:
    link(active.user)
    return active


def standing_of(address: str) -> Standing | None:
    sbt = chain_selectors.sbt_for(address)
    return sbt.standing if sbt else None


def test_an_officers_own_signature_gives_the_wallet_a_token_of_the_same_person(
    linked, platform, second_reviewer, settle, refused
):
    """Signed as a browser wallet signs: from the typed data, by eth_account."""
    request = WalletRequest.objects.get()
    record = services.prepare_wallet_attestation(request_id=request.pk, officer=second_reviewer)
    key = Account.from_key("0x" + "33" * 32)
    services.set_officer_key(user=second_reviewer, address=key.address, actor="test")
    typed = chain_attestation.typed_data(as_attestation(record))
    signature = bytes(key.sign_message(encode_typed_data(full_message=typed)).signature)
    arguments = {"attestation_id": record.pk, "officer": second_reviewer, "signature": signature}
    assert refused(services.submit_attestation, **arguments) == "kyc.attestation.not_attestor"

    held = platform.signer(SignerRole.ATTESTOR)
    services.set_officer_key(user=second_reviewer, address=held.address, actor="test")
    signature = chain_attestation.sign(as_attestation(record), held)
    services.submit_attestation(attestation_id=record.pk, officer=second_reviewer, signature=signature)
    make_effective(platform, settle)
    request.refresh_from_db()
    assert request.state == WalletRequest.State.FINAL
    assert standing_of(KEY.address) == Standing.EFFECTIVE
    party = linked.user.party
    assert record.subject == party.subject


def test_nobody_attests_their_own_wallet(linked, second_reviewer, refused):
    request = WalletRequest.objects.get()
    Wallet.objects.filter(pk=request.wallet_id).update(user=second_reviewer)
    Application.objects.filter(pk=linked.pk).update(user=second_reviewer)
    arguments = {"request_id": request.pk, "officer": second_reviewer}
    assert refused(services.prepare_wallet_attestation, **arguments) == "kyc.officer.own_application"


def test_signing_twice_issues_one_token(linked, second_reviewer, refused, settle):
    request = WalletRequest.objects.get()
    services.attest_wallet(request_id=request.pk, officer=second_reviewer)
    arguments = {"request_id": request.pk, "officer": second_reviewer}
    assert refused(services.attest_wallet, **arguments) == "kyc.attestation.wrong_state"
    assert ChainTransaction.objects.filter(purpose="kyc.wallet_token").count() == 1


def test_a_declined_wallet_gets_no_token_and_the_reason_is_kept(linked, second_reviewer, refused):
    request = WalletRequest.objects.get()
    arguments = {"request_id": request.pk, "officer": second_reviewer}
    assert refused(services.decline_wallet, **arguments, reason=" ") == "kyc.wallet_request.decline"
    services.decline_wallet(**arguments, reason="asked by telephone, not theirs")
    assert refused(services.attest_wallet, **arguments) == "kyc.attestation.wrong_state"


def test_a_suspended_person_is_suspended_in_every_wallet(linked, platform, second_reviewer, settle):
    services.attest_wallet(request_id=WalletRequest.objects.get().pk, officer=second_reviewer)
    make_effective(platform, settle)
    services.suspend(application_id=linked.pk, officer=second_reviewer, reason="asked to")
    settle()
    assert standing_of(KEY.address) == Standing.SUSPENDED
    services.reinstate(application_id=linked.pk, officer=second_reviewer, reason="cleared")
    settle()
    assert standing_of(KEY.address) == Standing.EFFECTIVE


def test_a_token_that_arrives_after_a_suspension_is_suspended_too(linked, platform, second_reviewer, settle):
    services.attest_wallet(request_id=WalletRequest.objects.get().pk, officer=second_reviewer)
    services.suspend(application_id=linked.pk, officer=second_reviewer, reason="asked to")
    settle()
    settle()
    assert standing_of(KEY.address) == Standing.SUSPENDED


def test_a_renewal_asks_for_the_other_wallets_again(linked, platform, second_reviewer, settle):
    request = WalletRequest.objects.get()
    services.attest_wallet(request_id=request.pk, officer=second_reviewer)
    make_effective(platform, settle)
    services.renew(application_id=linked.pk, officer=second_reviewer, reason="yearly", risk_rating="low")
    settle()
    request.refresh_from_db()
    assert request.state == WalletRequest.State.REQUESTED
    services.attest_wallet(request_id=request.pk, officer=second_reviewer)
    settle()
    request.refresh_from_db()
    assert (request.state, request.attempt) == (WalletRequest.State.FINAL, 2)


# --- signing in ------------------------------------------------------------------------------------------------------


def ask(client: Client, purpose: str, address: str = KEY.address) -> str:
    answer = client.post(reverse("kyc:wallet-message", args=[purpose]), {"address": address})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["message"])


@pytest.fixture
def holder(db: None) -> User:
    user = make_person("holder@example.jp", second_factor=True)
    Wallet.objects.create(user=user, address=KEY.address, kind="own")
    return user


def send(client: Client, text: str, key: Any = KEY) -> Any:
    # As a browser sends it: line ends become CR LF.
    body = {"message": text.replace("\n", "\r\n"), "signature": "0x" + signed(text, key).hex()}
    return client.post(reverse("kyc:wallet-sign-in"), body)


def test_the_own_wallet_signs_in_and_the_second_factor_is_still_asked_for(holder, client):
    answer = send(client, ask(client, "sign_in"))
    assert answer.headers["Location"] == reverse("mfa_authenticate")
    assert client.get(reverse("portal:dashboard")).status_code == 302
    answer = client.post(reverse("mfa_authenticate"), {"code": code_now()})
    assert answer.status_code == 302
    assert client.get(reverse("portal:dashboard")).status_code == 200


def test_a_signature_made_in_another_browser_signs_nobody_in(holder, client):
    text = ask(Client(), "sign_in")
    answer = send(client, text)
    assert answer.status_code == 422
    assert not WalletChallenge.objects.filter(used_at__isnull=False).exists()


def test_the_same_signature_signs_in_once(holder, client):
    text = ask(client, "sign_in")
    send(client, text)
    assert send(client, text).status_code == 422


def test_a_contract_wallet_that_changed_its_mind_signs_nobody_in(db, platform, client):
    user = make_person("contract@example.jp", second_factor=True)
    Wallet.objects.create(user=user, address=OTHER.address, kind="own")
    set_code(platform.node, OTHER.address, answer="1626ba7e")
    text = ask(client, "sign_in", OTHER.address)
    set_code(platform.node, OTHER.address, answer="ffffffff")
    assert send(client, text).status_code == 422
    set_code(platform.node, OTHER.address, answer="1626ba7e")
    assert send(client, text).status_code == 422, "this browser has to ask anew"
    assert send(client, ask(client, "sign_in", OTHER.address)).headers["Location"] == reverse("mfa_authenticate")


def test_a_signature_for_adding_a_wallet_signs_nobody_in(holder, client):
    text, _nonce = services.ask_for_proof(purpose="link", address=KEY.address, user=holder)
    assert send(client, text).status_code == 422


def test_a_wallet_nobody_added_signs_nobody_in(holder, client):
    text = ask(client, "sign_in", OTHER.address)
    answer = send(client, text, OTHER)
    assert answer.status_code == 422
    assert "_auth_user_id" not in client.session


def test_adding_a_wallet_asks_for_the_second_factor_first(verified, investor):
    user = make_person("second@example.jp", second_factor=True)
    Application.objects.filter(pk=verified.pk).update(user=user)
    browser = sign_in(user, fresh=False)
    text = ask(browser, "link")
    body = {"message": text, "signature": "0x" + signed(text).hex()}
    answer = browser.post(reverse("kyc:wallet-new"), body)
    assert "reauthenticate" in answer.headers["Location"]
    assert not Wallet.objects.filter(address=KEY.address).exists()
    answer = browser.post(answer.headers["Location"], {"code": code_now()}, follow=True)
    assert Wallet.objects.get(address=KEY.address).user == user
    assert browser.get(reverse("kyc:wallets")).status_code == 200


def test_pages_open_for_those_they_are_for(linked, second_reviewer, client):
    officer = make_person("o@example.jp", role=Role.KYC_OFFICER, second_factor=True)
    page = sign_in(officer).get(reverse("kyc:wallet-requests"))
    assert KEY.address in page.content.decode()
    mine = sign_in(linked.user).get(reverse("kyc:wallets"))
    assert KEY.address in mine.content.decode()
    assert client.get(reverse("kyc:wallet-sign-in")).status_code == 200
