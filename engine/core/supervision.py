"""Restarting children: whom, when, how often, and when to give up.

The flow keeps *rounds*: sets of children that are to be ended where they still run, and then started
in declaration order once the wait is over. Overlapping rounds become one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from engine.core.flows import (
    ChildEnded,
    ChildGone,
    ChildStarted,
    Do,
    Drop,
    EndChild,
    Finish,
    Happening,
    Publish,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
)
from engine.core.lifecycle import State
from engine.core.records import Record


class Restart(Enum):
    """Which ends of a child lead to a restart."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(Enum):
    """Who is restarted when one child ended."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(Enum):
    """Which normal ends of significant children end the supervisor."""

    NEVER = "never"
    ANY = "anySignificant"
    ALL = "allSignificant"


class Budget(Struct, frozen=True):
    """How many restarts in how many seconds are bearable."""

    intensity: int = 3
    period_s: float = 60.0


def spend(history: tuple[float, ...], now_s: float, budget: Budget) -> tuple[float, ...] | None:
    """Book one restart.

    Args:
        history: Times of earlier restarts, oldest first, monotonic seconds.
        now_s: Time of this one.
        budget: More than `intensity` restarts within `period_s` exceed it.

    Returns:
        The new history, or nothing when the budget is exceeded.

    Example:
        >>> spend((0.0, 1.0), 2.0, Budget(intensity=2, period_s=60))
        >>> spend((0.0, 1.0), 70.0, Budget(intensity=2, period_s=60))
        (70.0,)
    """
    recent = (*(at for at in history if now_s - at < budget.period_s), now_s)
    return recent if len(recent) <= budget.intensity else None


class Backoff(Struct, frozen=True):
    """How long to wait before the n-th restart of one child in a row, in seconds.

    Attributes:
        jitter: Share of the wait that chance may add.
        seed: What chance depends on beside child and attempt, so that a run can be repeated.
    """

    first_s: float = 1.0
    max_s: float = 60.0
    factor: float = 2.0
    reset_after_s: float = 300.0
    jitter: float = 0.0
    seed: str = ""

    def wait_s(self, attempt: int, child: str = "") -> float:
        """Return the wait before restart number `attempt`, counted from 0.

        Example:
            >>> [Backoff().wait_s(n) for n in (0, 1, 2, 10)]
            [1.0, 2.0, 4.0, 60.0]
        """
        wait = min(self.max_s, self.first_s * self.factor ** min(attempt, 64))
        chance = random.Random(f"{self.seed}/{child}/{attempt}").random()  # noqa: S311 - spreads load
        return float(wait * (1 + self.jitter * chance))


class Policy(Struct, frozen=True):
    """How one supervisor looks after its children.

    Attributes:
        children: Names in declaration order.
        restart: Rule of each child; transient where a child is missing.
        companions: Those restarted together with a child, by its name.
        dependents: Those that depend on a child, for `rest_for_one`.
        significant: Children whose normal end may end the supervisor.
        min_healthy: Least number of children up; fewer for `grace_s` seconds end the supervisor.
        keep_failed: Leave a child ended when the budget is exceeded, instead of ending.
    """

    children: tuple[str, ...]
    restart: Mapping[str, Restart] = {}
    strategy: Strategy = Strategy.ONE_FOR_ONE
    budget: Budget = Budget()
    backoff: Backoff = Backoff()
    companions: Mapping[str, frozenset[str]] = {}
    dependents: Mapping[str, frozenset[str]] = {}
    significant: frozenset[str] = frozenset()
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    min_healthy: int = 0
    grace_s: float = 0.0
    keep_failed: bool = False

    def affected(self, child: str) -> frozenset[str]:
        """Return all that is restarted when one child ended, itself included."""
        if self.strategy is Strategy.ONE_FOR_ALL:
            return frozenset((*self.children, child))
        found = {child}
        if self.strategy is Strategy.REST_FOR_ONE and child in self.children:
            found.update(self.children[self.children.index(child) :])
        waiting = list(found)
        while waiting:
            name = waiting.pop()
            more = self.companions.get(name, frozenset())
            if self.strategy is Strategy.REST_FOR_ONE:
                more |= self.dependents.get(name, frozenset())
            waiting.extend(more - found)
            found |= more
        return frozenset(found)


class Round(Struct, frozen=True):
    """Children being restarted together.

    Attributes:
        todo: Still to be started, in order.
        ending: Still being ended.
        starting: The one being started now, or empty.
        again: The one being started has to be ended again first.
        at_s: Not before this time.
    """

    todo: tuple[str, ...]
    at_s: float
    ending: frozenset[str] = frozenset()
    starting: str = ""
    again: bool = False

    @property
    def members(self) -> frozenset[str]:
        """Return everybody in the round who is not up again."""
        return frozenset((*self.todo, *self.ending, *((self.starting,) if self.starting else ())))


class Attempt(Struct, frozen=True):
    """The latest restart of one child: its number in a row, from 0, and its time."""

    number: int
    at_s: float


class Supervision(Struct, frozen=True):
    """State of a supervisor: who is up, restarts booked and under way, and who was given up.

    Attributes:
        low_since_s: Since when fewer children than wished are up.
    """

    up: frozenset[str] = frozenset()
    history: tuple[float, ...] = ()
    attempts: tuple[tuple[str, Attempt], ...] = ()
    rounds: tuple[Round, ...] = ()
    failed: frozenset[str] = frozenset()
    succeeded: frozenset[str] = frozenset()
    low_since_s: float | None = None


class Supervise:
    """The flow of a supervisor."""

    def __init__(self, policy: Policy) -> None:
        """Take the rules to follow."""
        self._policy = policy

    def begin(self, children: Mapping[str, State]) -> tuple[Supervision, Sequence[Do]]:
        """Start with a clean history; children that are down are told as ended."""
        up = frozenset(name for name, state in children.items() if state is State.STARTED)
        return Supervision(up=up), ()

    def on(
        self, state: Supervision, what: Happening, now_s: float
    ) -> tuple[Supervision, Sequence[Do]]:
        """Decide about an end, a failed restart, or the end of a wait."""
        dos: list[Do] = []
        match what:
            case ChildEnded(child, record) | StartFailed(child, record):
                state = self._ended(state, child, record, now_s, dos)
            case ChildStarted(child):
                state = self._started(state, child, dos)
            case ChildGone(child):
                rounds = tuple(replace(r, ending=r.ending - {child}) for r in state.rounds)
                state = replace(state, rounds=rounds, up=state.up - {child})
            case _:
                pass
        if any(isinstance(do, Finish) for do in dos):
            return state, dos
        state = self._advance(state, now_s, dos)
        state = self._enough(state, now_s, dos)
        if any(isinstance(do, Finish) for do in dos):
            return state, dos
        times = [r.at_s for r in state.rounds if not r.ending and not r.starting and r.at_s > now_s]
        if state.low_since_s is not None:
            times.append(state.low_since_s + self._policy.grace_s)
        if times and isinstance(what, ChildEnded | StartFailed | ChildGone | TimeUp | ChildStarted):
            dos.append(WakeAt(min(times)))
        return state, dos

    # -- an end

    def _wanted(self, child: str, record: Record) -> bool:
        rule = self._policy.restart.get(child, Restart.TRANSIENT)
        if rule is Restart.TRANSIENT:
            return not record.is_normal
        return rule is Restart.PERMANENT

    def _ended(
        self, state: Supervision, child: str, record: Record, now_s: float, dos: list[Do]
    ) -> Supervision:
        state = replace(state, up=state.up - {child}, rounds=_without(state.rounds, child))
        if not self._wanted(child, record):
            dos.extend((Drop(child), Publish(f"{child} ended and stays ended: {record.type}")))
            return self._succeeded(state, child, record, dos)
        budget = self._policy.budget
        history = spend(state.history, now_s, budget)
        if history is None:
            return self._give_up(state, child, record, dos)
        last = dict(state.attempts).get(child)
        fresh = last is None or now_s - last.at_s > self._policy.backoff.reset_after_s
        number = 0 if last is None or fresh else last.number + 1
        wait_s = self._policy.backoff.wait_s(number, child)
        rest = tuple(pair for pair in state.attempts if pair[0] != child)
        state = replace(
            state, history=history, attempts=(*rest, (child, Attempt(number, now_s + wait_s)))
        )
        text = f"{child} ended ({record.sentence()}); restart in {wait_s:g} s"
        others = self._policy.affected(child) - {child}
        if others:
            text += f", together with {', '.join(self._in_order(others))}"
        dos.append(Publish(text))
        return self._begin_round(state, child, now_s + wait_s, dos)

    def _give_up(
        self, state: Supervision, child: str, record: Record, dos: list[Do]
    ) -> Supervision:
        budget = self._policy.budget
        limit = f"{budget.intensity} restarts in {budget.period_s:g} s"
        text = f"{child} ended again: more than {limit}; last: {record.sentence()}"
        if not self._policy.keep_failed:
            dos.append(Finish(Record.abnormal(text, record.cause)))
            return state
        dos.append(Publish(f"{text}; it stays ended"))
        return replace(state, failed=state.failed | {child})

    def _succeeded(
        self, state: Supervision, child: str, record: Record, dos: list[Do]
    ) -> Supervision:
        significant, rule = self._policy.significant, self._policy.auto_shutdown
        if not record.is_normal or child not in significant or rule is AutoShutdown.NEVER:
            return state
        state = replace(state, succeeded=state.succeeded | {child})
        if rule is AutoShutdown.ANY or state.succeeded >= significant:
            dos.append(Finish(Record.normal(f"{child} has done its job")))
        return state

    # -- rounds

    def _begin_round(
        self, state: Supervision, child: str, at_s: float, dos: list[Do]
    ) -> Supervision:
        """End who is affected, and put all of them into one round with those it overlaps."""
        policy = self._policy
        affected = set(policy.affected(child)) - state.failed
        apart: list[Round] = []
        ending: set[str] = set()
        starting, again = "", False
        for each in state.rounds:
            if not (each.members & affected):
                apart.append(each)
                continue
            affected |= each.members
            ending |= each.ending
            at_s = max(at_s, each.at_s)
            if each.starting:
                starting, again = each.starting, True
        running = state.up & affected
        text = f"restarted together with {child}"
        dos.extend(
            EndChild(name, Record.normal(text), again=True)
            for name in reversed(self._in_order(running))
        )
        todo = tuple(name for name in self._in_order(affected) if name != starting)
        one = Round(todo, at_s, frozenset(ending | running), starting, again)
        return replace(state, up=state.up - running, rounds=(*apart, one))

    def _in_order(self, names: frozenset[str] | set[str]) -> list[str]:
        known = [name for name in self._policy.children if name in names]
        return [*known, *sorted(set(names) - set(known))]

    def _started(self, state: Supervision, child: str, dos: list[Do]) -> Supervision:
        rounds: list[Round] = []
        up = state.up | {child}
        for each in state.rounds:
            if each.starting != child:
                rounds.append(each)
            elif each.again:
                dos.append(EndChild(child, Record.normal("restarted with others"), again=True))
                up -= {child}
                todo = tuple(self._in_order({*each.todo, child}))
                rounds.append(Round(todo, each.at_s, each.ending | {child}))
            else:
                rounds.append(replace(each, starting=""))
        return replace(state, up=up, rounds=tuple(rounds))

    def _advance(self, state: Supervision, now_s: float, dos: list[Do]) -> Supervision:
        rounds: list[Round] = []
        for each in state.rounds:
            if each.starting or each.ending or each.at_s > now_s:
                rounds.append(each)
            elif each.todo:
                dos.append(StartChild(each.todo[0]))
                rounds.append(replace(each, starting=each.todo[0], todo=each.todo[1:]))
        return replace(state, rounds=tuple(rounds))

    # -- how many are up

    def _enough(self, state: Supervision, now_s: float, dos: list[Do]) -> Supervision:
        policy = self._policy
        if len(state.up) >= policy.min_healthy:
            return replace(state, low_since_s=None)
        since_s = now_s if state.low_since_s is None else state.low_since_s
        if now_s - since_s >= policy.grace_s:
            text = f"{len(state.up)} children up, fewer than {policy.min_healthy}"
            dos.append(Finish(Record.abnormal(f"{text} for {policy.grace_s:g} s")))
        return replace(state, low_since_s=since_s)


def _without(rounds: tuple[Round, ...], child: str) -> tuple[Round, ...]:
    """Forget the attempt to start a child that has failed or ended."""
    return tuple(
        replace(each, starting="", again=False) if each.starting == child else each
        for each in rounds
    )
