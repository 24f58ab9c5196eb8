"""The world outside: things that effects make, the faults that strike there, and slow disks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Self, TypeVar, cast

from typing_extensions import override

from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.ledger import Ledger, Statement
from engine.runtime.workers import PoolUse
from engine.testing.simulation.loop import LIFE, Life, SimLoop
from engine.testing.simulation.schedule import Trouble

T = TypeVar("T")

COMMIT_S = 0.05
"""Seconds after which a write nobody waits for is durable."""


class SimTrouble(OSError):  # noqa: N818 - it is no mistake
    """What an effect or hook raises because the schedule says so."""


class Thing:
    """Something that exists in the world."""

    def __init__(self, owner: Owner, keep: str) -> None:
        """Take whose it is and which ends leave it."""
        self.owner = owner
        self.keep = keep


class World:
    """All that effects have made, by daemon and name.

    Attributes:
        complain: Told of what must not be: number of the rule and a sentence.
        crash: Ends a daemon's life.
        held: Says whether a component is still held by a daemon: what is left of one that has ended is
            its reaper's.
    """

    def __init__(
        self,
        loop: SimLoop,
        random: Random,
        complain: Callable[[int, str], None],
        crash: Callable[[Life], None],
        held: Callable[[Owner], bool],
    ) -> None:
        """Start empty."""
        self.loop = loop
        self.things: dict[tuple[str, str], Thing] = {}
        self._troubles: list[tuple[str, Trouble, list[int]]] = []
        self._hung: list[tuple[Life, Callable[[], None]]] = []
        self._random = random
        self._complain = complain
        self._crash = crash
        self._held = held

    # -- what effects do; runs as the daemon in whose life the call is made

    def look(self, name: str, owner: Owner) -> Presence:
        """Say whether a thing is there and whose."""
        thing = self.things.get((self._here(), name))
        if thing is None:
            return Presence.ABSENT
        return Presence.OURS if thing.owner.same_place(owner) else Presence.FOREIGN

    def make(self, name: str, owner: Owner, keep: str) -> None:
        """Make a thing, or take over an earlier one of the same place."""
        here = self._here()
        for (host, other), thing in self.things.items():
            if other != name or thing.keep != "never":
                continue
            # what a thread makes after its component has ended is in doubt, and undone at once
            if host != here and self._held(thing.owner) and self._held(owner):
                self._complain(3, f"{name} is made at {here} while it exists at {host}")
            if (
                host == here
                and thing.owner.same_place(owner)
                and thing.owner.incarnation >= owner.incarnation
            ):
                self._complain(
                    3, f"{name}: incarnation {owner.incarnation} after {thing.owner.incarnation}"
                )
        known = self.things.get((here, name))
        if known is not None and not known.owner.same_place(owner):
            raise NameTaken(f"{name} is not ours")
        self.things[here, name] = Thing(owner, keep)

    def undo(self, name: str, owner: Owner) -> None:
        """Remove a thing if it is of this very creation."""
        thing = self.things.get((self._here(), name))
        if thing is not None and thing.owner == owner:
            del self.things[self._here(), name]

    def _here(self) -> str:
        life = LIFE.get()
        return life.machine if life is not None else ""

    # -- faults

    def plan(self, machine: str, trouble: Trouble) -> None:
        """Let the next effects at a daemon fail."""
        self._troubles.append((machine, trouble, [trouble.times]))

    def _struck(self, machine: str, when: str) -> str:
        for host, trouble, left in self._troubles:
            if host == machine and trouble.when == when and left[0] > 0:
                left[0] -= 1
                return trouble.mode
        return ""

    def heal(self) -> None:
        """Plan no more faults, and let go of what hangs."""
        self._troubles.clear()
        hung, self._hung = self._hung, []
        for life, go_on in hung:
            self.loop.outside(0, _as, life, go_on)

    # -- threads

    async def work(
        self, when: str, function: Callable[..., T], data: tuple[object, ...],
        pending: set[asyncio.Future[object]],
    ) -> T:  # fmt: skip
        """Do something blocking in a thread of its own: it cannot be cancelled, only abandoned."""
        life = LIFE.get()
        mode = ""
        future: asyncio.Future[object] = self.loop.create_future()
        pending.add(future)
        future.add_done_callback(lambda done: _settle(pending, done))

        def begin() -> None:
            nonlocal mode
            mode = self._struck(life.machine, when) if life is not None else ""
            if life is not None and mode == "crash":
                self._crash(life)
            elif life is not None and mode == "hang":
                self._hung.append((life, act))
            elif mode == "raise":
                _fail(future, SimTrouble(f"{when} was told to fail"))
            else:
                act()

        def act() -> None:
            try:
                result = function(*data)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                _fail(future, error)
                return
            if life is not None and mode == "die":
                self._crash(life)
            elif life is not None and mode == "stall":
                self._hung.append((life, lambda: _give(future, result)))
            elif mode == "lose":
                _fail(future, SimTrouble(f"the answer to {when} was lost"))
            else:
                _give(future, result)

        self.loop.call_later(self._random.uniform(0.0005, 0.01), begin)
        return cast("T", await asyncio.shield(future))


def _as(life: Life, function: Callable[[], None]) -> None:
    async def run() -> None:
        function()

    if not life.dead:
        life.spawn(run())


def _give(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen: whoever waits for it may be dead


def _settle(pending: set[asyncio.Future[object]], done: asyncio.Future[object]) -> None:
    pending.discard(done)
    if not done.cancelled():
        done.exception()


class SimThing(Effect, frozen=True):
    """One thing in the world."""

    name: str
    keep: str = "never"

    @override
    def label(self) -> str:
        return f"thing {self.name}"

    @override
    async def look(self, at: Site) -> Presence:
        return await at.blocking(at.service(world).look, self.name, at.owner)

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(at.service(world).make, self.name, at.owner, self.keep)
        return self

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(at.service(world).undo, self.name, at.owner)


def world() -> World:
    """Stand for the one world; every daemon is given it as a service before it begins."""
    raise LookupError("no simulation runs")


class SimWorkers:
    """Threads that take virtual time."""

    def __init__(self, world_: World) -> None:
        """Take the world they work in."""
        self._world = world_

    async def run(
        self, function: Callable[..., T], *data: object, pending: set[asyncio.Future[object]]
    ) -> T:
        """Run the function after a while; shielded from the caller's cancellation."""
        return await self._world.work(function.__name__, function, data, pending)

    def usage(self) -> PoolUse:
        """Have no real threads."""
        return PoolUse("workers", 0, 0)

    def close(self) -> None:
        """Have nothing to close."""


