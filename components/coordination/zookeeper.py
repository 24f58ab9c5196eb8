"""Sessions with ZooKeeper, over kazoo: its threads only hand over to the loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState

from components.coordination.line import Line, Pass, acquire, connected, in_thread, stop
from components.coordination.protocol import Members, SessionLost, Standing, Taken
from engine.core.faults import Unreachable
from engine.core.leases import Lease

RENEWALS = 6
"""How often a session is renewed within its length."""
QUEUEING_S = 5.0
"""Seconds that claims given up have to hear of the end of their session."""


class ZooKeeperSession:
    """A session with an ensemble; see `components.coordination.protocol.Session`."""

    def __init__(self, client: KazooClient, line: Line, length_s: float) -> None:
        """Take a client that is connected; use `open` instead."""
        self._client = client
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._id, password = client.client_id
        self.ticket = Pass(self._id, bytes(password))
        self._lease = Lease(length_s, -math.inf)  # not heard yet
        self._standing = Standing.CONNECTED
        self._listeners: list[Callable[[Standing], None]] = []
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._closing = False
        self._stopped: asyncio.Future[None] | None = None
        self._claims: list[ZooKeeperClaim] = []
        self._queueing: set[asyncio.Task[Any]] = set()
        self._following: list[asyncio.Task[None]] = []
        self._renewing: asyncio.Task[None] | None = None
        client.add_listener(self._heard)

    @classmethod
    async def open(
        cls, hosts: Sequence[str], length_s: float, *, ticket: Pass | None = None,
        within_s: float = 10.0,
    ) -> Self:  # fmt: skip
        """Open a session, or take one up again.

        Args:
            hosts: Servers of the ensemble, as `host:port`.
            length_s: Seconds of silence after which it is to be over; the servers have the last word.
            ticket: Of the session to take up.
            within_s: Seconds to try.

        Raises:
            Unreachable: No server answers.
            SessionLost: The session to take up is over.
        """
        client, line, agreed_s = await connected(hosts, length_s, ticket, within_s)
        session = cls(client, line, agreed_s)
        await session._ask()
        if session._is_over():
            await session.close()
            text = f"ZooKeeper at {', '.join(hosts)} does not answer in time"
            raise Unreachable(text, code="SF-COORD-001")
        session._renewing = session._loop.create_task(session._renew())
        return session

    # -- standing

    @property
    def standing(self) -> Standing:
        """Return how the session stands, by our own clock."""
        return Standing.LOST if self._is_over() or self._closing else self._standing

    @property
    def length_s(self) -> float:
        """Return after how many seconds of silence it is over."""
        return self._lease.ttl_s

    def told(self, listener: Callable[[Standing], None]) -> None:
        """Call this whenever the standing changes."""
        self._listeners.append(listener)

    async def lost(self) -> str:
        """Wait until the session is lost; return why. One that is closed is not lost."""
        return await asyncio.shield(self._over)

    def _is_over(self) -> bool:
        return self._over.done() or self._lease.expired(time.monotonic())

    def _heard(self, state: str) -> None:
        """Take kazoo's word; called in its thread."""
        self._loop.call_soon_threadsafe(self._stands, state)

    def _stands(self, state: str) -> None:
        if self._over.done() or self._closing:
            return
        if state == KazooState.LOST:
            self._lose("ZooKeeper has ended it")
        elif state == KazooState.SUSPENDED:
            self._become(Standing.SUSPENDED)
        elif self._client.client_id[0] != self._id:
            self._lose("ZooKeeper has ended it")
        else:
            self._become(Standing.CONNECTED)

    def _become(self, standing: Standing) -> None:
        if self._standing is not standing:
            self._standing = standing
            for listener in self._listeners:
                listener(standing)

    def _lose(self, text: str) -> None:
        if not self._over.done():
            self._over.set_result(text)
            self._become(Standing.LOST)
            self._line.cut()
            for claim in self._claims:
                claim.give_up()

    async def _renew(self) -> None:
        """Have the session renewed, and take it for lost when that does not work for its length.

        The time counted from is that of the question: ZooKeeper counts from its arrival, or later.
        """
        pause_s = self.length_s / RENEWALS
        asked: set[asyncio.Task[None]] = set()
        while not self._over.done():
            if self._lease.expired(time.monotonic()):
                self._lose(f"no answer from ZooKeeper for {self.length_s:g} s")
                break
            task = self._loop.create_task(self._ask())
            asked.add(task)
            task.add_done_callback(asked.discard)
            left_s = self._lease.renewed_s + self._lease.ttl_s - time.monotonic()
            await asyncio.sleep(max(0.0, min(pause_s, left_s + 0.001)))

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        try:
            async with asyncio.timeout(self.length_s):
                await self._answer(self._client.exists_async("/"))
        except (KazooException, KazooTimeoutError, TimeoutError):
            return
        if self._client.client_id[0] == self._id and asked_s > self._lease.renewed_s:
            self._lease = self._lease.renewed(asked_s)

    async def _answer(self, result: Any) -> Any:
        """Wait for what kazoo answers in its thread."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle() -> None:
            if future.done():
                return
            if result.exception is not None:
                future.set_exception(result.exception)
            else:
                future.set_result(result.value)

        result.rawlink(lambda _: self._loop.call_soon_threadsafe(settle))
        return await future

    async def _do(self, start: Callable[..., Any], *data: object, **more: object) -> Any:
        """Carry one question out, within the length of the session; a broken line is asked again."""
        while True:
            self._refuse_over()
            work = asyncio.ensure_future(self._answer(start(*data, **more)))
            await asyncio.wait({work, self._over}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                continue
            error = work.exception()
            if error is None:
                return work.result()
            if type(error).__name__ not in {"ConnectionLoss", "ConnectionClosedError",
                                            "SessionExpiredError"}:  # fmt: skip
                raise error
            await asyncio.sleep(0.05)

    def _refuse_over(self) -> None:
        if self._is_over() or self._closing:
            unsaid = "it was closed" if self._closing else "nobody answers"
            text = self._over.result() if self._over.done() else unsaid
            raise SessionLost(f"the session is over: {text}", code="SF-COORD-002")

    # -- claims

    async def claim(self, path: str, who: str, wait_s: float | None = None) -> ZooKeeperClaim:
        """Queue for a claim and return once it is held."""
        self._refuse_over()
        lock = self._client.Lock(path, who)
        thread = self._loop.create_task(in_thread(acquire, lock, wait_s))
        self._queueing.add(thread)
        thread.add_done_callback(self._queueing.discard)
        try:
            await asyncio.wait({thread, self._over}, return_when=asyncio.FIRST_COMPLETED)
            self._refuse_over()
            got = thread.result()
        except BaseException:
            lock.cancel()
            thread.add_done_callback(lambda done: self._unwanted(path, lock, done))
            raise
        if not got:
            holders = await self.contenders(path)
            text = f"{path} is held by {holders[0] if holders else 'another'}"
            raise Taken(text, code="SF-COORD-003")
        return await self.regained(path, str(lock.node))

    def _unwanted(self, path: str, lock: Any, done: asyncio.Task[Any]) -> None:
        """Give a claim back that was got when nobody waited for it any more."""
        got = not done.cancelled() and done.exception() is None and done.result()
        if got and not self._closing and not self._over.done():
            self._loop.create_task(self.remove(f"{path}/{lock.node}")).add_done_callback(_seen)

    async def regained(self, path: str, node: str) -> ZooKeeperClaim:
        """Return a claim this session holds already, such as one from before a restart.

        Raises:
            SessionLost: It does not hold it.
        """
        stat = await self._do(self._client.exists_async, f"{path}/{node}")
        if stat is None or stat.ephemeralOwner != self._id:
            raise SessionLost(f"{path} is not held any more", code="SF-COORD-002")
        claim = ZooKeeperClaim(self, path, node, stat.czxid)
        self._claims.append(claim)
        return claim

    async def contenders(self, path: str) -> tuple[str, ...]:
        """Return who queues for a claim, the holder first."""
        try:
            nodes = await self._do(self._client.get_children_async, path)
        except NoNodeError:
            return ()
        found = []
        for node in sorted(nodes, key=lambda name: name[-10:]):
            try:
                data, _ = await self._do(self._client.get_async, f"{path}/{node}")
            except NoNodeError:
                continue
            found.append((node, data.decode(errors="replace")))
        return tuple(who for _, who in found)

    async def node_of(self, path: str, who: str) -> str:
        """Return the node by which somebody queues for a claim, or an empty string."""
        try:
            nodes = await self._do(self._client.get_children_async, path)
        except NoNodeError:
            return ""
        for node in nodes:
            try:
                data, _ = await self._do(self._client.get_async, f"{path}/{node}")
            except NoNodeError:
                continue
            if data == who.encode():
                return str(node)
        return ""

    async def remove(self, path: str) -> None:
        """Remove a node; success if it is not there."""
        try:
            await self._do(self._client.delete_async, path)
        except NoNodeError:
            return

    # -- presence

    async def announce(self, path: str, data: bytes) -> None:
        """Be present under a path as long as the session lives, or say something else there."""
        try:
            await self._do(self._client.create_async, path, data, ephemeral=True, makepath=True)
        except NodeExistsError:
            stat = await self._do(self._client.exists_async, path)
            if stat is None:
                await self.announce(path, data)
            elif stat.ephemeralOwner != self._id:
                raise Taken(f"another session is present at {path}", code="SF-COORD-003") from None
            else:
                await self._do(self._client.set_async, path, data)

    async def withdraw(self, path: str) -> None:
        """Be present there no longer."""
        stat = await self._do(self._client.exists_async, path)
        if stat is not None and stat.ephemeralOwner == self._id:
            await self.remove(path)

    async def members(self, path: str) -> Members:
        """Return who is present directly below a path, by name, and what they say."""
        found: dict[str, bytes] = {}
        try:
            names = await self._do(self._client.get_children_async, path)
        except NoNodeError:
            return found
        for name in sorted(names):
            try:
                data, _ = await self._do(self._client.get_async, f"{path}/{name}")
            except NoNodeError:
                continue
            found[name] = data
        return found

    async def follow(self, path: str, told: Callable[[Members], None]) -> None:
        """Call this with who is present below a path: now, and after each change."""
        await self._do(self._client.ensure_path_async, path)
        changed = asyncio.Event()

        def wake(_: object) -> None:
            self._loop.call_soon_threadsafe(changed.set)

        async def look() -> Members:
            changed.clear()
            names = await self._do(self._client.get_children_async, path, watch=wake)
            found: dict[str, bytes] = {}
            for name in sorted(names):
                try:
                    data, _ = await self._do(self._client.get_async, f"{path}/{name}", watch=wake)
                except NoNodeError:
                    continue
                found[name] = data
            return found

        async def go_on(before: Members) -> None:
            while True:
                await changed.wait()
                now = await look()
                if now != before:
                    told(before := now)

        first = await look()
        told(first)
        task = self._loop.create_task(go_on(first), name=f"following {path}")
        task.add_done_callback(_seen)
        self._following.append(task)

    async def raised(self, path: str) -> int:
        """Raise a lasting counter by one and return it."""
        await self._do(self._client.ensure_path_async, path)
        while True:
            data, stat = await self._do(self._client.get_async, path)
            number = int(data or b"0") + 1
            try:
                await self._do(self._client.set_async, path, b"%d" % number, version=stat.version)
            except BadVersionError:
                continue
            return number

    # -- the end

    async def close(self) -> None:
        """End the session in order: what is held is free for others at once."""
        await self._end(None if not self._over.done() else self._line)

    async def abandon(self) -> None:
        """Let go of the line only: who takes the session up in time has everything it held."""
        await self._end(self._line)

    async def _end(self, line: Line | None) -> None:
        if self._stopped is None:
            self._closing = True
            if self._renewing is not None:
                self._renewing.cancel()
            self._stopped = self._loop.create_task(in_thread(stop, self._client, line))
            for task in self._following:
                task.cancel()
        await asyncio.shield(self._stopped)
        if self._queueing:  # nobody waits for these claims any more, and they hear of it
            await asyncio.wait(self._queueing, timeout=QUEUEING_S)


class ZooKeeperClaim:
    """A claim held by a session; see `components.coordination.protocol.Claim`."""

    def __init__(self, session: ZooKeeperSession, path: str, node: str, fence: int) -> None:
        """Take the session and the node that stands for the claim."""
        self.session = session
        self.path = path
        self.node = node
        self.fence = fence
        self._held = True

    @property
    def held(self) -> bool:
        """Say whether it is held at this moment, by our own clock."""
        return self._held and self.session.standing is not Standing.LOST

    def give_up(self) -> None:
        """Take in that it is lost."""
        self._held = False

    async def lost(self) -> str:
        """Wait until it is lost without having been given back; return why."""
        text = await self.session.lost()
        return f"its session was lost: {text}"

    async def release(self) -> None:
        """Give it back; success if it is not held any more."""
        if self.held:
            self._held = False
            await self.session.remove(f"{self.path}/{self.node}")


def _seen(done: asyncio.Task[Any]) -> None:
    """Take note of how background work ended; that its session is over is told elsewhere."""
    if not done.cancelled():
        done.exception()
