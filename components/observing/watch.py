"""`Watch`: turns the changes of an attribute into events."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override

from components.workflow.base import word
from components.workflow.events import Listening, data
from components.workflow.serial import Standing
from engine.core.events import AttributeChanged, Event
from engine.core.faults import Ended, NotFound, Refused, TimedOut, Unreachable
from engine.core.flows import Flow
from engine.prim import Prim
from engine.runtime.attributes import attr, link, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import duration_s, plain, shown
from engine.wire.messages import Handle, Pull
from sfdl.values import Description, Value

SEEN = "sfWatched"
"""Attribute that keeps what was seen last over a restart of the daemon."""


class Watch(Listening, type="watch"):
    """Sends an event whenever an attribute of another component has another value than before.

    In its own process it looks at every change, elsewhere every interval. What it finds first is no
    change; a target that is gone for a while, because it is restarted, is looked at again.
    """

    target = link(Prim, doc="Whose attribute.")
    attribute = attr(word, doc="Which attribute.")
    on_change = attr(
        data, None, doc="What to send: plain data; the new value if not given.", called="onChange"
    )
    interval = attr(duration_s, 1, ge=0.05, doc="Seconds between looks.")
    changes = output(int, doc="Changes seen so far.")

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._known = False
        self._before: Value = None
        self._count = 0

    @override
    def make_flow(self) -> Flow[Any]:
        return Standing()

    @override
    async def on_start(self) -> None:
        await self._look()
        self.spawn(self._follow(self.live.process.events.pull(Pull())))

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await super().on_adopt(effects)
        if self.live.has(SEEN):
            self._known, self._before = True, self.live.value(SEEN)
        self.spawn(self._follow(self.live.process.events.pull(Pull())))

    async def _follow(self, first: Any) -> None:  # noqa: ANN401 - a page to come
        """Look whenever the target's process tells of a change, and every interval."""
        loop = asyncio.get_running_loop()
        cursor, looked_s = (await first).next, loop.time()
        while True:
            left_s = max(0.0, looked_s + self.interval - loop.time())
            wanted = Pull(cursor, kinds=("attribute",), wait_ms=round(left_s * 1000))
            page = await self.live.process.events.pull(wanted)
            cursor = page.next
            if loop.time() >= looked_s + self.interval or any(map(self._concerns, page.rows)):
                looked_s = loop.time()
                await self._look()

    def _concerns(self, row: object) -> bool:
        return (
            isinstance(row, Event)
            and isinstance(row.body, AttributeChanged)
            and row.body.attribute == self.attribute
            and row.about.component != self.live.id
        )

    async def _look(self) -> None:
        try:
            value = await self.target.get(self.attribute)
        except (NotFound, Ended, Unreachable, TimedOut):
            return  # it is looked at again
        if isinstance(value, Handle | Description):
            text = f"{self.attribute} is a component, and has no value to watch"
            raise Refused(text, code="SF-WATCH-001", where=self.path)
        if self.live.confided and self.on_change is None:
            text = f"{self.attribute} is secret: say with onChange what is to be sent instead"
            raise Refused(text, code="SF-WATCH-002", where=self.path)
        before, known = self._before, self._known
        if known and (type(value), value) == (type(before), before):
            return
        self._known, self._before = True, value
        if not self.live.confided:
            self.live.process.keep_attribute(self.live, SEEN, value)
        if known:
            self._tell(before, value)

    def _tell(self, before: Value, value: Value) -> None:
        self._count += 1
        self.changes = self._count
        if not self.live.confided:
            self.emit("changed", attribute=self.attribute, old=shown(before), new=shown(value))
        self.outbox.send(plain(value) if self.on_change is None else self.on_change)
