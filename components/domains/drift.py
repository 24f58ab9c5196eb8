"""Is a machine still what it was made as? What others have changed is told, or set back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import Struct

from components.domains.showing import show
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import is_ours
from components.hypervisor.protocol import DomainFacts, DomainState, Hypervisor
from components.hypervisor.trusted_xml import parsed

if TYPE_CHECKING:
    from components.domains.domain import Domain

UNITS = {"b": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SLACK_BYTES = 2**20
"""Memory that may be missing or too much without being told of: hypervisors round."""


class Shape(Struct, frozen=True):
    """What can be compared of a machine.

    Attributes:
        memory_bytes: It has now.
        vcpus: It has now.
        disks: Their names in the guest.
        interfaces: Their MAC addresses.
        paused: Its processors are held.
        autostart: It starts with its host.
    """

    memory_bytes: int
    vcpus: int
    disks: frozenset[str]
    interfaces: frozenset[str]
    paused: bool
    autostart: bool


def shape_of(xml: str, *, paused: bool, autostart: bool) -> Shape:
    """Read a machine's shape from its XML.

    Example:
        >>> text = "<domain><memory unit='KiB'>2048</memory><vcpu current='1'>4</vcpu></domain>"
        >>> shape = shape_of(text, paused=False, autostart=False)
        >>> shape.memory_bytes, shape.vcpus
        (2097152, 1)
    """
    root = parsed(xml)
    memory = root.find("currentMemory")
    memory = root.find("memory") if memory is None else memory
    vcpu = root.find("vcpu")
    return Shape(
        memory_bytes=0
        if memory is None
        else int(memory.text or "0") * UNITS[memory.get("unit", "KiB")],
        vcpus=0 if vcpu is None else int(vcpu.get("current") or vcpu.text or "0"),
        disks=frozenset(each.get("dev", "") for each in root.findall("devices/disk/target")),
        interfaces=frozenset(
            each.get("address", "").lower() for each in root.findall("devices/interface/mac")
        ),
        paused=paused,
        autostart=autostart,
    )


def drifted(wanted: Shape, found: Shape, waiting: Collection[str] = ()) -> dict[str, str]:
    """Say what has changed, by attribute, and how.

    Args:
        wanted: As it was made, or last altered.
        found: As it is.
        waiting: Attributes that wait for a power cycle, which cannot be compared.

    Example:
        >>> base = Shape(2**30, 2, frozenset({"vda"}), frozenset(), False, False)
        >>> drifted(base, base)
        {}
        >>> from msgspec.structs import replace
        >>> drifted(base, replace(base, vcpus=1))
        {'vcpus': '1, not 2'}
    """
    found_by: dict[str, str] = {}
    if abs(found.memory_bytes - wanted.memory_bytes) > SLACK_BYTES:
        mib = 2**20
        found_by["memory"] = f"{found.memory_bytes // mib} MiB, not {wanted.memory_bytes // mib}"
    if found.vcpus != wanted.vcpus:
        found_by["vcpus"] = f"{found.vcpus}, not {wanted.vcpus}"
    for name, have, want in (
        ("disks", found.disks, wanted.disks),
        ("interfaces", found.interfaces, wanted.interfaces),
    ):
        if have != want:
            words = [f"{each} too many" for each in sorted(have - want)]
            words += [f"{each} missing" for each in sorted(want - have)]
            found_by[name] = ", ".join(words)
    if found.paused != wanted.paused:
        found_by["state"] = "paused" if found.paused else "running, not paused"
    if found.autostart != wanted.autostart:
        found_by["autostart"] = f"{found.autostart}, not {wanted.autostart}".lower()
    return {name: how for name, how in found_by.items() if name not in waiting}


class Drift:
    """Compares the machine of one domain with what it was made as, at a period."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Look until the domain ends."""
        before: dict[str, str] = {}
        while True:
            await asyncio.sleep(self._domain.drift_period)
            if self._domain.drift_policy == "ignore" or self._domain.stopping.asked:
                continue
            try:
                now = await self.look()
                # What an alteration of ours is changing just now is no drift: twice the same is.
                lasting = {name: how for name, how in now.items() if before.get(name) == how}
                before = now
                await self._take(lasting)
                await show(self._domain)
            except HypervisorError as error:
                self._domain.log.debug("cannot be compared now: %s", error)

    async def look(self) -> dict[str, str]:
        """Say what has changed; nothing of a machine that is off, or not ours.

        Raises:
            HypervisorError: It cannot be told.
        """
        domain = self._domain
        hypervisor = await domain.hypervisor()
        facts = await hypervisor.fact(domain.uuid)
        if facts is None or not facts.active or not self._is_ours(facts):
            return {}
        autostart = await hypervisor.machines.starts_with_host(domain.uuid)
        found = shape_of(
            await hypervisor.xml(domain.uuid),
            paused=facts.state is DomainState.PAUSED and facts.reason == "user",
            autostart=autostart,
        )
        wanted = shape_of(
            domain.making.xml, paused=domain.acts.wants_pause, autostart=domain.autostart
        )
        return drifted(wanted, found, domain.pending())

    def _is_ours(self, facts: DomainFacts) -> bool:
        return is_ours(facts, self._domain.live.owner, exactly=True)

    async def _take(self, found: dict[str, str]) -> None:
        domain = self._domain
        if found != self._told:
            domain.drift = "; ".join(f"{name}: {how}" for name, how in found.items())
            for name, how in found.items():
                if self._told.get(name) != how:
                    domain.emit("drift", attribute=name, found=how)
                    domain.note(f"{name} was changed by somebody else: {how}", "warning")
            self._told = found
        if found and domain.drift_policy == "repair":
            await self._repair(await domain.hypervisor(), found)

    async def _repair(self, hypervisor: Hypervisor, found: dict[str, str]) -> None:
        """Set back what can be set back while it runs; the rest stays told of."""
        domain, machines = self._domain, hypervisor.machines
        for name in found:
            match name:
                case "memory":
                    await machines.memory(domain.uuid, domain.memory)
                case "vcpus":
                    await machines.vcpus(domain.uuid, domain.vcpus)
                case "autostart":
                    await machines.autostart(domain.uuid, on=domain.autostart)
                case "state" if not domain.acts.wants_pause:
                    await hypervisor.resume(domain.uuid)
                case _:
                    continue
            domain.emit("repaired", attribute=name)
