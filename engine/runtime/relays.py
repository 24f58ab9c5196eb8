"""Events of other processes taken into our own stream, for as long as somebody wants them.

A sub-process's events are always in the stream of its root. Those of an application's parts elsewhere
come on request: whoever follows the whole application asks the process that holds its root.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.events import Event
from engine.core.faults import EngineError
from engine.wire.messages import Page, Pull

if TYPE_CHECKING:
    from engine.runtime.process import Process

WANTED_S = 60.0
"""Seconds a relay goes on after it was last asked for."""
POLL_MS = 15_000
AGAIN_S = 1.0


class Relays:
    """Pulls the events of other processes into the stream of this one."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._until: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def follow_application(self, name: str) -> None:
        """Take in the events of all parts of an application, for a while."""
        segments = [
            segment for segment in self._process.segments.values() if segment.application == name
        ]
        for segment in segments:
            for part in segment.parts():
                self.follow(part.address, name, WANTED_S)

    def follow(self, address: str, application: str, seconds: float) -> None:
        """Take in the events of one process, of one application or all of it, for a while."""
        key = (address, application)
        running = key in self._until
        self._until[key] = asyncio.get_running_loop().time() + seconds
        if not running:
            task = asyncio.get_running_loop().create_task(self._pull(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave(self, address: str, application: str = "") -> None:
        """Take in no more from there."""
        self._until.pop((address, application), None)

    async def _pull(self, key: tuple[str, str]) -> None:
        address, application = key
        loop = asyncio.get_running_loop()
        cursor = "" if application else "0"
        try:
            while loop.time() < self._until.get(key, 0.0):
                wanted = Pull(
                    cursor=cursor, application=application, whole=bool(application), wait_ms=POLL_MS
                )
                try:
                    page = await self._process.peers.stream(address, wanted, POLL_MS / 1000 + 5)
                except EngineError:
                    await asyncio.sleep(AGAIN_S)
                    continue
                if isinstance(page, Page):
                    cursor = page.next
                    self._take(page)
        finally:
            self._until.pop(key, None)

    def _take(self, page: Page) -> None:
        for event in page.rows:
            if isinstance(event, Event):
                self._process.events.relay(event)

    async def stop(self) -> None:
        """Stop all of them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
