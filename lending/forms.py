"""Shapes of what borrowers and loan officers type; errors in the reader's words."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from lending.models import Asset, CreditApplication, CreditDecision, Currency, Disposition, IncomeEvidence, Limit, Loan
from lending.money import ASSET_DIGITS, from_minor
from lending.stress_paths import PATHS
from portal.money import MINOR_DIGITS
from portal.units import InvalidAmount, parse_units


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class AmountField(forms.CharField):
    """Money of one currency as people type it: digits, commas, full-width digits. Cleans to a `Decimal`."""

    def __init__(self, *, currency: str = "JPY", **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**kwargs)
        self.currency = currency

    def clean(self, value: Any) -> Decimal | None:
        text = super().clean(value)
        return (
            from_minor(_parsed(text, MINOR_DIGITS[self.currency], _money_errors(self.currency)), self.currency)
            if text
            else None
        )


class CoinField(forms.CharField):
    """An amount of bitcoin or ether as people type it. Cleans to base units (satoshi, wei)."""

    def __init__(self, *, asset: str = "BTC", **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**kwargs)
        self.asset = asset

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        return _parsed(text, ASSET_DIGITS[self.asset], {}) if text else None


class RateField(forms.DecimalField):
    """A rate in percent a year. Cleans to basis points."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=Decimal("0.01"), max_value=Decimal(100), decimal_places=2, **kwargs)

    def clean(self, value: Any) -> int | None:
        percent = super().clean(value)
        return None if percent is None else int(percent * 100)


def _money_errors(currency: str) -> dict[str, Any]:
    if MINOR_DIGITS[currency] == 0:
        return {"amount.too_fine": _("Yen are whole. Enter an amount without a fraction.")}
    return {"amount.too_fine": _("Enter dollars and cents, at most two decimal places.")}


def _parsed(text: str, decimals: int, sentences: dict[str, Any]) -> int:
    try:
        return parse_units(text, decimals=decimals)
    except InvalidAmount as error:
        raise forms.ValidationError(sentences.get(error.code, str(error.message)), code=error.code) from error


# --- the borrower's ------------------------------------------------------------------------------------------------


class CreditForm(forms.Form):
    """What somebody who wants to borrow says."""

    currency = forms.ChoiceField(label=_("Currency"), choices=Currency.choices, widget=forms.RadioSelect, initial="JPY")
    amount = AmountField(
        label=_("Credit line"), help_text=_("The most you want to owe at once, for example 10,000,000.")
    )
    purpose = forms.ChoiceField(label=_("Purpose"), choices=CreditApplication.Purpose.choices, widget=forms.RadioSelect)
    purpose_detail = forms.CharField(
        label=_("Details of the purpose"),
        max_length=300,
        required=False,
        help_text=_("For real estate: which property, and when."),
    )
    annual_income = AmountField(
        label=_("Yearly income"), required=False, help_text=_("Before tax. Companies may leave this empty.")
    )
    income_year = forms.IntegerField(label=_("Year of the income"), min_value=2000, max_value=2100, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        currency = str(self.data.get("currency", "")) if self.is_bound else "JPY"
        for name in ("amount", "annual_income"):
            field = self.fields[name]
            assert isinstance(field, AmountField)  # noqa: S101 (for the type checker)
            field.currency = currency if currency in MINOR_DIGITS else "JPY"


class EvidenceForm(forms.Form):
    """One document that shows income or purpose."""

    kind = forms.ChoiceField(label=_("Kind of document"), choices=IncomeEvidence.Kind.choices)
    file = forms.FileField(label=_("File"), help_text=_("JPEG, PNG or PDF, at most 10 MB."))


class LoanForm(forms.Form):
    """A loan under one's credit line."""

    amount = AmountField(label=_("Amount of the loan"), help_text=_("The most that may be drawn at once."))
    collateral_plan = forms.ChoiceField(
        label=_("Collateral"),
        choices=[*Asset.choices, ("", _("Both, or not decided"))],
        widget=forms.RadioSelect,
        required=False,
    )

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["amount"]
        assert isinstance(field, AmountField)  # noqa: S101 (for the type checker)
        field.currency = currency


class AcceptForm(forms.Form):
    """The borrower's consent to one contract, named by the hash of its document."""

    sha256 = forms.CharField(widget=forms.HiddenInput)
    agreed = forms.BooleanField(label=_("I have read the contract and accept it."))


class DrawForm(forms.Form):
    """Money asked for under a loan. The form's own token makes it happen once."""

    amount = AmountField(label=_("Amount to draw"))
    form_token = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"form_token": uuid.uuid4()})
        super().__init__(*args, **kwargs)
        field = self.fields["amount"]
        assert isinstance(field, AmountField)  # noqa: S101 (for the type checker)
        field.currency = currency


class RepayFromCollateralForm(forms.Form):
    """How much of the debt is to be repaid by selling collateral."""

    amount = AmountField(label=_("Amount to repay"))

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["amount"]
        assert isinstance(field, AmountField)  # noqa: S101 (for the type checker)
        field.currency = currency


class CoinForm(forms.Form):
    """An amount of one asset to take out."""

    asset = forms.ChoiceField(label=_("Asset"), choices=Asset.choices, widget=forms.RadioSelect)
    amount = CoinField(label=_("Amount"), help_text=_("For example 0.25."))
    form_token = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"form_token": uuid.uuid4(), "asset": "BTC"})
        super().__init__(*args, **kwargs)
        asset = str(self.data.get("asset", "")) if self.is_bound else "BTC"
        field = self.fields["amount"]
        assert isinstance(field, CoinField)  # noqa: S101 (for the type checker)
        field.asset = asset if asset in ASSET_DIGITS else "BTC"


