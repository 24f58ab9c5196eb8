"""What components log, kept in memory for whoever asks: by sub-tree, level and cursor."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from engine.core.faults import Refused
from engine.core.levels import level_at, level_of, word_of
from engine.wire.messages import Handle, Levelled, LogRow, Page, PullLog, SetLevel

if TYPE_CHECKING:
    from engine.runtime.live import Live
    from engine.runtime.process import Process

KEPT = 1000
"""Records kept of each application."""
LONGEST = 4000
"""Characters kept of one record."""
TRACE = 5


class ComponentLog(logging.LoggerAdapter[logging.Logger]):
    """The logger of one component; which records count is looked up by its place in the tree."""

    def __init__(self, process: Process, live: Live) -> None:
        """Take whose logger it is."""
        logger = logging.getLogger(f"sf.{live.segment.application}")
        super().__init__(logger, {"component": live.path})
        self._process = process
        self._live = live

    @override
    def isEnabledFor(self, level: int) -> bool:  # logging's name
        return level >= self._process.logbook.level(self._live.path)

    @override
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if self.isEnabledFor(level):
            self._process.logbook.write(self._live, level, str(msg) % args if args else str(msg))
            super().log(level, msg, *args, **kwargs)

    def trace(self, msg: object, *args: object) -> None:
        """Log below `debug`."""
        self.log(TRACE, msg, *args)

    @override
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return f"{self._live.path}: {msg}", kwargs


class Logbook:
    """The latest records of one process's components."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._rows: dict[str, deque[LogRow]] = {}
        self._lost: dict[str, int] = {}
        self._levels: dict[str, int] = {}
        self._life = secrets.token_hex(4)
        self._next = 1
        self._changed = asyncio.Event()

    # -- writing

    def level(self, path: str) -> int:
        """Return the level that counts for a component."""
        return level_at(self._levels, path)

    def write(self, live: Live, level: int, text: str) -> None:
        """Keep one record; warnings and worse are events as well."""
        application = live.segment.application
        rows = self._rows.setdefault(application, deque(maxlen=KEPT))
        if len(rows) == KEPT:
            self._lost[application] = rows[0].seq
        rows.append(
            LogRow(
                self._next, int(time.time() * 1000), word_of(level), live.path, text[:LONGEST],
                self._process.node_name, *self._process.operations.traced(),
            )
        )  # fmt: skip
        self._next += 1
        self._changed.set()
        if level >= logging.WARNING:
            word = "error" if level >= logging.ERROR else "warning"
            self._process.events.tell(live, word, text[:LONGEST])

    def forget(self, application: str) -> None:
        """Drop what an application logged that ended long ago."""
        self._rows.pop(application, None)
        self._lost.pop(application, None)

    @property
    def held(self) -> int:
        """Return how many records are kept."""
        return sum(len(rows) for rows in self._rows.values())

    @property
    def applications(self) -> tuple[str, ...]:
        """Return the applications something is kept of."""
        return tuple(self._rows)

    # -- asking

    async def set_level(self, op: SetLevel) -> Levelled:
        """Set the level of a sub-tree from now on; an empty word takes it back.

        Raises:
            Refused: There is no such level.
            NotFound: There is no such component.
        """
        path = ""
        if op.ref:
            found = await self._process.reader.find(op.ref)
            if isinstance(found, Handle):
                onward = await self._process.peers.submit(
                    found.address, SetLevel(op.level, path=found.name),
                    request_id=self._process.new_id(), budget_s=15.0,
                )  # fmt: skip
                if isinstance(onward, Levelled):
                    return onward
            path = found.name if isinstance(found, Handle) else found.path
        path = op.path or path
        if op.level:
            self._levels[path] = level_of(op.level)
        else:
            self._levels.pop(path, None)
        return Levelled(path, word_of(self.level(path)))

    async def pull(self, wanted: PullLog) -> Page:
        """Return records after a cursor, of one sub-tree, waiting a while for the first.

        A cursor of an earlier life of the process goes on at the oldest record kept, and says so.

        Raises:
            Refused: The cursor is none.
        """
        after, gap = self._position(wanted.cursor, wanted.path.partition(":")[0])
        loop = asyncio.get_running_loop()
        until = loop.time() + min(wanted.wait_ms, 20_000) / 1000
        while True:
            rows = self._after(after, wanted)
            if rows or loop.time() >= until:
                last = rows[-1].seq if rows else max(after, self._next - 1)
                return Page(tuple(rows), next=f"{self._life}.{last}", gap=gap)
            self._changed.clear()
            try:
                async with asyncio.timeout(until - loop.time()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _position(self, cursor: str, application: str) -> tuple[int, bool]:
        """Return the number a cursor means, and whether records after it were dropped."""
        life, _, number = cursor.rpartition(".")
        if cursor and not number.isdecimal():
            raise Refused(f"{cursor!r} is no cursor of a log")
        if life and life != self._life:
            return 0, True
        after = int(number or 0)
        lost = [last for name, last in self._lost.items() if application in {"", name}]
        return after, 0 < after < max(lost, default=0)

    def _after(self, after: int, wanted: PullLog) -> list[LogRow]:
        path, least = wanted.path, level_of(wanted.level) if wanted.level else 0
        rows = [
            row
            for kept in self._rows.values()
            for row in kept
            if row.seq > after
            and (not path or row.path == path or row.path.startswith(f"{path}:"))
            and level_of(row.level) >= least
            and (not wanted.trace or wanted.trace in {row.operation, row.trace})
        ]
        rows.sort(key=lambda row: row.seq)
        return rows[: max(1, min(wanted.limit, 1000))]
