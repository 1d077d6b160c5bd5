"""The app's named refusals. Each carries the sentence for the person and a stable code."""

from portal.exceptions import DomainError, NotPermitted


class NotYourRole(NotPermitted):
    """The person's role, or their part in the matter, does not include this action."""


class TwoPersonRule(NotPermitted):
    """The person who made it cannot be the one who approves it."""


class TermsNotAllowed(DomainError):
    """Terms, a limit or a bank day cannot be as given."""

    status_code = 400


class NoTerms(DomainError):
    """Nothing approved is in force for this currency and kind of borrower."""


class CreditRefused(DomainError):
    """The application or the decision does not fit."""

    status_code = 400


class LoanRefused(DomainError):
    """The loan, draw, repayment or renewal does not fit."""

    status_code = 400


class OverTheCap(DomainError):
    """More was asked for than a cap leaves."""

    status_code = 400


class LimitReached(DomainError):
    """A hard limit of the desk stands in the way."""


class NoAcceptedPrice(DomainError):
    """There is no accepted price, so nothing can be valued."""

    status_code = 503


class FormReused(DomainError):
    """The same form or key came back with other contents."""


class NotFound(DomainError):
    """There is no such thing for this person."""

    status_code = 404
