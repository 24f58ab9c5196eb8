"""The storage of a libvirt hypervisor: what `storage_protocol.Storage` promises, call by call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import libvirt

from components.hypervisor import storage_operations as operations
from components.hypervisor.errors import HypervisorError
from components.hypervisor.line import Line
from components.hypervisor.network_operations import identity
from components.hypervisor.storage_protocol import PoolFacts, VolumeFacts

T = TypeVar("T")

WORK_S = 3600.0
"""Limit of a call that moves a volume's content, in seconds."""
BUSY_S = 30.0
"""Seconds over which a pool that somebody else works on is asked again."""
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_BUSY = re.compile(r"asynchronous jobs running|still being allocated|is still in use")


class Turns:
    """One queue for each pool: who changes it comes after those who asked before.

    A turn ends when the hypervisor's thread has returned, even if nobody awaits it any more.
    """

    def __init__(self, line: Line) -> None:
        """Take the line whose calls are waited for."""
        self._line = line
        self._locks: dict[str, asyncio.Lock] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def of(self, pool: str) -> AsyncIterator[None]:
        """Wait for our turn at a pool, and have it."""
        lock = self._locks.setdefault(pool, asyncio.Lock())
        await lock.acquire()
        try:
            yield
        finally:
            left = self._line.pending(pool)
            if left:
                task = asyncio.get_running_loop().create_task(self._end(lock, pool))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
            else:
                lock.release()

    async def _end(self, lock: asyncio.Lock, pool: str) -> None:
        for call in self._line.pending(pool):
            await call.wait()
        lock.release()


class LibvirtStorage:
    """Asks over the hypervisor's own line."""

    def __init__(self, line: Line) -> None:
        """Take the line; the hypervisor opens and closes it."""
        self._line = line
        self._turns = Turns(line)

    async def _look(self, step: str, work: Callable[[libvirt.virConnect], T], name: str = "") -> T:
        return await self._line.look(step, "", work, name=name)

    async def _change(
        self,
        step: str,
        uuid: str,
        work: Callable[[libvirt.virConnect], T],
        *,
        limit_s: float | None = None,
        name: str = "",
    ) -> T:
        """Change a pool in turn; again for a while if another program works on it."""
        loop = asyncio.get_running_loop()
        async with self._turns.of(uuid):
            until, pauses, pause_s = loop.time() + BUSY_S, iter(_PAUSES), 0.0
            while True:
                try:
                    return await self._line.change(step, uuid, work, limit_s=limit_s, name=name)
                except HypervisorError as error:
                    if _BUSY.search(error.message) is None or loop.time() >= until:
                        raise
                pause_s = next(pauses, pause_s)
                await asyncio.sleep(pause_s)

    # -- pools

    async def pools(self) -> Sequence[PoolFacts]:
        """List all pools."""
        return await self._look("list pools", operations.pools)

    async def pool(self, uuid: str) -> PoolFacts | None:
        """Look at one pool."""
        return await self._look("look at pool", lambda c: operations.pool(c, uuid))

    async def pool_by_name(self, name: str) -> PoolFacts | None:
        """Look a pool up by name."""
        return await self._look("look at pool", lambda c: operations.pool_by_name(c, name), name)

    async def define(self, xml: str) -> str:
        """Make a pool known."""
        self._line.take_new_work("define pool")
        uuid, name = identity(xml)
        return await self._change(
            "define pool", uuid, lambda c: operations.define(c, xml), name=name
        )

    async def start(self, uuid: str, *, build: bool, autostart: bool) -> None:
        """Start a defined pool."""
        self._line.take_new_work("start pool", uuid)
        await self._change(
            "start pool", uuid,
            lambda c: operations.start(c, uuid, build=build, autostart=autostart), limit_s=WORK_S,
        )  # fmt: skip

    async def refresh(self, uuid: str) -> None:
        """Look what is in a pool."""
        await self._change("refresh pool", uuid, lambda c: operations.refresh(c, uuid))

    async def stop(self, uuid: str) -> None:
        """Stop a pool."""
        await self._change("stop pool", uuid, lambda c: operations.stop(c, uuid))

    async def remove_target(self, uuid: str) -> bool:
        """Remove the empty folder of a pool."""
        return await self._change("delete pool", uuid, lambda c: operations.remove_target(c, uuid))

    async def undefine(self, uuid: str) -> None:
        """Forget a pool."""
        await self._change("undefine pool", uuid, lambda c: operations.undefine(c, uuid))

    # -- volumes

    async def volume(self, uuid: str, name: str) -> VolumeFacts | None:
        """Look at a volume."""
        return await self._look("look at volume", lambda c: operations.volume(c, uuid, name), name)

    async def volume_at(self, path: str) -> VolumeFacts | None:
        """Look up the volume at a path."""
        return await self._look("look at volume", lambda c: operations.volume_at(c, path), path)

    async def create(self, uuid: str, xml: str, *, like: str = "") -> VolumeFacts:
        """Make a volume."""
        self._line.take_new_work("create volume")
        _, name = identity(xml)
        return await self._change(
            "create volume", uuid, lambda c: operations.create(c, uuid, xml, like),
            limit_s=WORK_S, name=name,
        )  # fmt: skip

    async def upload(self, uuid: str, name: str, file: str) -> None:
        """Write a file into a volume."""
        await self._change(
            "upload volume", uuid, lambda c: operations.upload(c, uuid, name, file),
            limit_s=WORK_S, name=name,
        )  # fmt: skip

    async def resize(self, uuid: str, name: str, capacity_bytes: int) -> None:
        """Make a volume larger."""
        await self._change(
            "resize volume", uuid, lambda c: operations.resize(c, uuid, name, capacity_bytes),
            name=name,
        )  # fmt: skip

    async def wipe(self, uuid: str, name: str) -> None:
        """Overwrite a volume."""
        await self._change(
            "wipe volume", uuid, lambda c: operations.wipe(c, uuid, name),
            limit_s=WORK_S, name=name,
        )  # fmt: skip

    async def remove(self, uuid: str, name: str) -> None:
        """Remove a volume."""
        await self._change(
            "remove volume", uuid, lambda c: operations.remove(c, uuid, name),
            limit_s=WORK_S, name=name,
        )  # fmt: skip

    async def user(self) -> tuple[int, int] | None:
        """Return who guests run as."""
        return await self._look("capabilities", operations.user)
