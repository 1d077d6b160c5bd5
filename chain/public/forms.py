"""What a visitor may ask of the chain."""

from __future__ import annotations

import re
from typing import Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from chain.exceptions import InvalidAddress
from chain.gateway import parse_address

_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
_SHAPE: Final = _(
    "This is neither an address nor a transaction. An address is 0x and 40 digits and letters from a to f, a transaction 0x and 64 of them. Copy it again, whole."
)


class CheckForm(forms.Form):
    """An address or a transaction, to be looked up."""

    is_search = True
    q = forms.CharField(
        label=_("Address or transaction"),
        max_length=200,
        help_text=_("An address (0x and 40 characters) or the hash of a transaction (0x and 64 characters)."),
        error_messages={"required": _("Enter an address or the hash of a transaction.")},
        widget=forms.TextInput({"type": "search", "spellcheck": "false", "autocomplete": "off", "class": "code"}),
    )

    def clean_q(self) -> str:
        """The hash in small letters, or the address with its checksum; another shape is explained."""
        text: str = self.cleaned_data["q"].strip()
        if _HASH.fullmatch(text.lower()):
            return text.lower()
        if not text.lower().startswith("0x") or len(text) != 42:
            raise ValidationError(_SHAPE, code="shape")
        try:
            return parse_address(text)
        except InvalidAddress as error:
            raise ValidationError(str(error.message), code=error.code) from error

    @property
    def asks_for_transaction(self) -> bool:
        return len(self.cleaned_data["q"]) == 66
