"""Forms of the portal's own pages."""

from __future__ import annotations

from typing import ClassVar

from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    EditWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
    SignupWebAuthnForm,
)
from django import forms
from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from portal.models import Role, Theme
from portal.services import use_code

LANGUAGES = [("ja", "日本語"), ("en", "English")]


class LanguageForm(forms.Form):
    language = forms.ChoiceField(choices=LANGUAGES)


class ThemeForm(forms.Form):
    theme = forms.ChoiceField(choices=Theme.choices)


class SettingsForm(forms.Form):
    """What a person may set for themselves."""

    language = forms.ChoiceField(
        label=_("Language"), choices=LANGUAGES, widget=forms.RadioSelect, help_text=_("Pages and e-mails use it.")
    )
    theme = forms.ChoiceField(label=_("Colours"), choices=Theme.choices, widget=forms.RadioSelect)
    display_name = forms.CharField(
        label=_("Name shown"),
        max_length=120,
        required=False,
        help_text=_("Colleagues see it beside what you do. Your legal name is kept in your application."),
    )


class PeopleFilterForm(forms.Form):
    is_search = True
    search = forms.CharField(label=_("E-mail or name"), required=False, widget=forms.TextInput({"type": "search"}))


class RoleForm(forms.Form):
    """One role given or taken, and why."""

    GIVE, TAKE = "give", "take"
    change = forms.ChoiceField(
        label=_("Change"),
        choices=[(GIVE, _("Give the role")), (TAKE, _("Take the role away"))],
        widget=forms.RadioSelect,
    )
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices)
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("Kept in the audit trail, for example the decision and its date."),
    )


class AuditFilterForm(forms.Form):
    is_search = True
    search = forms.CharField(
        label=_("Subject or reason"), required=False, widget=forms.TextInput({"type": "search"}), max_length=200
    )
    action = forms.CharField(label=_("Action starts with"), required=False, max_length=80)
    actor = forms.CharField(label=_("Who"), required=False, max_length=254)
    since = forms.DateField(label=_("From day"), required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label=_("Until day"), required=False, widget=forms.DateInput({"type": "date"}))


class SignupForm(AllauthSignupForm):
    """Sign-up also asks in which language to write to the person."""

    language = forms.ChoiceField(label=_("Language of pages and e-mails"), choices=LANGUAGES, widget=forms.RadioSelect)
    field_order: ClassVar[list[str]] = ["email", "password1", "password2", "language"]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["language"].initial = (get_language() or settings.LANGUAGE_CODE)[:2]


class _OneUseMixin(BaseAuthenticateForm):
    """A code of the authenticator app is taken once. allauth's own guard lives in the cache, which may be away."""

    def clean_code(self) -> str:
        code: str = super().clean_code()
        if self.authenticator.type == Authenticator.Type.TOTP and not use_code(user_id=self.user.pk, code=code):
            self._emit_authentication_failed(self.authenticator)
            raise get_mfa_adapter().validation_error("incorrect_code")
        return code


class SecondFactorForm(_OneUseMixin, AuthenticateForm):
    """Signing in with a code."""


class SecondFactorAgainForm(_OneUseMixin, ReauthenticateForm):
    """A code before something of value."""


class _ReadsAnswerMixin(forms.Form):
    """What a device is said to have answered may be anything. allauth expects it to be whole, and breaks where it is not."""

    def full_clean(self) -> None:
        try:
            super().full_clean()
        except (KeyError, TypeError, ValueError):
            self.cleaned_data = {}
            self.add_error("credential", get_mfa_adapter().validation_error("incorrect_code"))


class PasskeySignInForm(_ReadsAnswerMixin, LoginWebAuthnForm):
    """Signing in with a passkey alone."""


class PasskeySecondForm(_ReadsAnswerMixin, AuthenticateWebAuthnForm):
    """A passkey or security key after the password."""


class PasskeyAgainForm(_ReadsAnswerMixin, ReauthenticateWebAuthnForm):
    """A passkey before something of value."""


class AddPasskeyForm(_ReadsAnswerMixin, AddWebAuthnForm):
    """allauth's form, with words of its own for the name and for what a passkey can do alone."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name of this key")
        self.fields["passwordless"].label = _("Sign in with it alone, without a password")
        self.fields["passwordless"].help_text = _("The device then checks your fingerprint, face or PIN.")


class FirstPasskeyForm(_ReadsAnswerMixin, SignupWebAuthnForm):
    """The passkey a new account is opened with; it always signs in alone."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name of this key")


class EditPasskeyForm(EditWebAuthnForm):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name of this key")