class ReturnAddressForm(forms.Form):
    """Where coins of one asset go back to."""

    asset = forms.ChoiceField(label=_("Asset"), choices=Asset.choices, widget=forms.RadioSelect)
    address = forms.CharField(
        label=_("Your address"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
        help_text=_("An address of a wallet of your own, not one of an exchange that may change."),
    )


# --- the officers' -------------------------------------------------------------------------------------------------


class ReasonForm(forms.Form):
    """Why."""

    reason = forms.CharField(label=_("Reason"), max_length=300, widget=forms.Textarea(attrs={"rows": 3}))


class CreditDecisionForm(forms.Form):
    """The first officer's decision about an application."""

    verdict = forms.ChoiceField(label=_("Decision"), choices=CreditDecision.Verdict.choices, widget=forms.RadioSelect)
    amount = AmountField(label=_("Credit line"), required=False)
    rate_bps = RateField(label=_("Interest rate, percent a year"), required=False)
    income_verified = AmountField(label=_("Yearly income as verified"), required=False)
    real_estate_exception = forms.CharField(
        label=_("Why the income cap does not bind"),
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Only for the purchase or construction of real estate."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("amount", "income_verified"):
            field = self.fields[name]
            assert isinstance(field, AmountField)  # noqa: S101 (for the type checker)
            field.currency = currency


class ConfirmForm(forms.Form):
    """The second officer's word."""

    agrees = forms.TypedChoiceField(
        label=_("Decision"),
        choices=[("yes", _("Confirm")), ("no", _("Back to the first officer"))],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(label=_("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))


class RepaymentForm(forms.Form):
    """Money that arrived for a loan."""

    amount = AmountField(label=_("Amount received"))
    received_on = forms.DateField(label=_("Received on"), widget=DateInput())
    reference = forms.CharField(label=_("Bank reference"), max_length=80)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["amount"]
        assert isinstance(field, AmountField)  # noqa: S101 (for the type checker)
        field.currency = currency


class DispositionForm(forms.Form):
    """What is to become of a held deposit."""

    verdict = forms.ChoiceField(label=_("Decision"), choices=Disposition.Verdict.choices)
    reason = forms.CharField(label=_("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))


class BookFilterForm(forms.Form):
    """Which loans the book shows; lives in the address, so a view can be shared."""

    state = forms.ChoiceField(label=_("State"), required=False, choices=[("", _("Not ended")), *Loan.State.choices])
    currency = forms.ChoiceField(label=_("Currency"), required=False, choices=[("", _("All")), *Currency.choices])
    search = forms.CharField(label=_("Number, name or e-mail"), required=False, max_length=80)


class LimitForm(forms.Form):
    """A new limit; somebody else puts it in force."""

    scope = forms.ChoiceField(label=_("Applies to"), choices=Limit.Scope.choices)
    currency = forms.ChoiceField(label=_("Currency"), choices=Currency.choices)
    asset = forms.ChoiceField(label=_("Asset"), choices=[("", "—"), *Asset.choices], required=False)
    amount = forms.DecimalField(label=_("Limit"), min_value=0, max_digits=20, decimal_places=2)
    reason = forms.CharField(label=_("Reason"), max_length=300)


class StressForm(forms.Form):
    """A historical fall, or up to three shocks of one's own, and what the desk cannot know."""

    path = forms.ChoiceField(
        label=_("Path"), choices=[("", _("Own shocks")), *((code, code) for code in PATHS)], required=False
    )
    deadline_hours = forms.IntegerField(label=_("Hours to answer a call"), min_value=1, max_value=240, initial=48)
    response_percent = forms.IntegerField(
        label=_("Called borrowers who top up, percent"), min_value=0, max_value=100, initial=0
    )
    slippage_bps = forms.IntegerField(
        label=_("Slippage of a sale, basis points"), min_value=0, max_value=5000, initial=100
    )
    outage_from_hour = forms.IntegerField(
        label=_("Prices are missing from hour"), min_value=0, max_value=240, initial=0
    )
    outage_hours = forms.IntegerField(label=_("Hours without prices"), min_value=0, max_value=240, initial=0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for number in (1, 2, 3):
            named = {"number": number}
            self.fields[f"hours_{number}"] = forms.IntegerField(
                label=_("Shock %(number)s: after hours") % named, min_value=1, max_value=240, required=False
            )
            for asset in ("btc", "eth"):
                self.fields[f"{asset}_{number}"] = forms.IntegerField(
                    label=_("Shock %(number)s: %(asset)s falls by percent") % {**named, "asset": asset.upper()},
                    min_value=0,
                    max_value=99,
                    required=False,
                )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        data["shocks"] = sorted(
            (data[f"hours_{n}"], data.get(f"btc_{n}") or 0, data.get(f"eth_{n}") or 0)
            for n in (1, 2, 3)
            if data.get(f"hours_{n}")
        )
        if not data.get("path") and not data["shocks"]:
            self.add_error("path", _("Choose a path, or enter at least one shock with its hours."))
        if len({hours for hours, _btc, _eth in data["shocks"]}) < len(data["shocks"]):
            self.add_error("hours_1", _("Each shock needs an hour of its own."))
        return data
