"""The base of every refusal a person may see."""

from django.utils.functional import Promise


class DomainError(Exception):
    """A business action was refused and nothing was changed.

    `message` is one translated sentence for the person who asked: what was asked, why not, that nothing moved,
    what to do. `code` is stable, dotted and untranslated (`tokens.transfer.recipient_not_verified`), for logs,
    tests and the small print beneath the sentence. `status_code` is the HTTP status if it reaches the middleware.
    """

    status_code = 409

    def __init__(self, message: str | Promise, *, code: str, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class NotPermitted(DomainError):
    """The person may not do this, whatever the state of the thing."""

    status_code = 403
