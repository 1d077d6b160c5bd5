"""Running drills: the stage for one theft, the order of attack and response, and what is measured."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from chain import services
from chain.desk.models import Alarm
from chain.drills.defence import CALLED_SECONDS, Defence
from chain.drills.keys import Key
from chain.drills.record import (
    CLOCK,
    HARMLESS,
    OFFICERS,
    PLATFORM,
    THIEF,
    Observer,
    Result,
    Silent,
    Span,
    Step,
    holdings,
    missing_units,
    thief_units,
)
from chain.drills.thief import QUIET, Move, Thief, Try
from chain.drills.world import DAY, HOUR, DrillBroken, World
from chain.services.alarms import start_watching_here

#: How the thief goes about it.
HURRIED: Final = "hurried"
PATIENT: Final = "patient"
RACING: Final = "racing"
#: For drills in which there is only one way.
PLAIN: Final = "plain"


class Scene:
    """One drill in progress, in one way of acting."""

    def __init__(
        self,
        world: World,
        code: str,
        mode: str,
        observer: Observer | None = None,
        *,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.world = world
        self.mode = mode
        self.observer = observer or Silent()
        self.result = Result(code, mode)
        self.began = world.now()
        start_watching_here()
        self.last_alarm = Alarm.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        self.defence = Defence(world, self.note, without=without)
        self.thief = Thief(world, [])
        self.result.before = holdings(world)
        self.result.worst = dict(self.result.before)

    # --- what happens ------------------------------------------------------------------------------------------------

    def steal(self, *keys: Key) -> Thief:
        """The thief has copies of these keys from now on."""
        self.thief.keys.extend(keys)
        self.result.stolen = [key.name for key in self.thief.keys]
        self.observer.begin(self.result.code, self.mode, self.result.stolen)
        self.note(THIEF, "stole", keys=", ".join(self.result.stolen))
        return self.thief

    def note(self, actor: str, text: str, **values: Any) -> None:
        """One step, with who holds what after it."""
        held = holdings(self.world)
        taken = thief_units(self.world)
        if taken > self.result.most_held_by_thief:
            self.result.most_held_by_thief, self.result.worst = taken, held
        steps = self.result.steps
        step = Step(len(steps) + 1, self.world.now() - self.began, actor, text, values, held)
        steps.append(step)
        self.observer.step(self.result.code, self.mode, step)

    def expect(self, holds: bool, otherwise: str) -> None:
        """A promise of this drill beyond "nothing is lost"."""
        if not holds:
            self.result.failures.append(otherwise)

    def expect_refused(self, outcome: str, *, code: str = "") -> None:
        self.expect(outcome != "done", "a call went through that must not")
        if code:
            self.expect(code in outcome, f"refused for another reason than {code}: {outcome}")

    def seize(self, phase: str, *, only: frozenset[str] | None = None) -> int:
        """The thief tries everything; how many calls went through."""
        moves = self.thief.seize(phase, only=only)
        names = sorted({move.call.function.split(".")[-1] for move in moves})
        if moves:
            self.note(THIEF, "seized", count=len(moves), functions=", ".join(names))
        else:
            self.note(THIEF, "nothing_works", tries=sum(t.times for t in self.thief.tries if t.phase == phase))
        return len(moves)

    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds)
        self.note(CLOCK, "waited", hours=round(seconds / HOUR, 1))

    # --- the usual order ---------------------------------------------------------------------------------------------

    def detect(self) -> None:
        """Look at the desk; the time from the first theft to its first alarm there, or a report, is what detecting took.

        The response goes by the index, alarm or none: what the index shows and no rule alarms about is written down.
        """
        findings = self.defence.notice()
        alarms = self._alarms()
        since = self.thief.first_at or self.world.now()
        if alarms or self.defence.reported:
            self.result.detect = self.result.detect or Span(max(self.world.now() - since, 0), len(self.thief.sent))
        self.result.alarms = sorted({*self.result.alarms, *alarms})
        if alarms:
            self.note(PLATFORM, "alarmed", alarms=alarms)
        elif findings.logs and not self.result.alarms:
            self.note(PLATFORM, "unalarmed", events=", ".join(sorted({log.event for log in findings.logs})))

    def _alarms(self) -> list[str]:
        """Kinds of the alarms at the desk that the thief's transactions raised, or that no transaction stands behind.

        The officers' own wallets raise alarms too, for they act past the outbox: those are no detection.
        """
        services.run_alarm_sweep()
        opened = Alarm.objects.filter(pk__gt=self.last_alarm)
        theirs = Q(evidence__transaction_hash__in=self.thief.sent) | Q(evidence__transaction_hash="")
        return sorted(set(opened.filter(theirs).values_list("kind", flat=True)))

    def contain(self) -> None:
        watch = _Watch(self)
        self.defence.stop()
        self.result.contain = self.result.contain or watch.span()
        self.note(OFFICERS, "contained")
        self._replace_keys()

    def _replace_keys(self) -> None:
        self.world.meanwhile = self._meanwhile
        self.defence.replace_keys()
        self.world.meanwhile = None

    def _meanwhile(self) -> None:
        """While the replacing of a key waits for its delay: the thief goes on, and the desk watches."""
        if self.thief.keys:
            self.seize("while the key is being replaced")
        self.defence.watch()

    def restore(self) -> None:
        watch = _Watch(self)
        self.defence.restore()
        self.result.restore = self.result.restore or watch.span()
        self.note(OFFICERS, "restored")

    def theft(self) -> None:
        """The thief acts, the platform answers, the thief tries again at every stage, everything is brought back."""
        if self.mode == RACING:
            self._race_the_first_response()
        else:
            self.seize("first", only=QUIET if self.mode == PATIENT else None)
            self.detect()
            self.wait(CALLED_SECONDS)
            if self.mode == HURRIED:
                self.seize("before the response")
                self.detect()
            self.contain()
        self.seize("after containment")
        self.detect()
        if self.mode == PATIENT:
            self.wait(DAY + HOUR)
            self.seize("a day later")
            self.wait(8 * DAY)
            self.seize("nine days later")
            self.contain()
        self.restore()
        self.answer_again()

    def answer_again(self) -> None:
        """Keys that slept so far are used now; the answer is the same, until nothing goes through any more."""
        for round_ in range(1, 4):
            phase = f"after restoring, {round_}"
            if not self.seize(phase):
                return
            self.detect()
            self.contain()
            self.restore()
        last = {each.function for each in self.thief.tries if each.phase == phase and each.done}
        self.expect(last <= HARMLESS, f"stolen keys still work after three answers: {sorted(last - HARMLESS)}")

    def _race_the_first_response(self) -> None:
        plan = self.thief.plan()

        raced: list[tuple[Move, str]] = []
        self.defence.watched = lambda: raced.extend(self.thief.race(plan, phase="in the same block"))
        watch = _Watch(self)
        self.defence.stop()
        won = self.thief.settle_race(raced, phase="in the same block")
        self.result.contain = watch.span()
        self.note(THIEF, "raced", count=len(raced), won=won)
        self.detect()
        self._replace_keys()

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> Result:
        """Count what is lost for good, and whether everybody can go about their business."""
        result, world = self.result, self.world
        result.tries = self.thief.tries
        result.after = holdings(world)
        result.lost_units = thief_units(world) + missing_units(world)
        self.expect(result.lost_units == 0, f"{result.lost_units} units are lost for good")
        self.expect(world.trade_is_possible(), "investors cannot trade after the response")
        self.expect(
            world.supply() == sum(person.units for person in world.investors), "the supply is not what was issued"
        )
        self.observer.end(result)
        return result


class _Watch:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.at, self.sent = scene.world.now(), scene.defence.transactions

    def span(self) -> Span:
        return Span(self.scene.world.now() - self.at, self.scene.defence.transactions - self.sent)


@dataclass(frozen=True, slots=True)
class Drill:
    """One row of the drills' table."""

    code: str
    modes: tuple[str, ...]
    play: Callable[[Scene], None]


