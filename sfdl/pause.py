"""Compiling without the cyclic garbage collector.

A compilation makes many objects and hardly any garbage; the collector would go through all of them
again and again, which takes a third of the time of a large one. It is a setting of the whole
process, so pauses are counted behind a lock: the first compilation to begin switches it off if it
was on, the last to end switches it on again, whatever their threads and however they end. Other
threads only collect later. If somebody else switches the collector while compilations run, the last
pause restores what it found when the first began.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_pauses: list[bool] = []
"""One entry for each pause; the first tells whether the collector was on."""


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep the collector off; pauses of several threads may overlap."""
    with _lock:
        _pauses.append(gc.isenabled() if not _pauses else _pauses[0])
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            was_on = _pauses.pop()
            if was_on and not _pauses:
                _grow_old()
                gc.enable()


def _grow_old() -> None:
    """Move what was made into the oldest generation, or the next allocation would examine it all.

    Both calls join lists and look at no object. Where the program has frozen objects of its own
    they stay frozen, and the examination is paid for.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
