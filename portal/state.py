"""One way to guard a state machine: a table of arrows beside the states, checked on the locked row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from portal.exceptions import DomainError

Transitions = Mapping[Any, Collection[Any]]


class WrongState(DomainError):
    """The thing is not in a state from which this action starts."""


def require_transition(transitions: Transitions, *, current: str, target: str, code: str) -> None:
    """Pass if `transitions` has the arrow `current` → `target`; raise `WrongState` otherwise."""
    if target not in transitions.get(current, ()):
        raise WrongState(
            _(
                "This step is no longer possible: somebody or something was faster. Nothing was changed. Reload the page."
            ),
            code=code,
            current=current,
            target=target,
        )
