"""Coordination in memory: the same rules on the loop's clock, for tests of what stands on it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from components.coordination.protocol import Claim, Members, SessionLost, Standing, Taken


class MemoryEnsemble:
    """What an ensemble of servers keeps. `sever` cuts a session off; time does the rest."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.present: dict[str, tuple[MemorySession, bytes]] = {}
        self.queues: dict[str, list[MemoryClaim]] = {}
        self.counters: dict[str, int] = {}
        self.numbers = itertools.count(1)
        self._followers: list[tuple[MemorySession, str, Callable[[Members], None]]] = []

    def open(self, length_s: float) -> MemorySession:
        """Begin a session."""
        return MemorySession(self, length_s)

    def members(self, path: str) -> Members:
        """Return who is present directly below a path."""
        below = f"{path.rstrip('/')}/"
        return {
            each.removeprefix(below): data
            for each, (_, data) in sorted(self.present.items())
            if each.startswith(below) and "/" not in each.removeprefix(below)
        }

    def follow(self, session: MemorySession, path: str, told: Callable[[Members], None]) -> None:
        """Tell a session of changes from now on."""
        self._followers.append((session, path, told))

    def change(self, path: str) -> None:
        """Tell everybody who follows the folder of a path."""
        folder = path.rpartition("/")[0]
        for session, followed, told in self._followers:
            if followed == folder and not session.cut:
                asyncio.get_running_loop().call_soon(told, self.members(folder))

    def forget(self, session: MemorySession) -> None:
        """Free what a session held: it is over for everybody."""
        self._followers = [each for each in self._followers if each[0] is not session]
        gone = [path for path, (owner, _) in self.present.items() if owner is session]
        for path in gone:
            del self.present[path]
            self.change(path)
        for path in list(self.queues):
            self.leave(path, lambda claim: claim.session is session)

    def leave(self, path: str, leaves: Callable[[MemoryClaim], bool]) -> None:
        """Take claims out of a queue, and let the next one hold it."""
        queue = self.queues[path]
        queue[:] = [claim for claim in queue if not leaves(claim)]
        if queue:
            queue[0].turn.set()


