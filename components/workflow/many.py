"""Several children at a time: the flow behind `Parallel`, `ForEach` and `Collect`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from components.workflow.base import failed
from engine.core.flows import (
    Asked,
    ChildEnded,
    ChildGone,
    ChildStarted,
    Do,
    Done,
    Drop,
    EndChild,
    Happening,
    Publish,
    StartChild,
    StartFailed,
)
from engine.core.lifecycle import State
from engine.core.records import Record

Starter: TypeAlias = Callable[[int], StartChild]


class Rules(Struct, frozen=True):
    """How several children are run.

    Attributes:
        at_once: Most that are there at a time; 0: no limit.
        one_by_one: Bring up each only after the one before has started.
        borne_ends: Go on when a child fails.
        borne_starts: Go on when a child cannot be started.
        stays_empty: Stay when there is nothing, or nothing left, to run.
    """

    at_once: int = 0
    one_by_one: bool = False
    borne_ends: bool = False
    borne_starts: bool = False
    stays_empty: bool = False


class Crowd(Struct, frozen=True):
    """Who is there.

    Attributes:
        wanted: How many there are to be in all.
        begun: How many have been asked for so far, from the first.
        starting: Numbers of those on their way up.
        running: Numbers of those that have started.
        leaving: Numbers of those that are to go, newest first.
        ended: How many have ended.
        failed: Names of those whose failure was borne.
        closed: Nothing more is to happen.
    """

    wanted: int
    begun: int = 0
    starting: tuple[int, ...] = ()
    running: tuple[int, ...] = ()
    leaving: tuple[int, ...] = ()
    ended: int = 0
    failed: tuple[str, ...] = ()
    closed: bool = False


class Many:
    """Runs numbered children; `starter` says what the n-th is made from."""

    state_type: type[Crowd] = Crowd

    def __init__(self, wanted: int, starter: Starter, rules: Rules) -> None:
        """Take how many, what they are, and the rules."""
        self._wanted = wanted
        self._starter = starter
        self._rules = rules

    def _name(self, number: int) -> str:
        return self._starter(number).child

    def _number(self, state: Crowd, child: str) -> int | None:
        numbers = (*state.starting, *state.running, *state.leaving)
        return next((number for number in numbers if self._name(number) == child), None)

    def begin(self, children: Mapping[str, State]) -> tuple[Crowd, Sequence[Do]]:
        """Begin to bring up what there is to be."""
        del children
        return self._advance(Crowd(self._wanted), [])

    def resume(self, state: Crowd, children: Mapping[str, State]) -> tuple[Crowd, Sequence[Do]]:
        """Bring up again those that were on their way, and forget those that were leaving."""
        if state.closed:
            return state, ()
        dos: list[Do] = []
        here = [n for n in (*state.starting, *state.running) if self._name(n) in children]
        gone = [n for n in (*state.starting, *state.running) if self._name(n) not in children]
        still = tuple(n for n in state.leaving if self._name(n) in children)
        dos.extend(self._starter(n) for n in gone)
        dos.extend(self._leave(n) for n in still)
        state = replace(state, starting=tuple(gone), running=tuple(here), leaving=still)
        return self._advance(state, dos)

    def on(self, state: Crowd, what: Happening, now_s: float) -> tuple[Crowd, Sequence[Do]]:
        """Decide about a child that started, ended or failed, or about another number wanted."""
        del now_s
        dos: list[Do] = []
        match what:
            case ChildStarted(child):
                state = self._started(state, child, dos)
            case ChildEnded(child, record):
                state = self._ended(state, child, failed(record), dos, self._rules.borne_ends)
            case StartFailed(child, record):
                state = self._ended(state, child, failed(record), dos, self._rules.borne_starts)
            case ChildGone(child):
                state = self._gone(state, child)
            case Asked("count", int(wanted)):
                state = self._scale(state, wanted, dos)
            case _:
                return state, ()
        return (state, dos) if state.closed else self._advance(state, dos)

    def _started(self, state: Crowd, child: str, dos: list[Do]) -> Crowd:
        number = self._number(state, child)
        if number is None or number not in state.starting:
            return state
        starting = tuple(each for each in state.starting if each != number)
        if number in state.leaving:
            dos.append(self._leave(number))
            return replace(state, starting=starting)
        return replace(state, starting=starting, running=(*state.running, number))

    def _leave(self, number: int) -> EndChild:
        return EndChild(self._name(number), Record.normal("fewer are wanted"))

    def _ended(
        self, state: Crowd, child: str, record: Record, dos: list[Do], borne: bool  # noqa: FBT001 - a fact
    ) -> Crowd:  # fmt: skip
        number = self._number(state, child)
        if number is None:
            return state
        leaving = number in state.leaving
        state = self._without(state, number)
        if leaving or record.is_normal:
            dos.append(Drop(child))
            return replace(state, ended=state.ended + (not leaving))
        if not borne:
            dos.append(Done(record))
            return replace(state, closed=True)
        dos.extend((Drop(child), Publish(f"{child} failed, and the others go on: {record.type}")))
        return replace(state, ended=state.ended + 1, failed=(*state.failed, child))

    def _gone(self, state: Crowd, child: str) -> Crowd:
        number = self._number(state, child)
        if number is None:
            return state
        leaving = number in state.leaving
        return replace(self._without(state, number), ended=state.ended + (not leaving))

    @staticmethod
    def _without(state: Crowd, number: int) -> Crowd:
        def rest(numbers: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(each for each in numbers if each != number)

        return replace(
            state, starting=rest(state.starting), running=rest(state.running),
            leaving=rest(state.leaving),
        )  # fmt: skip

    def _scale(self, state: Crowd, wanted: int, dos: list[Do]) -> Crowd:
        """Take another number: those with the highest numbers go first."""
        surplus = sorted(
            (n for n in (*state.starting, *state.running) if n >= wanted), reverse=True
        )
        dos.extend(self._leave(n) for n in surplus if n in state.running)
        return replace(
            state, wanted=wanted, begun=min(state.begun, wanted),
            running=tuple(n for n in state.running if n < wanted),
            leaving=(*state.leaving, *(n for n in surplus if n not in state.leaving)),
        )  # fmt: skip

    def _advance(self, state: Crowd, dos: list[Do]) -> tuple[Crowd, Sequence[Do]]:
        rules = self._rules
        room = rules.at_once or state.wanted
        room -= len(state.starting) + len(state.running)
        if rules.one_by_one:
            room = min(room, 0 if state.starting else 1)
        new = range(state.begun, min(state.wanted, state.begun + max(room, 0)))
        if not any(number in state.leaving for number in new):
            dos.extend(self._starter(number) for number in new)
            begun = state.begun + len(new)
            state = replace(state, begun=begun, starting=(*state.starting, *new))
        busy = state.starting or state.running or state.leaving or state.begun < state.wanted
        if busy or state.closed or rules.stays_empty:
            return state, dos
        dos.append(Done(Record.normal(self._summary(state))))
        return replace(state, closed=True), dos

    def _summary(self, state: Crowd) -> str:
        if not state.failed:
            return f"all {state.ended} children have ended normally"
        names = ", ".join(state.failed)
        return f"{state.ended} children have ended; failed: {names}"
