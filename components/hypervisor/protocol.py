"""What the rest of the project may ask of a hypervisor: data types and the `Hypervisor` contract.

No libvirt here. `connection.LibvirtHypervisor` carries the contract out, `faulty.FaultyHypervisor`
wraps any implementation for tests.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from components.hypervisor.capabilities import Capabilities
from components.hypervisor.machines import Machines
from components.hypervisor.owner import OwnerRecord
from components.hypervisor.storage_protocol import Storage


class DomainState(enum.Enum):
    """Run state of a domain, in the words of the hypervisor library."""

    NOSTATE = "nostate"
    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"
    SHUTOFF = "shutoff"
    CRASHED = "crashed"
    PMSUSPENDED = "pmsuspended"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The run state of one domain at the moment of asking.

    Attributes:
        state: Run state.
        reason: Why it is in that state ("booted", "destroyed", "ioerror", ...), or "unknown".
        active: Whether there is an instance of it.
    """

    state: DomainState
    reason: str
    active: bool


class DomainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One domain as it was at the moment of asking.

    Attributes:
        uuid: Lower case, with dashes.
        name: Unique on its hypervisor.
        state: Run state.
        reason: Why it is in that state ("booted", "destroyed", "ioerror", ...), or "unknown".
        id: Number of the running instance; none when it is not active.
        owner: Our owner record from its metadata; none when we did not make it.
        persistent: False for a transient domain, which vanishes when it stops.
        type: Type in its XML: "kvm", "qemu", "xen", "test".
        macs: MAC addresses of its interfaces, lower case with colons.
        networks: Names of the virtual networks its interfaces are on.
        disks: Files and devices it writes to, and nobody else may.
    """

    uuid: str
    name: str
    state: DomainState
    reason: str
    id: int | None
    owner: OwnerRecord | None
    persistent: bool
    type: str
    macs: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Say whether an instance exists now, running or paused."""
        return self.id is not None


class DhcpHost(msgspec.Struct, frozen=True, kw_only=True):
    """An address that a network's DHCP server gives to one machine only.

    Attributes:
        mac: Lower case with colons; empty when it is told by name.
        ip: The address.
        name: Host name; may be empty.
    """

    mac: str
    ip: str
    name: str = ""


class NetworkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual network as it was at the moment of asking.

    Attributes:
        uuid: Lower case, with dashes.
        name: Unique on its hypervisor.
        active: Whether machines can be on it now.
        autostart: Whether the hypervisor starts it with the host.
        persistent: False for one that vanishes when it stops.
        forward: "nat", "route", "open", "bridge", ...; "isolated" where it leads nowhere.
        bridge: Bridge of the host it is made of; empty when there is none yet.
        owner: Our owner record from its metadata; none when we did not make it.
        subnet: Address of the host on it with prefix length, as "10.1.0.1/24"; may be empty.
        dhcp: Whether it hands out addresses.
        hosts: Addresses it keeps for single machines.
    """

    uuid: str
    name: str
    active: bool
    autostart: bool
    persistent: bool
    forward: str
    bridge: str
    owner: OwnerRecord | None
    subnet: str = ""
    dhcp: bool = False
    hosts: tuple[DhcpHost, ...] = ()


class EventKind(enum.Enum):
    """What a `DomainEvent` is about.

    `LOST` and `MISSED` concern the connection, not one domain: after `LOST` nothing is known until
    a `MISSED`; after `MISSED` the reader must look at its domains anew, as events were lost.
    """

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    PMSUSPENDED = "pmsuspended"
    CRASHED = "crashed"
    REBOOTED = "rebooted"
    WATCHDOG = "watchdog"
    IO_ERROR = "io-error"
    AGENT = "agent"
    LOST = "lost"
    MISSED = "missed"


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a domain, or to the connection.

    Attributes:
        uuid: The domain; empty for `LOST` and `MISSED`.
        name: Its name; empty for `LOST` and `MISSED`.
        kind: What happened.
        detail: Why or how ("booted", "crashed", "guest", ...).
        at_s: Unix time in seconds when this process heard of it.
    """

    uuid: str
    name: str
    kind: EventKind
    detail: str
    at_s: float


