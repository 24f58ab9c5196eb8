"""Restarting children: budget, back-off and the one-for-one flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from engine.core.flows import (
    ChildEnded,
    ChildStarted,
    Do,
    Drop,
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
    """How long to wait before the n-th restart of one child in a row, in seconds."""

    first_s: float = 1.0
    max_s: float = 60.0
    factor: float = 2.0
    reset_after_s: float = 300.0

    def wait_s(self, attempt: int) -> float:
        """Return the wait before restart number `attempt`, counted from 0.

        Example:
            >>> [Backoff().wait_s(n) for n in (0, 1, 2, 10)]
            [1.0, 2.0, 4.0, 60.0]
        """
        return float(min(self.max_s, self.first_s * self.factor ** min(attempt, 64)))


class _Waiting(Struct, frozen=True):
    at_s: float
    attempt: int
    last_s: float


class Supervision(Struct, frozen=True):
    """State of `OneForOne`: restarts booked, and what each child waits for."""

    history: tuple[float, ...] = ()
    waiting: tuple[tuple[str, _Waiting], ...] = ()
    attempts: tuple[tuple[str, _Waiting], ...] = ()


class OneForOne:
    """Restart just the child that ended; give up when restarts exceed the budget."""

    def __init__(self, restart: Mapping[str, Restart], budget: Budget, backoff: Backoff) -> None:
        """Take the restart rule of each child by name."""
        self._restart = restart
        self._budget = budget
        self._backoff = backoff

    def begin(self, children: Mapping[str, State]) -> tuple[Supervision, Sequence[Do]]:
        """Start with a clean history."""
        del children
        return Supervision(), ()

    def on(
        self, state: Supervision, what: Happening, now_s: float
    ) -> tuple[Supervision, Sequence[Do]]:
        """Decide about an end, a failed restart, or the end of a back-off."""
        match what:
            case ChildEnded(child, record) | StartFailed(child, record):
                return self._ended(state, child, record, now_s)
            case TimeUp():
                return self._due(state, now_s)
            case ChildStarted():
                return state, ()
            case _:
                return state, ()

    def _wanted(self, child: str, record: Record) -> bool:
        rule = self._restart.get(child, Restart.TRANSIENT)
        if rule is Restart.TRANSIENT:
            return not record.is_normal
        return rule is Restart.PERMANENT

    def _ended(
        self, state: Supervision, child: str, record: Record, now_s: float
    ) -> tuple[Supervision, Sequence[Do]]:
        if not self._wanted(child, record):
            return state, (Drop(child), Publish(f"{child} ended and stays ended: {record.type}"))
        history = spend(state.history, now_s, self._budget)
        if history is None:
            limit = f"{self._budget.intensity} restarts in {self._budget.period_s:g} s"
            text = f"{child} ended again: more than {limit}; last: {record.sentence()}"
            return state, (Finish(Record.abnormal(text, record.cause)),)
        last = dict(state.attempts).get(child)
        fresh = last is None or now_s - last.last_s > self._backoff.reset_after_s
        attempt = 0 if last is None or fresh else last.attempt + 1
        wait = _Waiting(now_s + self._backoff.wait_s(attempt), attempt, now_s)
        state = replace(
            state,
            history=history,
            waiting=_put(state.waiting, child, wait),
            attempts=_put(state.attempts, child, wait),
        )
        text = (
            f"{child} ended ({record.sentence()}); restart in {self._backoff.wait_s(attempt):g} s"
        )
        return state, (Publish(text), WakeAt(min(w.at_s for _, w in state.waiting)))

    def _due(self, state: Supervision, now_s: float) -> tuple[Supervision, Sequence[Do]]:
        due = [child for child, wait in state.waiting if wait.at_s <= now_s]
        rest = tuple(pair for pair in state.waiting if pair[0] not in due)
        dos: list[Do] = [StartChild(child) for child in due]
        if rest:
            dos.append(WakeAt(min(wait.at_s for _, wait in rest)))
        return replace(state, waiting=rest), dos


def _put(
    pairs: tuple[tuple[str, _Waiting], ...], child: str, wait: _Waiting
) -> tuple[tuple[str, _Waiting], ...]:
    return (*(pair for pair in pairs if pair[0] != child), (child, wait))
