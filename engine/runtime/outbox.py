"""Sending events from component to component: in order, at most once, never in the sender's way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from engine.core.decoding import from_json
from engine.core.faults import EngineError, Kind, fault_of
from engine.runtime.live import Live
from engine.wire.codec import encode
from engine.wire.messages import Handle

if TYPE_CHECKING:
    from engine.runtime.process import Process

MOST_WAITING = 1000
"""Events that wait for one sink; more drop the oldest."""
SINKS = "sfSinks"
"""Attribute that keeps over a restart who listens to a component."""
GONE = {Kind.NOT_FOUND, Kind.ENDED}


class _Line:
    """Events on their way to one sink."""

    def __init__(self, sink: Handle) -> None:
        self.sink = sink
        self.waiting: deque[object] = deque()
        self.replayed = 0
        self.dropped = 0
        self.task: asyncio.Task[None] | None = None


class Outbox:
    """Who listens to one component, and what is on its way to them."""

    def __init__(self, process: Process, live: Live) -> None:
        """Serve one component; those who listened before a restart still do."""
        self._process = process
        self._live = live
        self._lines: dict[str, _Line] = {}
        known = live.value(SINKS)
        if isinstance(known, str):
            for sink in from_json(known, list[Handle]):
                self._lines[_key(sink)] = _Line(sink)

    @property
    def sinks(self) -> tuple[Handle, ...]:
        """Return who listens."""
        return tuple(line.sink for line in self._lines.values())

    def add(self, sink: Handle, history: tuple[object, ...] = ()) -> None:
        """Send everything to this component too from now on, and first what it has missed.

        However much that is, none of it is dropped.
        """
        if _key(sink) not in self._lines:
            self._lines[_key(sink)] = _Line(sink)
            self._remember()
            line = self._lines[_key(sink)]
            line.waiting.extend(history)
            line.replayed = len(history)
            if history:
                self._set_going(line)

    def remove(self, sink: Handle) -> None:
        """Send nothing more there."""
        line = self._lines.pop(_key(sink), None)
        if line is None:
            return
        if line.task is not None:
            line.task.cancel()
        self._remember()

    def send(self, value: object) -> None:
        """Put an event on its way to everybody; returns at once and never fails."""
        for line in list(self._lines.values()):
            self._put(line, value)

    async def sent(self) -> None:
        """Wait until everything is on its way no longer: delivered, or given up."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _remember(self) -> None:
        text = msgspec.json.encode(self.sinks).decode()
        self._process.keep_attribute(self._live, SINKS, text)

    def _put(self, line: _Line, value: object) -> None:
        if len(line.waiting) - line.replayed >= MOST_WAITING:
            del line.waiting[line.replayed]
            line.dropped += 1
            if line.dropped == 1:
                text = f"{line.sink.name} is too slow: the oldest events for it are dropped"
                self._process.events.note(self._live, "warning", text)
        line.waiting.append(value)
        self._set_going(line)

    def _set_going(self, line: _Line) -> None:
        if line.task is None or line.task.done():
            task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._deliver(line))
            line.task = task
            self._live.tasks.add(task)
            task.add_done_callback(self._live.tasks.discard)

    async def _deliver(self, line: _Line) -> None:
        while line.waiting:
            value = line.waiting.popleft()
            line.replayed = max(0, line.replayed - 1)
            try:
                await self._process.calls.call(line.sink, "event", encode([value]))
            except EngineError as error:
                fault = fault_of(error)
                if fault.kind in GONE:
                    self.remove_ended(line)
                    return
                text = f"an event did not reach {line.sink.name}: {fault.message}"
                self._process.events.note(self._live, "warning", text)
        if line.dropped:
            text = f"{line.dropped} events for {line.sink.name} were dropped"
            self._process.events.note(self._live, "warning", text)
            line.dropped = 0

    def remove_ended(self, line: _Line) -> None:
        """Forget a sink that has ended."""
        if self._lines.get(_key(line.sink)) is line:
            del self._lines[_key(line.sink)]
            self._remember()


def _key(handle: Handle) -> str:
    return f"{handle.ident.daemon}/{handle.ident.component}"
