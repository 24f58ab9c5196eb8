"""`Trace`: the life-cycle transitions of a sub-tree as lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from typing_extensions import override

from engine.core.events import Event, StateChanged
from engine.core.faults import Refused
from engine.core.lifecycle import Phase
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, link, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, Kind, shown, str_, strings
from engine.wire.messages import Pull
from sfdl.values import Value

HOOKS = {phase.value: (phase.during.value, phase.after.value) for phase in Phase} | {
    "terminate": ("terminating", "terminated")
}
PULL_MS = 15_000
EVERYTHING = "process"
States: TypeAlias = frozenset[str]


def _hooks(value: Value) -> tuple[str, ...]:
    words = strings.read(value)
    if words and set(words) <= set(HOOKS):
        return words
    raise BadValueError(f"must be some of {', '.join(HOOKS)} (got {shown(value)})")


def line(event: Event) -> str:
    """Write one transition: when, who, which, and for an end also why.

    Example:
        >>> from engine.core.events import Ident
        >>> body = StateChanged("terminated", Record("abnormal", "disk full"))
        >>> line(Event(1, 1767225600123, Ident("d", "c"), "app", "app:disk", body))
        '2026-01-01T00:00:00.123Z app:disk terminated: abnormal: disk full'
    """
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    state = event.body.state if isinstance(event.body, StateChanged) else ""
    record = event.body.record if isinstance(event.body, StateChanged) else None
    why = f": {record.sentence()}" if record is not None else ""
    return f"{at.replace('+00:00', 'Z')} {event.path} {state}{why}"


def chosen(events: Iterable[Event], top: str, states: States) -> list[Event]:
    """Return the transitions into these states of a component and all below it; no top: of all."""
    return [
        event
        for event in events
        if isinstance(event.body, StateChanged)
        and event.body.state in states
        and (not top or event.path == top or event.path.startswith(f"{top}:"))
    ]


class Trace(Prim, type="trace"):
    """Writes a line for each life-cycle transition of a sub-tree, without delaying any.

    Of its own application it shows what was before it as well. Parts in other processes of the host
    are included; of those on other hosts it shows what happens once it has started.
    """

    scope = link(
        Prim, required=False, text=True,
        doc="Top of the sub-tree; its own application if not given; the word process: everything.",
    )  # fmt: skip
    wanted = attr(
        Kind("list of words", "Vector", _hooks), tuple(HOOKS), called="hooks",
        doc="Which transitions: create, deploy, start, terminate.",
    )  # fmt: skip
    file = attr(str_, "", doc="File to append to; the component's log if empty.", called="output")
    lines = output(int, doc="Lines written so far.")

    def __init__(self) -> None:
        """Have read nothing yet."""
        self._cursor = ""
        self._top = ""
        self._skipping = False
        self._written = 0
        self._writing: asyncio.Future[None] | None = None

    @override
    async def on_deploy(self) -> None:
        value = self.live.value("scope")
        if isinstance(value, str) and value != EVERYTHING:
            text = f"scope must be a LAZY reference or the word {EVERYTHING} (got {value!r})"
            raise Refused(text, code="SF-TRACE-001", where=self.path)
        if self.file:
            await self._write([])

    @override
    async def on_start(self) -> None:
        await self._aim()
        self._skipping = self._within_own()
        self._cursor = "0" if self._skipping else ""
        await self._take(0)
        self.spawn(self._follow())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._aim()
        self._cursor = "0"
        self.spawn(self._follow())

    async def _aim(self) -> None:
        """Find the complete name of the top of what is traced."""
        if self.live.value("scope") == EVERYTHING:
            self._top = ""
        elif self.scope.given:
            self._top = (await self.scope.handle()).name
        else:
            self._top = self.path.partition(":")[0]

    def _within_own(self) -> bool:
        return self._top.partition(":")[0] == self.path.partition(":")[0]

    async def _follow(self) -> None:
        while True:
            await self._take(PULL_MS)

    async def _take(self, wait_ms: int) -> None:
        """Write what has happened since the last time, waiting a while for the first of it."""
        process, name = self.live.process, self._top.partition(":")[0]
        if name in process.apps:
            await process.relays.follow_application(name)
        page = await process.events.pull(
            Pull(self._cursor, name, ("state",), limit=1000, wait_ms=wait_ms)
        )
        self._cursor = page.next
        events = [row for row in page.rows if isinstance(row, Event)]
        if page.gap and not self._skipping:
            self.note("the trace has a gap: more happened than is kept", "warning")
        if self._skipping:
            events = self._since_own_birth(events)
        states = frozenset(state for hook in self.wanted for state in HOOKS[hook])
        await self._write([line(event) for event in chosen(events, self._top, states)])
        if len(page.rows) >= 1000 and wait_ms == 0:
            await self._take(0)

    def _since_own_birth(self, events: list[Event]) -> list[Event]:
        """Leave out earlier lives of an application of the same name."""
        root = self.live.segment.root.id
        for number, event in enumerate(events):
            if event.about.component == root:
                self._skipping = False
                return events[number:]
        return []

    async def _write(self, lines: list[str]) -> None:
        """Write in order, also what was being written when it is told to end."""
        before = self._writing
        self._writing = asyncio.ensure_future(self._append_after(before, lines))
        await asyncio.shield(self._writing)

    async def _append_after(self, before: asyncio.Future[None] | None, lines: list[str]) -> None:
        if before is not None:
            await asyncio.wait({before})
        if self.file:
            try:
                await self.run_blocking(_append, self.file, lines)
            except OSError as error:
                text = f"{self.file} cannot be written to: {error.strerror}"
                raise Refused(text, code="SF-TRACE-002", where=self.path) from error
        else:
            for each in lines:
                self.log.info(each)
        if lines:
            self._written += len(lines)
            self.lines = self._written

    @override
    async def on_terminate(self, record: Record) -> None:
        if self._cursor:
            await self._take(0)


def _append(file: str, lines: list[str]) -> None:
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.writelines(f"{each}\n" for each in lines)
