"""Documents of a loan: made once in both languages, hashed, encrypted and kept as made."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from kyc import storage
from kyc.selectors import party_for
from lending import pdf, wording
from lending.exceptions import NotFound
from lending.models import Account, Loan, LoanDocument, Renewal
from lending.selectors.ledger import balances, debt_of, entries_of
from portal import audit
from portal.models import Role, User

Kind = LoanDocument.Kind
LANGUAGES: Final = ("ja", "en")


@dataclass(frozen=True, slots=True)
class Opened:
    """A document in the clear."""

    content: bytes
    sha256: str
    file_name: str


def make_contract(*, loan: Loan) -> list[LoanDocument]:
    """The contract of the locked loan, in Japanese and English. In the transaction of the approval."""
    party = party_for(loan.borrower)
    name, address = (party.name, party.address) if party else (str(loan.borrower), "")
    today = timezone.localdate()
    return _make(loan, Kind.CONTRACT, "", lambda: wording.contract(loan=loan, borrower=name, address=address, on=today))


def make_renewal(*, loan: Loan, renewal: Renewal) -> list[LoanDocument]:
    """What the renewal changes, named by the maturity it leads to."""
    today, name = timezone.localdate(), _name(loan)
    period = renewal.to_matures_on.isoformat() if renewal.to_matures_on else ""
    return _make(
        loan, Kind.RENEWAL, period, lambda: wording.renewal(loan=loan, granted=renewal, borrower=name, on=today)
    )


def make_closing_statement(*, loan: Loan) -> list[LoanDocument]:
    """Everything that happened, from the first day to the last, with nothing owed at the end."""
    since, until = loan.started_on or timezone.localdate(), timezone.localdate()
    return _make(loan, Kind.CLOSING, "", lambda: _statement(loan, _("Closing statement"), since, until))


def make_statement(*, loan: Loan, since: date, until: date, period: str) -> list[LoanDocument]:
    """The statement of a month (`2026-11`) or a year (`2026`) that is over."""
    return _make(loan, Kind.STATEMENT, period, lambda: _statement(loan, _("Statement"), since, until))


def _statement(loan: Loan, title: str, since: date, until: date) -> pdf.Words:
    found = balances(loan_id=loan.pk, until=until)
    return wording.statement(
        loan=loan,
        title=title,
        borrower=_name(loan),
        since=since,
        until=until,
        opening=debt_of(loan, until=since - timedelta(days=1)),
        closing=debt_of(loan, until=until),
        entries=entries_of(loan, since=since, until=until),
        collateral={asset: -found.get((str(Account.COLLATERAL), asset), 0) for asset in ("BTC", "ETH")},
    )


def _name(loan: Loan) -> str:
    party = party_for(loan.borrower)
    return party.name if party else str(loan.borrower)


def _make(loan: Loan, kind: str, period: str, words: Callable[[], pdf.Words]) -> list[LoanDocument]:
    """One document per language, unless it is there already: what was made is never made again."""
    made: list[LoanDocument] = []
    for language in LANGUAGES:
        there = LoanDocument.objects.filter(loan=loan, kind=kind, period=period, language=language).first()
        if there is None:
            with translation.override(language):
                there = _keep(loan, kind, period, language, pdf.render(words()))
        made.append(there)
    return made


def _keep(loan: Loan, kind: str, period: str, language: str, file: pdf.Made) -> LoanDocument:
    sealed = storage.seal(file.content)
    try:
        with transaction.atomic():
            return LoanDocument.objects.create(
                loan=loan,
                kind=kind,
                period=period,
                language=language,
                sha256=file.sha256,
                size=len(file.content),
                storage_name=sealed.storage_name,
                wrapped_key=sealed.wrapped_key,
                key_id=sealed.key_id,
            )
    except BaseException:
        # The row did not come to be: the bytes must not stay either.
        storage.discard(sealed.storage_name)
        raise


@transaction.atomic
def open_document(*, document_id: int, reader: User) -> Opened:
    """The file in the clear for its borrower, a loan officer or an auditor; each viewing by staff is recorded.

    To anybody else it does not exist.
    """
    document = LoanDocument.objects.select_related("loan").filter(pk=document_id).first()
    is_staff = reader.has_role(Role.LOAN_OFFICER) or reader.has_role(Role.AUDITOR)
    if document is None or not (document.loan.borrower_id == reader.pk or is_staff):
        raise NotFound(_("There is no such document."), code="lending.document.not_found")
    content = storage.unseal(
        storage_name=document.storage_name, wrapped_key=bytes(document.wrapped_key), sha256=document.sha256
    )
    if document.loan.borrower_id != reader.pk:
        audit.record(
            action="lending.document.viewed",
            subject_type="lending.loan",
            subject_id=document.loan_id,
            actor=reader,
            data={"document": document.pk},
        )
    parts = [settings.SITE_NAME, document.loan.reference, document.kind, document.period, document.language]
    return Opened(content, document.sha256, "-".join(part for part in parts if part) + ".pdf")


def make_due_statements(*, today: date | None = None, limit: int = 200) -> int:
    """Statements of the month that has ended, and in January of the year; how many loans got theirs now.

    Called by the clock every hour; a loan that has its statement is skipped, so nothing is made twice.
    """
    day = today or timezone.localdate()
    last = day.replace(day=1) - timedelta(days=1)
    periods = [(last.replace(day=1), last, f"{last:%Y-%m}")]
    if day.month == 1:
        periods.append((date(last.year, 1, 1), date(last.year, 12, monthrange(last.year, 12)[1]), f"{last:%Y}"))
    made = 0
    for since, until, period in periods:
        running = Loan.objects.filter(started_on__lte=until).filter(Q(closed_on__isnull=True) | Q(closed_on__gte=since))
        for loan in running.exclude(documents__kind=Kind.STATEMENT, documents__period=period).order_by("pk")[:limit]:
            with transaction.atomic():
                make_statement(loan=loan, since=since, until=until, period=period)
            made += 1
    return made
