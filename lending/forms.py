"""Shapes of what borrowers and loan officers type; errors in the reader's words."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from lending.models import (
    Asset,
    CreditApplication,
    CreditDecision,
    Currency,
    Disposition,
    IncomeEvidence,
    Limit,
    Loan,
    StressRun,
)
from lending.models.stress import MOST_HOURS
from lending.money import ASSET_DIGITS, from_minor
from lending.selectors.stress import path_words
from lending.stress import Parameters
from lending.stress_paths import HOUR, PATHS, Point
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


class WrongAssetForm(forms.Form):
    """Another asset that an officer saw at an address of the loan."""

    label = forms.CharField(label=_("Asset"), max_length=60)
    units = forms.IntegerField(label=_("Amount in its smallest unit"), min_value=1)
    asset_address = forms.ChoiceField(label=_("At the address for"), choices=Asset.choices)
    txid = forms.CharField(label=_("Transaction"), max_length=66)
    sender = forms.CharField(label=_("Sender"), max_length=100, required=False)


class HandReturnForm(forms.Form):
    """How it was sent back, and where to."""

    txid = forms.CharField(label=_("Transaction"), max_length=66)
    destination = forms.CharField(label=pgettext_lazy("return", "Sent to"), max_length=100)


class BookFilterForm(forms.Form):
    """Which loans the book shows; lives in the address, so a view can be shared."""

    is_search = True
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


#: So many steps of a path of one's own.
STRESS_STEPS: Final = 6


class StressForm(forms.Form):
    """A historical fall, or steps of one's own, and what the desk cannot know. Cleans to `points` and `parameters`."""

    path = forms.ChoiceField(
        label=_("Path"),
        required=False,
        help_text=_("A fall that really happened, counted from the prices of now; or your own steps, below."),
    )
    unit = forms.ChoiceField(
        label=_("The steps count in"), choices=[("hours", _("hours")), ("days", _("days"))], initial="hours"
    )
    deadline_hours = forms.IntegerField(label=_("Hours to answer a call"), min_value=1, max_value=240, initial=48)
    response_percent = forms.IntegerField(
        label=_("Called borrowers who top up, percent"),
        help_text=_("They do so half-way to the deadline, up to what the call asks for."),
        min_value=0,
        max_value=100,
        initial=0,
    )
    slippage_bps = forms.IntegerField(
        label=_("Slippage of a sale, basis points"),
        help_text=_("So much less than the price is what the market pays, besides the fee. 100 are one percent."),
        min_value=0,
        max_value=5000,
        initial=100,
    )
    outage_from_hour = forms.IntegerField(
        label=_("Prices are missing from hour"), min_value=0, max_value=MOST_HOURS, initial=0
    )
    outage_hours = forms.IntegerField(
        label=_("Hours without prices"),
        help_text=_("Nothing is called and nothing is sold without a price. 0: none are missing."),
        min_value=0,
        max_value=MOST_HOURS,
        initial=0,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = ("", _("Own steps"))
        self.fields["path"].choices = [own, *((code, path_words(path.points, code)) for code, path in PATHS.items())]  # type: ignore[attr-defined]
        for number in range(1, STRESS_STEPS + 1):
            for name, (label, least, most) in self._columns().items():
                field = forms.IntegerField(
                    label=_("Step %(number)s: %(what)s") % {"number": number, "what": label},
                    min_value=least,
                    max_value=most,
                    required=False,
                )
                field.widget.attrs["aria-label"] = field.label
                self.fields[f"{name}_{number}"] = field

    @staticmethod
    def _columns() -> dict[str, tuple[Any, int, int]]:
        return {
            "after": (_("time passed"), 1, MOST_HOURS),
            "btc": (_("BTC, percent"), -99, 100),
            "eth": (_("ETH, percent"), -99, 100),
            "usdjpy": (_("USD/JPY, percent"), -50, 50),
        }

    @property
    def general(self) -> list[forms.BoundField]:
        """Fields that stand beneath each other."""
        return [
            self[name]
            for name in ("deadline_hours", "response_percent", "slippage_bps", "outage_from_hour", "outage_hours")
        ]

    @property
    def steps(self) -> list[list[forms.BoundField]]:
        """The fields of each step of one's own."""
        return [[self[f"{name}_{number}"] for name in self._columns()] for number in range(1, STRESS_STEPS + 1)]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        drawn = self._drawn(data)
        if data["path"] and drawn:
            self.add_error("path", _("Choose a path or enter steps of your own, not both."))
        elif not data["path"] and not drawn and not self.errors:
            self.add_error("path", _("Choose a path, or enter at least one step of your own."))
        if self.errors:
            return data
        points = PATHS[data["path"]].points if data["path"] else drawn
        data["drawn"] = drawn
        data["parameters"] = Parameters(
            deadline_hours=data["deadline_hours"],
            response_bps=data["response_percent"] * 100,
            slippage_bps=data["slippage_bps"],
            outage_from_hour=data["outage_from_hour"],
            outage_hours=data["outage_hours"],
        )
        end = points[-1].minutes // HOUR + data["parameters"].tail_hours
        if data["outage_hours"] and data["outage_from_hour"] > end:
            self.add_error(
                "outage_from_hour", _("The path is over by then: it ends with hour %(hour)s.") % {"hour": end}
            )
        return data

    def _drawn(self, data: dict[str, Any]) -> list[Point]:
        """The steps in order of time. An empty change is none."""
        hours = 24 if data["unit"] == "days" else 1
        found: dict[int, Point] = {}
        for number in range(1, STRESS_STEPS + 1):
            after, *changes = (data[f"{name}_{number}"] for name in self._columns())
            if after is None:
                if any(change is not None for change in changes):
                    self.add_error(f"after_{number}", _("When does this step come?"))
                continue
            minutes = after * hours * HOUR
            if minutes > MOST_HOURS * HOUR:
                self.add_error(f"after_{number}", _("A path lasts at most 31 days."))
            elif minutes in found:
                self.add_error(f"after_{number}", _("Each step needs a time of its own."))
            else:
                found[minutes] = Point(minutes, *(10_000 + 100 * (change or 0) for change in changes))
        return [found[minutes] for minutes in sorted(found)]


def stress_initial(row: StressRun) -> dict[str, Any]:
    """What to fill in to calculate an earlier run again, on the book of now."""
    filled: dict[str, Any] = {
        "path": row.path_code if row.path_code in PATHS else "",
        "deadline_hours": row.deadline_hours,
        "response_percent": row.response_bps // 100,
        "slippage_bps": row.slippage_bps,
        "outage_from_hour": row.outage_from_hour,
        "outage_hours": row.outage_hours,
    }
    if not row.path_code:
        for number, point in enumerate(row.points[1 : STRESS_STEPS + 1], 1):
            filled[f"after_{number}"] = point["minutes"] // HOUR
            filled |= {f"{name}_{number}": (point[name] - 10_000) // 100 for name in ("btc", "eth", "usdjpy")}
    return filled