class Link(enum.Enum):
    """How a connection stands.

    `DEGRADED`: the hypervisor does not answer (calls raise `Unreachable`, reconnecting goes on), or
    too many calls are stuck (new work is refused, looking and stopping go on).
    """

    CONNECTED = "connected"
    DEGRADED = "degraded"
    CLOSED = "closed"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers: driver name ("QEMU", "Xen", "TEST"), library and hypervisor as "9.0.0"."""

    driver: str
    library: str
    hypervisor: str


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The machine a hypervisor runs on, as the hypervisor sees it.

    Attributes:
        arch: Architecture, such as "x86_64".
        cpus: Processors guests can use.
        memory_bytes: Memory in all.
        free_bytes: Memory not in use now; none where the driver cannot tell.
        cpu_model: As the hypervisor calls it, such as "EPYC"; empty where it cannot tell.
        domain_types: Kinds of machines it can run, such as "kvm" and "qemu".
    """

    arch: str
    cpus: int
    memory_bytes: int
    free_bytes: int | None = None
    cpu_model: str = ""
    domain_types: tuple[str, ...] = ()


class Console(Protocol):
    """A guest's serial console, in both directions; used on the loop it was opened on."""

    async def read(self) -> bytes:
        """Wait for what the guest shows; nothing once it has stopped, or the hypervisor is gone."""

    async def write(self, data: bytes) -> None:
        """Type into it. Raises `Refused` once it is closed."""

    async def close(self) -> None:
        """Let go of it. Harmless twice."""


class PendingCall(Protocol):
    """A call whose thread has not come back, whether or not anybody still awaits it."""

    @property
    def step(self) -> str:
        """Name of the call, such as "start"."""

    @property
    def about(self) -> str:
        """UUID of the domain concerned; empty when it is about none or many."""

    @property
    def stuck(self) -> bool:
        """Say whether it has outlived its limit."""

    async def wait(self) -> None:
        """Wait until the thread has truly returned; its outcome is not raised here."""


class Happenings(Protocol):
    """A subscription to events, oldest first; active from the moment it is returned.

    An asynchronous iterator: `async for event in hypervisor.happenings()`.
    """

    def __aiter__(self) -> AsyncIterator[DomainEvent]: ...

    async def __anext__(self) -> DomainEvent: ...

    async def aclose(self) -> None:
        """Unsubscribe; a reader waiting for the next event sees the end. Harmless twice."""


class Networks(Protocol):
    """The virtual networks of one hypervisor; errors and threads as for `Hypervisor`."""

    async def facts(self) -> Sequence[NetworkFacts]:
        """List all networks, active or not, ours or not."""

    async def fact(self, uuid: str) -> NetworkFacts | None:
        """Look at one network; none when there is no such network."""

    async def by_name(self, name: str) -> NetworkFacts | None:
        """Look a network up by name; none when there is no such network."""

    async def define(self, xml: str) -> str:
        """Make a network known without starting it, and give its UUID.

        Doing it again with the same owner replaces the definition; a network of that name or UUID
        with another owner, or none, is never overwritten.

        Raises:
            HypervisorError: `NameTaken`; `Refused` when the XML is not accepted.
        """

    async def start(self, uuid: str, *, autostart: bool) -> None:
        """Start a defined network; one that is active is success. Raises `NotFound`, `Refused`.

        Args:
            uuid: The network.
            autostart: Whether the hypervisor starts it with the host from now on.
        """

    async def stop(self, uuid: str) -> None:
        """Stop a network. One not active, or not there, is success."""

    async def undefine(self, uuid: str) -> None:
        """Forget a network that is not active. One not there is success."""

    async def reserve(self, uuid: str, host: DhcpHost) -> None:
        """Keep an address for one machine; the very same reservation being there is success.

        Raises:
            HypervisorError: `NotFound`; `NameTaken` when the MAC, the address or the name is kept for
                another machine.
        """

    async def unreserve(self, uuid: str, host: DhcpHost) -> None:
        """Drop such a reservation. One not there, or no such network, is success."""


