"""Compiling without the cyclic garbage collector.

A compilation makes many objects and hardly any garbage; the collector would go through all of them
again and again, which takes a third of the time of a large one. It is a setting of the whole
process, so pauses are counted behind a lock: the first compilation to begin switches it off if it
was on, the last to end switches it on again, whatever their threads and however they end. Other
threads only collect later. If somebody else switches the collector while compilations run, the last
pause restores what it found when the first began.

What a compilation leaves refers to itself, so only the collector can free it when nobody needs it
any more. It sees to that by itself, unless so much was made that examining it takes long: that is
made old at once, and examined when several such heaps have come together.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

LARGE = 250_000
"""New objects that the collector would examine for more than a few hundredths of a second."""

MOST_UNEXAMINED = 2_000_000
"""Objects that were made old without being examined, before everything is examined."""


class _Collector:
    """The collector of this process, as far as compilations switch it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pauses = 0
        self._was_on = False
        self._unexamined = 0

    def pause(self) -> None:
        with self._lock:
            if not self._pauses:
                self._was_on = gc.isenabled()
            self._pauses += 1
            gc.disable()

    def go_on(self) -> None:
        with self._lock:
            self._pauses -= 1
            if self._was_on and not self._pauses:
                if gc.get_count()[0] > LARGE:
                    self._make_old()
                gc.enable()

    def _make_old(self) -> None:
        """Move what was made into the oldest generation, which is examined from time to time.

        Freezing and unfreezing join lists and look at no object. Where the program has frozen
        objects of its own they stay frozen, and the collector does as it always does.
        """
        if gc.get_freeze_count():
            return
        self._unexamined += gc.get_count()[0]
        gc.freeze()
        gc.unfreeze()
        if self._unexamined > MOST_UNEXAMINED:
            gc.collect()
            self._unexamined = 0


_collector = _Collector()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep the collector off; pauses of several threads may overlap."""
    _collector.pause()
    try:
        yield
    finally:
        _collector.go_on()
