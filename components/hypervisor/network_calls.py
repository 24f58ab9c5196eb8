"""The virtual networks of a libvirt hypervisor: what `protocol.Networks` promises, call by call."""

from __future__ import annotations

from collections.abc import Sequence

from components.hypervisor import network_operations as operations
from components.hypervisor.line import Line
from components.hypervisor.protocol import DhcpHost, NetworkFacts


class LibvirtNetworks:
    """Asks over the hypervisor's own line."""

    def __init__(self, line: Line) -> None:
        """Take the line; the hypervisor opens and closes it."""
        self._line = line

    async def facts(self) -> Sequence[NetworkFacts]:
        """List all networks."""
        return await self._line.look("list networks", "", operations.facts)

    async def fact(self, uuid: str) -> NetworkFacts | None:
        """Look at one network."""
        return await self._line.look(
            "look at network", uuid, lambda connection: operations.fact(connection, uuid)
        )

    async def by_name(self, name: str) -> NetworkFacts | None:
        """Look a network up by name."""
        return await self._line.look(
            "look at network",
            "",
            lambda connection: operations.by_name(connection, name),
            name=name,
        )

    async def define(self, xml: str) -> str:
        """Make a network known without starting it."""
        self._line.take_new_work("define network")
        uuid, name = operations.identity(xml)
        if uuid:
            self._line.names[uuid] = name
        return await self._line.change(
            "define network", uuid, lambda connection: operations.define(connection, xml), name=name
        )

    async def start(self, uuid: str, *, autostart: bool) -> None:
        """Start a defined network."""
        self._line.take_new_work("start network", uuid)
        await self._line.change(
            "start network",
            uuid,
            lambda connection: operations.start(connection, uuid, autostart=autostart),
        )

    async def stop(self, uuid: str) -> None:
        """Stop a network, through the reserved lane."""
        await self._line.change(
            "stop network", uuid, lambda connection: operations.stop(connection, uuid), urgent=True
        )

    async def undefine(self, uuid: str) -> None:
        """Forget a network that is not active."""
        await self._line.change(
            "undefine network", uuid, lambda connection: operations.undefine(connection, uuid)
        )
        self._line.names.pop(uuid, None)

    async def reserve(self, uuid: str, host: DhcpHost) -> None:
        """Keep an address for one machine."""
        await self._line.change(
            "reserve address", uuid, lambda connection: operations.reserve(connection, uuid, host)
        )

    async def unreserve(self, uuid: str, host: DhcpHost) -> None:
        """Drop such a reservation."""
        await self._line.change(
            "release address", uuid, lambda connection: operations.unreserve(connection, uuid, host)
        )
