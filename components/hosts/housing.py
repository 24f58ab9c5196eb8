"""On which hosts the members of one cluster are, and how one gets to a host that takes it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from components.hosts.places import Placement, candidates
from engine.core.faults import EngineError, Fault, Kind, Refused, TimedOut, Unreachable

if TYPE_CHECKING:
    from components.hosts.virtual_cluster import VirtualCluster


class Housing:
    """Finds hosts for the members of one cluster.

    Attributes:
        where: The host of each member, by name; one that has failed is told where it was.
    """

    def __init__(self, cluster: VirtualCluster) -> None:
        """Serve one cluster; nobody has a place yet."""
        self._cluster = cluster
        self._placing = asyncio.Lock()
        self.where: dict[str, str] = {}

    async def bring(self, name: str, make: Callable[[str], Awaitable[object]]) -> None:
        """Make a member on the first host that takes it.

        Args:
            name: The member.
            make: Does it, on a host by name; on that of the cluster if the name is empty.

        Raises:
            Refused: No host takes it; each is listed with its reason.
        """
        cluster = self._cluster
        refusals: list[tuple[str, Fault]] = []
        await self._believe()
        async with self._candidates(name) as places:
            for host in places:
                self.where[name] = host
                try:
                    await make(host)
                except EngineError as error:
                    self.where.pop(name, None)
                    if not host or error.fault.kind is Kind.BAD_DESCRIPTION:
                        raise
                    refusals.append((host, error.fault))
                else:
                    return
        table = "; ".join(f"{host}: {fault.message}" for host, fault in refusals)
        doubt = any(fault.code == "SF-BUSY-001" for _, fault in refusals)
        raise Refused(
            f"no host takes {name}: {table}", code="SF-POOL-004", where=f"{cluster.path}:{name}",
            hint="name its host in hostsOff if that is off" if doubt
            else "add hosts, or end what is on these",
            causes=tuple(fault for _, fault in refusals),
        )  # fmt: skip

    @asynccontextmanager
    async def _candidates(self, name: str) -> AsyncIterator[tuple[str, ...]]:
        """Give the hosts to try; those that pack come one after the other."""
        cluster = self._cluster
        if not cluster.hosts:
            yield ("",)
            return
        hosts = [host for host in cluster.hosts if host not in cluster.hosts_off]
        before = self.where.get(name, "")
        lost = before if before and not await self._answers(before) else ""
        there = cluster.order().wanted(cluster.count)
        counts = Counter(host for each, host in self.where.items() if each in there)
        placement = Placement(cluster.placement)
        number = cluster.order().number(name)
        places = candidates(placement, hosts, number, counts, lost)
        if placement is Placement.PACK:
            async with self._placing:
                yield places
        else:
            self.where[name] = places[0] if places else ""
            yield places

    async def _answers(self, host: str) -> bool:
        peers = self._cluster.live.process.peers
        try:
            await peers.elsewhere(host, where=self._cluster.path)
        except (Unreachable, TimedOut):
            return False
        return True

    async def check_off(self, host: str) -> None:
        """Refuse to believe that a host is off which answers.

        Raises:
            Refused: It answers.
        """
        if await self._answers(host):
            raise Refused(
                f"{host} answers, so it is not off", code="SF-POOL-005", where=self._cluster.path,
                hint="hostsOff is for what has been switched off, or cut off for good",
            )  # fmt: skip

    async def _believe(self) -> None:
        """Have what was lost on hosts that are off made elsewhere, now that it cannot run there."""
        process = self._cluster.live.process
        for host in self._cluster.hosts_off:
            if not await self._answers(host):
                process.parts.confirm_off(await process.peers.locate(host))
