"""What can go wrong with Bitcoin, by name."""

from __future__ import annotations

from django.utils.translation import gettext as _

from portal.exceptions import DomainError


class BitcoinNotSetUp(DomainError):
    """A setting is missing or does not fit the network."""

    status_code = 503


class InvalidBitcoinAddress(DomainError):
    """The text is no address of this network to which coins can be sent."""

    status_code = 400


class EsploraUnavailable(DomainError):
    """The service did not answer in time, or answered that it cannot: asking again later may help."""

    status_code = 503

    def __init__(self, detail: str) -> None:
        super().__init__(
            _("The Bitcoin network cannot be asked at the moment. Nothing was changed. Try again in a few minutes."),
            code="lending.bitcoin.unavailable",
            detail=detail,
        )
        self.detail = detail


class EsploraNonsense(DomainError):
    """The service answered with something that its own API rules out: nothing of it is used."""

    status_code = 502

    def __init__(self, detail: str) -> None:
        super().__init__(
            _("The Bitcoin service gave an answer that cannot be right. It was not used and nothing was changed."),
            code="lending.bitcoin.nonsense",
            detail=detail,
        )
        self.detail = detail


class EsploraNotFound(DomainError):
    """The service does not know what was asked for (any longer)."""

    status_code = 404

    def __init__(self, detail: str) -> None:
        super().__init__(_("The Bitcoin network does not know this."), code="lending.bitcoin.not_found", detail=detail)


class PsbtRefused(DomainError):
    """No transaction can be prepared, or what came back is not the one that was prepared."""
