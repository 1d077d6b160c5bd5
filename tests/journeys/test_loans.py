"""A borrower and the loan desk at real browsers: what stands behind a loan, money drawn, paid out and paid back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import READERS, Person, RunningDemo, enter_code, serious_faults

pytestmark = pytest.mark.browser


def loan_of(person: Person) -> str:
    """The address of the page about the borrower's running loan."""
    page = person.open("/lending/loans/")
    found = page.locator("main a[href*='/lending/loans/']").evaluate_all("links => links.map(link => link.pathname)")
    loans = [path for path in found if re.fullmatch(r"/lending/loans/\d+/", path)]
    assert loans, "the loan stands in the list"
    return str(loans[0])


def press(person: Person, page: Page, button: str, demo: RunningDemo) -> None:
    """Press a button of value; show the second factor where it is asked for."""
    page.locator(button).first.click()
    if "reauthenticate" in page.url:
        assert person.who
        enter_code(page, person.who, demo)


def owed(page: Page) -> int:
    """The debt that the page shows: the first amount of the state's summary."""
    text = page.locator("#loan-status dl dd").first.inner_text()
    digits = re.sub(r"\D", "", text)
    assert digits, text
    return int(digits)


@READERS
def test_the_borrower_sees_what_stands_behind_the_loan_and_where_to_deposit(
    language: str, phone: bool, at_browser: Callable[..., Person], axe: str
) -> None:
    borrower = at_browser("investor_a", language=language, phone=phone)
    loan = loan_of(borrower)
    faults = []
    for path in (loan, loan + "draw/", loan + "repay/", loan + "deposit/", loan + "withdraw/", loan + "history/"):
        page = borrower.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= (360 if phone else 1280), path
        faults += [f"{path}: {fault}" for fault in serious_faults(borrower, axe)]
    assert not faults, "\n".join(faults)
    page = borrower.open(loan)
    expect(page.locator("#loan-status .gauge")).to_be_visible(timeout=60_000)
    # Each step of the terms with the price at which it comes, the next one marked.
    expect(page.locator("tr[aria-current=step]")).to_have_count(1)
    page = borrower.open(loan + "deposit/")
    expect(page.locator("main code").first).to_have_text(re.compile(r"^bcrt1q[0-9a-z]{38}$"))
    expect(page.locator("img.qr").first).to_be_visible()
    assert not borrower.observed.problems, borrower.observed.problems


@READERS
def test_money_is_drawn_within_the_caps_paid_out_by_an_officer_and_paid_back_past_two(
    language: str, phone: bool, at_browser: Callable[..., Person], demo: RunningDemo
) -> None:
    borrower = at_browser("investor_a", language=language, phone=phone)
    loan = loan_of(borrower)
    page = borrower.open(loan)
    before = owed(page)

    # More than both caps allow is refused on the form itself, and nothing is asked for.
    page = borrower.open(loan + "draw/")
    page.locator("[name=amount]").fill("900,000,000")
    press(borrower, page, "main form[method=post] button[type=submit]", demo)
    expect(page.locator(".error-summary")).to_be_visible()
    # The refusal comes from the form, or from the second factor's page if that was asked for in between.
    expected = [problem for problem in borrower.observed.problems if problem.endswith("answered 400")]
    assert len(expected) == 1
    borrower.observed.problems.remove(expected[0])

    page.locator("[name=amount]").fill("500,000")
    press(borrower, page, "main form[method=post] button[type=submit]", demo)
    expect(page.locator("[data-state=requested]").first).to_be_visible()

    first = at_browser("loan_officer_1", language=language, phone=phone)
    page = first.open("/lending/desk/work/")
    form = "form[action*='/desk/draws/'][action$='/release/']"
    reference = f"JOURNEY-{language}"
    page.locator(f"{form} [name=bank_reference]").first.fill(reference)
    press(first, page, f"{form} button", demo)
    expect(page.locator(f"main {form}")).to_have_count(0)
    page = borrower.open(loan)
    assert owed(page) == before + 500_000

    # Money that came back: recorded by one officer, booked only after another has confirmed it.
    case = loan.replace("/lending/", "/lending/desk/")
    page = first.open(case)
    record = "form[action$='/repayment/']"
    page.locator(f"{record} [name=amount]").fill("500,000")
    page.locator(f"{record} [name=received_on]").fill(today(page))
    page.locator(f"{record} [name=reference]").fill(f"{reference}-BACK")
    press(first, page, f"{record} button[type=submit]", demo)
    expect(page.locator("[data-state=recorded]").first).to_be_visible()
    assert owed(borrower.open(loan)) == before + 500_000
    assert first.open("/lending/desk/work/").locator("form[action$='/confirm/']").count() == 0

    second = at_browser("loan_officer_2", language=language, phone=phone)
    page = second.open("/lending/desk/work/")
    press(second, page, "form[action*='/desk/repayments/'][action$='/confirm/'] button", demo)
    expect(page.locator("form[action*='/desk/repayments/'][action$='/confirm/']")).to_have_count(0)
    assert owed(borrower.open(loan)) == before
    for who in (borrower, first, second):
        assert not who.observed.problems, who.observed.problems


def today(page: Page) -> str:
    """The day in Tokyo."""
    return str(page.evaluate("new Date().toLocaleDateString('sv-SE', {timeZone: 'Asia/Tokyo'})"))


def test_the_desk_goes_from_the_book_to_a_loan_with_the_keyboard_and_looks_at_prices_with_their_sources(
    at_browser: Callable[..., Person],
) -> None:
    officer = at_browser("loan_officer_1")
    page = officer.open("/lending/desk/")
    expect(page.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/lending/desk/loans/\d+/"))
    page = officer.open("/lending/desk/prices/")
    for source in ("BTC/JPY bitbank", "BTC/JPY coincheck", "ETH/USD kraken", "USD/JPY kraken"):
        expect(page.locator("main")).to_contain_text(source)
    assert not officer.observed.problems, officer.observed.problems
