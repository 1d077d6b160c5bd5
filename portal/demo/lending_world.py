"""The sample world's loan: a credit line, a contract, bitcoin as collateral, and yen that were paid out.

As the rest of the sample world, through the services, by the people who would do it, and going on from what is there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django.utils import timezone

from chain.selectors import price_feeds
from lending.models import Asset, CreditApplication, CreditLine, Draw, Loan, LoanDocument, ProductTerms, ReturnAddress
from lending.models.prices import pair_of
from lending.prices.defaults import ensure_feeds
from lending.selectors.prices import accepted_price
from lending.selectors.terms import terms_in_force
from lending.selectors.valuation import value_loan
from lending.services import credit, draws, loans, terms
from lending.services.collateral import approve_return_address, give_deposit_address, request_return_address
from portal.demo import market
from portal.demo.papers import sample_terms_sheet
from portal.demo.waiting import Report, until
from portal.models import User

#: One bitcoin costs 15 million yen when the simulated exchanges start, so a loan of 6 million is covered by 250 %.
LINE, DRAWN, DEPOSIT_SATS = Decimal(10_000_000), Decimal(6_000_000), 10**8
INCOME = Decimal(36_000_000)
#: Small slices, so that a sale of the demo has several. The published terms say nothing about slices.
SLICE = Decimal(2_000_000)
SOURCE: Final = "demonstration: the first terms with slices of two million yen (unverified)"
_NOT_COPIED: Final = {
    "id", "state", "effective_from", "slice_limit", "source", "is_verified", "entered_by", "approved_by", "entered_at",
    "decided_at",
}  # fmt: skip


def is_possible() -> bool:
    """True where the demo started its simulators: without prices and Bitcoin nothing is lent."""
    return market.is_there()


def begin(people: dict[str, User], report: Report) -> Loan:
    """Terms of two officers, a line, a contract and a deposit on its way. The rest waits for the network: `finish`."""
    market.tell_feeds()
    ensure_feeds(price_feeds())
    ensure_terms(people)
    loan = _ensure_contract(people, _ensure_line(people))
    if loan.state == Loan.State.COLLATERAL_PENDING and not loan.deposits.exists():
        _ensure_return_address(people)
        given = give_deposit_address(loan_id=loan.pk, asset=Asset.BTC, actor=people["investor_a"])
        market.send_bitcoin(given.address, DEPOSIT_SATS, sender="investor_a")
    report("investor A has a credit line and sent bitcoin")
    return loan


def ensure_terms(people: dict[str, User]) -> None:
    """The demo's terms for individuals in yen: entered by one officer, approved by the other."""
    mine = ProductTerms.objects.filter(source=SOURCE).exclude(state=ProductTerms.State.REFUSED)
    row = mine.first()
    if row is None:
        now = terms_in_force(currency="JPY", borrower_kind="individual")
        values: dict[str, Any] = {
            field.name: getattr(now, field.name)
            for field in ProductTerms._meta.concrete_fields
            if field.name not in _NOT_COPIED
        }
        values |= {"slice_limit": SLICE, "source": SOURCE, "effective_from": timezone.localdate()}
        row = terms.enter_terms(actor=people["loan_officer_1"], terms=values)
    if row.state == ProductTerms.State.ENTERED:
        terms.decide_terms(
            terms_id=row.pk, actor=people["loan_officer_2"], approve=True, reason="For the demonstration."
        )


def _ensure_line(people: dict[str, User]) -> CreditLine:
    borrower, first, second = people["investor_a"], people["loan_officer_1"], people["loan_officer_2"]
    state = CreditApplication.State
    application = CreditApplication.objects.filter(
        applicant=borrower, state__in=[*CreditApplication.OPEN, state.APPROVED]
    ).first()
    if application is None:
        application = credit.submit_credit_application(
            actor=borrower, currency="JPY", amount=LINE, purpose="business", annual_income=INCOME,
            income_year=timezone.localdate().year - 1,
        )  # fmt: skip
    if application.state == state.SUBMITTED:
        if not application.evidence.exists():
            paper = sample_terms_sheet("Withholding slip")
            credit.add_income_evidence(
                application_id=application.pk, actor=borrower, kind="withholding", chunks=[paper], size=len(paper)
            )
        application = credit.claim_credit_application(application_id=application.pk, actor=first)
    if application.state == state.IN_REVIEW:
        application = credit.decide_credit(
            application_id=application.pk, actor=first, verdict="approve", amount=LINE, rate_bps=500,
            income_verified=INCOME, reason="Income shown by the withholding slip.",
        )  # fmt: skip
    if application.state == state.APPROVED_FIRST:
        credit.confirm_credit(application_id=application.pk, actor=second, agrees=True, reason="Checked again.")
    return CreditLine.objects.get(application=application)


def _ensure_contract(people: dict[str, User], line: CreditLine) -> Loan:
    borrower, officers = people["investor_a"], (people["loan_officer_1"], people["loan_officer_2"])
    state = Loan.State
    loan = Loan.objects.filter(borrower=borrower, line=line).order_by("pk").first()
    if loan is None:
        loan = loans.request_loan(line_id=line.pk, actor=borrower, amount=LINE, collateral_plan=Asset.BTC)
    for officer in officers:
        if loan.state == state.APPLIED and loan.first_approval_by_id != officer.pk:
            loan = loans.approve_loan(loan_id=loan.pk, actor=officer)
    if loan.state == state.APPROVED:
        contract = LoanDocument.objects.get(loan=loan, kind=LoanDocument.Kind.CONTRACT, language="ja")
        loan = loans.accept_contract(loan_id=loan.pk, actor=borrower, sha256=contract.sha256)
    return loan


def _ensure_return_address(people: dict[str, User]) -> None:
    borrower = people["investor_a"]
    state = ReturnAddress.State
    known = ReturnAddress.objects.filter(
        borrower=borrower, asset=Asset.BTC, state__in=[state.REQUESTED, state.APPROVED]
    )
    row = known.first() or request_return_address(
        actor=borrower, asset=Asset.BTC, address=market.bitcoin_wallet("investor_a")
    )
    if row.state == state.REQUESTED:
        approve_return_address(address_id=row.pk, actor=people["loan_officer_1"])


def finish(people: dict[str, User], loan: Loan, report: Report) -> None:
    """The deposit counts, the money was asked for and paid out."""
    loan.refresh_from_db()
    if loan.state != Loan.State.COLLATERAL_PENDING:
        return
    until("the first accepted price", lambda: accepted_price(pair_of(Asset.BTC, loan.currency)))
    until("investor A's deposit", lambda: value_loan(loan).btc_sats >= DEPOSIT_SATS)
    draw = loan.draws.filter(state=Draw.State.REQUESTED).first() or draws.request_draw(
        loan_id=loan.pk, actor=people["investor_a"], amount=DRAWN, form_key=f"demo:{loan.pk}"
    )
    draws.release_draw(draw_id=draw.pk, actor=people["loan_officer_2"], bank_reference=f"DEMO-{loan.reference}")
    report(f"investor A owes {DRAWN} yen against one bitcoin")
