"""`make smoke`: the main job from sign-up to a refused theft, and a loan, over HTTP, as its users would do it.

Starts a fresh demo of its own (never the one in `.run`), walks through the real pages and forms, prints each step, and
stops and removes what it started. The exit status is 0 only if every step did what it should.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from portal.demo.layout import ROOT, Layout
from portal.demo.papers import sample_identity_card
from portal.demo.people import BY_KEY
from portal.demo.smoke_loan import LoanStory
from portal.demo.visitor import Page, Unexpected, Visitor

EMAIL = "deguchi@investor.example"
PASSWORD = "a rather long sentence 42"  # noqa: S105 - of an invented person in a throw-away installation
BOUGHT, GIVEN = 20, 7
#: The first bytes of a Windows program, under the name of a picture.
EXECUTABLE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00" + b"\x00" * 2048
ANSWERS: dict[str, dict[str, str]] = {
    "name": {
        "family_name": "出口",
        "given_name": "大輔",
        "family_kana": "デグチ",
        "given_kana": "ダイスケ",
        "family_romaji": "DEGUCHI",
        "given_romaji": "Daisuke",
        "birth_date": "1979-08-30",
    },
    "address": {
        "residence": "JP",
        "postal_code": "460-0008",
        "address": "愛知県名古屋市中区栄3-1-1",
        "phone": "0521234504",
        "nationality": "JP",
    },
    "purpose": {"purpose": "long_term", "occupation": "employee", "employer": "栄電機", "source_of_funds": "給与"},
    "pep": {"is_pep": "no"},
}


@dataclass
class Steps:
    """Prints each step with its time; a step that fails ends the run."""

    began: float = field(default_factory=time.monotonic)
    done: int = 0

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except BaseException:
            print(f"  ✗ {what}", flush=True)
            raise
        self.done += 1
        print(f"  ✓ {what}  ({time.monotonic() - started:.1f} s)", flush=True)


def expect(holds: object, what: str, page: Page | None = None) -> None:
    """Raise Unexpected, quoting the page, unless `holds`."""
    if not holds:
        quoted = f"; {page.url} ({page.status}) says: {page.text[:900]}" if page else ""
        raise Unexpected(f"{what}{quoted}")


def until(what: str, look: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Reload until the page shows it, as a person would."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Unexpected(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.5)


def states(page: Page) -> list[str]:
    """The states that the badges on a page stand for."""
    return re.findall(r'data-state="([a-z_]+)"', page.body)


def full_address(page: Page) -> str:
    found = re.search(r"0x[0-9a-fA-F]{40}", page.body)
    expect(found, "the page shows an address in full", page)
    return found.group(0) if found else ""


class Smoke:
    """The story, in order. Later steps use what earlier ones found."""

    def __init__(self, address: str, password: str) -> None:
        self.address, self.password = address, password
        self.steps = Steps()
        self.people: dict[str, Visitor] = {}

    def run(self) -> None:
        self.newcomer_signs_up()
        self.newcomer_applies()
        self.bad_documents_are_refused()
        self.newcomer_submits()
        for email in (EMAIL, BY_KEY["investor_c"].email):
            self.officers_verify(email)
        for who in ("newcomer", "investor_c"):
            self.token_becomes_active(who)
        self.placement()
        self.admission()
        self.bad_transfers_are_refused()
        self.transfer_goes_through()
        self.theft_is_refused()
        LoanStory(self).run()
        self.records_hold()

    def person(self, key: str) -> Visitor:
        """A sample person, signed in once."""
        if key not in self.people:
            visitor = Visitor(self.address)
            who = BY_KEY[key]
            visitor.sign_in(who.email, self.password, who.totp_secret)
            self.people[key] = visitor
        return self.people[key]

    # --- becoming a verified investor ------------------------------------------------------------------------------

    def newcomer_signs_up(self) -> None:
        visitor = Visitor(self.address)
        with self.steps.step("somebody new signs up"):
            page = visitor.open("/accounts/signup/")
            values = {"email": EMAIL, "password1": PASSWORD, "password2": PASSWORD}
            page = visitor.submit(page.form("email", "password1"), values)
            expect(page.has_form("code"), "sign-up asks for the code from the mail", page)
        with self.steps.step("confirms the e-mail address with the code that was sent"):
            code = until("the mail with the code", lambda: self.code_sent_to(EMAIL))
            page = visitor.submit(page.form("code"), {"code": code})
            expect(page.status == 200 and "confirm-email" not in page.path, "the code is taken", page)
        with self.steps.step("sets up an authenticator app"):
            visitor.email, visitor.password = EMAIL, PASSWORD
            page = visitor.confirm_identity(visitor.open("/accounts/2fa/totp/activate/"))
            secret = re.search(r"\b[A-Z2-7]{32}\b", page.body)
            expect(secret, "the page shows the secret", page)
            visitor.totp_secret = secret.group(0) if secret else ""
            page = visitor.submit(page.form("code"), {"code": visitor.code()})
            expect(page.status == 200 and "activate" not in page.path, "the code is taken", page)
        self.people["newcomer"] = visitor

    def code_sent_to(self, email: str) -> str:
        page = Visitor(self.address).open(f"/demo/inbox/?to={email}")
        mail = re.search(r'<pre class="mail-text"[^>]*>(.*?)</pre>', page.body, re.S)
        code = re.search(r"^\s*([A-Z0-9]{3,4}-?[A-Z0-9]{3,4})\s*$", mail.group(1), re.M) if mail else None
        return code.group(1) if code else ""

    def newcomer_applies(self) -> None:
        visitor = self.people["newcomer"]
        with self.steps.step("starts an application and answers its pages"):
            page = visitor.open("/kyc/start/")
            page = visitor.submit(page.form("kind"), {"kind": "individual"})
            for section, answers in ANSWERS.items():
                page = visitor.open(f"/kyc/application/{section}/")
                page = visitor.submit(page.form(*answers), answers)
                expect(page.status == 200, f"the answers of {section} are taken", page)

    def bad_documents_are_refused(self) -> None:
        visitor = self.people["newcomer"]
        bad = {
            "a renamed program": ("licence.jpg", EXECUTABLE, "image/jpeg"),
            "an empty file": ("licence.jpg", b"", "image/jpeg"),
            "a file of 11 MB": ("licence.pdf", b"%PDF-1.7\n" + b"0" * (11 * 1024 * 1024), "application/pdf"),
        }
        for what, upload in bad.items():
            with self.steps.step(f"{what} is refused in words, and nothing is kept"):
                page = visitor.open("/kyc/application/documents/")
                page = visitor.submit(page.form("kind", "file"), {"kind": "licence"}, files={"file": upload})
                expect(400 <= page.status < 500, "the upload is refused", page)
                page = visitor.open("/kyc/application/documents/")
                expect("/kyc/documents/" not in page.body, "no document is kept", page)

    def newcomer_submits(self) -> None:
        visitor = self.people["newcomer"]
        with self.steps.step("uploads the identity documents"):
            for kind in ("licence", "ic_chip"):
                picture = sample_identity_card(name="DEGUCHI Daisuke", birth_date="1979-08-30", side=kind)
                page = visitor.open("/kyc/application/documents/")
                upload = (f"{kind}.jpg", picture, "image/jpeg")
                page = visitor.submit(page.form("kind", "file"), {"kind": kind}, files={"file": upload})
                expect(page.status == 200, "the document is taken", page)
        with self.steps.step("checks the answers and submits the application"):
            page = visitor.open("/kyc/application/check/")
            page = visitor.submit(page.form("declares"), {"declares": "on"})
            expect("/kyc/status/" in page.path, "the application is submitted", page)

    def officers_verify(self, email: str) -> None:
        first, second = self.person("officer_1"), self.person("officer_2")
        name = email.split("@", 1)[0]
        with self.steps.step(f"screening of {name} is done, the first officer claims the case"):
            case = until("the case in the queue", lambda: self.case_of(first, email))
            page = first.open(case)
            page = first.submit(page.form(containing="/claim/"))
            until("the screening", lambda: self.is_screened(first.open(case)))
        with self.steps.step(f"the first officer approves {name}"):
            page = first.open(case)
            values = {"verdict": "approve", "risk_rating": "low", "reason": "Documents and answers agree."}
            page = first.submit(page.form("verdict", "reason"), values)
            expect("approved_first" in states(page), "the first approval is recorded", page)
        with self.steps.step("the first officer cannot confirm their own approval"):
            expect(not first.page.has_form(containing="/confirm/"), "no confirmation is offered", first.page)
        with self.steps.step(f"the second officer confirms {name}"):
            page = second.open(case)
            form = page.form("agrees", "reason", containing="/confirm/")
            choice = next(value for value in form.choices["agrees"] if value.lower() in ("yes", "true", "on", "1"))
            page = second.submit(form, {"agrees": choice, "reason": "Checked again."})
            expect("approved" in states(page), "the confirmation is recorded", page)
        with self.steps.step(f"the attestation for {name} is signed (EIP-712) and the token asked for"):
            page = first.open(case)
            page = first.confirm_identity(first.submit(page.form(containing="/attest/")))
            found = set(states(page)) & {"issuing", "pending", "active"}
            expect(found, "the token is on its way", page)

    def case_of(self, officer: Visitor, email: str) -> str:
        page = officer.open(f"/kyc/queue/?state=all&search={email}")
        found = re.search(r"/kyc/cases/\d+/", page.body)
        return found.group(0) if found else ""

    def is_screened(self, page: Page) -> bool:
        return page.has_form("verdict", "reason") and not page.has_form(containing="/screen/")

    def token_becomes_active(self, who: str) -> None:
        visitor = self.people.get(who) or self.person(who)
        with self.steps.step(f"{who} sees the token go from pending to active on the chain"):
            seen: list[str] = []

            def look() -> bool:
                seen.extend(states(visitor.open("/kyc/status/")))
                return "active" in seen

            until("the active token", look, seconds=90)
            expect("0x" in visitor.page.body, "the page shows wallet and transaction", visitor.page)

    # --- placement -------------------------------------------------------------------------------------------------

    def placement(self) -> None:
        issuer, investor = self.person("issuer_1"), self.people["newcomer"]
        with self.steps.step("the issuer invites the new investor to the placement"):
            page = issuer.open("/tokens/securities/")
            found = re.search(r"/tokens/securities/(\d+)/", page.body)
            expect(found, "the bond stands in the issuer's list", page)
            self.security = found.group(1) if found else ""
            page = issuer.open(f"/tokens/securities/{self.security}/placement/?search={EMAIL}")
            form = page.form("investor")
            page = issuer.submit(form, {"investor": next(value for value in form.choices["investor"] if value)})
            expect(page.status == 200, "the invitation is recorded", page)
        with self.steps.step(f"the investor subscribes for {BOUGHT} units"):
            page = investor.open("/tokens/subscriptions/")
            offer = re.search(r"/tokens/subscriptions/(\d+)/", page.body)
            expect(offer, "the offer stands in the investor's list", page)
            number = offer.group(1) if offer else ""
            page = investor.open(f"/tokens/subscriptions/{number}/subscribe/")
            form = page.form("units")
            values = {name: "on" for name in form.names if name.startswith("accept_")} | {"units": str(BOUGHT)}
            page = investor.confirm_identity(investor.submit(form, values))
            expect("subscribed" in states(page), "the subscription is recorded", page)
        with self.steps.step("the issuer books the payment"):
            page = issuer.open(f"/tokens/placement/{number}/")
            page = issuer.confirm_identity(issuer.submit(page.form("amount", "reference"), {"reference": "SMOKE-1"}))
            expect("paid" in states(page), "the payment is booked", page)
        with self.steps.step("the issuer allocates, admits and issues; the units become final"):
            page = issuer.submit(page.form("units", containing="/allocate/"), {"units": str(BOUGHT)})
            page = issuer.confirm_identity(page)
            page = issuer.submit(page.form(containing="/issue/"))
            page = issuer.confirm_identity(page)
            until("the final allotment", lambda: "allotted" in states(issuer.open(f"/tokens/placement/{number}/")))
            page = investor.open(f"/tokens/holdings/{self.security}/")
            expect("final" in states(page) and str(BOUGHT) in page.text, "the investor sees the units", page)

    def admission(self) -> None:
        recipient, issuer = self.person("investor_c"), self.person("issuer_1")
        with self.steps.step(
            "a transfer to somebody not yet admitted is refused by the pre-check, with the chain's code 30"
        ):
            self.recipient = full_address(recipient.open("/tokens/receive/"))
            body = self.precheck(self.recipient, str(GIVEN))
            expect('data-precheck="refused"' in body and "RECEIVER_NOT_ADMITTED" in body, f"refused: {body[:600]}")
        with self.steps.step("the recipient asks to be admitted, and the issuer admits them"):
            isin = re.search(
                r"\bJP[0-9A-Z]{9}\d\b", self.people["newcomer"].open(f"/tokens/holdings/{self.security}/").text
            )
            expect(isin, "the holder sees the ISIN", self.people["newcomer"].page)
            page = recipient.open("/tokens/receive/")
            page = recipient.submit(page.form("isin"), {"isin": isin.group(0) if isin else ""})
            page = issuer.open("/tokens/admissions/")
            page = issuer.confirm_identity(issuer.submit(page.form(containing="/approve/")))
            until("the admission", lambda: "admitted" in states(recipient.open("/tokens/receive/")))

    # --- transfers -------------------------------------------------------------------------------------------------

    def precheck(self, recipient: str, amount: str, *, who: str = "newcomer") -> str:
        """What the page answers while the holder types."""
        path = f"/tokens/transfers/new/{self.security}/precheck/"
        return (
            self.people[who]
            .session.get(self.address + path, params={"recipient": recipient, "amount": amount}, timeout=30)
            .text
        )

    def bad_transfers_are_refused(self) -> None:
        holder = self.people["newcomer"]
        wrong_case = self.recipient[:2] + self.recipient[2:].swapcase()
        contract = self.contract_of_the_bond()
        own = full_address(holder.open("/tokens/receive/"))
        cases = {
            "an address with a bad checksum": (wrong_case, "1"),
            "a cut-off address": (self.recipient[:-1], "1"),
            "the security's own contract": (contract, "1"),
            "oneself": (own, "1"),
            "zero units": (self.recipient, "0"),
            "a negative amount": (self.recipient, "-3"),
            "half a unit": (self.recipient, "0.5"),
            "more than one holds": (self.recipient, str(BOUGHT + 1)),
            "an amount beyond all numbers": (self.recipient, "9" * 90),
        }
        with self.steps.step(f"bad input is refused in words: {', '.join(cases)}"):
            for what, (recipient, amount) in cases.items():
                page = holder.open(f"/tokens/transfers/new/{self.security}/")
                page = holder.submit(page.form("recipient", "amount"), {"recipient": recipient, "amount": amount})
                refused = 400 <= page.status < 500 and "/confirm/" not in page.path and page.has_form("amount")
                expect(refused, f"{what} is refused", page)

    def contract_of_the_bond(self) -> str:
        """The bond's contract, from the issuer's page about it."""
        page = self.person("issuer_1").open(f"/tokens/securities/{self.security}/")
        return full_address(page)

    def transfer_goes_through(self) -> None:
        holder, recipient = self.people["newcomer"], self.person("investor_c")
        with self.steps.step("the pre-check says that nothing stands in the way"):
            expect('data-precheck="ok"' in self.precheck(self.recipient, str(GIVEN)), "the pre-check is good")
        with self.steps.step(f"the holder confirms the transfer of {GIVEN} units with the second factor"):
            page = holder.open(f"/tokens/transfers/new/{self.security}/")
            values = {"recipient": self.recipient, "amount": str(GIVEN)}
            page = holder.confirm_identity(holder.submit(page.form("recipient", "amount"), values))
            confirmation = page.form("form_token", "recipient")
            page = holder.confirm_identity(holder.submit(confirmation))
            expect(re.search(r"/tokens/transfers/\d+/", page.path), "the transfer is asked for", page)
            self.transfer = page.path
        with self.steps.step("a second click on the same form makes no second transfer"):
            page = holder.submit(confirmation)
            expect(page.path == self.transfer, "the repeat leads to the same transfer", page)
        with self.steps.step("both sides see it become final"):
            until("the final transfer", lambda: "final" in states(holder.open(self.transfer)))
            detail = f"/tokens/holdings/{self.security}/"
            for visitor, units in ((holder, BOUGHT - GIVEN), (recipient, GIVEN)):
                until("the final balance", lambda v=visitor: "final" in states(v.open(detail)))  # type: ignore[misc]
                expect(re.search(rf"\b{units}\b", visitor.page.text), f"{units} units are shown", visitor.page)

    def theft_is_refused(self) -> None:
        holder = self.people["newcomer"]
        thief = thief_address()
        with self.steps.step("a transfer to the thief is refused by the pre-check: no verified identity"):
            body = self.precheck(thief, "1")
            expect('data-precheck="refused"' in body and "RECEIVER_NO_SBT" in body, f"refused: {body[:600]}")
            page = holder.open(f"/tokens/transfers/new/{self.security}/")
            page = holder.submit(page.form("recipient", "amount"), {"recipient": thief, "amount": "1"})
            expect(page.status == 400, "the form refuses it as well", page)
        with self.steps.step(
            "the same transfer, sent to the chain with the holder's stolen key, is refused by the contract"
        ):
            own = full_address(holder.open("/tokens/receive/"))
            send_with_the_raw_key(own, thief, 1, token=self.contract_of_the_bond())
        with self.steps.step("nothing has moved"):
            page = holder.open(f"/tokens/holdings/{self.security}/")
            expect(re.search(rf"\b{BOUGHT - GIVEN}\b", page.text), "the holder still has all units", page)

    def records_hold(self) -> None:
        with self.steps.step("the audit trail is whole"):
            auditor = self.person("auditor")
            page = auditor.open("/audit/")
            expect(page.status == 200, "the auditor reads the audit trail", page)
            done = manage("shell", "-v", "0", "-c", "from portal.audit import first_break; print(first_break())")
            expect(done.stdout.strip().endswith("None"), f"no seal is broken: {done.stdout} {done.stderr[-400:]}")


# --- outside the portal ------------------------------------------------------------------------------------------------


def thief_address() -> str:
    """The address of somebody who never proved who they are."""
    from portal.demo.people import stranger_address

    return stranger_address()


def send_with_the_raw_key(holder: str, thief: str, units: int, *, token: str) -> None:
    """Sign `transfer(thief, units)` with the key taken from the keystore and send it past the portal.

    The gas is named, so that the node does not refuse it beforehand: the contract itself has to. Raises Unexpected if
    the transaction goes through.
    """
    import json

    from eth_abi import encode  # type: ignore[attr-defined]
    from eth_account import Account
    from eth_utils.crypto import keccak

    environment = demo_environment()
    files = Path(environment["KEYSTORE_DIR"]).rglob("*")
    stored = next(
        json.loads(path.read_text())
        for path in files
        if path.is_file() and holder[2:].lower() in path.read_text().lower().replace("0x", "")
    )
    key = Account.decrypt(stored, environment["KEYSTORE_PASSWORD"])
    node = environment["CHAIN_RPC_URL"]

    def ask(method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = requests.post(node, json=body, timeout=30).json()
        expect("error" not in answer, f"{method}: {answer.get('error')}")
        return answer["result"]

    data = keccak(text="transfer(address,uint256)")[:4] + encode(["address", "uint256"], [thief, units])
    ask("anvil_setBalance", holder, hex(10**18))  # a thief brings their own gas
    signed = Account.sign_transaction(
        {
            "chainId": int(environment["CHAIN_ID"]),
            "nonce": int(ask("eth_getTransactionCount", holder, "latest"), 16),
            "to": token,
            "value": 0,
            "data": data,
            "gas": 300_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        },
        key,
    )
    sent = ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    receipt = until("the block", lambda: ask("eth_getTransactionReceipt", sent))
    expect(receipt["status"] == "0x0", "the chain refuses the transfer")


_RUN = ".run-smoke"


def demo_environment() -> dict[str, str]:
    """The environment of the demo's processes; the thief of this story got hold of it."""
    from portal.demo.__main__ import _environment_of
    from portal.demo.stack import running_pid

    return _environment_of(running_pid(Layout.at(_RUN)) or 0)


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=demo_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def _demo(*arguments: str) -> int:
    command = [sys.executable, "-m", "portal.demo", "--run", _RUN, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    layout = Layout.at(_RUN)
    began = time.monotonic()
    _demo("down")
    shutil.rmtree(layout.run, ignore_errors=True)
    smoke: Smoke | None = None
    passed = False
    try:
        print("starting a fresh demo", flush=True)
        if _demo("up", "--detach", "--port", "8100") != 0:
            return 1
        known = layout.secrets()
        os.environ.update({name: known[name] for name in ("DEMO_TOTP_SEED", "DEMO_PASSWORD")})
        smoke = Smoke(layout.ready_file.read_text(), known["DEMO_PASSWORD"])
        smoke.run()
        passed = True
    except (Unexpected, requests.RequestException, OSError, LookupError, StopIteration) as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        print(_last_errors(layout), file=sys.stderr, flush=True)
    finally:
        _demo("down")
        if passed or not os.environ.get("KEEP_SMOKE"):
            shutil.rmtree(layout.run, ignore_errors=True)
    steps = smoke.steps.done if smoke else 0
    print(f"\nSMOKE {'passed' if passed else 'FAILED'} steps={steps} seconds={time.monotonic() - began:.0f}")
    return 0 if passed else 1


def _last_errors(layout: Layout) -> str:
    """What the processes complained about, for whoever has to find out."""
    lines = []
    for name in ("web", "worker"):
        with contextlib.suppress(OSError):
            text = (layout.logs / f"{name}.log").read_text(errors="replace").splitlines()
            lines += [f"[{name}] {line}" for line in text if "ERROR" in line or "Error:" in line][-8:]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
