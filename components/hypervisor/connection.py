"""One hypervisor reached through libvirt: what `protocol.Hypervisor` promises, call by call.

What the calls do is in `operations` and `network_operations`; how they travel, in `line`.
"""

from __future__ import annotations

from collections.abc import Sequence

import libvirt

from components.hypervisor import operations
from components.hypervisor.capabilities import Capabilities, Capability
from components.hypervisor.consoles import LibvirtConsole, open_stream
from components.hypervisor.errors import HypervisorError
from components.hypervisor.events import Subscription
from components.hypervisor.lanes import Call
from components.hypervisor.limits import Limits, limits_for
from components.hypervisor.line import Line, Opener
from components.hypervisor.machine_calls import LibvirtMachines
from components.hypervisor.network_calls import LibvirtNetworks
from components.hypervisor.network_operations import identity
from components.hypervisor.protocol import DomainFacts, Link, NodeFacts, Status, Version
from components.hypervisor.storage_calls import LibvirtStorage

__all__ = ["LibvirtHypervisor", "Opener"]


class LibvirtHypervisor:
    """A hypervisor reached through libvirt; `protocol.Hypervisor` says what each method promises.

    Made with `open`, on the loop that will use it.

    Attributes:
        networks: Its virtual networks.
        machines: Further calls about single machines.
        storage: Its storage pools.
    """

    def __init__(self, line: Line, driver: str) -> None:
        self._line = line
        self._caps = Capabilities(driver)
        self._shapes: set[operations.Shape] = set()
        self.networks = LibvirtNetworks(line)
        self.machines = LibvirtMachines(line)
        self.storage = LibvirtStorage(line)

    @classmethod
    async def open(
        cls, uri: str, *, limits: Limits | None = None, opener: Opener = libvirt.open
    ) -> LibvirtHypervisor:
        """Connect.

        Args:
            uri: libvirt URI, such as "qemu:///system".
            limits: Bounds; the usual ones for that kind of hypervisor if not given.
            opener: What opens a connection; tests put another one in.

        Returns:
            The connected hypervisor, to be closed by the caller.

        Raises:
            HypervisorError: The first attempt failed: `Unreachable`, `Timeout`, or `Refused` for an
                address that makes no sense.
        """
        line = Line(uri, limits or limits_for(uri), opener)
        return cls(line, await line.open())

    # -- what it is -------------------------------------------------------------------------------

    @property
    def uri(self) -> str:
        """Address this hypervisor was opened with."""
        return self._line.uri

    @property
    def caps(self) -> Capabilities:
        """What it can do, as far as is known."""
        return self._caps

    @property
    def state(self) -> Link:
        """How the connection stands now."""
        return self._line.state

    @property
    def stuck(self) -> int:
        """Number of calls that have outlived their limit and not returned."""
        return self._line.stuck

    def threads(self) -> dict[str, int]:
        """Count the threads of the connection; see `HypervisorPool.threads`."""
        return self._line.threads()

    # -- looking ----------------------------------------------------------------------------------

    async def facts(self) -> Sequence[DomainFacts]:
        """List all domains."""
        found = await self._line.look("facts", "", operations.facts)
        for one in found:
            self._line.names[one.uuid] = one.name
        return found

    async def fact(self, uuid: str) -> DomainFacts | None:
        """Look at one domain, through the reserved lane."""
        found = await self._line.look(
            "fact", uuid, lambda connection: operations.fact(connection, uuid), urgent=True
        )
        return self._learn(found)

    async def status(self, uuid: str) -> Status | None:
        """Look at the run state of one domain, through the reserved lane."""
        return await self._line.look(
            "status", uuid, lambda connection: operations.status(connection, uuid), urgent=True
        )

    async def by_name(self, name: str) -> DomainFacts | None:
        """Look a domain up by name."""
        found = await self._line.look(
            "by_name", "", lambda connection: operations.by_name(connection, name)
        )
        return self._learn(found)

    async def xml(self, uuid: str) -> str:
        """Give the domain's present XML."""
        return await self._line.look(
            "xml", uuid, lambda connection: operations.describe(connection, uuid)
        )

    async def version(self) -> Version:
        """Ask who is there."""
        return await self._line.look("version", "", operations.version)

    async def node(self) -> NodeFacts:
        """Ask what the machine has."""
        return await self._line.look("node", "", operations.node)

    async def agent(self, uuid: str, command: str, *, limit_s: float) -> str:
        """Have the agent in a guest carry a command out."""
        if Capability.AGENT not in self._caps:
            raise HypervisorError(
                "Unsupported", "there is no channel to an agent in the guest", step="agent",
                name=self._line.names.get(uuid, uuid),
            )  # fmt: skip
        return await self._line.look(
            "agent", uuid, lambda connection: operations.agent(connection, uuid, command, limit_s)
        )

    async def addresses(self, uuid: str) -> Sequence[str]:
        """Give the addresses a guest is known to have."""
        return await self._line.look(
            "addresses", uuid, lambda connection: operations.addresses(connection, self._caps, uuid)
        )

    async def console(self, uuid: str) -> LibvirtConsole:
        """Open the console of a running domain."""
        stream = await self._line.change(
            "console", uuid, lambda connection: open_stream(connection, uuid)
        )
        return LibvirtConsole(stream)

    def happenings(self, uuid: str = "") -> Subscription:
        """Subscribe to events; an unread subscription that is forgotten ends by itself."""
        return self._line.subscribe(uuid)

    def changed_s(self, uuid: str) -> float:
        """Say when a call that changes a domain was last under way."""
        return self._line.changed_s(uuid)

    def pending(self, uuid: str | None = None) -> Sequence[Call[object]]:
        """List calls whose threads have not returned, oldest first."""
        return self._line.pending(uuid)

    # -- changing ---------------------------------------------------------------------------------

    async def define(self, xml: str, *, validate: bool = True) -> str:
        """Make a domain known without starting it."""
        self._line.take_new_work("define")
        uuid, name = identity(xml)
        if uuid:
            self._line.names[uuid] = name
        return await self._line.change(
            "define",
            uuid,
            lambda connection: operations.define(
                connection, self._caps, xml, validate=validate, known=self._shapes
            ),
            name=name,
        )

    async def start(self, uuid: str, *, paused: bool = False) -> None:
        """Start a defined domain."""
        self._line.take_new_work("start", uuid)
        await self._line.change(
            "start",
            uuid,
            lambda connection: operations.start(connection, self._caps, uuid, paused=paused),
        )

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to stop."""
        await self._line.change(
            "shutdown",
            uuid,
            lambda connection: operations.shutdown(connection, self._caps, uuid),
        )

    async def destroy(self, uuid: str, *, gentle: bool) -> None:
        """End a domain's instance at once, through the reserved lane."""
        await self._line.change(
            "destroy",
            uuid,
            lambda connection: operations.destroy(connection, self._caps, uuid, gentle=gentle),
            urgent=True,
        )

    async def undefine(self, uuid: str) -> None:
        """Forget a domain that is not active."""
        await self._line.change(
            "undefine",
            uuid,
            lambda connection: operations.undefine(connection, self._caps, uuid),
        )
        self._line.names.pop(uuid, None)

    async def suspend(self, uuid: str) -> None:
        """Stop its CPUs."""
        await self._line.change(
            "suspend", uuid, lambda connection: operations.suspend(connection, uuid)
        )

    async def resume(self, uuid: str) -> None:
        """Let its CPUs go on."""
        await self._line.change(
            "resume", uuid, lambda connection: operations.resume(connection, uuid)
        )

    async def close(self) -> None:
        """Close the connection and end all subscriptions; stuck threads are left behind."""
        await self._line.close()

    def _learn(self, found: DomainFacts | None) -> DomainFacts | None:
        if found is not None:
            self._line.names[found.uuid] = found.name
        return found
