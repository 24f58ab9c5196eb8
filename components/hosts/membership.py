"""Which members a cluster has, and which it should have: the flow behind `VirtualCluster`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from engine.core.flows import (
    Asked,
    ChildEnded,
    ChildGone,
    Do,
    Drop,
    EndChild,
    Finish,
    Happening,
    Perform,
    Performed,
    Publish,
    TimeUp,
    WakeAt,
)
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.core.supervision import Backoff, Budget, spend

START = "start "
"""What a step that brings up a member begins with; its name follows."""


class OnFailure(Enum):
    """What the abnormal end of a member leads to."""

    TERMINATE = "terminate"
    REPLACE = "replace"
    IGNORE = "ignore"


class Order(Struct, frozen=True):
    """How a cluster looks after its members.

    Attributes:
        named: Children beside the template.
        pattern: Names of the numbered members, with `{i}` for the number, counted from 1.
        at_once: Most members that are moved at a time.
        budget: More replacements than that end the cluster.
        backoff: Waits before a member is tried again.
    """

    named: tuple[str, ...]
    pattern: str
    on_failure: OnFailure = OnFailure.TERMINATE
    budget: Budget = Budget()
    backoff: Backoff = Backoff()
    at_once: int = 1

    def name(self, number: int) -> str:
        """Return the name of a numbered member.

        Example:
            >>> Order((), "wn{i:03}").name(7)
            'wn007'
        """
        return self.pattern.format(i=number)

    def number(self, name: str) -> int:
        """Return the number of a member; 0 of one with a name of its own.

        Example:
            >>> Order((), "wn{i:03}").number("wn012"), Order((), "wn{i}").number("front")
            (12, 0)
        """
        before, _, after = self.pattern.partition("{")
        after = after.partition("}")[2]
        digits = name.removeprefix(before).removesuffix(after)
        number = int(digits) if digits.isascii() and digits.isdigit() else 0
        return number if self.name(number) == name else 0

    def wanted(self, count: int) -> tuple[str, ...]:
        """Return the names of all that are to be there, oldest first."""
        return (*self.named, *(self.name(number) for number in range(1, count + 1)))


class Later(Struct, frozen=True):
    """A member that is to be started, once its time has come."""

    name: str
    at_s: float


class Members(Struct, frozen=True):
    """Who is there.

    Attributes:
        count: How many numbered members there are to be.
        up: Those that have started, oldest first.
        starting: Those on their way up.
        leaving: Those that are to go; some of them are still on their way up.
        later: Those to be started again.
        finished: Those that have ended normally, and are not wanted back.
        lost: Those that failed and were given up.
        moving: Those that are to end and be started somewhere else, when it is their turn.
        attempts: How often a member has been tried again in a row.
        history: Times of replacements.
    """

    count: int
    up: tuple[str, ...] = ()
    starting: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    later: tuple[Later, ...] = ()
    finished: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    attempts: Mapping[str, int] = {}
    history: tuple[float, ...] = ()


class Membership:
    """Keeps a cluster at the members it should have."""

    state_type: type[Members] = Members

    def __init__(self, count: int, order: Order) -> None:
        """Take how many numbered members are wanted, and the rules."""
        self._count = count
        self._order = order

    def begin(self, children: Mapping[str, State]) -> tuple[Members, Sequence[Do]]:
        """Take over those that came up with the cluster; others failed, and were borne."""
        up = tuple(name for name, state in children.items() if state is State.STARTED)
        state = Members(self._count, up)
        dos: list[Do] = []
        for name in self._order.wanted(self._count):
            if name not in up:
                state = self._failed_to_start(state, name, "did not come up", 0.0, dos)
        return self._settled(state, dos)

    def resume(self, state: Members, children: Mapping[str, State]) -> tuple[Members, Sequence[Do]]:
        """Bring up again those that were on their way, and send off again those that were to go."""
        dos: list[Do] = []
        wanted = self._order.wanted(state.count)
        going = tuple(name for name in state.leaving if name in children)
        dos.extend(_end(name) for name in going)
        up = tuple(name for name in children if name in wanted and name not in going)
        known = {*up, *going, *state.finished, *state.lost, *(each.name for each in state.later)}
        missing = tuple(name for name in wanted if name not in known)
        dos.extend(Perform(START + name) for name in missing)
        return self._settled(replace(state, up=up, starting=missing, leaving=going), dos)

    def on(self, state: Members, what: Happening, now_s: float) -> tuple[Members, Sequence[Do]]:
        """Decide about a member that started, ended or failed, or about another number wanted."""
        dos: list[Do] = []
        match what:
            case Performed(step, record) if step.startswith(START):
                state = self._performed(state, step.removeprefix(START), record, now_s, dos)
            case ChildEnded(child, record):
                state = self._ended(state, child, record, now_s, dos)
            case ChildGone(child):
                state = self._fill(_without(state, child), dos)
            case Asked("count", int(count)):
                state = self._scale(state, count, dos)
            case TimeUp():
                state = _due(state, now_s, dos)
            case Asked("again"):
                state = _due(state, float("inf"), dos)
            case Asked("move", tuple(names)):
                state = replace(state, moving=tuple(each for each in names if each in state.up))
            case _:
                return state, ()
        return self._settled(state, dos)

    def _settled(self, state: Members, dos: list[Do]) -> tuple[Members, Sequence[Do]]:
        if state.moving and not (state.starting or state.leaving):
            state = self._move(state, dos)
        wanted = self._order.wanted(state.count)
        if wanted and set(wanted) <= set(state.finished):
            dos.append(Finish(Record.normal("all members have ended normally")))
        elif state.later:
            dos.append(WakeAt(min(each.at_s for each in state.later)))
        return state, dos

    def _move(self, state: Members, dos: list[Do]) -> Members:
        """End the next of those that are to move; they are started again once they are gone."""
        there = [name for name in state.moving if name in state.up]
        batch = tuple(there[: self._order.at_once])
        dos.extend(EndChild(name, Record.normal("moved to another host")) for name in batch)
        return replace(
            state, moving=tuple(there[len(batch) :]), leaving=(*state.leaving, *batch),
            up=tuple(name for name in state.up if name not in batch),
        )  # fmt: skip

    def _performed(
        self, state: Members, name: str, record: Record, now_s: float, dos: list[Do]
    ) -> Members:
        if name not in state.starting:
            return state
        state = replace(state, starting=_less(state.starting, name))
        if record.is_normal:
            if name in state.leaving:
                dos.append(_end(name))
                return state
            calm = {key: count for key, count in state.attempts.items() if key != name}
            return replace(state, up=(*state.up, name), attempts=calm)
        if name in state.leaving:
            return self._fill(replace(state, leaving=_less(state.leaving, name)), dos)
        return self._failed_to_start(state, name, record.sentence(), now_s, dos)

    def _failed_to_start(
        self, state: Members, name: str, why: str, now_s: float, dos: list[Do]
    ) -> Members:
        dos.append(Drop(name))
        if self._order.on_failure is OnFailure.REPLACE:
            return self._again(state, name, why, now_s, dos)
        dos.append(Publish(f"{name} could not be started, and the others go on: {why}"))
        return replace(state, lost=(*state.lost, name))

    def _again(self, state: Members, name: str, why: str, now_s: float, dos: list[Do]) -> Members:
        number = state.attempts.get(name, 0)
        wait_s = self._order.backoff.wait_s(number, name)
        dos.append(Publish(f"{name} is started again in {wait_s:g} s: {why}"))
        later = (*state.later, Later(name, now_s + wait_s))
        return replace(state, later=later, attempts={**state.attempts, name: number + 1})

    def _ended(
        self, state: Members, name: str, record: Record, now_s: float, dos: list[Do]
    ) -> Members:
        leaving = name in state.leaving
        state = _without(state, name)
        dos.append(Drop(name))
        if leaving:
            return self._fill(state, dos)
        if name not in self._order.wanted(state.count):
            return state
        if record.is_normal:
            return replace(state, finished=(*state.finished, name))
        match self._order.on_failure:
            case OnFailure.TERMINATE:
                dos[-1] = Finish(record)
            case OnFailure.REPLACE:
                history = spend(state.history, now_s, self._order.budget)
                if history is None:
                    budget = self._order.budget
                    text = (
                        f"{name} ended again: more than {budget.intensity} replacements in "
                        f"{budget.period_s:g} s; last: {record.sentence()}"
                    )
                    dos[-1] = Finish(Record.abnormal(text, record.cause))
                    return state
                state = replace(state, history=history)
                return self._again(state, name, record.sentence(), now_s, dos)
            case OnFailure.IGNORE:
                dos.append(Publish(f"{name} failed, and the others go on: {record.sentence()}"))
                state = replace(state, lost=(*state.lost, name))
        return state

    def _scale(self, state: Members, count: int, dos: list[Do]) -> Members:
        """Take another number: the newest go first; those given up are tried once more."""
        state = replace(state, count=count, lost=(), attempts={})
        wanted = set(self._order.wanted(count))
        surplus = [name for name in (*state.up, *state.starting) if name not in wanted]
        surplus = [name for name in surplus if name not in state.leaving]
        dos.extend(_end(name) for name in reversed(surplus) if name in state.up)
        state = replace(
            state,
            up=tuple(name for name in state.up if name in wanted),
            leaving=(*state.leaving, *surplus),
            later=tuple(each for each in state.later if each.name in wanted),
            finished=tuple(name for name in state.finished if name in wanted),
        )
        return self._fill(state, dos)

    def _fill(self, state: Members, dos: list[Do]) -> Members:
        """Begin to start whoever is wanted and nowhere yet."""
        busy = {
            *state.up, *state.starting, *state.leaving, *state.finished, *state.lost,
            *(each.name for each in state.later),
        }  # fmt: skip
        new = tuple(name for name in self._order.wanted(state.count) if name not in busy)
        dos.extend(Perform(START + name) for name in new)
        return replace(state, starting=(*state.starting, *new))


def _due(state: Members, until_s: float, dos: list[Do]) -> Members:
    """Begin to start those whose time comes until then."""
    due = tuple(each.name for each in state.later if each.at_s <= until_s)
    rest = tuple(each for each in state.later if each.at_s > until_s)
    dos.extend(Perform(START + name) for name in due)
    return replace(state, later=rest, starting=(*state.starting, *due))


def _end(name: str) -> EndChild:
    return EndChild(name, Record.normal("fewer are wanted"))


def _less(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(each for each in names if each != name)


def _without(state: Members, name: str) -> Members:
    return replace(
        state, up=_less(state.up, name), starting=_less(state.starting, name),
        leaving=_less(state.leaving, name),
    )  # fmt: skip