class SimLedger(Ledger):
    """The ledger on a disk that takes its time; a crash loses what was not yet written."""

    def __init__(self, loop: SimLoop, random: Random, before: SimLedger | None) -> None:
        """Open the ledger an earlier life left, or a new one."""
        self._loop = loop
        self._random = random
        self._unwritten: list[list[Statement]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False
        super().__init__(":memory:", inline=True)
        if before is not None:
            before.copy_to(self)

    def copy_to(self, other: SimLedger) -> None:
        """Give another life what reached the disk."""
        self._db.backup(other._db)
        self._db.close()

    @override
    async def durable(self, *statements: Statement) -> None:
        self._unwritten.append(list(statements))
        await asyncio.sleep(self._random.uniform(0.0002, 0.004))
        self._flush()

    @override
    def lazy(self, *statements: Statement) -> None:
        self._unwritten.append(list(statements))
        if self._timer is None and not self._lost:
            self._timer = self._loop.call_later(COMMIT_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        written, self._unwritten = self._unwritten, []
        if written and not self._lost:
            self._write([statement for statements in written for statement in statements])

    def lose(self, written: int) -> None:
        """Lose all but the first so many of the writes that were not yet durable."""
        del self._unwritten[written:]
        self._flush()
        self._lost = True

    @override
    def close(self) -> None:
        if not self._lost:
            self._flush()
            self._lost = True
