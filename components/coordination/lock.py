"""`Lock`: holds a lock as long as it lives."""

from __future__ import annotations

import secrets
from typing import ClassVar

from typing_extensions import override

from components.coordination.holding import Held, HostLock, ProcessLock, ZooKeeperLock
from components.coordination.kinds import USUAL, name_kind, path_kind, servers_kind
from engine.core.records import Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import duration_s, str_
from sfdl.values import Value


class Lock(Prim, type="coordination.lock"):
    """Holds a lock as long as it lives: at most one component has it at a time.

    The lock goes on while its daemon is down if what it protects may: a host's is held by a small
    program of its own, ZooKeeper's by a session that is taken up again. One that is lost ends the
    component.
    """

    what = attr(name_kind, doc="Name of the lock.", called="name")
    scope = attr(
        str_, "process", choices=("process", "host", "zookeeper"),
        doc="Among whom it is the only one: all in one process, on one host, or of one ensemble.",
    )  # fmt: skip
    timeout = attr(duration_s, 0, le=3000, doc="Seconds to wait for it; 0: fail if it is taken.")
    folder = attr(
        path_kind, "/run/lock", doc="Where a host's locks are; the same for all who share them."
    )
    servers = attr(
        servers_kind, USUAL,
        doc="Servers of the ensemble, as host:port.",
    )  # fmt: skip
    session = attr(
        duration_s, 10, ge=1, le=60, called="sessionTimeout",
        doc="Seconds without an answer of the ensemble after which it is lost.",
    )  # fmt: skip
    root = attr(path_kind, "/smartdomains/locks", doc="Node of the ensemble below which locks are.")
    fence = output(int, doc="Greater for each later holder; of ZooKeeper's locks only.")

    reserved: ClassVar[dict[str, Value]] = {"sfReadyWhen": "signal", "sfStartTimeout": 3600}

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: Held | None = None

    @override
    async def on_start(self) -> None:
        token = secrets.token_hex(16)
        match self.scope:
            case "process":
                await self._hold(await self.make(self._in_process()))
            case "host":
                file = f"{self.folder}/smartdomains-{self.what}.lock"
                await self._hold(await self.make(HostLock(file, self.path, token, self.timeout)))
            case _:
                node = f"{self.root}/{self.what}"
                lock = ZooKeeperLock(
                    self.servers, node, self.path, token, self.timeout, self.session
                )
                await self._hold(await self.make(lock))

    def _in_process(self) -> ProcessLock:
        return ProcessLock(self.what, self.path, self.live.id, self.timeout)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        if self.scope == "process":
            await self._hold(await self.make(self._in_process()))
        for effect in effects:
            if isinstance(effect, HostLock | ZooKeeperLock):
                await self._hold(effect)

    async def _hold(self, lock: ProcessLock | HostLock | ZooKeeperLock) -> None:
        self._held = held = await lock.hold(self.service)
        held.told(self.set_ready)
        self.fence = held.fence
        self.set_ready(True)
        self.spawn(self._until_lost(held))

    async def _until_lost(self, held: Held) -> None:
        why = await held.lost()
        self._held = None
        await self.finish(Record.abnormal(f"the lock {self.what} was lost: {why}"))

    @override
    async def check(self) -> None:
        if self._held is None or not self._held.held:
            raise Unwell(f"the lock {self.what} is not held")
