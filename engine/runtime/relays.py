"""Events of other processes taken into our own stream, for as long as somebody wants them.

A sub-process's events are always in the stream of its root. Those of an application's parts elsewhere
come on request: whoever follows the whole application asks the process that holds its root.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from engine.core.events import Event
from engine.core.faults import EngineError
from engine.wire.messages import Page, Pull

if TYPE_CHECKING:
    from engine.runtime.process import Process

WANTED_S = 60.0
"""Seconds a relay goes on after it was last asked for."""
SETTLED_S = 2.0
"""Seconds that parts elsewhere are given to say what they have told by now."""
POLL_MS = 15_000
AGAIN_S = 1.0


class Relay:
    """Takes in the events of one process: of one application, or all of it.

    Attributes:
        until_s: When it ends unless it is asked for again, of the loop's clock.
        begun: Set once it is known from where on events are taken in, or that nobody answers.
    """

    def __init__(self, process: Process, address: str, application: str) -> None:
        """Take whose stream is to hold them, and what to follow where."""
        self._process = process
        self._address = address
        self._application = application
        self._cursor = "" if application else "0"
        self._taken = asyncio.Event()
        self.until_s = 0.0
        self.begun = asyncio.Event()

    async def run(self) -> None:
        """Take events in for as long as they are wanted."""
        loop = asyncio.get_running_loop()
        while loop.time() < self.until_s:
            try:
                page = await self._pull(POLL_MS if self._cursor else 0)
            except EngineError:
                self.begun.set()
                await asyncio.sleep(AGAIN_S)
                continue
            self._cursor = page.next
            for event in page.rows:
                if isinstance(event, Event):
                    self._process.events.relay(event)
            self.begun.set()
            self._taken.set()

    async def _pull(self, wait_ms: int, *, settled: bool = False) -> Page:
        wanted = Pull(
            cursor=self._cursor, application=self._application, whole=bool(self._application),
            wait_ms=wait_ms, settled=settled,
        )  # fmt: skip
        page = await self._process.peers.stream(self._address, wanted, wait_ms / 1000 + 5)
        return page if isinstance(page, Page) else Page((), next=self._cursor)

    async def settle(self) -> None:
        """Return once everything told there by now has been taken in, or nobody answers."""
        with suppress(EngineError):
            while True:
                at = self._cursor
                self._taken.clear()
                page = await self._pull(0, settled=True)
                if self._cursor == at:
                    if not page.rows:
                        return
                    await self._taken.wait()  # it is on its way: it ends the poll under way


class Relays:
    """Pulls the events of other processes into the stream of this one."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._relays: dict[tuple[str, str], Relay] = {}
        self._wanted: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow_application(self, name: str) -> None:
        """Take in the events of all parts of an application, for a while.

        What happens there after the return is taken in, unless nobody answers there.
        """
        now_s = asyncio.get_running_loop().time()
        self._wanted = {each: until_s for each, until_s in self._wanted.items() if until_s > now_s}
        self._wanted[name] = now_s + WANTED_S
        segments = [
            segment for segment in self._process.segments.values() if segment.application == name
        ]
        await self._begin({part.address for each in segments for part in each.parts()}, name)

    async def part_comes(self, address: str, application: str) -> None:
        """Take in what a part tells that is about to be made, if its application is followed."""
        if self._wanted.get(application, 0.0) > asyncio.get_running_loop().time():
            await self._begin({address}, application)

    async def _begin(self, addresses: set[str], name: str) -> None:
        begun = [
            self.follow(address, name, WANTED_S).begun.wait()
            for address in addresses if (address, "") not in self._relays
        ]  # fmt: skip
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                await asyncio.gather(*begun)

    def follow(self, address: str, application: str, seconds: float) -> Relay:
        """Take in the events of one process, of one application or all of it, for a while."""
        key = (address, application)
        relay = self._relays.get(key)
        loop = asyncio.get_running_loop()
        if relay is None:
            relay = self._relays[key] = Relay(self._process, address, application)
            task = loop.create_task(self._run(key, relay))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        relay.until_s = loop.time() + seconds
        return relay

    async def _run(self, key: tuple[str, str], relay: Relay) -> None:
        try:
            await relay.run()
        finally:
            if self._relays.get(key) is relay:
                del self._relays[key]

    async def settle(self, application: str) -> None:
        """Return once what an application's parts elsewhere have told by now has been taken in.

        Parts that do not answer are waited for `SETTLED_S` seconds.
        """
        relays = [
            relay.settle()
            for (_, name), relay in self._relays.items() if name in {"", application}
        ]  # fmt: skip
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                await asyncio.gather(*relays)

    def leave(self, address: str) -> None:
        """Take in no more from a sub-process that has ended."""
        relay = self._relays.pop((address, ""), None)
        if relay is not None:
            relay.until_s = -inf

    async def stop(self) -> None:
        """Stop all of them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
