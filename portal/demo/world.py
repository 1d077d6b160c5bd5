"""The sample world: people, their verification, a bond, and who holds it.

Everything is done through the services the pages use, on the real chain, by the people who would do it. Each step
looks at what is there and goes on from it, so an interrupted first run is finished by the next one, and a finished
world is left alone.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from portal.demo import lending_world
from portal.demo.papers import sample_terms_sheet
from portal.demo.people import PEOPLE, SamplePerson, password
from portal.demo.verification import ensure_submitted, ensure_verified, prepare_officers
from portal.demo.waiting import Report, WorldStuck, until
from portal.models import Role, User

#: DOMAIN §3: the issue the trial modelled. JPY 1,000,000,000 in denominations of JPY 100,000, one year, 0.8 %.
FACE_VALUE = Decimal(100_000)
AUTHORISED_UNITS = 10_000
RATE_BPS = 80
SYMBOL = "MSB1"
ISIN = "JP300000MS14"
HELD_BY_A = 300


def build(report: Report = lambda line: None) -> None:
    """Bring the sample world to its full state. Needs running workers: they carry its transactions to the chain."""
    people = {person.key: ensure_account(person) for person in PEOPLE}
    report("people can sign in")
    prepare_officers(people)
    ensure_verified({key: people[key] for key in ("investor_a", "investor_b")}, people, report)
    ensure_submitted("investor_c", people["investor_c"])
    report("investor C has applied")
    loan = lending_world.begin(people, report) if lending_world.is_possible() else None
    security = ensure_security(people, report)
    ensure_holding(people, security, HELD_BY_A, report)
    ensure_admitted(people, security, report)
    if loan is not None:
        lending_world.finish(people, loan, report)


# --- people --------------------------------------------------------------------------------------------------------


@transaction.atomic
def ensure_account(person: SamplePerson) -> User:
    """The account with its password, verified address, second factor and role; made or brought in line."""
    user = User.objects.filter(email=person.email).first()
    if user is None:
        user = User.objects.create_user(person.email, password(), display_name=person.name, language="ja")
    elif not user.check_password(password()):
        user.set_password(password())
        user.save(update_fields=["password"])
    EmailAddress.objects.update_or_create(user=user, email=person.email, defaults={"verified": True, "primary": True})
    if not Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
        TOTP.activate(user, person.totp_secret)
    if person.role:
        user.groups.set([Group.objects.get_or_create(name=person.role)[0]])
    if person.role == Role.ADMINISTRATOR and not user.is_staff:
        # The back office opens for administrators.
        user.is_staff = user.is_superuser = True
        user.save(update_fields=["is_staff", "is_superuser"])
    return user


# --- the bond ------------------------------------------------------------------------------------------------------


def bond_terms(*, symbol: str = SYMBOL, isin: str = ISIN, name: str = "第1回 むすび社債(1年)") -> dict[str, Any]:
    """The terms of the sample issue, from today."""
    today = timezone.localdate()
    maturity = _a_year_after(today)
    return {
        "name": name,
        "symbol": symbol,
        "isin": isin,
        "issuer_name": "むすび証券グループ本社株式会社",
        "currency": "JPY",
        "face_value": FACE_VALUE,
        "authorised_units": AUTHORISED_UNITS,
        "rate_bps": RATE_BPS,
        "issue_date": today,
        "record_date": maturity - timedelta(days=14),
        "maturity_date": maturity,
        "placement_type": "small_number",
        "minimum_lot_units": 1,
        "whole_balance_only": False,
        "lock_up_until": None,
        "holder_cap": 0,
    }


def _a_year_after(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year + 1, day=28)


def ensure_security(people: dict[str, User], report: Report) -> Any:
    """The bond, prepared by one person of the issuer, approved by the other, standing on the chain."""
    from tokens import services
    from tokens.models import Security

    first, second = people["issuer_1"], people["issuer_2"]
    state = Security.State
    security = Security.objects.filter(symbol=SYMBOL).first()
    if security is None:
        security = services.create_security(actor=first, terms=bond_terms())
    if security.state == state.DRAFT:
        if not security.documents.exists():
            services.add_document(
                security_id=security.pk, actor=first, name="発行要項", content=sample_terms_sheet(security.name)
            )
        security = services.submit_security(security_id=security.pk, actor=first)
    if security.state == state.AWAITING_APPROVAL:
        security = services.approve_security(security_id=security.pk, actor=second)
    if security.state == state.FAILED:
        security = services.retry_deployment(security_id=security.pk, actor=second)

    def on_chain() -> bool:
        security.refresh_from_db()
        if security.state == state.FAILED:
            raise WorldStuck("the bond could not be put on the chain")
        return security.is_on_chain

    until("the bond's contract", on_chain)
    report(f"the bond stands on the chain at {security.token}")
    return security


def ensure_holding(people: dict[str, User], security: Any, units: int, report: Report) -> None:
    """Investor A was invited, subscribed, paid, and received `units` of the bond; final on the chain."""
    from portal.money import Money
    from tokens import services
    from tokens.models import Subscription

    issuer, investor = people["issuer_1"], people["investor_a"]
    subscription = services.invite_investor(security_id=security.pk, investor=investor, actor=issuer)
    state = Subscription.State
    if subscription.state == state.INVITED:
        subscription = services.subscribe(
            subscription_id=subscription.pk,
            actor=investor,
            units=units,
            acknowledgements=list(services.ACKNOWLEDGEMENTS),
        )
    if subscription.state == state.SUBSCRIBED:
        subscription = services.record_payment(
            subscription_id=subscription.pk,
            actor=issuer,
            money=Money(security.face_value * units, security.currency),
            received_on=timezone.localdate(),
            reference="DEMO-0001",
        )
    if subscription.state == state.PAID:
        subscription = services.allocate_subscription(subscription_id=subscription.pk, actor=issuer, units=units)
    if subscription.state in (state.ALLOCATED, state.FAILED):
        services.issue_allotment(subscription_id=subscription.pk, actor=issuer)

    def issued() -> bool:
        subscription.refresh_from_db()
        if subscription.state == state.FAILED:
            raise WorldStuck(f"the issue to investor A failed: {subscription.error_code}")
        return bool(subscription.state == state.ALLOTTED)

    until("the issue to investor A", issued)
    report(f"investor A holds {units} units")


def ensure_admitted(people: dict[str, User], security: Any, report: Report) -> None:
    """Investor B asked to be admitted to the bond, and the issuer agreed."""
    from kyc.selectors import primary_wallet
    from tokens import services
    from tokens.models import AdmissionRequest
    from tokens.services.admissions import is_admitted

    wallet = primary_wallet(people["investor_b"])
    if wallet is None:
        raise WorldStuck("investor B has no wallet")
    if not is_admitted(security, wallet.address):
        request = services.request_admission(security_id=security.pk, actor=people["investor_b"])
        if request.state in (AdmissionRequest.State.REQUESTED, AdmissionRequest.State.FAILED):
            services.approve_admission(request_id=request.pk, actor=people["issuer_1"])
    until("the admission of investor B", lambda: is_admitted(security, wallet.address))
    report("investor B is admitted")


__all__ = ["WorldStuck", "build"]
