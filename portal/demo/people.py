"""The sample people, how they sign in, and the codes their second factor would show."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
import time
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_STEP_SECONDS = 30


@dataclass(frozen=True)
class SamplePerson:
    """Somebody of the sample world. `role` is a `portal.models.Role` value, or empty for an investor."""

    key: str
    email: str
    name: str
    kana: str
    role: str
    does: str | Promise

    @property
    def totp_secret(self) -> str:
        """Base32 seed of this person's second factor; differs from installation to installation."""
        seed = os.environ.get("DEMO_TOTP_SEED", "")
        return base64.b32encode(hmac.new(seed.encode(), self.email.encode(), hashlib.sha256).digest()[:20]).decode()


PEOPLE = (
    SamplePerson("investor_a", "aoki@investor.example", "青木 葵", "アオキ アオイ", "", _("Investor A: verified, holds part of the bond")),
    SamplePerson("investor_b", "baba@investor.example", "馬場 文香", "ババ フミカ", "", _("Investor B: verified and admitted, may receive the bond")),
    SamplePerson("investor_c", "chiba@investor.example", "千葉 千尋", "チバ チヒロ", "", _("Investor C: has just applied and waits for the review")),
    SamplePerson("thief", "nusumi@stranger.example", "", "", "", _("A stranger with a wallet and no proof of identity: nobody can send them the bond")),
    SamplePerson("officer_1", "okada@kyc.example", "岡田 治", "オカダ オサム", "kyc_officer", _("KYC officer: reviews applications and attests")),
    SamplePerson("officer_2", "ono@kyc.example", "小野 理沙", "オノ リサ", "kyc_officer", _("Second KYC officer: confirms what the first decided")),
    SamplePerson("issuer_1", "sato@issuer.example", "佐藤 誠", "サトウ マコト", "issuer", _("Issuer: offers the bond, records payments, allocates")),
    SamplePerson("issuer_2", "saito@issuer.example", "斎藤 司", "サイトウ ツカサ", "issuer", _("Second person of the issuer: approves what the first prepared")),
    SamplePerson("loan_officer_1", "murata@loans.example", "村田 健", "ムラタ ケン", "loan_officer", _("Loan officer: reviews credit, watches the book, prepares what the second signs off")),
    SamplePerson("loan_officer_2", "mori@loans.example", "森 明日香", "モリ アスカ", "loan_officer", _("Second loan officer: confirms what the first decided")),
    SamplePerson("administrator", "kanri@musubi.example", "神田 涼", "カンダ リョウ", "administrator", _("Administrator: people, roles, the chain console")),
    SamplePerson("auditor", "kansa@musubi.example", "関 紗英", "セキ サエ", "auditor", _("Auditor: sees everything, changes nothing")),
)  # fmt: skip

BY_KEY = {person.key: person for person in PEOPLE}


def password() -> str:
    """The one password of all sample people; made with the installation."""
    return os.environ["DEMO_PASSWORD"]


def current_code(secret: str, *, at: float | None = None) -> str:
    """What an authenticator shows for a base32 secret: RFC 6238, SHA-1, six digits, thirty seconds."""
    counter = int((time.time() if at is None else at) // _STEP_SECONDS)
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", counter), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def seconds_left(*, at: float | None = None) -> int:
    """How long the codes now shown stay good."""
    return _STEP_SECONDS - int((time.time() if at is None else at) % _STEP_SECONDS)


def stranger_key() -> bytes:
    """The private key of the stranger's wallet: theirs alone, and different in every installation."""
    return hashlib.sha256(b"stranger" + os.environ["DEMO_TOTP_SEED"].encode()).digest()


def stranger_address() -> str:
    """The stranger's wallet: a good address behind which nobody has proved who they are."""
    from eth_account import Account

    return str(Account.from_key(stranger_key()).address)
