"""The disks and interfaces of a machine beyond its own volumes and its first interface."""

from __future__ import annotations

import uuid as uuids
from collections import Counter
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from components.context.told import Beside
from components.domains import existing, uplink
from components.domains.existing import Uses, literal
from components.domains.further import ALIAS, Existing, FurtherDisk, FurtherInterface
from components.domains.plugging import keys_in
from components.domains.spec import InterfaceSpec
from components.hypervisor.trusted_xml import parsed
from components.networks.addresses import mac_from_uuid
from components.networks.effects import KeptAddress
from components.networks.joined import Joined, Place
from engine.core.faults import BadDescription, EngineError
from engine.wire.messages import Handle

if TYPE_CHECKING:
    from components.domains.domain import Domain


def mac_beside(uuid: str, kind: str, source: str, nth: int) -> str:
    """Return the MAC address of a machine's further interface, whatever other ones it has.

    Args:
        uuid: Of the machine.
        kind: `network` or `bridge`.
        source: Its name.
        nth: How many of the machine's interfaces there, of those without mac and ip, come before it.
    """
    return mac_from_uuid(str(uuids.uuid5(uuids.UUID(uuid), f"{kind} {source} {nth}")))


def targets_in(xml: str) -> dict[str, str]:
    """Return the names in the guest of disks that can be plugged out, by file or device."""
    found = {}
    root = parsed(xml or "<domain/>")
    for disk in root.findall("devices/disk"):
        alias, source, target = disk.find("alias"), disk.find("source"), disk.find("target")
        if alias is not None and source is not None and target is not None:
            found[source.get("file") or source.get("dev") or ""] = target.get("dev", "")
    return found


