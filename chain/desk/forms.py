"""What the desk asks of a person: which steps, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from chain.desk.actions import Action


class ActionsForm(forms.Form):
    """Some of the steps that are offered, and the reason. A step that is no longer offered is refused in words."""

    actions = forms.MultipleChoiceField(
        label=_("Steps"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": _("Choose at least one step."),
            "invalid_choice": _(
                "One of these steps is no longer needed or possible: somebody was faster. Look at what is offered now."
            ),
        },
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        error_messages={"required": _("Say why, in a few words: it is kept in the audit trail.")},
    )

    def __init__(self, data: Any = None, *, offered: Sequence[Action], only: str = "", reason: str = "") -> None:
        chosen = [action.code for action in offered if (action.code == only if only else action.recommended)]
        super().__init__(data, initial={"actions": chosen, "reason": reason})
        field = self.fields["actions"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 (declared above)
        field.choices = [(action.code, action.label) for action in offered]


class ConclusionForm(forms.Form):
    """What came of an alarm."""

    conclusion = forms.CharField(
        label=_("What came of it"),
        max_length=300,
        error_messages={"required": _("Say what came of it. It becomes part of the record.")},
    )