def run_one(
    world: World, drill: Drill, mode: str, observer: Observer | None = None, *, without: frozenset[str] = frozenset()
) -> Result:
    """Play one drill in one mode and put chain and database back as they were."""
    snapshot = world.node.snapshot()
    wallets = [list(person.wallets) for person in world.investors]
    signers = [person.signer for person in world.investors]
    result = Result(drill.code, mode)
    try:
        with transaction.atomic():
            scene = Scene(world, drill.code, mode, observer, without=without)
            result = _play(scene, drill)
            transaction.set_rollback(True)
    finally:
        world.node.set_automine(True)
        world.node.revert(snapshot)
        world.meanwhile = None
        for person, before, signer in zip(world.investors, wallets, signers, strict=True):
            person.wallets, person.signer = before, signer
    return result


def _play(scene: Scene, drill: Drill) -> Result:
    try:
        drill.play(scene)
        return scene.finish()
    except DrillBroken as broken:
        scene.result.failures.append(f"the response did not work: {broken}")
    except Exception as error:
        scene.result.failures.append(f"{type(error).__name__}: {error}")
        scene.result.failures.append(traceback.format_exc(limit=-4))
    result = scene.result
    result.tries = scene.thief.tries
    result.lost_units = thief_units(scene.world) + missing_units(scene.world)
    scene.observer.end(result)
    return result


def run_all(
    world: World,
    drills: Sequence[Drill],
    observer: Observer | None = None,
    *,
    modes: Sequence[str] | None = None,
    without: frozenset[str] = frozenset(),
) -> list[Result]:
    """Play every drill in each of its modes."""
    return [
        run_one(world, drill, mode, observer, without=without)
        for drill in drills
        for mode in drill.modes
        if modes is None or mode in modes
    ]


def tried(tries: Sequence[Try]) -> int:
    return sum(each.times for each in tries)
