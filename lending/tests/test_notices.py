"""Every notice that the life of a loan gives has words."""

from __future__ import annotations

import re
from pathlib import Path

import lending.services
from lending.models import Reminder
from portal.notices.kinds import is_known

_TOLD = re.compile(r'kind="(lending\.[a-z_]+)"')


def test_every_notice_of_a_reminder_a_call_or_a_sale_has_words() -> None:
    missing = [kind for kind in Reminder.Kind.values if not is_known(f"lending.{kind}")]
    assert not missing


def test_every_kind_that_the_services_name_has_words() -> None:
    """A kind without words is only logged, so that no step of a loan is undone by it: here it is missed."""
    sources = Path(lending.services.__file__).parent.rglob("*.py")
    told = {
        kind
        for source in sources
        for call in re.findall(r"\btell\((.*?)\n    \)|\btell\((.*)\)", source.read_text(), re.S)
        for kind in _TOLD.findall("".join(call))
    }
    assert "lending.sale_started" in told
    assert not {kind for kind in told if not is_known(kind)}
