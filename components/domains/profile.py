"""The seam to a particular hypervisor: how a domain's attributes become its specification."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from components.domains.xml import DiskSpec, DomainSpec, InterfaceSpec
from components.hypervisor.owner import OwnerRecord
from components.storage.backend import DiskOffer


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


class Profile(Protocol):
    """Turns a machine into the specification of one kind of domain; pure."""

    @property
    def agent_channel(self) -> bool:
        """Say whether the guest is given a channel for an agent."""
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
