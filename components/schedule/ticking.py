"""The flow behind `Timer` and `Cron`: runs a child whenever it is due, and what if it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from components.schedule.calendars import Plan
from components.workflow.base import failed
from engine.core.flows import (
    Asked,
    ChildEnded,
    ChildGone,
    Do,
    Done,
    Drop,
    EndChild,
    Happening,
    Perform,
    Publish,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
    Write,
)
from engine.core.lifecycle import State
from engine.core.records import Record

Overlap: TypeAlias = Literal["skip", "queue", "replace"]
CLOCK = "clock"
"""What the flow asks its component to tell: the time on the wall, as `Asked(CLOCK, seconds)`."""
LOOK_AGAIN_S = 600.0
"""Most seconds until the wall is looked at again: it may be set, and a machine may sleep."""


class Rules(Struct, frozen=True):
    """How a child is run again and again.

    Attributes:
        overlap: When it is due and still runs: leave it out, run it after that, or end what runs.
        missed: Whether one run makes up for all that were missed while nobody could run them.
        grace_s: Seconds by which a run may be late without having been missed.
        at_once: Run it at the beginning too.
        until_failure: Be done when a run fails.
    """

    overlap: Overlap = "skip"
    missed: bool = False
    grace_s: float = 60.0
    at_once: bool = False
    until_failure: bool = False


class Ticks(Struct, frozen=True):
    """Where one is; times are on the plan's clock.

    Attributes:
        plan: By which plan that is.
        due_s: When it is due next; nothing: never again.
        busy: It runs, or is on its way up or down.
        again: It is to run once more when what runs has ended.
        runs, skipped, missed, failures: How often that happened.
        closed: Nothing more is to happen.
    """

    plan: str = ""
    due_s: float | None = None
    busy: bool = False
    again: bool = False
    runs: int = 0
    skipped: int = 0
    missed: int = 0
    failures: int = 0
    closed: bool = False


class Ticking:
    """Runs a child whenever it is due.

    With a plan on the flow's own clock it decides by that; with one on the wall's it has its component
    look at the wall whenever it wakes, so that nothing drifts when that is set.
    """

    state_type: type[Ticks] = Ticks

    def __init__(
        self, child: str, plan: Plan, name: str, rules: Rules,
        show: Callable[[float], str] | None = None,
    ) -> None:  # fmt: skip
        """Take the child, the plan and its name, the rules, and how times of the wall look."""
        self._child = child
        self._plan = plan
        self._name = name
        self._rules = rules
        self._show = show

    def begin(self, children: Mapping[str, State]) -> tuple[Ticks, Sequence[Do]]:
        """Find out when it is due first."""
        del children
        if self._show is not None:
            return Ticks(), (Perform(CLOCK),)
        return self._plan_from(Ticks(), 0.0, 0.0)

    def resume(self, state: Ticks, children: Mapping[str, State]) -> tuple[Ticks, Sequence[Do]]:
        """Go on: a run that was on its way up is begun anew, and what was missed is looked at."""
        if state.closed:
            return state, ()
        dos: list[Do] = []
        if state.busy and self._child not in children:
            dos.append(StartChild(self._child))
        # The runner tells the time at once; whatever is overdue is found then.
        dos.append(Perform(CLOCK) if self._show is not None else WakeAt(0.0))
        return state, dos

    def on(self, state: Ticks, what: Happening, now_s: float) -> tuple[Ticks, Sequence[Do]]:
        """Decide about the time, or the end of a run."""
        if state.closed:
            return state, ()
        match what:
            case TimeUp() if self._show is not None:
                return state, (Perform(CLOCK),)
            case TimeUp():
                return self._at(state, now_s, now_s)
            case Asked("clock", float(wall_s)):
                return self._at(state, wall_s, now_s)
            case ChildEnded(child, record) | StartFailed(child, record) if child == self._child:
                return self._ended(state, failed(record))
            case ChildGone(child) if child == self._child:
                return self._next(state, [])
            case _:
                return state, ()

    def _at(self, state: Ticks, time_s: float, now_s: float) -> tuple[Ticks, Sequence[Do]]:
        """Take in the time on the plan's clock, and on the flow's."""
        due_s = state.due_s
        if due_s is None or state.plan != self._name:
            return self._plan_from(state, time_s, now_s)
        if time_s < due_s:
            return self._wait(state, time_s, now_s)
        dos: list[Do] = []
        if time_s - due_s <= self._rules.grace_s:
            state, dos = self._due(state)
        else:
            state = replace(state, missed=state.missed + 1)
            text = f"{self._child} was due {time_s - due_s:.0f} s ago: missed"
            dos = [Publish(text), Write("missedRuns", state.missed)]
            if self._rules.missed:
                state, more = self._due(state)
                dos.extend(more)
        state, rest = self._plan_from(state, time_s, now_s)
        return state, (*dos, *rest)

    def _plan_from(self, state: Ticks, time_s: float, now_s: float) -> tuple[Ticks, Sequence[Do]]:
        """Find the next due time after this one: however many were missed, it is one."""
        dos: list[Do] = []
        if not state.plan and self._rules.at_once:
            state, dos = self._due(state)
        state = replace(state, plan=self._name, due_s=self._plan(time_s))
        if state.due_s is None:
            done = Record.normal("it is never due again")
            return replace(state, closed=not state.busy), (
                *dos,
                *(() if state.busy else (Done(done),)),
            )
        if self._show is not None:
            dos.append(Write("nextRun", self._show(state.due_s)))
        state, rest = self._wait(state, time_s, now_s)
        return state, (*dos, *rest)

    def _wait(self, state: Ticks, time_s: float, now_s: float) -> tuple[Ticks, Sequence[Do]]:
        left_s = max(0.0, (state.due_s or 0.0) - time_s)
        pause_s = min(left_s, LOOK_AGAIN_S) if self._show is not None else left_s
        return state, (WakeAt(now_s + pause_s),)

    def _due(self, state: Ticks) -> tuple[Ticks, list[Do]]:
        if not state.busy:
            return self._run(state)
        match self._rules.overlap:
            case "skip":
                state = replace(state, skipped=state.skipped + 1)
                text = f"{self._child} is due and still runs: left out"
                return state, [Publish(text), Write("skippedRuns", state.skipped)]
            case "queue":
                return replace(state, again=True), []
            case "replace":
                record = Record.normal("its next run is due")
                return replace(state, again=True), [EndChild(self._child, record)]

    def _run(self, state: Ticks) -> tuple[Ticks, list[Do]]:
        state = replace(state, busy=True, again=False, runs=state.runs + 1)
        return state, [Write("runs", state.runs), StartChild(self._child)]

    def _ended(self, state: Ticks, record: Record) -> tuple[Ticks, Sequence[Do]]:
        dos: list[Do] = [Drop(self._child)]
        if not record.is_normal:
            if self._rules.until_failure:
                return replace(state, closed=True), (Done(record),)
            state = replace(state, failures=state.failures + 1)
            dos.extend((
                Publish(f"a run failed: {record.sentence()}"),
                Write("failures", state.failures), Write("lastFailure", record.sentence()),
            ))  # fmt: skip
        return self._next(state, dos)

    def _next(self, state: Ticks, dos: list[Do]) -> tuple[Ticks, Sequence[Do]]:
        state = replace(state, busy=False)
        if state.again:
            state, more = self._run(state)
            return state, (*dos, *more)
        if state.due_s is None:
            done = Done(Record.normal("it is never due again"))
            return replace(state, closed=True), (*dos, done)
        return state, dos
