"""What a queue of events remembers: a file of lines that outlives the daemon, and the same in memory."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Self

from typing_extensions import override

from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, plain, shown
from engine.wire.codec import decode, encode
from sfdl.values import Value

ALL = "all"
Threads = Callable[..., Awaitable[object]]


def _how_many(value: Value) -> int | None:
    number = plain(value)
    if number == ALL:
        return None
    if isinstance(number, int) and not isinstance(number, bool) and number > 0:
        return number
    raise BadValueError(f'must be a whole number from 1 on, or "{ALL}" (got {shown(value)})')


how_many = Kind(f'whole number or "{ALL}"', "anyClass", _how_many)
"""A number of things, or nothing for all of them."""


class EventFile(Effect, frozen=True):
    """A file of events, one line for each; its name is of one component only."""

    path: str

    @override
    async def look(self, at: Site) -> Presence:
        there = await at.blocking(Path(self.path).exists)
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._touch)
        return self

    def _touch(self) -> None:
        Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self.path).touch()

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(lambda: Path(self.path).unlink(missing_ok=True))

    def append(self, values: Iterable[object]) -> None:
        """Write more events; may block."""
        with Path(self.path).open("ab") as stream:
            stream.write(b"".join(map(_line, values)))

    def replace(self, values: Iterable[object]) -> None:
        """Write these events instead of all there are; may block."""
        new = Path(f"{self.path}.new")
        new.write_bytes(b"".join(map(_line, values)))
        new.replace(self.path)

    def read(self) -> tuple[object, ...]:
        """Read all events; a last line that a crash cut short does not count. May block."""
        whole, _, _ = Path(self.path).read_bytes().rpartition(b"\n")
        return tuple(decode(base64.b64decode(line), object) for line in whole.split())


def _line(value: object) -> bytes:
    return base64.b64encode(encode(value)) + b"\n"


class Memory:
    """Events in order, in memory and, once there is one, in a file: the newest so many, or all."""

    def __init__(self) -> None:
        """Remember nothing yet, and all that comes."""
        self._most: int | None = None
        self._file: EventFile | None = None
        self._events: list[object] = []
        self._lines = 0
        self._one = asyncio.Lock()

    @property
    def events(self) -> tuple[object, ...]:
        """Return what is remembered."""
        return tuple(self._newest())

    def _newest(self) -> list[object]:
        return self._events if self._most is None else self._events[-self._most :]

    async def keep_in(
        self, file: EventFile, most: int | None, threads: Threads, *, again: bool = False
    ) -> None:
        """Keep events in a file from now on.

        Args:
            file: The file.
            most: How many to keep, the newest; nothing: all.
            threads: Runs a function that may block.
            again: An earlier life has filled it.
        """
        async with self._one:
            self._most = most
            early, self._events = self._events, []
            if again:
                self._events = list(await _read(file, threads))
            await threads(file.append, early)
            self._events += early
            self._lines = len(self._events)
            self._file = file

    async def add(self, value: object, threads: Threads) -> None:
        """Remember one more event; when it returns it is in the file, in the order of the calls.

        Args:
            value: Plain data.
            threads: As for `keep_in`.
        """
        async with self._one:
            if self._file is not None:
                await threads(self._file.append, [value])
            self._events.append(value)
            self._lines += 1
            if self._most is not None and self._lines > 2 * self._most:
                self._events = self._newest()
                self._lines = len(self._events)
                if self._file is not None:
                    await threads(self._file.replace, self.events)


async def _read(file: EventFile, threads: Threads) -> tuple[object, ...]:
    found = await threads(file.read)
    return found if isinstance(found, tuple) else ()