class Extras:
    """Finds, reserves and gives back what one domain has beside what is made for it.

    Attributes:
        disks: Disks that were there, as they were found.
        uplinks: Interfaces beside the first one, in order.
    """

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self.disks: tuple[Existing, ...] = ()
        self.uplinks: tuple[uplink.Uplink, ...] = ()
        self._joined: dict[tuple[str, str], Handle] = {}

    def stands_beside(self, path: str) -> bool:
        """Say whether a network or bridge is that of further interfaces, and not of the first one."""
        first = self._domain.making.uplink
        return any(
            handle.name == path and not (first is not None and (first.kind, first.source) == place)
            for place, handle in self._joined.items()
        )

    @property
    def interfaces(self) -> tuple[InterfaceSpec, ...]:
        """Return the interfaces as they stand in the domain's specification."""
        return tuple(
            replace(each.interface, alias=f"{ALIAS}nic-{each.mac.replace(':', '')}")
            for each in self.uplinks
        )

    @property
    def told(self) -> tuple[Beside, ...]:
        """Return the interfaces as the guest is told of them."""
        return tuple(Beside(each.mac, each.ip, each.netmask) for each in self.uplinks)

    def check_wanted(self, disks: tuple[FurtherDisk, ...]) -> None:
        """Refuse disks that contradict what else is said of the machine.

        Raises:
            BadDescription: The text says what does.
        """
        domain = self._domain
        made = keys_in(domain.making.xml) if domain.making.xml else frozenset()
        beside = {("disks", name) for name in targets_in(domain.making.xml).values()}
        existing.check_wanted(
            disks, domain, boots=not domain.boots_directly, diskless=domain.diskless,
            targets=domain.make_profile().targets,
            taken=[name for word, name in made - beside if word == "disks"],
        )  # fmt: skip

    async def check(
        self, disks: tuple[FurtherDisk, ...], interfaces: tuple[FurtherInterface, ...]
    ) -> None:
        """Look, before anything is changed, whether the machine can have these instead of its own.

        What is referred to may come with the same update, and is looked at when that is done.

        Raises:
            Refused: Something is not there, or another machine has it.
            BadDescription: The text says what does not fit.
        """
        domain = self._domain
        hypervisor = await domain.hypervisor()
        self.check_wanted(disks)
        found = await existing.find(literal(disks), domain)
        domain.service(Uses).check(domain, found)
        await existing.check_unused(found, domain.uuid, domain, hypervisor)
        for each in interfaces:
            if each.ip:
                uplink.check_address(each.ip, each.netmask, "", domain.path)
            source = each.source if isinstance(each.source, str) else ""
            wanted = uplink.Uplink(each.kind, source, not source, each.mac, each.ip)
            await uplink.check_source(wanted, domain, hypervisor)
            if each.mac:
                uplink.check_unclaimed(wanted, domain, domain.uri)
                await uplink.check_mac(wanted, domain.uuid, domain, hypervisor)

    async def reserve(self) -> None:
        """Check and claim what is known before anything is made.

        Raises:
            Refused: Something is not there, or another machine has it.
            BadDescription: The text says what does not fit.
        """
        domain = self._domain
        hypervisor = await domain.hypervisor()
        known = await existing.find(literal(domain.disks or ()), domain)
        domain.service(Uses).take(domain, known)
        await existing.check_unused(known, domain.uuid, domain, hypervisor)
        self.uplinks = await self._join()
        for each in self.uplinks:
            await uplink.check_source(each, domain, hypervisor)
            uplink.claim(each, domain, domain.uri)
            await uplink.check_mac(each, domain.uuid, domain, hypervisor)

    async def settle(self, xml: str) -> None:
        """Find all disks, now that the components are there which may say where they are.

        Args:
            xml: What the machine was until now; a disk keeps the name it has there.

        Raises:
            Refused: One is not there, or another machine has it.
        """
        domain = self._domain
        found, names = await existing.find(domain.disks or (), domain), targets_in(xml)
        found = tuple(
            replace(disk, target=disk.target or names.get(disk.path, "")) for disk in found
        )
        domain.service(Uses).take(domain, found)
        await existing.check_unused(found, domain.uuid, domain, await domain.hypervisor())
        self.disks = found

    async def keep_addresses(self, hostname: str) -> None:
        """Have the networks keep the addresses of the interfaces for them."""
        domain = self._domain
        hypervisor = await domain.hypervisor()
        made = {each.effect for each in domain.live.effects}
        for each in self.uplinks:
            kept = await uplink.kept_address(each, hostname, domain, hypervisor)
            if kept is not None and kept not in made:
                await domain.make(kept)

    async def adopt(self, xml: str) -> None:
        """Claim again what a guest of an earlier process has."""
        domain = self._domain
        self.uplinks = await self._join()
        for each in self.uplinks:
            uplink.claim(each, domain, domain.uri)
        try:
            await self.settle(xml)
        except (EngineError, OSError) as error:
            domain.note(f"its disks cannot be looked at: {error}", "warning")

    async def renew(self, xml: str, hostname: str) -> None:
        """Take what is described now instead of what was: claims, addresses and disks.

        Args:
            xml: What the machine was until now.
            hostname: Of the machine, for the networks that keep its addresses.

        Raises:
            Refused: Something is not there, or another machine has it.
            BadDescription: The text says what does not fit.
        """
        await self.settle(xml)
        await self._join_again()
        await self.keep_addresses(hostname)

    async def _join_again(self) -> None:
        """Claim the interfaces described now, and give back those that are no more."""
        domain, before, joined = self._domain, self.uplinks, self._joined
        hypervisor = await domain.hypervisor()
        self.uplinks = await self._join()
        gone = [each for each in before if each not in self.uplinks]
        for each in gone:
            uplink.release(each, domain, domain.uri)
        for each in self.uplinks:
            if each not in before:
                await uplink.check_source(each, domain, hypervisor)
                uplink.claim(each, domain, domain.uri)
                await uplink.check_mac(each, domain.uuid, domain, hypervisor)
        for place, handle in joined.items():
            if place not in self._joined:
                await self._leave(handle, place)
        lost = {(each.mac, each.ip) for each in gone}
        for made in list(domain.live.effects):
            if isinstance(made.effect, KeptAddress):
                host = made.effect.host
                if (host.mac, host.ip) in lost:
                    await domain.unmake(made.effect)

    async def retain(self) -> None:
        """Have the networks and bridges stay at the end: the guest goes on."""
        for handle in self._joined.values():
            await self._domain.call(handle, Joined, "retain")

    async def _leave(self, handle: Handle, place: tuple[str, str]) -> None:
        """Tell a network that the machine is on it no more, unless with its first interface."""
        domain, first = self._domain, self._domain.making.uplink
        if first is not None and (first.kind, first.source) == place:
            return
        try:
            await domain.call(handle, Joined, "leave", domain.handle)
        except EngineError as error:
            domain.log.debug("%s is gone already: %s", handle.name, error)

    async def _join(self) -> tuple[uplink.Uplink, ...]:
        """Find which networks and bridges the interfaces are on.

        Raises:
            BadDescription: Two have one address.
        """
        domain = self._domain
        found: list[uplink.Uplink] = []
        beside: Counter[tuple[str, str]] = Counter()
        self._joined = {}
        for each in domain.interfaces or ():
            if each.ip:
                uplink.check_address(each.ip, each.netmask, "", domain.path)
            source, made = await self._source(each)
            if each.mac or each.ip:
                prefix = domain.making.outline.mac_prefix
                mac = uplink.mac_for(each.mac, each.ip, domain.uuid, prefix)
            else:
                beside[each.kind, source] += 1
                nth = beside[each.kind, source] - 1
                mac = mac_beside(domain.uuid, each.kind, source, nth)
            found.append(
                uplink.Uplink(each.kind, source, made, mac, each.ip, each.netmask, each.model)
            )
        first = domain.making.uplink
        macs = [each.mac for each in ((first, *found) if first is not None else found)]
        twice = next((mac for mac in macs if macs.count(mac) > 1), None)
        if twice is not None:
            raise BadDescription(
                f"interfaces: mac {twice} is that of two of its interfaces", code="SF-DOM-002",
                where=domain.path,
            )  # fmt: skip
        return tuple(found)

    async def _source(self, each: FurtherInterface) -> tuple[str, bool]:
        """Return the name of what an interface is on, and whether a component of ours makes it."""
        domain = self._domain
        if isinstance(each.source, str):
            return each.source, False
        found = await domain.live.process.resolver.resolve(domain.live, each.source)
        if isinstance(found, Handle):
            place = cast(
                "Place", await domain.call(found, Joined, "attach", domain.handle, each.kind)
            )
            if place.kind == "user":
                raise BadDescription(
                    f"interfaces: {place.name} is a user network, which only the first interface is on",
                    code="SF-DOM-002", where=domain.path, hint=f"name it as its {each.kind}",
                )  # fmt: skip
            self._joined[each.kind, place.name] = found
            return place.name, True
        if not isinstance(found, str):
            raise BadDescription(
                f"interfaces: {each.kind} must be a component or a name", code="SF-DOM-002",
                where=domain.path,
            )  # fmt: skip
        return found, False
