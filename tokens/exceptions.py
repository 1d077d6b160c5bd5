"""The app's named refusals. Each carries the sentence for the person and a stable code."""

from portal.exceptions import DomainError, NotPermitted


class NotYourRole(NotPermitted):
    """The person's role does not include this action."""


class TermsNotAllowed(DomainError):
    """The terms or a document of a security cannot be as given."""

    status_code = 400


class TwoPersonRule(NotPermitted):
    """The person who made it cannot be the one who approves it."""


class SolicitationRefused(DomainError):
    """One more solicited person would break the placement rule."""


class InvestorNotEligible(DomainError):
    """The investor has no effective SBT, or is not of the kind this placement is for."""


class SubscriptionRefused(DomainError):
    """The subscription, payment or allocation does not fit."""

    status_code = 400


class TransferRefused(DomainError):
    """The pre-check says the contract would refuse, or the request makes no sense. Nothing was submitted."""

    status_code = 400


class FormReused(DomainError):
    """The same form came back with other contents."""


class AdmissionRefused(DomainError):
    """The admission cannot be asked for or given."""


class ControlRefused(DomainError):
    """The pause, freeze, dismissal or recovery does not fit."""

    status_code = 400
