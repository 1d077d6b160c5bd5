"""The loan of `make smoke`: from the application through a fall of the price to a call, a cure, a further fall, a sale
and the closing statement; every step on the pages that borrower and officers have.

The market is moved on `/demo/`, as a visitor of the demo would: the exchanges and Bitcoin are simulators, what the
portal does with them is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from portal.demo.papers import sample_terms_sheet
from portal.demo.visitor import Page, Visitor

if TYPE_CHECKING:
    from portal.demo.smoke import Smoke

LINE = 10_000_000
INCOME = 36_000_000
DRAWN = 8_000_000
#: At 15 million yen a bitcoin this stands for the draw with 225 %.
FIRST_DEPOSIT, TOP_UP = Decimal("1.2"), Decimal("0.45")
#: Of 8 million yen against 1.2 BTC: 172 % (first reminder), 156 % (second), 149 % (call).
REMIND_FIRST, REMIND_SECOND, CALL = 11_500_000, 10_400_000, 9_900_000
#: Of 8 million yen against 1.65 BTC: 120 % is at 5.818 million a bitcoin.
SALE = 5_800_000
#: Three rounds of prices, twenty seconds apart, confirm a jump; then the sweep, then the action.
PRICE_SECONDS = 150


class LoanStory:
    """The steps in order, told with the people of the smoke run; the newcomer borrows."""

    def __init__(self, smoke: Smoke) -> None:
        from portal.demo import smoke as tools

        self.smoke, self.tools = smoke, tools
        self.steps = smoke.steps
        self.expect, self.until, self.states = tools.expect, tools.until, tools.states
        self.borrower = smoke.people["newcomer"]
        self.loan = self.case = ""

    @property
    def officers(self) -> tuple[Visitor, Visitor]:
        return self.smoke.person("loan_officer_1"), self.smoke.person("loan_officer_2")

    def run(self) -> None:
        self.credit()
        self.request()
        self.contract()
        self.return_address()
        self.deposit()
        self.draw()
        self.reminders_and_call()
        self.cure()
        self.sale()
        self.comparison()
        self.repayment()

    # --- helpers ---------------------------------------------------------------------------------------------------

    def press(self, who: Visitor, page: Page, *names: str, containing: str = "", **values: object) -> Page:
        """Fill in a form and press its button, answering for the second factor where it is asked."""
        return who.confirm_identity(who.submit(page.form(*names, containing=containing), dict(values)))

    def market(self, **values: object) -> None:
        """One step on the demo's panel."""
        visitor = Visitor(self.smoke.address)
        page = visitor.open("/demo/")
        wanted = {"price": ("asset", "amount"), "send": ("asset", "address", "amount")}[str(values["step"])]
        forms = [
            form for form in page.forms if form.values.get("step") == [values["step"]] and set(wanted) <= form.names
        ]
        self.expect(forms, "the demo has its market panel", page)
        page = visitor.submit(forms[0], {name: value for name, value in values.items() if name != "step"})
        self.expect(page.status == 200 and "Nothing was changed" not in page.text, "the simulators took it", page)

    def bitcoin_costs(self, yen: int) -> None:
        self.market(step="price", asset="BTC", amount=yen)

    def own(self) -> Page:
        return self.borrower.open(self.loan)

    def shown(self, what: str, look: Callable[[], object], *, seconds: float = PRICE_SECONDS) -> None:
        self.until(what, look, seconds=seconds)

    def coverage(self) -> Decimal:
        """The coverage the borrower's page shows, in percent; endless while a jump of the price is not confirmed."""
        page = self.own()
        found = re.search(r'<div class="gauge">\s*<p><strong class="num">([\d,.]+)%', page.body)
        self.expect(
            found or "No reliable price" in page.text, "the page shows the coverage, or that there is none", page
        )
        return Decimal(found.group(1).replace(",", "")) if found else Decimal("Infinity")

    def opens_pdf(self, page: Page, words: str) -> None:
        """The newest document of the kind opens as a PDF."""
        path = page.link(words)
        answer = self.borrower.fetch(path)
        self.expect(
            answer.status_code == 200 and answer.content.startswith(b"%PDF-"),
            f"{path} is a PDF: {answer.status_code} {answer.content[:200]!r}",
        )

    # --- steps -----------------------------------------------------------------------------------------------------

    def credit(self) -> None:
        first, second = self.officers
        with self.steps.step(f"the borrower applies for a credit line of {LINE:,} yen"):
            page = self.borrower.open("/lending/loans/credit/apply/")
            page = self.press(
                self.borrower, page, "amount", "purpose",
                currency="JPY", amount=f"{LINE:,}", purpose="business", annual_income=f"{INCOME:,}", income_year=2025,
            )  # fmt: skip
            self.expect("submitted" in self.states(page), "the application is sent", page)
            number = page.path.rstrip("/").split("/")[-1]
            self.case = f"/lending/desk/credit/{number}/"
        with self.steps.step("an officer cannot approve it before the income is shown"):
            page = first.open(self.case)
            page = self.press(first, page, containing="/claim/")
            decision = {"verdict": "approve", "amount": f"{LINE:,}", "rate_bps": "5", "income_verified": f"{INCOME:,}"}
            page = self.press(first, page, "verdict", "rate_bps", **decision, reason="Income as stated.")
            self.expect(page.status == 400, "the approval is refused", page)
        with self.steps.step("the borrower uploads a withholding slip"):
            page = self.borrower.open(f"/lending/loans/credit/{number}/")
            upload = ("slip.pdf", sample_terms_sheet("Withholding slip"), "application/pdf")
            page = self.borrower.submit(page.form("kind", "file"), {"kind": "withholding"}, files={"file": upload})
            self.expect("/lending/loans/credit/documents/" in page.body, "the document is kept", page)
        with self.steps.step("two officers approve the credit line; the first cannot confirm alone"):
            page = self.press(first, first.open(self.case), "verdict", "rate_bps", **decision, reason="Slip checked.")
            self.expect("approved_first" in self.states(page), "the first approval is recorded", page)
            self.expect(not page.has_form("agrees"), "no confirmation is offered to the first officer", page)
            page = self.press(second, second.open(self.case), "agrees", "reason", agrees="yes", reason="Checked again.")
            self.expect("approved" in self.states(page), "the line is open", page)

    def request(self) -> None:
        with self.steps.step("the borrower asks for a loan, and two officers approve it"):
            page = self.borrower.open("/lending/loans/")
            page = self.borrower.open(page.link(r"/lending/loans/lines/\d+/request/"))
            page = self.press(self.borrower, page, "amount", amount=f"{LINE:,}", collateral_plan="BTC")
            self.expect(re.fullmatch(r"/lending/loans/\d+/", page.path), "the loan is asked for", page)
            self.loan = page.path
            self.case = page.path.replace("/lending/", "/lending/desk/")
            for officer in self.officers:
                page = self.press(officer, officer.open(self.case), containing="/approve/")
            self.expect("approved" in self.states(self.own()), "the contract is ready", self.borrower.page)

    def contract(self) -> None:
        with self.steps.step("the borrower opens the contract (PDF) and accepts exactly that document"):
            page = self.borrower.open(self.loan + "contract/")
            self.opens_pdf(page, r"/lending/loans/documents/\d+/")
            page = self.press(self.borrower, page, "sha256", "agreed", agreed="on")
            self.expect("collateral_pending" in self.states(page), "the contract is accepted", page)

    def return_address(self) -> None:
        officer = self.officers[0]
        with self.steps.step("the borrower registers where bitcoin goes back to, and an officer approves it"):
            page = self.borrower.open("/lending/loans/return-addresses/")
            address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
            page = self.press(self.borrower, page, "asset", "address", asset="BTC", address=address)
            self.expect("requested" in self.states(page), "the address waits", page)
            page = self.press(
                officer, officer.open("/lending/desk/work/"), "verdict", containing="/lending/desk/return-addresses/"
            )
            page = self.borrower.open("/lending/loans/return-addresses/")
            self.expect("approved" in self.states(page), "the address is approved", page)

    def send(self, amount: Decimal, *, counted: int) -> None:
        """Pay the loan's own address and wait until `counted` deposits count."""
        page = self.borrower.open(self.loan + "deposit/")
        if not re.search(r"bcrt1q[0-9a-z]{38}", page.body):
            page = self.borrower.submit(self.form_for(page, "BTC"))
        address = re.search(r"bcrt1q[0-9a-z]{38}", page.body)
        self.expect(address, "the page shows the loan's own address", page)
        self.market(step="send", asset="BTC", address=address.group(0) if address else "", amount=amount)
        seen: set[str] = set()

        def all_count() -> bool:
            known = self.states(self.borrower.open(self.loan + "deposit/"))
            seen.update(known)
            return known.count("credited") >= counted

        self.shown("the counted deposit", all_count, seconds=120)

    def form_for(self, page: Page, asset: str):  # type: ignore[no-untyped-def]
        return next(form for form in page.forms if form.values.get("asset") == [asset])

    def deposit(self) -> None:
        with self.steps.step(
            f"{FIRST_DEPOSIT} BTC are sent to the loan's own address, confirmed, screened and counted"
        ):
            self.send(FIRST_DEPOSIT, counted=1)

    def draw(self) -> None:
        officer = self.officers[0]
        with self.steps.step("one yen more than the caps allow is refused in words"):
            page = self.until("the price", lambda: self.room_shown(self.borrower.open(self.loan + "draw/")))
            room = self.room_shown(self.borrower.page)
            self.expect(
                DRAWN <= room < LINE, f"half of the collateral's worth can be drawn: {room}", self.borrower.page
            )
            page = self.press(self.borrower, self.borrower.page, "amount", amount=str(room + 1))
            self.expect(page.status == 400 and f"{room:,}" in page.text, "the draw is refused with what is left", page)
        with self.steps.step(f"the borrower draws {DRAWN:,} yen, an officer pays out, the loan runs"):
            page = self.press(self.borrower, self.borrower.open(self.loan + "draw/"), "amount", amount=f"{DRAWN:,}")
            self.expect("requested" in self.states(page), "the draw is asked for", page)
            self.press(officer, officer.open("/lending/desk/work/"), "bank_reference", bank_reference="SMOKE-DRAW-1")
            page = self.own()
            self.expect({"released", "active"} <= set(self.states(page)), "the money is paid out", page)
            self.expect(f"{DRAWN:,}" in page.text, "the debt is shown", page)

    def room_shown(self, page: Page) -> int:
        """What can be drawn, as the page says it; 0 while it says nothing."""
        found = re.search(r"Can be drawn now\D*([\d,]+)", page.text)
        return int(found.group(1).replace(",", "")) if found else 0

    def is_told(self, words: str) -> bool:
        """Whether a notice in the portal and a mail to the borrower say these words."""
        mail = Visitor(self.smoke.address).open(f"/demo/inbox/?to={self.tools.EMAIL}")
        return words in self.borrower.open("/notices/").text and words in mail.text

    def reminders_and_call(self) -> None:
        officer = self.officers[0]
        with self.steps.step(
            f"the price falls to {REMIND_FIRST:,} yen: the jump is confirmed, coverage is below 175 %"
        ):
            self.bitcoin_costs(REMIND_FIRST)
            self.shown("coverage below 175 %", lambda: self.coverage() < 175)
        with self.steps.step("the borrower is reminded, in the portal and by e-mail"):
            self.shown("the reminder", lambda: self.is_told("The coverage of your loan is falling"))
        with self.steps.step(f"at {REMIND_SECOND:,} yen the second reminder comes"):
            self.bitcoin_costs(REMIND_SECOND)
            self.shown("the second reminder", lambda: self.is_told("The coverage of your loan is close to a call"))
        with self.steps.step(f"at {CALL:,} yen collateral is called: borrower and desk see it with its deadline"):
            self.bitcoin_costs(CALL)
            self.shown("the call", lambda: "margin_called" in self.states(self.own()))
            self.expect("More collateral is called" in self.borrower.page.text, "the call is said", self.borrower.page)
            self.expect(self.is_told("More collateral is called for your loan"), "the borrower is told")
            page = officer.open("/lending/desk/work/")
            self.expect(self.case in page.body, "the desk sees the call", page)

    def cure(self) -> None:
        with self.steps.step(f"a top-up of {TOP_UP} BTC cures the call"):
            self.send(TOP_UP, counted=2)
            self.shown("the cure", lambda: "active" in self.states(self.own()), seconds=90)
            page = self.officers[0].open(self.case)
            self.expect("cured" in self.states(page), "the desk sees the call cured", page)

    def sale(self) -> None:
        with self.steps.step(
            f"at {SALE:,} yen coverage is below 120 %: collateral is sold in slices until 150 % is back"
        ):
            self.bitcoin_costs(SALE)
            self.shown("the sale", lambda: "Sale of collateral" in self.own().text)
            self.shown(
                "the end of the sale",
                lambda: "done" in self.states(self.own()) and "in_sale" not in self.states(self.borrower.page),
            )
            slices = re.findall(r'data-state="final"', self.borrower.page.body)
            self.expect(len(slices) >= 2, f"the sale had several slices: {len(slices)}", self.borrower.page)
            self.expect(150 <= self.coverage() < 160, "the target is restored and little more", self.borrower.page)

    def comparison(self) -> None:
        """Coins really went to the exchange and back, so the books and the chains say the same."""
        officer = self.officers[0]
        with self.steps.step("what was not sold comes back from the exchange; the books agree with both chains"):
            waiting = "Collateral to and from the exchange"
            self.shown(
                "the way back", lambda: waiting not in officer.open("/lending/desk/work/").text, seconds=PRICE_SECONDS
            )
            page = officer.open("/lending/desk/assurance/")
            page = officer.submit(page.form("run"), button="run=comparison")
            self.expect(self.states(page)[:2] == ["agreed", "agreed"], "both comparisons agree", page)

    def repayment(self) -> None:
        first, second = self.officers
        with self.steps.step("the rest is repaid: recorded by one officer, confirmed by another"):
            owed = self.owed()
            page = first.open(self.case)
            today = self.today()
            page = self.press(
                first,
                page,
                "received_on",
                "reference",
                amount=f"{owed:,}",
                received_on=today,
                reference="SMOKE-REPAY-1",
            )
            self.expect("recorded" in self.states(page), "the money is recorded", page)
            self.expect(
                not first.open("/lending/desk/work/").has_form(containing="/lending/desk/repayments/"),
                "not by the same person",
            )
            self.press(second, second.open("/lending/desk/work/"), containing="/confirm/")
            self.shown("the end of the loan", lambda: "repaid" in self.states(self.own()), seconds=30)
            self.expect(self.owed() == 0, "nothing is owed", self.borrower.page)
        with self.steps.step("the closing statement (PDF) opens"):
            self.shown("the statement", lambda: re.search("Closing statement", self.own().text), seconds=60)
            self.opens_pdf(self.borrower.page, r"Closing statement")

    def owed(self) -> int:
        page = self.own()
        found = re.search(r"Owed\D*([\d,]+)", page.text)
        self.expect(found, "the page says what is owed", page)
        return int(found.group(1).replace(",", "")) if found else 0

    def today(self) -> str:
        from datetime import datetime

        return datetime.now(ZoneInfo("Asia/Tokyo")).date().isoformat()
