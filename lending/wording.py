"""What contracts and statements say, in the active language. Reads what it is given, writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.conf import settings
from django.utils.html import strip_tags
from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

from lending.models import Account, Entry, Loan, ProductTerms, Renewal
from lending.money import from_minor
from lending.pdf import Section, Words
from lending.selectors.ledger import Debt
from portal.money import Money
from portal.templatetags import musubi


def amount(value: Decimal, currency: str) -> str:
    return strip_tags(str(musubi.amount(Money(value, currency))))


def minor(value: int, currency: str) -> str:
    return amount(from_minor(value, currency), currency)


def day(value: date | None) -> str:
    return strip_tags(str(musubi.day(value)))


def percent(bps: int) -> str:
    return f"{Decimal(bps) / 100:,.2f}%"


def coins(units: int, asset: str) -> str:
    return f"{from_minor(units, asset):f} {asset}"


def _words(loan: Loan, title: str, lead: list[str], sections: list[Section]) -> Words:
    return Words(
        title=title,
        issuer=settings.SITE_NAME,
        language=(get_language() or "ja")[:2],
        footer=f"{settings.SITE_NAME} · {loan.reference}",
        lead=lead,
        sections=sections,
    )


def contract(*, loan: Loan, borrower: str, address: str, on: date) -> Words:
    """The loan contract as approved: parties, amounts, and every term of the loan's version of the product terms."""
    terms = loan.terms
    return _words(
        loan,
        _("Loan contract"),
        [_("Loan %(number)s") % {"number": loan.reference}, day(on)],
        [
            Section(
                _("Parties and amounts"),
                facts=[
                    (_("Lender"), settings.SITE_NAME),
                    (_("Borrower"), borrower),
                    (_("Postal address"), address),
                    (_("Amount of the contract"), amount(loan.amount, loan.currency)),
                    (_("Interest rate"), _("%(rate)s a year") % {"rate": percent(loan.rate_bps)}),
                    (_("Late charge"), _("%(rate)s a year") % {"rate": percent(terms.late_rate_bps)}),
                    (
                        _("Term"),
                        ngettext(
                            "%(months)d month from the first draw",
                            "%(months)d months from the first draw",
                            terms.term_months,
                        )
                        % {"months": terms.term_months},
                    ),
                    (_("Fee at the first draw"), percent(terms.origination_fee_bps)),
                ],
            ),
            Section(_("1. Draws"), paragraphs=_draws(terms)),
            Section(_("2. Interest"), paragraphs=_interest()),
            Section(_("3. Repayment"), paragraphs=_repayment()),
            Section(_("4. Collateral"), paragraphs=_collateral(terms)),
            Section(_("5. Call and sale"), paragraphs=_call_and_sale(loan, terms)),
            Section(_("6. Renewal"), paragraphs=_renewal()),
        ],
    )


def _draws(terms: ProductTerms) -> list[str]:
    return [
        _(
            "The borrower may draw up to the amount of the contract, within the credit line, and as long as the collateral is worth at least %(coverage)s of what is owed after the draw, at the price the lender accepted."
        )
        % {"coverage": percent(terms.origination_bps)}
    ]


def _interest() -> list[str]:
    return [
        _(
            "Interest is counted by the day on the principal outstanding at the end of the day, on 365 days a year also in a leap year. The day of a draw counts, the day of a repayment does not. Parts of a yen or a cent are added up exactly and cut off when they are due."
        ),
        _(
            "From the day after the due day, the late charge takes the place of interest. No interest is charged on interest."
        ),
    ]


def _repayment() -> list[str]:
    return [
        _(
            "Principal and interest are due in one sum on the due day: the day the term ends or, if banks are closed on it, the next day on which they are open; interest runs until then. Repayment before that is possible at any time without a charge."
        ),
        _(
            "Money that arrives pays charges first, then late charges, then interest, then principal. What is more than owed is the borrower's and is paid back."
        ),
    ]


def _collateral(terms: ProductTerms) -> list[str]:
    return [
        _(
            "Only bitcoin and ether are taken. The lender keeps them apart, lends them to nobody and pledges them to nobody. They leave only to the borrower's registered address or into a sale under this contract."
        ),
        _("Collateral above %(coverage)s of the debt may be taken back.")
        % {"coverage": percent(terms.withdrawal_floor_bps)},
    ]


