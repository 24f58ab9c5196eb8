"""The hypervisors of one process: one connection per URI, shared by all, open until the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import libvirt
import msgspec

from components.hypervisor.connection import LibvirtHypervisor, Opener
from components.hypervisor.errors import HypervisorError
from components.hypervisor.limits import Limits
from components.hypervisor.protocol import Hypervisor


class RawDomain(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `HypervisorPool.diagnose`: what libvirt itself says.

    Attributes:
        uri: Where it was asked.
        name: Domain name; empty in a row that reports a problem.
        uuid: Domain UUID; empty in a row that reports a problem.
        state: Run state, as "running"; empty in a row that reports a problem.
        problem: Why that hypervisor could not be asked; empty otherwise.
    """

    uri: str
    name: str
    uuid: str
    state: str
    problem: str = ""


class HypervisorPool:
    """The registry of a process; make one, on its loop, and close it at the end.

    Connections stay open until `close`: an in-process hypervisor (`test:///...`) loses its
    machines when its last connection closes.
    """

    def __init__(self, *, limits: Limits | None = None, opener: Opener = libvirt.open) -> None:
        self._limits = limits
        self._opener = opener
        self._open: dict[str, LibvirtHypervisor] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._closed = False

    @property
    def hypervisors(self) -> Mapping[str, Hypervisor]:
        """Those open now, by URI."""
        return MappingProxyType(self._open)

    async def get(self, uri: str) -> LibvirtHypervisor:
        """Give the hypervisor at that URI, connecting at the first call.

        One that has lost its connection is given as well: it reconnects by itself.

        Raises:
            HypervisorError: It cannot be opened; the next call tries again. `Unreachable` after
                `close`.
        """
        async with self._opening.setdefault(uri, asyncio.Lock()):
            if self._closed:
                raise HypervisorError("Unreachable", "the pool is closed", step="open", name=uri)
            if uri not in self._open:
                self._open[uri] = await LibvirtHypervisor.open(
                    uri, limits=self._limits, opener=self._opener
                )
            return self._open[uri]

    async def diagnose(self, uri: str = "") -> list[RawDomain]:
        """List the domains libvirt has, ours or not, without reading any record of ours.

        Args:
            uri: Ask this one only, also when it is not open: then for this once. Empty: all open.

        Returns:
            One row per domain, by URI and name; one row with `problem` per hypervisor that does not
            answer.
        """
        uris = [uri] if uri else sorted(self._open)
        answers = await asyncio.gather(*(self._rows(one) for one in uris))
        return [row for rows in answers for row in rows]

    async def _rows(self, uri: str) -> list[RawDomain]:
        opened = self._open.get(uri)
        hypervisor = opened
        try:
            hypervisor = hypervisor or await LibvirtHypervisor.open(
                uri, limits=self._limits, opener=self._opener
            )
            found = await hypervisor.facts()
        except HypervisorError as error:
            return [RawDomain(uri=uri, name="", uuid="", state="", problem=str(error))]
        finally:
            if hypervisor is not None and opened is None:
                await hypervisor.close()
        return [
            RawDomain(uri=uri, name=one.name, uuid=one.uuid, state=one.state.value)
            for one in sorted(found, key=lambda one: one.name)
        ]

    def threads(self) -> dict[str, int]:
        """Count the threads of all connections: at most, at work, and stuck in calls given up."""
        counts = [hypervisor.threads() for hypervisor in self._open.values()]
        names = ("size", "busy", "waiting", "left")
        return {name: sum(count[name] for count in counts) for name in names}

    async def close(self) -> None:
        """Close all connections; machines of in-process hypervisors end with them."""
        self._closed = True
        for uri, lock in list(self._opening.items()):
            async with lock:  # one being opened now is waited for, then closed
                hypervisor = self._open.pop(uri, None)
            if hypervisor is not None:
                await hypervisor.close()
