"""Pages of questions as forms: the fields come from the models, so a form and a script meet the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from kyc.countries import country_choices
from kyc.models import Application, Decision, Evidence, ScreeningHit
from kyc.models.application import PartyKind, RiskRating
from kyc.sections import KINDS_OF_EVIDENCE, Section, holder_of, missing_fields, stored

YES_NO = [("yes", _("Yes")), ("no", _("No"))]
_COUNTRY = frozenset({"nationality", "residence", "country"})
_AUTOCOMPLETE = {
    "family_name": "family-name",
    "given_name": "given-name",
    "birth_date": "bday",
    "postal_code": "postal-code",
    "address": "street-address",
    "phone": "tel",
    "name": "organization",
}
_HINTS = {
    "family_kana": _("For example ヤマダ"),
    "given_kana": _("For example タロウ"),
    "family_romaji": _("As in a passport, for example YAMADA"),
    "given_romaji": _("For example Taro"),
    "name_kana": _("For example ムスビショウジ"),
    "name_romaji": _("For example Musubi Trading Co., Ltd."),
    "corporate_number": _("13 digits; needed for a company registered in Japan"),
    "postal_code": _("For example 100-0001"),
    "phone": _("Digits, for example 0312345678"),
    "purpose_other": _("Needed if you chose “Other”"),
    "pep_detail": _("Needed if you answered “Yes”"),
    "source_of_funds": _("For example salary, sale of property"),
    "qii_claim": _(
        "Under the Financial Instruments and Exchange Act, art. 2 (3). We ask for the notice as a document."
    ),
    "representative_kana": _("For example ヤマダ タロウ"),
    "representative_romaji": _("For example Taro YAMADA"),
}


class StartForm(forms.Form):
    """As whom somebody applies."""

    kind = forms.ChoiceField(label=_("I apply as"), choices=PartyKind.choices, widget=forms.RadioSelect)


class SectionForm(forms.Form):
    """One section. With `complete`, what is needed must be there; without, it may be left for later."""

    def __init__(
        self,
        application: Application,
        section: Section,
        data: Mapping[str, Any] | None = None,
        *,
        complete: bool = True,
    ) -> None:
        self.application, self.section, self._complete = application, section, complete
        super().__init__(data, initial=self._initial(stored(application, section)))
        for name in section.fields:
            self.fields[name] = self._field(name)

    @staticmethod
    def _initial(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: ("yes" if value else "no") if isinstance(value, bool) else value for name, value in values.items()
        }

    def _field(self, name: str) -> forms.Field:
        column = holder_of(self.application, name)._meta.get_field(name)
        label, hint = capfirst(column.verbose_name), _HINTS.get(name, "")  # type: ignore[union-attr]
        required = self._complete and name not in self.section.optional
        if name in ("is_pep", "qii_claim"):
            return forms.ChoiceField(
                label=label, help_text=hint, choices=YES_NO, widget=forms.RadioSelect, required=required
            )
        if name in _COUNTRY:
            return forms.ChoiceField(label=label, choices=[("", "—"), *country_choices()], required=required)
        if column.choices:  # type: ignore[union-attr]
            return forms.ChoiceField(
                label=label,
                help_text=hint,
                choices=column.choices,  # type: ignore[union-attr]
                widget=forms.RadioSelect,
                required=required,
            )
        if name.endswith("birth_date"):
            return forms.DateField(label=label, required=required, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
        attributes = {"autocomplete": _AUTOCOMPLETE.get(name, "off")}
        return forms.CharField(
            label=label,
            help_text=hint,
            required=required,
            max_length=column.max_length,  # type: ignore[union-attr]
            widget=forms.TextInput(attributes),
        )

    def clean(self) -> dict[str, Any]:
        answers = dict(self.cleaned_data)
        for name in ("is_pep", "qii_claim"):
            if name in answers:
                answers[name] = {"yes": True, "no": False}.get(answers[name])
        if self._complete:
            for name in missing_fields(self.application, self.section, answers):
                if name not in self.errors:
                    self.add_error(name, forms.ValidationError(_("This is needed."), code="required"))
        return answers


class OwnerForm(forms.Form):
    """One beneficial owner."""

    name = forms.CharField(label=pgettext_lazy("person", "Name"), max_length=160)
    name_kana = forms.CharField(
        label=_("Name in katakana"), max_length=160, required=False, help_text=_("For example ヤマダ タロウ")
    )
    name_romaji = forms.CharField(
        label=_("Name in Latin letters"), max_length=160, help_text=_("For example Taro YAMADA")
    )
    birth_date = forms.DateField(label=_("Date of birth"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    nationality = forms.ChoiceField(label=_("Nationality"))
    address = forms.CharField(label=_("Home address"), max_length=300)
    share = forms.DecimalField(
        label=_("Share of votes (percent)"),
        min_value=Decimal(0),
        max_value=Decimal(100),
        decimal_places=2,
        help_text=_("0 if the person controls the company in another way"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["nationality"].choices = [("", "—"), *country_choices()]  # type: ignore[attr-defined]

    def answers(self) -> dict[str, Any]:
        """What the service takes: the share in hundredths of a percent."""
        values = dict(self.cleaned_data)
        values["share_bps"] = int(values.pop("share") * 100)
        return values


class EvidenceForm(forms.Form):
    """One document to upload."""

    kind = forms.ChoiceField(label=_("What it is"))
    file = forms.FileField(
        label=_("File"),
        help_text=_("JPEG, PNG or PDF, up to 10 MB. It is stored encrypted; only you and our officers can open it."),
        widget=forms.FileInput({"accept": ".jpg,.jpeg,.png,.pdf"}),
        allow_empty_file=True,  # the service says so in its own words
    )

    def __init__(self, application: Application, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [(kind.value, kind.label) for kind in KINDS_OF_EVIDENCE[PartyKind(application.kind)]]
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined]
        self.max_bytes = settings.EVIDENCE_MAX_BYTES


class SubmitForm(forms.Form):
    """The declarations above the last button."""

    declares = forms.BooleanField(
        label=_(
            "The answers are true, I act for myself or for the company named, I have nothing to do with organised "
            "crime, and I will tell you of changes."
        ),
        error_messages={"required": _("Confirm the declarations before you submit.")},
    )


class QueueFilterForm(forms.Form):
    """The filters of the queue; they live in the address, so a view can be shared."""

    is_search = True
    STATES = [
        ("", _("Everything that waits")),
        *[(state.value, state.label) for state in Application.WITH_OFFICERS],
        ("sent_back", Application.State.SENT_BACK.label),
        ("on_chain", _("Has a token")),
        ("all", _("All")),
    ]
    search = forms.CharField(
        label=_("Name, e-mail or number"), required=False, widget=forms.TextInput({"type": "search"})
    )
    state = forms.ChoiceField(label=_("State"), choices=STATES, required=False)
    kind = forms.ChoiceField(label=_("Kind"), choices=[("", _("All")), *PartyKind.choices], required=False)
    owner = forms.ChoiceField(
        label=_("Officer"), choices=[("", _("Anybody")), ("me", _("Me")), ("nobody", _("Nobody"))], required=False
    )
    age = forms.ChoiceField(
        label=_("Waiting for"),
        choices=[
            ("", _("Any time")),
            ("1", _("1 day or more")),
            ("3", _("3 days or more")),
            ("7", _("7 days or more")),
        ],
        required=False,
    )
    hits = forms.ChoiceField(
        label=_("Screening"), choices=[("", _("All")), ("open", _("Undecided hits"))], required=False
    )


def _reason() -> forms.CharField:
    return forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("Becomes part of the record and cannot be changed."),
    )


class DecisionForm(forms.Form):
    """The first officer's decision."""

    verdict = forms.ChoiceField(
        label=_("Decision"),
        choices=[
            (Decision.Verdict.APPROVE, _("Approve, then a second officer confirms")),
            (Decision.Verdict.SEND_BACK, _("Send one document back")),
            (Decision.Verdict.REJECT, _("Reject")),
        ],
        widget=forms.RadioSelect,
    )
    risk_rating = forms.ChoiceField(
        label=_("Risk rating"),
        choices=[("", "—"), *RiskRating.choices],
        required=False,
        help_text=_("Needed to approve; sets the next review."),
    )
    evidence = forms.ModelChoiceField(
        label=_("Document"),
        queryset=Evidence.objects.none(),
        required=False,
        empty_label=_("Choose"),
        help_text=_("Needed to send back."),
    )
    reason = _reason()

    def __init__(self, application: Application, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["evidence"]
        field.queryset = application.evidence.filter(state=Evidence.State.STORED)  # type: ignore[attr-defined]
        field.label_from_instance = lambda item: f"{item.get_kind_display()} ({item.file_name})"  # type: ignore[attr-defined]


class ConfirmForm(forms.Form):
    """The second officer's answer."""

    agrees = forms.ChoiceField(
        label=_("Second review"),
        choices=[("yes", _("Confirm the approval")), ("no", _("Return it for another review"))],
        widget=forms.RadioSelect,
    )
    reason = _reason()


class ReasonForm(forms.Form):
    """A reason for one act."""

    reason = _reason()


class RenewForm(forms.Form):
    """A renewal: the new rating sets the new expiry."""

    risk_rating = forms.ChoiceField(label=_("Risk rating"), choices=RiskRating.choices)
    reason = _reason()


class HitProposalForm(forms.Form):
    verdict = forms.ChoiceField(
        label=_("What is it?"),
        choices=[
            (ScreeningHit.State.CLEARED, _("Not the same person")),
            (ScreeningHit.State.CONFIRMED, _("The same person")),
        ],
    )
    reason = forms.CharField(label=_("Reason"), max_length=1000)


class HitDecisionForm(forms.Form):
    agrees = forms.ChoiceField(label=_("The proposal"), choices=[("yes", _("I agree")), ("no", _("I disagree"))])
    reason = forms.CharField(label=_("Reason"), max_length=1000)


class SignatureForm(forms.Form):
    """A signature made elsewhere."""

    signature = forms.RegexField(
        label=_("Signature"),
        regex=r"^\s*0x[0-9a-fA-F]{130}\s*$",
        help_text=_("0x and 130 hexadecimal digits, as your wallet gives it."),
        error_messages={"invalid": _("This is not a signature: 0x and 130 hexadecimal digits are needed.")},
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
    )

    def as_bytes(self) -> bytes:
        return bytes.fromhex(self.cleaned_data["signature"].strip()[2:])


class WalletProofForm(forms.Form):
    """The text a wallet was asked to sign (EIP-4361), and its signature; filled in by the wallet."""

    message = forms.CharField(widget=forms.HiddenInput, max_length=2000)
    signature = forms.RegexField(
        # A contract wallet's signature (ERC-1271) may be longer than a key's.
        regex=r"^\s*0x([0-9a-fA-F]{2}){1,2000}\s*$",
        widget=forms.HiddenInput,
        error_messages={"required": _("Nothing was signed yet. Choose your wallet and sign.")},
    )

    def text(self) -> str:
        """As it was signed: a form's line ends are CR LF, the text's are LF."""
        return str(self.cleaned_data["message"]).replace("\r\n", "\n")

    def as_bytes(self) -> bytes:
        return bytes.fromhex(self.cleaned_data["signature"].strip()[2:])
