"""What the machines of this process have reserved at each hypervisor, and how many are being created.

A reservation is a machine's own: it is there as long as its component is, until everything it made has
been undone. So none has to be given back, and those adopted after a restart bring theirs with them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Struct

from components.hosts.admission import (
    LIMITS,
    PARALLEL_CREATES,
    Capacity,
    Demand,
    Rules,
    bounded,
    refusal,
)
from components.hypervisor.choice import scheme_of
from components.hypervisor.protocol import Hypervisor
from components.surroundings.above import said_above
from engine.core.faults import Refused
from engine.prim import Prim


class Held(Struct, frozen=True):
    """One machine's reservation.

    Attributes:
        creates: How many may be started at a time where it is.
    """

    uri: str
    demand: Demand
    creates: int = PARALLEL_CREATES


class Reservations:
    """The reservations of one process; one per process, all on its loop."""

    def __init__(self) -> None:
        """Start without any."""
        self._held: WeakKeyDictionary[Prim, Held] = WeakKeyDictionary()
        self._capacity: dict[str, Capacity] = {}
        self._gates: dict[str, Gate] = {}

    def at(self, uri: str, but: Prim | None = None) -> dict[str, Demand]:
        """Return what is reserved at a hypervisor, by complete name of the machine."""
        return {
            prim.path: held.demand
            for prim, held in list(self._held.items())
            if held.uri == uri
            and prim is not but
            and prim.live.process.lives.get(prim.live.id) is prim.live
        }

    def hold(self, prim: Prim, uri: str, demand: Demand) -> None:
        """Reserve without asking: the machine is there already."""
        self._held[prim] = Held(uri, demand)

    async def admit(self, prim: Prim, hypervisor: Hypervisor, demand: Demand) -> None:
        """Reserve for a machine that is to be, by the limits that stand above it.

        Raises:
            Refused: The host does not take it; the text has the figures.
            BadDescription: A limit above it is none.
        """
        rules = await rules_above(prim)
        capacity = await self.capacity(hypervisor)
        bound = bounded(capacity, rules)
        taken = tuple(self.at(hypervisor.uri, but=prim).values()) if bound else ()
        why = refusal(demand, taken, capacity, rules)
        if why is not None:
            raise Refused(
                f"{prim.live.process.node_name} does not take it at {hypervisor.uri}: {why.text}",
                code=why.code, where=prim.path, hint=why.hint,
            )  # fmt: skip
        self._held[prim] = Held(hypervisor.uri, demand, rules.creates)

    async def capacity(self, hypervisor: Hypervisor) -> Capacity:
        """Return what a hypervisor's machine has; asked once."""
        known = self._capacity.get(hypervisor.uri)
        if known is None:
            node = await hypervisor.node()
            invented = scheme_of(hypervisor.uri) == "test"
            known = self._capacity[hypervisor.uri] = Capacity(
                node.memory_bytes, node.cpus, invented
            )
        return known

    @contextlib.asynccontextmanager
    async def creating(self, prim: Prim) -> AsyncIterator[None]:
        """Wait for a turn to start an admitted machine, as `maxParallelCreates` says, and take it."""
        held = self._held[prim]
        async with self._gates.setdefault(held.uri, Gate()).turn(held.creates):
            yield


class Gate:
    """Lets so many through at a time, in the order in which they came; each says how many that are."""

    def __init__(self) -> None:
        """Start open."""
        self._inside = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def turn(self, most: int) -> AsyncIterator[None]:
        """Wait for a turn, and take it."""
        if self._waiting or self._inside >= most:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((most, mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._leave()
                else:
                    self._next()
                raise
        else:
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self._inside < self._waiting[0][0]:
            _, first = self._waiting.popleft()
            if not first.done():
                self._inside += 1
                first.set_result(None)


async def rules_above(prim: Prim) -> Rules:
    """Return the limits that hold for a machine: the nearest of each name above it, NULL apart.

    Raises:
        BadDescription: One is no value of its kind.
    """
    given: dict[str, Any] = {}
    for name, (field, kind) in LIMITS.items():
        value = await said_above(prim, name, kind)
        if value is not None:
            given[field] = value
    return Rules(**given)
