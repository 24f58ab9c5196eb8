"""Full garbage collections in quiet moments, instead of in the middle of work.

Looking through everything a daemon holds takes it some ten microseconds a component, in one go. Python
does that whenever enough new objects have stayed, thus above all while a large tree comes up. A daemon
that is never quiet looks as well when it has lost as many components as it still has, whose remains
would else pile up, and after very many new objects, whatever they are.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

YOUNG, MIDDLE, NEVER = 10_000, 10, 1_000_000
"""New objects until the young ones are looked through, rounds of that until the middle-aged are, and
rounds of those until Python itself would look through everything."""
ROUNDS = 3
"""Rounds through the middle-aged after which a full collection is due."""
LATE = 30
"""Rounds after which it is due, whatever is being worked on."""
ENDED = 500
"""Components that have ended until it is due, whatever is being worked on: as many, or as many as are
left, whichever is more."""
PERIOD_S = 1.0


class Garbage:
    """Decides when this program looks for what nobody refers to any more."""

    def __init__(
        self, quiet: Callable[[], bool], held: Callable[[], int], ended: Callable[[], int]
    ) -> None:
        """Take what says whether nothing is worked on, how many components are held, and have ended."""
        self._quiet = quiet
        self._held = held
        self._ended = ended
        self._seen = ended()
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()  # what was made up to here stays
        gc.set_threshold(YOUNG, MIDDLE, NEVER)

    def due(self) -> bool:
        """Say whether a full collection is due now."""
        rounds = gc.get_count()[2]
        if rounds >= ROUNDS and self._quiet():
            return True
        return rounds >= LATE or self._ended() - self._seen >= max(ENDED, self._held())

    async def run(self) -> None:
        """Look from time to time, for ever; cancelled when the daemon stops."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if self.due():
                self._seen = self._ended()
                gc.collect()

    def close(self) -> None:
        """Let Python decide again."""
        gc.set_threshold(*self._before)
        gc.unfreeze()
