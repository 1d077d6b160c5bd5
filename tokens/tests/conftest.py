"""The sample world of this app: an issuer and a second one, investors with real tokens on the real node."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.utils import timezone
from eth_account import Account

from chain import attestation, operations
from chain.services import create_custody_signer, enqueue, run_index_step, run_outside_sweep
from chain.types import Attestation, Category, SignerRole
from kyc.models import Party, Wallet
from portal.models import Role, User
from portal.money import Money
from tokens import services
from tokens.models import Security, Subscription


def terms(**changes: Any) -> dict[str, Any]:
    """The real sample issue (DOMAIN §3): JPY 1,000,000,000, one year, 0.8 %, denomination JPY 100,000."""
    today = timezone.localdate()
    return {
        "name": "Musubi Bond 1",
        "symbol": "MSB1",
        "isin": "JP3000000012",
        "issuer_name": "Musubi Securities Group",
        "currency": "JPY",
        "face_value": Decimal(100_000),
        "authorised_units": 10_000,
        "rate_bps": 80,
        "issue_date": today,
        "record_date": today + timedelta(days=350),
        "maturity_date": today + timedelta(days=365),
        "placement_type": Security.PlacementType.SMALL_NUMBER,
        "minimum_lot_units": 1,
        "whole_balance_only": False,
        "lock_up_until": None,
        "holder_cap": 0,
    } | changes


def person(email: str, *roles: Role) -> User:
    user = User.objects.create_user(email, "correct horse battery")
    for role in roles:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user


@pytest.fixture
def issuer(db: None) -> User:
    return person("issuer@example.com", Role.ISSUER)


@pytest.fixture
def second_issuer(db: None) -> User:
    return person("second@example.com", Role.ISSUER)


@pytest.fixture
def administrator(db: None) -> User:
    return person("admin@example.com", Role.ADMINISTRATOR)


@pytest.fixture
def stranger(db: None) -> User:
    return person("charlie@example.com")


@pytest.fixture
def draft(issuer: User) -> Security:
    return services.create_security(actor=issuer, terms=terms())


def verified_party(user: User, name: str, *, is_qii: bool = False) -> Party:
    """The person behind an account, as the officers left it; without a wallet."""
    return Party.objects.create(
        user=user,
        kind="individual",
        name=name,
        is_qii=is_qii,
        is_verified=True,
        verified_on=date(2026, 1, 5),
        address="東京都千代田区1-1",
    )


def issue_sbt(platform: Any, wallet: Wallet, party: Party) -> None:
    """An effective SBT for `wallet`, attested and put in the outbox as the platform does."""
    now = int(time.time())
    categories = Category.INDIVIDUAL | (Category.QUALIFIED_INSTITUTIONAL if party.is_qii else 0)
    attested = Attestation(
        holder=wallet.address,
        subject=party.subject_bytes,
        categories=categories,
        expires_at=now + 700 * 86400,
        evidence_hash=secrets.token_bytes(32),
        nonce=attestation.new_nonce(),
        deadline=now + 86400,
    )
    attestor = platform.signer(SignerRole.ATTESTOR)
    call = operations.issue_sbt(attested, attestor.address, attestation.sign(attested, attestor))
    with transaction.atomic():
        enqueue(
            call=call,
            signer=platform.signer(SignerRole.SBT_ISSUER),
            idempotency_key=f"sbt:{wallet.address}",
            purpose="test.sbt",
        )


def add_wallet(user: User, *, is_primary: bool = True) -> Wallet:
    signer = create_custody_signer(label=user.email)
    return Wallet.objects.create(
        user=user, address=signer.address, kind=Wallet.Kind.CUSTODY, signer=signer, is_primary=is_primary
    )


@pytest.fixture
def make_investor(platform: Any) -> Callable[..., User]:
    """A person with a custody wallet and an SBT on its way; `settle` makes it effective."""

    def make(email: str, name: str = "", *, is_qii: bool = False, verified: bool = True) -> User:
        user = person(email)
        party = verified_party(user, name or email, is_qii=is_qii)
        wallet = add_wallet(user)
        if verified:
            issue_sbt(platform, wallet, party)
        return user

    return make


@dataclass(frozen=True)
class World:
    """A bond on the chain, and two verified investors."""

    security: Security
    issuer: User
    alice: User
    bob: User
    settle: Callable[[], None]

    def address(self, user: User) -> str:
        return str(Wallet.objects.get(user=user, is_primary=True).address)

    def place(self, investor: User, units: int) -> Subscription:
        """Invite, subscribe, pay, allocate and issue, without waiting for the chain."""
        subscription = services.invite_investor(security_id=self.security.pk, investor=investor, actor=self.issuer)
        services.subscribe(
            subscription_id=subscription.pk, actor=investor, units=units, acknowledgements=services.ACKNOWLEDGEMENTS
        )
        services.record_payment(
            subscription_id=subscription.pk,
            actor=self.issuer,
            money=Money(Decimal(100_000) * units, "JPY"),
            received_on=timezone.localdate(),
            reference=f"R-{subscription.pk}",
        )
        services.allocate_subscription(subscription_id=subscription.pk, actor=self.issuer, units=units)
        return services.issue_allotment(subscription_id=subscription.pk, actor=self.issuer)

    def admit(self, user: User) -> None:
        request = services.request_admission(security_id=self.security.pk, actor=user)
        services.approve_admission(request_id=request.pk, actor=self.issuer)
        self.settle()


def put_on_chain(issuer: User, second: User, settle: Callable[[], None], **changes: Any) -> Security:
    security = services.create_security(actor=issuer, terms=terms(**changes))
    services.submit_security(security_id=security.pk, actor=issuer)
    services.approve_security(security_id=security.pk, actor=second)
    settle()
    security.refresh_from_db()
    return security


@pytest.fixture
def world(issuer: User, second_issuer: User, make_investor: Callable[..., User], settle: Callable[[], None]) -> World:
    alice, bob = make_investor("alice@example.com", "Alice"), make_investor("bob@example.com", "Bob")
    security = put_on_chain(issuer, second_issuer, settle)
    return World(security=security, issuer=issuer, alice=alice, bob=bob, settle=settle)


@pytest.fixture
def holding(world: World) -> World:
    """Alice holds 100 units, final; Bob is admitted."""
    world.place(world.alice, 100)
    world.settle()
    world.admit(world.bob)
    return world


@pytest.fixture
def signed_in(client: Client) -> Callable[..., Client]:
    """A browser of `user`, in English; with `second_factor` freshly used."""

    def sign_in(user: User, *, second_factor: bool = False) -> Client:
        browser = Client(headers={"accept-language": "en"})
        User.objects.filter(pk=user.pk).update(language="en")
        browser.force_login(user)
        if second_factor or user.works_here:
            use_second_factor(browser, user)
        return browser

    return sign_in


def use_second_factor(browser: Client, user: User) -> None:
    """As if the authenticator app had just been used."""
    Authenticator.objects.get_or_create(user=user, type=Authenticator.Type.TOTP, defaults={"data": {"secret": "x"}})
    session = browser.session
    session["account_authentication_methods"] = [{"method": "mfa", "type": "totp", "at": time.time()}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def new_form() -> Any:
    return uuid4()


# --- a wallet of the holder's own ---------------------------------------------------------------------------

#: The key that the holder keeps.
KEY = Account.from_key("0x" + "44" * 32)


@pytest.fixture
def own(holding: World, platform: Any) -> World:
    """Alice's own wallet is verified and admitted, holds 60 units and some ETH; her custody wallet holds the rest."""
    wallet = Wallet.objects.create(user=holding.alice, address=KEY.address, kind="own")
    issue_sbt(platform, wallet, holding.alice.party)
    holding.settle()
    with transaction.atomic():
        enqueue(
            call=operations.admit(holding.security.token, [KEY.address]),
            signer=platform.signer(SignerRole.TOKEN_AGENT),
            idempotency_key="admit-own",
            purpose="test.admit",
        )
    platform.node.pass_time(7_200)
    holding.settle()
    services.request_transfer(
        security_id=holding.security.pk, actor=holding.alice, recipient=KEY.address, units=60, form_token=new_form()
    )
    holding.settle()
    platform.node.set_balance(KEY.address, 10**18)
    platform.node.set_automine(False)
    return holding


def send(platform: Any, *, to: str, data: bytes, nonce: int | None = None, fee: int = 10) -> str:
    """What a wallet does: sign with its own key and hand it to the node."""
    fields = {
        "chainId": 31337,
        "nonce": platform.node.count(KEY.address) if nonce is None else nonce,
        "to": to,
        "data": "0x" + data.hex(),
        "value": 0,
        "gas": 500_000,
        "maxFeePerGas": fee * 10**9,
        "maxPriorityFeePerGas": fee * 10**9 // 2,
    }
    raw = Account.sign_transaction(fields, KEY.key).raw_transaction
    return str(platform.node.call("eth_sendRawTransaction", "0x" + bytes(raw).hex()))


def sweep(platform: Any, blocks: int = 1) -> None:
    if blocks:
        platform.node.mine(blocks)
    run_index_step()
    run_outside_sweep()
