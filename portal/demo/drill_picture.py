"""A drill as its page shows it: who holds what, before and now, and every step in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from chain.types import Standing
from portal.demo.drill_runs import Run

_NAMES: Final = {
    "alice": gettext_noop("Alice, wallet in custody"),
    "bob": gettext_noop("Bob, own wallet"),
    "carol": gettext_noop("Carol, own wallet"),
    "mule": gettext_noop("the thief’s accomplice"),
    "second mule": gettext_noop("the thief’s second accomplice"),
    "friend": gettext_noop("the thief’s friend"),
    "stranger": gettext_noop("a stranger"),
    "not issued": gettext_noop("not issued"),
    "victim": gettext_noop("the victim"),
    "victim, new wallet": gettext_noop("the victim, new wallet"),
    "accomplice": gettext_noop("the thief’s accomplice"),
    "honest client": gettext_noop("an honest client"),
}
_HONEST: Final = ("alice", "bob", "carol", "victim", "victim, new wallet", "honest client")


@dataclass(frozen=True, slots=True)
class Line:
    """One holder. `part` is owner, thief or spare; the shares are percent of the most anybody of them held."""

    name: str
    part: str
    before: int
    now: int
    share_before: int
    share_now: int
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything the page says about a run."""

    title: str
    must_end: str
    lines: list[Line]
    in_words: str
    steps: list[tuple[int, str, str, str, str, str]]  # number, when, who, actor's key, what, transaction
    figures: list[tuple[str, str]]
    has_standings: bool


def picture_of(run: Run) -> Shown:
    from chain.drills import wording
    from chain.drills.report import clock

    lines = _lines(run)
    return Shown(
        title=wording.title(run.code),
        must_end=wording.must_end(run.code),
        lines=lines,
        in_words=", ".join(f"{line.name} {line.now:,}" for line in lines),
        steps=[
            (
                step["number"],
                clock(step["seconds"]),
                wording.actor_words(step["actor"]),
                step["actor"],
                wording.step_words(step["text"], step["values"]),
                step["values"].get("hash", ""),
            )
            for step in run.steps
        ],
        figures=_figures(run),
        has_standings=any(line.standing is not None for line in lines),
    )


def _lines(run: Run) -> list[Line]:
    """Everybody who is named in any step: what they held when they were first seen, and what they hold now."""
    if not run.steps:
        return []
    last = run.steps[-1]
    first: dict[str, int] = {}
    for step in run.steps:
        for name, units in step["holdings"].items():
            first.setdefault(name, units if step is run.steps[0] else 0)
    held = [units for step in run.steps for name, units in step["holdings"].items() if _part(name) != "spare"]
    most = max([*held, 1])
    standings = last.get("standings", {})
    return [
        Line(
            _(_NAMES[name]) if name in _NAMES else name.replace("forged", _("forged")),
            _part(name),
            before,
            last["holdings"].get(name, 0),
            min(100 * before // most, 100),
            min(100 * last["holdings"].get(name, 0) // most, 100),
            Standing(standings[name]) if name in standings else None,
        )
        for name, before in first.items()
    ]


def _part(name: str) -> str:
    if name == "not issued":
        return "spare"
    return "owner" if name in _HONEST or name.endswith("(new wallet)") else "thief"


def _figures(run: Run) -> list[tuple[str, str]]:
    from chain.drills.report import clock

    result: dict[str, Any] = run.result or {}
    labels = (
        ("detected", _("To the alarm")),
        ("contained", _("To containment")),
        ("restored", _("To everything restored")),
    )
    found = [(label, clock(result[key])) for key, label in labels if isinstance(result.get(key), int)]
    spans = (("detect", labels[0][1]), ("contain", labels[1][1]), ("restore", labels[2][1]))
    found += [(label, clock(result[key]["seconds"])) for key, label in spans if isinstance(result.get(key), dict)]
    if "lost_units" in result:
        found.append((_("Units lost for good"), f"{result['lost_units']:,}"))
    return found
