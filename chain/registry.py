"""What the other apps tell `chain` about themselves, in `AppConfig.ready`, so that `chain` never imports them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portal.models import User
from portal.registry import Registry, Text

if TYPE_CHECKING:
    from chain.models import ChainTransaction, Signer

#: May this person see the transaction that serves this subject (`"kyc.application:12"`)?
SubjectRule = Callable[[User, str], bool]
#: The chain addresses that belong to this person.
AddressesOf = Callable[[User], Iterable[str]]
#: Names of people for a set of addresses, as far as this reader may know them.
NamesOf = Callable[[User, Iterable[str]], dict[str, str]]


class Visibility:
    """Who may see which transaction. Nobody has said yes: no."""

    def __init__(self) -> None:
        self._rules: dict[str, SubjectRule] = {}
        self._addresses: list[AddressesOf] = []
        self._names: list[NamesOf] = []

    def register(self, kind: str, rule: SubjectRule) -> None:
        """Let `rule` decide for subjects `"<kind>:<id>"`, e.g. kind `kyc.application`. Registering again replaces it."""
        self._rules[kind] = rule

    def register_addresses(self, addresses_of: AddressesOf) -> None:
        """Count a person as party to every event that names one of these addresses."""
        if addresses_of not in self._addresses:
            self._addresses.append(addresses_of)

    def register_names(self, names_of: NamesOf) -> None:
        """Give names to addresses on the pages of `chain`."""
        if names_of not in self._names:
            self._names.append(names_of)

    def allows(self, user: User, subject: str) -> bool:
        """What the app behind `subject` says; no rule for it means no."""
        kind, separator, _ = subject.partition(":")
        rule = self._rules.get(kind)
        return bool(separator and rule and rule(user, subject))

    def addresses_of(self, user: User) -> set[str]:
        """Every address of this person that an app knows."""
        return {address for provider in self._addresses for address in provider(user)}

    def names_of(self, user: User, addresses: Iterable[str]) -> dict[str, str]:
        """Names this reader may see for some of `addresses`."""
        wanted = list(addresses)
        return {address: name for provider in self._names for address, name in provider(user, wanted).items()}


visibility = Visibility()

#: Kinds of incidents of the other apps: what each means and what to do.
incident_meanings: Registry[Mapping[str, Text]] = Registry()


# --- the public pages --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublicName:
    """What everybody may know a security by, and the page about it."""

    name: str
    symbol: str
    decimals: int
    url: str


#: The securities that everybody may know of, by the address of their contract. One query.
PublicNames = Callable[[], dict[str, PublicName]]


class PublicSecurities:
    """The securities named on the public pages of `chain`. Nobody has said any: none."""

    def __init__(self) -> None:
        self._providers: list[PublicNames] = []

    def register(self, provider: PublicNames) -> None:
        if provider not in self._providers:
            self._providers.append(provider)

    def names(self) -> dict[str, PublicName]:
        return {token: name for provider in self._providers for token, name in provider().items()}


public_securities = PublicSecurities()


# --- the incident desk ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueSeen:
    """A verification token as the chain says it was issued or renewed."""

    holder: str
    subject: str
    attestor: str
    evidence_hash: str


#: Did two officers of ours approve exactly this? Nobody has said yes: no.
IssueCheck = Callable[[IssueSeen], bool]
#: Attest this holder's token again by the actor's key; raises `DomainError` for one that cannot be.
Reattest = Callable[[str, User, str], "ChainTransaction | None"]
#: Give the person behind this holder a new wallet with a token of its own, by the actor's key; raises `DomainError`.
NewWallet = Callable[[str, User, str], "ChainTransaction | None"]
#: A key took over from another: `(old, new, who asked)`, in the database transaction of the change.
RotationFollower = Callable[["Signer", "Signer", User | str], object]


class Desk:
    """What the apps answer to the incident desk."""

    def __init__(self) -> None:
        self._expected: list[IssueCheck] = []
        self._reattest: Reattest | None = None
        self._new_wallet: NewWallet | None = None
        self.rotation_followers: list[RotationFollower] = []

    def register_expected_issue(self, check: IssueCheck) -> IssueCheck:
        """Let `check` say that an issue or renewal has an approval behind it."""
        if check not in self._expected:
            self._expected.append(check)
        return check

    def register_reattestation(self, reattest: Reattest) -> Reattest:
        """Let `reattest(holder, actor, reason)` ask for a fresh attestation of one holder's token."""
        self._reattest = reattest
        return reattest

    def register_new_wallet(self, give: NewWallet) -> NewWallet:
        """Let `give(holder, actor, reason)` ask for a new wallet for the person behind a holder."""
        self._new_wallet = give
        return give

    def register_rotation(self, follower: RotationFollower) -> RotationFollower:
        """Let `follower` know when a key of ours took over from another."""
        if follower not in self.rotation_followers:
            self.rotation_followers.append(follower)
        return follower

    def is_expected(self, issue: IssueSeen) -> bool:
        """Whether any app stands behind this issue."""
        return any(check(issue) for check in self._expected)

    @property
    def new_wallet(self) -> NewWallet | None:
        return self._new_wallet

    @property
    def reattest(self) -> Reattest | None:
        return self._reattest


desk = Desk()
