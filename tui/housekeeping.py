"""Collecting garbage when nobody is typing.

A full collection looks at every object there is; with 10,000 components that takes longer than a key may
wait. So what stays is put aside, full collections happen only when the keyboard has been quiet for a
while, and the small ones in between look at new objects only.
"""

from __future__ import annotations

import gc

QUIET_S = 2.0
EVERY_S = 30.0
YOUNG = 10_000
MIDDLE = 5
NEVER = 1_000_000


class Housekeeping:
    """Decides when to tidy up; does nothing before `begin`."""

    def __init__(self) -> None:
        """Leave the collector as it is."""
        self._begun = False
        self._keyed_s = 0.0
        self._tidied_s = float("-inf")
        self._known = -1

    def begin(self) -> None:
        """Take the collector over, for the rest of the process."""
        self._begun = True
        gc.set_threshold(YOUNG, MIDDLE, NEVER)

    def keyed(self, now_s: float) -> None:
        """Note that the user did something."""
        self._keyed_s = now_s

    def due(self, now_s: float, version: int) -> bool:
        """Say whether to tidy up now; more often when what is kept, of that version, has changed."""
        if not self._begun or now_s - self._keyed_s < QUIET_S:
            return False
        since_s = now_s - self._tidied_s
        return since_s >= (QUIET_S if version != self._known else EVERY_S)

    def tidy(self, now_s: float, version: int) -> None:
        """Collect everything, and put aside what stays."""
        self._tidied_s = now_s
        self._known = version
        gc.unfreeze()
        gc.collect()
        gc.freeze()
