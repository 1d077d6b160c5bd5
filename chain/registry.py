"""What the other apps tell `chain` about themselves, in `AppConfig.ready`, so that `chain` never imports them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from portal.models import User

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
