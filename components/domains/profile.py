"""The seam to a particular hypervisor: how a domain's attributes become its specification."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from components.domains.further import Existing
from components.domains.needs import Needs
from components.domains.xml import DiskSpec, DomainSpec, InterfaceSpec
from components.hypervisor.owner import OwnerRecord
from components.storage.offers import DiskOffer


class Machine(Struct, frozen=True):
    """What every domain has, whatever its hypervisor; sizes in bytes, paths on the host."""

    name: str
    uuid: str
    title: str
    owner: OwnerRecord
    memory_bytes: int
    vcpus: int
    kernel: str
    ramdisk: str
    extra: str
    disks: tuple[DiskOffer, ...]
    interfaces: tuple[InterfaceSpec, ...]
    console_log: str
    further: tuple[Existing, ...] = ()
    max_memory_bytes: int | None = None
    max_vcpus: int | None = None
    cpu_shares: int | None = None
    cpu_percent: int | None = None
    cpu_pin: tuple[int, ...] = ()
    numa_node: int | None = None
    graphics: Literal["", "vnc", "spice"] = ""
    graphics_listen: str = "127.0.0.1"
    arch: str = "x86_64"
    keeps_crashed: bool = False
    virtiofs: bool = False
    accelerated: bool = False


class Profile(Protocol):
    """Turns a machine into the specification of one kind of domain; pure."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Return how names of disks in the guest begin."""
        ...

    @property
    def agent_channel(self) -> bool:
        """Say whether the guest is given a channel for an agent."""
        ...

    @property
    def emulated(self) -> bool:
        """Say whether its processors are emulated, which makes it slow."""
        ...

    @property
    def cannot(self) -> tuple[str, ...]:
        """Return attributes of other kinds that promise something this kind of machine has not."""
        ...

    @property
    def needs(self) -> Needs:
        """Return what must be there on the host beside the hypervisor."""
        ...

    def check(self) -> None:
        """Refuse what cannot be had together.

        Raises:
            BadSpecError: The text names the attributes.
        """
        ...

    @property
    def probes(self) -> bool:
        """Say whether it is to be found out if guests come up accelerated on the host."""
        ...

    def spec(self, machine: Machine) -> DomainSpec:
        """Return what is to be defined."""
        ...

    def disk(self, offer: DiskOffer, index: int) -> DiskSpec:
        """Return how the `index`-th disk is seen by the guest."""
        ...

    def console_log(self, name: str) -> str:
        """Return the file the hypervisor itself logs a machine's console to; empty: one of our own."""
        ...