def _call_and_sale(loan: Loan, terms: ProductTerms) -> list[str]:
    return [
        _("The borrower is told when the collateral falls to %(first)s and to %(second)s of the debt.")
        % {"first": percent(terms.reminder_first_bps), "second": percent(terms.reminder_second_bps)},
        ngettext(
            "Below %(call)s, the lender calls for collateral or a repayment that restores %(target)s, within %(hours)d hour.",
            "Below %(call)s, the lender calls for collateral or a repayment that restores %(target)s, within %(hours)d hours.",
            terms.call_deadline_hours,
        )
        % {
            "call": percent(terms.call_bps),
            "target": percent(terms.call_target_bps),
            "hours": terms.call_deadline_hours,
        },
        _(
            "At %(sale)s or below, or when a call is not answered in time, the lender sells as much collateral as restores %(target)s, in slices of at most %(slice)s. At %(sale)s a deadline that is still open no longer counts."
        )
        % {
            "sale": percent(terms.sale_bps),
            "target": percent(terms.sale_target_bps),
            "slice": amount(terms.slice_limit, loan.currency),
        },
        _("What a sale brings beyond the debt is the borrower's. What the collateral does not cover remains owed."),
    ]


def _renewal() -> list[str]:
    return [
        _(
            "On request before the due day, the lender renews the loan for another term if the collateral has the coverage of a new draw, the credit line holds and nothing is overdue. Interest remains owed and is not added to the principal."
        )
    ]


def renewal(*, loan: Loan, granted: Renewal, borrower: str, on: date) -> Words:
    """What a renewal changes."""
    return _words(
        loan,
        _("Renewal agreement"),
        [_("Loan %(number)s") % {"number": loan.reference}, day(on)],
        [
            Section(
                _("What changes"),
                facts=[
                    (_("Borrower"), borrower),
                    (_("Term ended"), day(granted.from_matures_on)),
                    (_("Term ends"), day(granted.to_matures_on)),
                    (_("Due day"), day(granted.to_due_on)),
                    (_("Interest rate from today"), _("%(rate)s a year") % {"rate": percent(granted.rate_bps or 0)}),
                ],
                paragraphs=[_("Everything else stays as in the loan contract.")],
            )
        ],
    )


def statement(
    *,
    loan: Loan,
    title: str,
    borrower: str,
    since: date,
    until: date,
    opening: Debt,
    closing: Debt,
    entries: Iterable[Entry],
    collateral: dict[str, int],
) -> Words:
    """What happened on a loan between two days, what was owed before and after, and the collateral at the end."""
    return _words(
        loan,
        title,
        [_("Loan %(number)s") % {"number": loan.reference}, f"{day(since)} – {day(until)}"],
        [
            Section(
                _("Summary"),
                facts=[
                    (_("Borrower"), borrower),
                    (_("Owed at the beginning"), minor(opening.total, loan.currency)),
                    (_("Owed at the end"), minor(closing.total, loan.currency)),
                    (_("of which principal"), minor(closing.principal, loan.currency)),
                    (_("of which interest"), minor(closing.interest + closing.late, loan.currency)),
                    (_("of which charges"), minor(closing.charges, loan.currency)),
                    *((_("Collateral"), coins(units, asset)) for asset, units in sorted(collateral.items()) if units),
                ],
            ),
            Section(
                pgettext("statement", "Movements"),
                columns=[_("Day"), _("What"), _("Amount"), _("Owed after")],
                rows=_rows(loan, opening.total, entries),
            ),
        ],
    )


def _rows(loan: Loan, owed: int, entries: Iterable[Entry]) -> list[tuple[str, str, str, str]]:
    """Movements of the debt; interest of one month is one row."""
    found: list[tuple[str, str, str, str]] = []
    pending: tuple[date, int] | None = None
    for entry in entries:
        change = sum(int(line.amount) for line in entry.postings.all() if line.account in _OWED)
        if not change:
            continue
        if entry.kind in ("accrual", "correction"):
            if pending and (pending[0].year, pending[0].month) != (entry.value_on.year, entry.value_on.month):
                owed, pending = _flush(found, pending, owed, loan)
            pending = (entry.value_on, (pending[1] if pending else 0) + change)
            continue
        owed, pending = _flush(found, pending, owed, loan)
        owed += change
        found.append(
            (
                day(entry.value_on),
                str(entry.get_kind_display()),
                minor(change, loan.currency),
                minor(owed, loan.currency),
            )
        )
    _flush(found, pending, owed, loan)
    return found


_OWED = {str(each) for each in (Account.PRINCIPAL, Account.INTEREST, Account.LATE, Account.CHARGES, Account.SHORTFALL)}


def _flush(
    found: list[tuple[str, str, str, str]], pending: tuple[date, int] | None, owed: int, loan: Loan
) -> tuple[int, None]:
    if pending:
        owed += pending[1]
        found.append((day(pending[0]), _("Interest"), minor(pending[1], loan.currency), minor(owed, loan.currency)))
    return owed, None
