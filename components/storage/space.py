"""Space that volumes of this process were promised and have not taken yet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from msgspec import Struct

from engine.prim import Prim


class Promise(Struct, frozen=True):
    """What one backend was promised.

    Attributes:
        place: Filesystem, volume group or pool that it comes from.
        wanted: Bytes that its volumes may come to have.
        files: Volumes whose size on disk says how much of it they have taken; without any it is taken
            all at once as they are made.
    """

    place: str
    wanted: int
    files: tuple[str, ...] = ()


class Promises:
    """The promises of one process; one ends with the component it was made to."""

    def __init__(self) -> None:
        """Start without any."""
        self._held: WeakKeyDictionary[Prim, Promise] = WeakKeyDictionary()

    def make(self, prim: Prim, promise: Promise) -> None:
        """Promise space to a backend, instead of what it was promised before."""
        self._held[prim] = promise

    def taken(self, prim: Prim) -> None:
        """Say that a backend has made its volumes."""
        if prim in self._held and not self._held[prim].files:
            del self._held[prim]

    def to_others(self, place: str, prim: Prim) -> tuple[Promise, ...]:
        """Return what was promised at a place to all but one."""
        return tuple(
            promise
            for each, promise in list(self._held.items())
            if promise.place == place
            and each is not prim
            and each.live.process.lives.get(each.live.id) is each.live
        )


def on_disk(files: Iterable[str]) -> int:
    """Return how many bytes files take on their disk; blocks. One that is not there takes none."""
    total = 0
    for file in files:
        try:
            total += Path(file).stat().st_blocks * 512
        except OSError:
            continue
    return total


def outstanding(promises: Iterable[Promise]) -> int:
    """Return how many bytes were promised and have not been taken yet; blocks.

    Example:
        >>> outstanding([Promise("/", 4096), Promise("/", 1024, ("/no/such/file",))])
        5120
    """
    return sum(max(0, each.wanted - on_disk(each.files)) for each in promises)
