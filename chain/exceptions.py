"""The named failures of the chain engine."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from portal.exceptions import DomainError


class NodeUnavailable(DomainError):
    """The node did not answer, or answered with something that is not JSON-RPC. Trying again can help.

    For a call that changes something (`eth_sendRawTransaction`) it means *unknown*: the node may have taken it.
    """

    status_code = 503

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("The blockchain node cannot be reached right now. Nothing was changed. Please try again in a moment."),
            code="chain.node_unavailable",
            reason=reason,
        )
        self.reason = reason


class WrongChain(DomainError):
    """The node behind the URL is not the chain this installation was set up on."""

    status_code = 503

    def __init__(self, message: str | Promise, *, code: str = "chain.wrong_chain", **context: object) -> None:
        super().__init__(message, code=code, **context)


class CallRefused(DomainError):
    """The contract would revert this call. `reason` is the decoded error, e.g. `SecurityToken_Restricted(30)`."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("The contract refuses this call. Nothing was changed."), code="chain.call_refused", reason=reason
        )
        self.reason = reason


class InvalidAddress(DomainError):
    """What was typed is not an address of a holder."""

    status_code = 400


class IdempotencyConflict(DomainError):
    """The same idempotency key was used for another call. A mistake of the program, never of the person."""

    status_code = 500

    def __init__(self, key: str) -> None:
        super().__init__(
            _("This request was already made in another form. Nothing was changed."),
            code="chain.idempotency_conflict",
            key=key,
        )


class PolicyViolation(DomainError):
    """A signer was asked for something outside its policy. Nothing was signed."""

    status_code = 500

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("This signing key may not be used for that. Nothing was signed."),
            code="chain.policy_violation",
            reason=reason,
        )
        self.reason = reason


class SignerUnavailable(DomainError):
    """The key of a signer cannot be reached: no keystore file, or the password does not open it."""

    status_code = 503

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("The signing key cannot be used right now. Nothing was signed. An operator has to look at it."),
            code="chain.signer_unavailable",
            reason=reason,
        )
        self.reason = reason


class NotCancellable(DomainError):
    """The transaction is already in a block or over."""


class DeploymentFailed(DomainError):
    """Deploying the platform's contracts stopped; running it again goes on from there."""

    status_code = 500