class Hypervisor(Protocol):
    """One hypervisor: the few operations the rest of the project may use.

    All methods are awaited on the loop that opened the connection and work in a thread. Every one
    may raise `HypervisorError`: `Unreachable` (nothing is known), `Timeout` (the call may yet take
    effect: see `pending`), or the kinds its own text names. Cancelling an awaiting call drops it
    when it has not begun; otherwise its thread goes on and is listed by `pending`.
    """

    @property
    def uri(self) -> str:
        """Address this hypervisor was opened with."""

    @property
    def caps(self) -> Capabilities:
        """What it can do, as far as is known; lowered when a call proves otherwise."""

    @property
    def state(self) -> Link:
        """How the connection stands now."""

    @property
    def networks(self) -> Networks:
        """Its virtual networks."""

    @property
    def machines(self) -> Machines:
        """Further calls about single machines."""

    @property
    def storage(self) -> Storage:
        """Its storage pools."""

    async def facts(self) -> Sequence[DomainFacts]:
        """List all domains, active or not, ours or not."""

    async def fact(self, uuid: str) -> DomainFacts | None:
        """Look at one domain, through the reserved lane; none when there is no such domain."""

    async def status(self, uuid: str) -> Status | None:
        """Look at the run state alone, as `fact` does: cheap, for looks repeated all the time."""

    async def by_name(self, name: str) -> DomainFacts | None:
        """Look a domain up by name; none when there is no such domain."""

    async def xml(self, uuid: str) -> str:
        """Give the domain's present XML. Raises `NotFound`."""

    async def define(self, xml: str, *, validate: bool = True) -> str:
        """Make a domain known without starting it, and give its UUID.

        Doing it again with the same owner replaces the definition. A domain of that name or UUID
        which has another owner, or none, is never overwritten.

        Raises:
            HypervisorError: `NameTaken`; `Refused` when the XML is not accepted.
        """

    async def start(self, uuid: str, *, paused: bool = False) -> None:
        """Start a defined domain. One already active as wanted is success.

        Raises:
            HypervisorError: `NotFound`; `Refused` when it is active but not as wanted, or will not
                start; `Unreachable` when the connection takes no new work.
        """

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to stop, and return without waiting for it to do so.

        By the guest agent, else ACPI, else as the hypervisor sees fit. One not active is success.
        Raises `NotFound`.
        """

    async def destroy(self, uuid: str, *, gentle: bool) -> None:
        """End a domain's instance at once. One not active, or not there, is success.

        Args:
            uuid: The domain.
            gentle: Let the emulator flush; fails as `Refused` rather than using force.
        """

    async def undefine(self, uuid: str) -> None:
        """Forget a domain with its saved state and metadata. One not there is success.

        Raises:
            HypervisorError: `Refused` when it is active: it would go on as a transient domain.
        """

    async def suspend(self, uuid: str) -> None:
        """Stop its CPUs; one paused already is success. Raises `NotFound`, `Refused`."""

    async def resume(self, uuid: str) -> None:
        """Let its CPUs go on; one running already is success. Raises `NotFound`, `Refused`."""

    async def agent(self, uuid: str, command: str, *, limit_s: float) -> str:
        """Have the agent in a guest carry a command out, and give its answer; both are JSON.

        Raises:
            HypervisorError: `Unsupported` where there is no channel to an agent; `Refused` when no
                agent answers within the limit, or the guest is not running.
        """

    async def addresses(self, uuid: str) -> Sequence[str]:
        """Give the addresses a running guest is known to have, those of its first interface first.

        Asked of the DHCP servers of its networks, else of its agent, else of the host's neighbours.
        None known, or no such domain, gives none.
        """

    async def version(self) -> Version:
        """Ask who is there."""

    async def node(self) -> NodeFacts:
        """Ask what the machine has; the test driver invents it."""

    async def console(self, uuid: str) -> Console:
        """Open the console of a running domain; only one can have it.

        Raises:
            HypervisorError: `Unsupported` where there are no consoles; `Refused` when the domain does
                not run, or somebody else has its console; `NotFound`.
        """

    def happenings(self, uuid: str = "") -> Happenings:
        """Subscribe to events. The queue is bounded; overflow shows as one `MISSED` event.

        Args:
            uuid: Only those of this domain, and those about the connection itself; empty: all.
        """

    def changed_s(self, uuid: str) -> float:
        """Say when a call of ours that changes a domain was last under way, by the loop's clock.

        Now, if one is and has not outlived its limit; minus infinity if there was none. A hypervisor may
        answer no question about a domain meanwhile.
        """
        ...

    def pending(self, uuid: str | None = None) -> Sequence[PendingCall]:
        """List calls whose threads have not returned, of one domain or of all."""

    async def close(self) -> None:
        """Close the connection. Harmless twice; afterwards every call raises `Unreachable`."""
