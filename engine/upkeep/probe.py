"""Is the loop on time? Everything waits while one piece of work holds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from engine.runtime.tally import Tally

PERIOD_S = 0.5
LATE_S = 0.2
"""A loop later than this is worth a warning."""
TELL_S = 10.0
"""Seconds between two warnings at least; the later one has the worst of the time between."""


class Lateness:
    """Decides when a late loop is told of.

    Example:
        >>> lateness = Lateness()
        >>> lateness.seen(0.05, now_s=1.0)
        >>> lateness.seen(0.35, now_s=2.0)
        'the loop was late by 350 ms'
        >>> lateness.seen(0.9, now_s=3.0)
        >>> lateness.seen(0.3, now_s=13.0)
        'the loop was late 2 times, by 900 ms at most'
    """

    def __init__(self) -> None:
        """Start on time."""
        self._times = 0
        self._worst_s = 0.0
        self._told_s: float | None = None

    def seen(self, late_s: float, now_s: float) -> str | None:
        """Take in one look, and return what there is to tell now."""
        if late_s > LATE_S:
            self._times += 1
            self._worst_s = max(self._worst_s, late_s)
        early = self._told_s is not None and now_s - self._told_s < TELL_S
        if not self._times or early:
            return None
        often = f" {self._times} times," if self._times > 1 else ""
        most = " at most" if self._times > 1 else ""
        text = f"the loop was late{often} by {self._worst_s * 1000:.0f} ms{most}"
        self._times, self._worst_s, self._told_s = 0, 0.0, now_s
        return text


class Probe:
    """Sleeps and looks how late it wakes, for ever."""

    def __init__(
        self, tally: Tally, tell: Callable[[str], None], beat: Callable[[], None], period_s: float
    ) -> None:
        """Take where to count, how to warn, and what is called as long as the loop turns."""
        self._tally = tally
        self._tell = tell
        self._beat = beat
        self._period_s = min(PERIOD_S, period_s)
        self._due_s = time.monotonic() + self._period_s

    @property
    def late_s(self) -> float:
        """Return by how many seconds the loop is late now; may be asked from any thread."""
        return max(0.0, time.monotonic() - self._due_s)

    async def run(self) -> None:
        """Look until cancelled."""
        lateness = Lateness()
        while True:
            self._due_s = time.monotonic() + self._period_s
            await asyncio.sleep(self._period_s)
            late_s = self.late_s
            self._tally.lag.add(late_s)
            text = lateness.seen(late_s, time.monotonic())
            if text is not None:
                self._tell(text)
            self._beat()
