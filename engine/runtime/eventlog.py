"""The ring of events of a process, and reading it by cursor."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from engine.core.events import (
    AttributeChanged,
    Detail,
    Event,
    HealthChanged,
    Ident,
    Noted,
    Progressed,
    StateChanged,
)
from engine.core.faults import Refused
from engine.core.secrecy import HIDDEN, redacted
from engine.core.tracing import Trace
from engine.runtime.kinds import shown
from engine.wire.messages import Page, Pull

if TYPE_CHECKING:
    from engine.runtime.live import Live
    from sfdl.values import Value

log = logging.getLogger("sf.events")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class EventLog:
    """Keeps the latest events; a reader that fell too far behind is told of the gap.

    Attributes:
        traced: Returns which request is being carried out.
    """

    def __init__(self, daemon_id: str, life: str, *, keep: int = 100_000) -> None:
        """Take whose events these are; `life` tells one life of the process from another."""
        self._daemon_id = daemon_id
        self._life = life
        self._ring: deque[Event] = deque(maxlen=keep)
        self._next = 1
        self._changed = asyncio.Event()
        self.traced: Callable[[], Trace] = Trace

    @property
    def held(self) -> int:
        """Return how many events are kept."""
        return len(self._ring)

    # -- writing

    def publish(self, live: Live | None, body: Detail) -> None:
        """Append one event about a component, or about the process."""
        ident = Ident("", "") if live is None else Ident(self._daemon_id, live.id)
        application = "" if live is None else live.segment.application
        path = "" if live is None else live.path
        self._ring.append(
            Event(
                self._next, int(time.time() * 1000), ident, application, path, body,
                self.traced().trace,
            )
        )  # fmt: skip
        self._next += 1
        if not self._changed.is_set():
            self._changed.set()

    def relay(self, event: Event) -> None:
        """Append an event of a sub-process under a number of ours."""
        self._ring.append(msgspec.structs.replace(event, seq=self._next))
        self._next += 1
        self._changed.set()

    def state(self, live: Live) -> None:
        """Tell that a component entered its present state."""
        self.publish(
            live, StateChanged(live.state.value, live.record if live.state.ended else None)
        )

    def health(self, live: Live) -> None:
        """Tell that the verdict about a component changed."""
        self.publish(live, HealthChanged(live.health.good, live.health.text))

    def attribute(self, live: Live, name: str, value: Value) -> None:
        """Tell that an attribute changed; secret ones are not shown."""
        text = HIDDEN if live.is_secret(name) else shown(redacted(value))
        self.publish(live, AttributeChanged(name, text))

    def progress(self, live: Live, fraction: float, text: str) -> None:
        """Tell what a component is doing."""
        self.publish(live, Progressed("", text, round(fraction * 100), 100))

    def tell(self, live: Live, level: str, text: str) -> None:
        """Keep a sentence a component has logged itself."""
        self.publish(live, Noted(level, text))

    def note(self, live: Live | None, level: str, text: str) -> None:
        """Keep a sentence, and log it."""
        self.publish(live, Noted(level, text))
        log.log(_LEVELS.get(level, logging.INFO), "%s%s", f"{live.path}: " if live else "", text)

    # -- reading

    async def pull(self, wanted: Pull) -> Page:
        """Return the events after a cursor that pass the filter, waiting a while for the first.

        Raises:
            Refused: The cursor is none of ours.
        """
        after, gap = self._position(wanted.cursor)
        loop = asyncio.get_running_loop()
        until = loop.time() + min(wanted.wait_ms, 20_000) / 1000
        while True:
            rows, seen = self._after(after, wanted)
            if rows or loop.time() >= until:
                return Page(tuple(rows), next=f"{self._life}.{seen}", gap=gap)
            after = seen
            self._changed.clear()
            try:
                async with asyncio.timeout(until - loop.time()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _position(self, cursor: str) -> tuple[int, bool]:
        oldest = self._ring[0].seq if self._ring else self._next
        if cursor == "":
            return self._next - 1, False
        if cursor == "0":
            return oldest - 1, False
        life, _, number = cursor.partition(".")
        if not number.isdecimal():
            raise Refused(f"{cursor!r} is no cursor of this process")
        if life != self._life:
            return oldest - 1, True
        return max(int(number), oldest - 1), int(number) < oldest - 1

    def _after(self, after: int, wanted: Pull) -> tuple[list[Event], int]:
        rows: list[Event] = []
        seen = after
        if not self._ring or self._ring[-1].seq <= after:
            return rows, seen
        start = max(0, after - self._ring[0].seq + 1)
        for index in range(start, len(self._ring)):
            event = self._ring[index]
            seen = event.seq
            if wanted.application and event.application != wanted.application:
                continue
            if wanted.kinds and event.body.__struct_config__.tag not in wanted.kinds:
                continue
            rows.append(event)
            if len(rows) >= max(1, min(wanted.limit, 5000)):
                break
        return rows, seen