class MemorySession:
    """A session in memory; see `components.coordination.protocol.Session`."""

    def __init__(self, ensemble: MemoryEnsemble, length_s: float) -> None:
        """Begin; use `MemoryEnsemble.open`."""
        self._ensemble = ensemble
        self.length_s = length_s
        self.cut = False
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._closed: asyncio.Future[str] = self._loop.create_future()
        self._listeners: list[Callable[[Standing], None]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._healed: asyncio.Future[str] = self._loop.create_future()

    @property
    def standing(self) -> Standing:
        """Return how the session stands."""
        if self._over.done() or self._closed.done():
            return Standing.LOST
        return Standing.SUSPENDED if self.cut else Standing.CONNECTED

    def told(self, listener: Callable[[Standing], None]) -> None:
        """Call this whenever the standing changes."""
        self._listeners.append(listener)

    async def lost(self) -> str:
        """Wait until the session is lost; return why. One that is closed is not lost."""
        return await asyncio.shield(self._over)

    def sever(self) -> None:
        """Cut it off: it takes itself for lost after its length, the ensemble a little later."""
        self.cut = True
        self._healed = self._loop.create_future()
        self._tell(Standing.SUSPENDED)
        text = f"no answer for {self.length_s:g} s"
        self._timers = [
            self._loop.call_later(self.length_s, self._lose, text),
            self._loop.call_later(self.length_s * 1.1, self._ensemble.forget, self),
        ]

    def heal(self) -> None:
        """Let it be heard of again; too late if it is lost."""
        if not self._over.done():
            self.cut = False
            self._healed.set_result("")
            for timer in self._timers:
                timer.cancel()
            self._tell(Standing.CONNECTED)

    def _lose(self, text: str) -> None:
        if not self._over.done():
            self._over.set_result(text)
            self._tell(Standing.LOST)

    def _tell(self, standing: Standing) -> None:
        for listener in self._listeners:
            listener(standing)

    async def _heard(self) -> None:
        """Wait until the ensemble hears us."""
        if self.cut and not self._over.done():
            ends = {self._healed, self._over, self._closed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in (self._over, self._closed):
            if end.done():
                text = f"the session is over: {end.result()}"
                raise SessionLost(text, code="SF-COORD-002")

    async def claim(self, path: str, who: str, wait_s: float | None = None) -> Claim:
        """Queue for a claim and return once it is held."""
        await self._heard()
        claim = MemoryClaim(self, path, who, next(self._ensemble.numbers))
        queue = self._ensemble.queues.setdefault(path, [])
        queue.append(claim)
        if queue[0] is claim:
            claim.turn.set()
        try:
            await self._turn(claim, wait_s)
        except BaseException:
            self._ensemble.leave(path, lambda each: each is claim)
            raise
        return claim

    async def _turn(self, claim: MemoryClaim, wait_s: float | None) -> None:
        turn: asyncio.Future[object] = self._loop.create_task(claim.turn.wait())
        ends: set[asyncio.Future[Any]] = {turn, self._over, self._closed}
        try:
            await asyncio.wait(ends, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            turn.cancel()
        await self._heard()
        if not claim.turn.is_set():
            holder = self._ensemble.queues[claim.path][0].who
            raise Taken(f"{claim.path} is held by {holder}", code="SF-COORD-003")

    def give_back(self, claim: MemoryClaim) -> None:
        """Let the next one hold a claim."""
        self._ensemble.leave(claim.path, lambda each: each is claim)

    async def contenders(self, path: str) -> tuple[str, ...]:
        """Return who queues for a claim, the holder first."""
        await self._heard()
        return tuple(claim.who for claim in self._ensemble.queues.get(path, ()))

    async def announce(self, path: str, data: bytes) -> None:
        """Be present under a path as long as the session lives, or say something else there."""
        await self._heard()
        known = self._ensemble.present.get(path)
        if known is not None and known[0] is not self:
            raise Taken(f"another session is present at {path}", code="SF-COORD-003")
        self._ensemble.present[path] = (self, data)
        self._ensemble.change(path)

    async def withdraw(self, path: str) -> None:
        """Be present there no longer."""
        await self._heard()
        known = self._ensemble.present.get(path)
        if known is not None and known[0] is self:
            del self._ensemble.present[path]
            self._ensemble.change(path)

    async def members(self, path: str) -> Members:
        """Return who is present directly below a path, by name, and what they say."""
        await self._heard()
        return self._ensemble.members(path)

    async def follow(self, path: str, told: Callable[[Members], None]) -> None:
        """Call this with who is present below a path: now, and after each change."""
        await self._heard()
        self._ensemble.follow(self, path, told)
        told(self._ensemble.members(path))

    async def raised(self, path: str) -> int:
        """Raise a lasting counter by one and return it."""
        await self._heard()
        number = self._ensemble.counters.get(path, 0) + 1
        self._ensemble.counters[path] = number
        return number

    async def close(self) -> None:
        """End the session in order: what is held is free for others at once."""
        for timer in self._timers:
            timer.cancel()
        self._ensemble.forget(self)
        if not self._closed.done():
            self._closed.set_result("it was closed")


class MemoryClaim:
    """A claim in memory; see `components.coordination.protocol.Claim`."""

    def __init__(self, session: MemorySession, path: str, who: str, fence: int) -> None:
        """Take whose claim it is, and its number."""
        self.session = session
        self.path = path
        self.who = who
        self.fence = fence
        self.turn = asyncio.Event()
        self._given_back = False

    @property
    def held(self) -> bool:
        """Say whether it is held at this moment."""
        alive = self.session.standing is not Standing.LOST
        return alive and self.turn.is_set() and not self._given_back

    async def lost(self) -> str:
        """Wait until it is lost without having been given back; return why."""
        return f"its session was lost: {await self.session.lost()}"

    async def release(self) -> None:
        """Give it back; success if it is not held any more."""
        if self.held:
            self._given_back = True
            self.session.give_back(self)
