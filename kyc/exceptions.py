"""Named refusals of this app."""

from __future__ import annotations

from django.utils.functional import Promise

from portal.exceptions import DomainError, NotPermitted


class InvalidAnswers(DomainError):
    """Some answers of a section cannot be taken; `errors` maps field to sentences."""

    status_code = 400

    def __init__(self, message: str | Promise, *, code: str, errors: dict[str, list[str]]) -> None:
        super().__init__(message, code=code, errors=errors)
        self.errors = errors


class Incomplete(DomainError):
    """The application cannot be submitted yet."""


class FileRefused(DomainError):
    """The uploaded file is not one we can take; nothing was stored."""

    status_code = 400


class EvidenceUnreadable(DomainError):
    """The stored bytes cannot be read back: key missing, or the file was changed."""

    status_code = 500


class RetentionNotOver(DomainError):
    """Deletion was asked for before the legal period ended."""


class NotYourCase(NotPermitted):
    """This officer may not take this step on this case: own application, or somebody else's case."""


class ScreeningUndecided(DomainError):
    """Approval was asked for while a screening is pending or a hit is undecided."""


class VerificationNotAccepted(DomainError):
    """The evidence does not verify an identity under the rule in force on that day."""


class AttestationInvalid(DomainError):
    """The signature is not one the contract would take; nothing was submitted."""


class AttestationExpired(AttestationInvalid):
    """The time in which the signature could be used is over; sign again."""


class WalletRefused(DomainError):
    """This address cannot be the person's wallet, or cannot get a token now."""


class ListUnreadable(DomainError):
    """The sanctions list files are not in the published format; the list in use was not changed."""

    status_code = 400
