"""Shapes of what people type; errors in the reader's words."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain.exceptions import InvalidAddress
from chain.gateway import parse_address
from kyc.models import Wallet
from portal.models import User
from portal.money import MINOR_DIGITS, Money
from portal.units import InvalidAmount, parse_units
from tokens.models import TOKYO, AddressBookEntry, ControlAction, Security
from tokens.services import ACKNOWLEDGEMENTS


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class UnitsField(forms.CharField):
    """A whole amount of a security, as people type it: digits, commas, full-width digits."""

    def __init__(self, *, decimals: int = 0, allow_zero: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}))
        super().__init__(**kwargs)
        self.decimals, self.allow_zero = decimals, allow_zero

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        if self.allow_zero and text.strip() in ("0", "０"):
            return 0
        try:
            return parse_units(text, decimals=self.decimals)
        except InvalidAmount as error:
            raise forms.ValidationError(str(error.message), code=error.code) from error


class AddressTextField(forms.CharField):
    """An address with its checksum."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false", "class": "address-input"}
        kwargs.setdefault("widget", forms.TextInput(attrs=attrs))
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if not text:
            return ""
        try:
            return parse_address(text)
        except InvalidAddress as error:
            raise forms.ValidationError(str(error.message), code=error.code) from error


class SecurityForm(forms.Form):
    """The terms of a bond, in the words of its term sheet."""

    name = forms.CharField(label=_("Name of the security"), max_length=120)
    symbol = forms.CharField(
        label=_("Short code"), max_length=12, help_text=_("2 to 12 capital letters, digits or hyphens.")
    )
    isin = forms.CharField(
        label=_("ISIN"), max_length=12, help_text=_("Twelve characters; the last one is the check digit.")
    )
    issuer_name = forms.CharField(label=_("Issuer"), max_length=120)
    currency = forms.ChoiceField(label=_("Currency"), choices=Security.Currency.choices)
    authorised_amount = forms.DecimalField(
        label=_("Amount of the issue"),
        min_value=Decimal("0.01"),
        max_digits=20,
        decimal_places=2,
        help_text=_("In the currency, for example 1000000000 for one billion yen."),
    )
    face_value = forms.DecimalField(
        label=_("Denomination"),
        min_value=Decimal("0.01"),
        max_digits=20,
        decimal_places=2,
        help_text=_("Face value of one unit, for example 100000."),
    )
    rate_percent = forms.DecimalField(
        label=_("Interest rate, percent a year"),
        min_value=0,
        max_value=100,
        max_digits=5,
        decimal_places=2,
        help_text=_("For example 0.80."),
    )
    issue_date = forms.DateField(label=_("Issue date"), widget=DateInput())
    record_date = forms.DateField(
        label=_("Record date"), widget=DateInput(), help_text=_("Who holds on this day is paid at maturity.")
    )
    maturity_date = forms.DateField(label=_("Maturity date"), widget=DateInput())
    placement_type = forms.ChoiceField(
        label=_("Placement"), choices=Security.PlacementType.choices, widget=forms.RadioSelect
    )
    minimum_lot_units = UnitsField(label=_("Minimum lot, in units"), initial="1")
    whole_balance_only = forms.BooleanField(label=_("A holder may pass on only the whole holding"), required=False)
    lock_up_until = forms.DateField(
        label=_("Lock-up until"),
        widget=DateInput(),
        required=False,
        help_text=_("Before this day nobody may pass it on."),
    )
    holder_cap = forms.IntegerField(
        label=_("Most holders at a time"), min_value=0, initial=0, help_text=_("0 means no limit.")
    )

    @classmethod
    def initial_of(cls, security: Security) -> dict[str, Any]:
        """A draft's terms in the words of this form."""
        shared = {name: getattr(security, name) for name in cls.base_fields if hasattr(security, name)}
        places = MINOR_DIGITS[security.currency]
        return {
            **shared,
            "authorised_amount": f"{security.authorised_amount.amount:.{places}f}",
            "face_value": f"{security.face_value:.{places}f}",
            "rate_percent": Decimal(security.rate_bps) / 100,
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        amount, face = data.get("authorised_amount"), data.get("face_value")
        if amount and face and amount % face:
            self.add_error("authorised_amount", _("The amount is not a whole number of denominations."))
        issue, record, maturity = (data.get(name) for name in ("issue_date", "record_date", "maturity_date"))
        if issue and maturity and maturity <= issue:
            self.add_error("maturity_date", _("The maturity date must be after the issue date."))
        if record and maturity and record > maturity:
            self.add_error("record_date", _("The record date must not be after the maturity date."))
        lock_up = data.get("lock_up_until")
        if lock_up and maturity and lock_up > maturity:
            self.add_error("lock_up_until", _("The lock-up must not end after the maturity date."))
        return data

    def terms(self) -> dict[str, Any]:
        """What the services take: base units and basis points."""
        data = dict(self.cleaned_data)
        amount = data.pop("authorised_amount")
        data["authorised_units"] = int(amount / data["face_value"])
        data["rate_bps"] = int(data.pop("rate_percent") * 100)
        data["isin"] = data["isin"].strip().upper()
        data["symbol"] = data["symbol"].strip().upper()
        return data


class DocumentForm(forms.Form):
    name = forms.CharField(label=_("Name of the document"), max_length=80)
    file = forms.FileField(label=_("PDF file"), help_text=_("PDF, at most 10 MB. Its hash will be in the contract."))


class DocumentCheckForm(forms.Form):
    """A file whose hash the browser works out. It is never sent: the field stands in no form."""

    file = forms.FileField(
        label=_("Document"),
        required=False,
        help_text=_("The file stays on your device. Your browser works out its hash and compares it."),
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=1000)


class InviteForm(forms.Form):
    investor = forms.ModelChoiceField(label=_("Investor"), queryset=User.objects.none(), empty_label=_("Choose"))

    def __init__(self, *args: Any, people: Iterable[tuple[User, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = {user.pk: name for user, name in people}
        field = self.fields["investor"]
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = User.objects.filter(pk__in=known)
            field.label_from_instance = lambda user: f"{known.get(user.pk, '')} · {user.email}"  # type: ignore[method-assign, assignment]


#: The statements an investor accepts, by the codes that are kept with the subscription.
STATEMENTS = {
    "risk": _("I understand that the issuer may fail to pay interest or principal, and that I may lose what I invest."),
    "lock_up": _("I understand that I can pass this security on only to verified people whom the issuer admits."),
    "documents": _("I have read the documents of this issue."),
    "own_judgement": _("This investment fits my knowledge, my means and my purpose."),
}


class ChosenWalletForm(forms.Form):
    """Asks which of several wallets; whoever has only one is not asked."""

    def __init__(self, *args: Any, wallets: Sequence[Wallet] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wallets = [str(wallet.address) for wallet in wallets]
        choices = [(str(wallet.address), f"{wallet.get_kind_display()} · {wallet.address}") for wallet in wallets]
        if len(choices) > 1:
            self.fields["wallet"] = forms.ChoiceField(
                label=_("Into which of your wallets"),
                choices=choices,
                initial=choices[0][0],
                widget=forms.RadioSelect,
            )

    def wallet(self) -> str:
        """The address that was chosen, or the only one; "" for a person without any, whom the service refuses."""
        return str(self.cleaned_data.get("wallet", "")) or next(iter(self._wallets), "")


class SubscribeForm(ChosenWalletForm):
    """How many units, into which wallet, and one tick per statement."""

    def __init__(self, *args: Any, security: Security, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["units"] = UnitsField(label=_("Units"), decimals=security.decimals)
        for code in ACKNOWLEDGEMENTS:
            self.fields[f"accept_{code}"] = forms.BooleanField(
                label=STATEMENTS[code], error_messages={"required": _("Read and accept this statement.")}
            )

    def acknowledgements(self) -> list[str]:
        return [code for code in ACKNOWLEDGEMENTS if self.cleaned_data.get(f"accept_{code}")]


class PaymentForm(forms.Form):
    amount = forms.DecimalField(label=_("Amount received"), max_digits=20, decimal_places=2)
    received_on = forms.DateField(label=_("Received on"), widget=DateInput())
    reference = forms.CharField(label=_("Bank reference"), max_length=80)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        self.fields["received_on"].initial = timezone.now().astimezone(TOKYO).date()

    def money(self) -> Money:
        return Money(self.cleaned_data["amount"], self.currency)


class AllocateForm(forms.Form):
    units = UnitsField(label=_("Units allocated"), allow_zero=True, help_text=_("0 if nothing is allocated."))


class TransferForm(forms.Form):
    """Recipient and amount; `form_token` makes a repeated form the same transfer."""

    recipient = AddressTextField(
        label=_("Recipient's address"), max_length=64, help_text=_("42 characters beginning with 0x.")
    )
    amount = UnitsField(label=_("Amount, in units"), help_text=_("Whole units, for example 100."))
    form_token = forms.UUIDField(widget=forms.HiddenInput)
    sender = AddressTextField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args: Any, security: Security, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        amount = self.fields["amount"]
        if isinstance(amount, UnitsField):
            amount.decimals = security.decimals


class AddressBookForm(forms.Form):
    label = forms.CharField(label=_("Your name for it"), max_length=80)
    address = AddressTextField(label=_("Wallet address"), max_length=64)


class AddressFileForm(forms.Form):
    file = forms.FileField(
        label=_("CSV file"),
        help_text=_("With the columns label and address, as this page hands it out. At most 500 rows."),
    )

    def clean_file(self) -> bytes:
        file = self.cleaned_data["file"]
        if file.size > 256 * 1024:
            raise forms.ValidationError(_("The file is too large. Nothing was saved."), code="too_large")
        content: bytes = file.read()
        return content


class ReceiveForm(ChosenWalletForm):
    isin = forms.CharField(
        label=_("ISIN of the security"), max_length=12, help_text=_("Ask whoever wants to pass it on to you.")
    )

    def clean_isin(self) -> str:
        return str(self.cleaned_data["isin"]).strip().upper()


class ControlForm(forms.Form):
    """An administrator's emergency action."""

    kind = forms.ChoiceField(label=_("Action"), choices=ControlAction.Kind.choices, widget=forms.RadioSelect)
    holder = AddressTextField(
        label=_("Holder's address"), max_length=64, required=False, help_text=_("For a freeze or a dismissal.")
    )
    units = UnitsField(
        label=_("Units frozen afterwards"),
        required=False,
        help_text=_("For a freeze: how many in all, more than are frozen now."),
    )
    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=1000)
    form_token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        kind = data.get("kind")
        if kind in (ControlAction.Kind.FREEZE, ControlAction.Kind.DISMISS) and not data.get("holder"):
            self.add_error("holder", _("Enter whose holding this is about."))
        if kind == ControlAction.Kind.FREEZE and data.get("units") is None and "units" not in self.errors:
            self.add_error("units", _("Enter how many units are to be frozen."))
        return data


class RecoveryForm(forms.Form):
    lost = AddressTextField(label=_("Lost wallet"), max_length=64)
    replacement = AddressTextField(
        label=_("New wallet"), max_length=64, help_text=_("Another wallet of the same person, verified already.")
    )
    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=1000)


class SecurityFilterForm(forms.Form):
    is_search = True
    search = forms.CharField(label=_("Name, code or ISIN"), required=False)
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("All states")), *Security.State.choices]
    )


def book_choices(entries: Iterable[AddressBookEntry]) -> list[tuple[str, str]]:
    """The address book as pairs of address and name."""
    return [(entry.address, entry.label) for entry in entries]
