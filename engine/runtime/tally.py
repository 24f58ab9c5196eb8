"""What a process counts about itself: plain numbers, kept whether or not anybody asks.

Metrics and the report read them. Every table here is bounded: by what the program can do, never by what
users name.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

PHASE_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
LAG_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
SLOWEST = 64
"""Hooks kept in the table of slow ones."""
SLOW_S = 0.1
"""Hooks quicker than this are never slow."""
LATELY_S = 3600.0


class Durations:
    """How long something took: how often up to each bound, and in all.

    Example:
        >>> seen = Durations((0.1, 1.0))
        >>> for seconds in (0.05, 0.1, 0.7, 3.0):
        ...     seen.add(seconds)
        >>> seen.cumulative(), seen.count, round(seen.total_s, 2)
        ([(0.1, 2), (1.0, 3)], 4, 3.85)
    """

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        """Take the upper bounds, in seconds and rising."""
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(self._bounds_s, seconds)] += 1
        self.total_s += seconds

    @property
    def count(self) -> int:
        """Return how many were counted."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Return how many took at most each bound."""
        found, so_far = [], 0
        for bound_s, count in zip(self._bounds_s, self._counts, strict=False):
            so_far += count
            found.append((bound_s, so_far))
        return found


class SlowHook(Struct, frozen=True):
    """A hook of a component that took long.

    Attributes:
        phase: `create`, `deploy`, `start`, `terminate` or `check`.
        seconds: The longest it has taken lately.
        at_s: When, on the loop's clock.
        times: How often it was slow.
    """

    path: str
    kind: str
    phase: str
    seconds: float
    at_s: float
    times: int = 1


class SlowHooks:
    """The slowest hooks seen lately, one row for each component and phase."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: dict[tuple[str, str], SlowHook] = {}

    def add(self, row: SlowHook) -> None:
        """Take in one hook that has run; the quickest goes if there are too many."""
        if row.seconds < SLOW_S:
            return
        key = (row.path, row.phase)
        before = self._rows.pop(key, None)
        if before is not None and row.at_s - before.at_s < LATELY_S:
            slower = before if before.seconds > row.seconds else row
            row = SlowHook(
                row.path, row.kind, row.phase, slower.seconds, slower.at_s, before.times + 1
            )
        self._rows[key] = row
        if len(self._rows) > SLOWEST:
            old = min(self._rows, key=lambda each: self._rank(self._rows[each], row.at_s))
            del self._rows[old]

    @staticmethod
    def _rank(row: SlowHook, now_s: float) -> tuple[bool, float]:
        return now_s - row.at_s < LATELY_S, row.seconds

    def rows(self, now_s: float) -> list[SlowHook]:
        """Return those of the last hour, slowest first."""
        lately = (row for row in self._rows.values() if now_s - row.at_s < LATELY_S)
        return sorted(lately, key=lambda row: -row.seconds)


class Tally:
    """The numbers of one process.

    Attributes:
        operations: Operations that are over, by kind and by `done` or the kind of fault.
        phases: How long phases of segments took, and their ends.
        misses: Beats of remote parts that nobody answered.
        restarts: Children started again by their parent.
        ended: Components that have ended.
        denied: Requests that the table of rights refused.
        lag: By how much the loop was late.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        self.operations: Counter[tuple[str, str]] = Counter()
        self.phases: dict[str, Durations] = {}
        self.misses = 0
        self.restarts = 0
        self.ended = 0
        self.denied = 0
        self.lag = Durations(LAG_S)
        self.hooks = SlowHooks()

    def phase(self, name: str, seconds: float) -> None:
        """Count a phase that is over."""
        self.phases.setdefault(name, Durations(PHASE_S)).add(seconds)

    @contextmanager
    def hook(self, path: str, kind: str, phase: str) -> Iterator[None]:
        """Time one hook of a component, however it ends."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            yield
        finally:
            now_s = loop.time()
            self.hooks.add(SlowHook(path, kind, phase, now_s - began_s, now_s))
