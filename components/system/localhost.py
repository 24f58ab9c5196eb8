"""`Localhost`: what there is to know of the host a component runs on."""

from __future__ import annotations

import ipaddress
import os
import socket

import psutil
from msgspec import Struct
from typing_extensions import override

from engine.prim import Prim
from engine.runtime.attributes import output
from engine.runtime.effects import Effect
from sfdl.values import Long, Value, Vector

_INT_END = 2**31


class Host(Struct, frozen=True):
    """A host as it is now.

    Attributes:
        addresses: Those others can use first, loopback last; link-local ones are left out.
        memory: Bytes in all.
        free: Bytes programs can still get.
        load: Programs that wanted to run, the mean of the last minute.
    """

    name: str
    addresses: tuple[str, ...]
    cpus: int
    memory: int
    free: int
    load: float


def look() -> Host:
    """Look at this host; blocks for a moment."""
    found = [
        ipaddress.ip_address(row.address.partition("%")[0])
        for rows in psutil.net_if_addrs().values()
        for row in rows
        if row.family in {socket.AF_INET, socket.AF_INET6}
    ]
    kept = [address for address in found if not address.is_link_local]
    kept.sort(key=lambda address: (address.is_loopback, address.version))
    memory = psutil.virtual_memory()
    return Host(
        socket.gethostname(), tuple(dict.fromkeys(map(str, kept))),
        len(os.sched_getaffinity(0)), memory.total, memory.available, psutil.getloadavg()[0],
    )  # fmt: skip


def _number(value: int) -> Value:
    return value if value < _INT_END else Long(value)


class Localhost(Prim, type="system.localhost"):
    """Publishes what there is to know of the host it runs on, anew at each round of liveness."""

    hostname = output(str, doc="Its name.")
    address = output(str, doc="The first of its addresses.")
    addresses = output(Vector, doc="Its addresses; those others can use first.")
    cpus = output(int, doc="Processors we may use.")
    memory = output(int, doc="Bytes of memory.")
    memoryAvailable = output(int, doc="Bytes of memory that programs can still get.")
    load = output(float, doc="Load, the mean of the last minute.")

    @override
    async def on_deploy(self) -> None:
        await self._publish()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._publish()

    @override
    async def check(self) -> None:
        await self._publish()

    async def _publish(self) -> None:
        host = await self.run_blocking(look)
        self.hostname = host.name
        self.address = host.addresses[0] if host.addresses else ""
        self.addresses = Vector(host.addresses)
        self.cpus = host.cpus
        self.live.write("memory", _number(host.memory))
        self.live.write("memoryAvailable", _number(host.free))
        self.load = round(host.load, 2)
