"""Named refusals about prices."""

from portal.exceptions import DomainError


class PriceRefused(DomainError):
    """The breaker cannot be closed like that."""
