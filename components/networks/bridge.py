"""`Bridge`: a bridge of the host, there already or made."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from typing_extensions import override

from components.networks import devices, filtering
from components.networks.addresses import device_kind, subnet_kind
from components.networks.claims import Claims
from components.networks.devices import Device
from components.networks.joined import Joined
from engine.core.faults import BadDescription, Refused
from engine.prim import Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.kinds import bool_
from sfdl.values import Value

LOOK_EVERY_S = 2.0
"""Seconds between two looks whether the bridge is there."""
_MARK = "smartdomains"


def _mark_of(owner: Owner) -> str:
    """Return what is written on a device of this owner; the kernel keeps 255 bytes."""
    words = (owner.community, owner.application, owner.path, str(owner.incarnation))
    digest = hashlib.sha256("\0".join(words[:3]).encode()).hexdigest()[:16]
    return f"{_MARK} {digest} {owner.incarnation} {owner.path}"[:200]


class HostBridge(Effect, frozen=True):
    """A bridge made on the host, with a device in it if one is named.

    It is made under a name of its own and marked before it gets its name, so that one that was only
    half made is known as ours.

    Attributes:
        name: Of the bridge.
        device: What is put into it; empty for nothing.
        address: Of the host on it, with prefix length; empty for none.
        stp: Run the spanning tree protocol.
    """

    name: str
    device: str = ""
    address: str = ""
    stp: bool = False

    @override
    def label(self) -> str:
        return f"bridge {self.name}"

    def _draft(self, owner: Owner) -> str:
        return f"sd{hashlib.sha256(_mark_of(owner).encode()).hexdigest()[:10]}"

    @override
    async def look(self, at: Site) -> Presence:
        found = await devices.device(self.name)
        if found is None:
            return Presence.ABSENT
        return Presence.OURS if _same_place(found, at.owner) else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        found = await devices.device(self.name)
        if found is not None and not _same_place(found, at.owner):
            raise NameTaken(f"a device {self.name} exists already and is not ours")
        if found is None:
            draft = self._draft(at.owner)
            await _delete(at, draft)
            stp = "1" if self.stp else "0"
            await at.run(("ip", "link", "add", "name", draft, "type", "bridge", "stp_state", stp))
            await at.run(("ip", "link", "set", "dev", draft, "alias", _mark_of(at.owner)))
            await at.run(("ip", "link", "set", "dev", draft, "name", self.name))
        else:
            await at.run(("ip", "link", "set", "dev", self.name, "alias", _mark_of(at.owner)))
        if self.device:
            await at.run(("ip", "link", "set", "dev", self.device, "master", self.name))
        if self.address:
            await at.run(("ip", "address", "replace", self.address, "dev", self.name))
        await at.run(("ip", "link", "set", "dev", self.name, "up"))
        return self

    @override
    async def undo(self, at: Site) -> None:
        await _delete(at, self._draft(at.owner))
        found = await devices.device(self.name)
        if found is not None and found.ifalias == _mark_of(at.owner):
            await _delete(at, self.name)


def _same_place(found: Device, owner: Owner) -> bool:
    return found.ifalias.split(" ")[:2] == _mark_of(owner).split(" ")[:2]


async def _delete(at: Site, name: str) -> None:
    if await devices.device(name) is not None:
        await at.run(("ip", "link", "delete", "dev", name))


class Bridge(Joined, type="net.bridge"):
    """A bridge of the host that virtual machines can be on: looked for, or made.

    Machines name it with their own attribute `bridge`.
    """

    joined_by: ClassVar[Literal["network", "bridge"]] = "bridge"

    bridge_name = attr(device_kind, "br0", doc="Name of the bridge device.", called="name")
    create = attr(bool_, False, doc="Make it, and remove it at the end; needs root.")
    enslaved = attr(
        device_kind, "", doc="Device of the host to put into it; needs create.", called="device"
    )
    address = attr(
        subnet_kind, "", doc="Address of the host on it, with prefix length; needs create."
    )
    stp = attr(bool_, False, doc="Run the spanning tree protocol; needs create.")
    allow_control_device = attr(
        bool_, False, doc="Let device be the one that carries the daemon's own address.",
        called="allowControlDevice",
    )  # fmt: skip
    filter_bridged = attr(
        bool_, True, called="filterBridged",
        doc="Leave it to the host whether its firewall sees what goes from machine to machine on one of "
        "its bridges; false: it does not, on any bridge.",
    )  # fmt: skip
    members = output(str, doc="Devices in the bridge, by name, when it was last looked at.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep"}

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self._trouble = ""

    @override
    def device_name(self) -> str:
        return self.bridge_name

    @override
    @classmethod
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        name = given.get("name")
        if isinstance(name, str) and name and not given.get("create"):
            await devices.check_bridge(name, where=where)

    @override
    async def on_deploy(self) -> None:
        if not self.bridge_name:
            raise BadDescription("name must be given", code="SF-NET-006", where=self.path)
        if not self.filter_bridged and not await self.run_blocking(filtering.can_be_set):
            raise Refused(
                "filterBridged false changes settings of the host, which takes root", code="SF-NET-010",
                where=self.path, hint="run the daemon as root, or leave filterBridged out",
            )  # fmt: skip
        if not self.create:
            self._refuse_without_create()
            await devices.check_bridge(self.bridge_name, where=self.path)
            return
        self.service(Claims).take(self, "bridge", "", self.bridge_name)
        owner = self.live
        place = Owner(
            owner.process.community, owner.segment.application, owner.path, owner.incarnation
        )
        found = await devices.device(self.bridge_name)
        if found is not None and not _same_place(found, place):
            kind = "bridge" if found.is_bridge else "device"
            raise NameTaken(
                f"a {kind} {self.bridge_name} exists already and is not ours", code="SF-NAME-001",
                where=self.path, hint="leave create out to use it as it is, or choose another name",
            )  # fmt: skip
        if self.enslaved:
            await self._check_enslaved(self.enslaved)

    def _refuse_without_create(self) -> None:
        given = {"device": self.enslaved, "address": self.address, "stp": self.stp}
        for name, value in given.items():
            if value:
                raise BadDescription(
                    f"{name} needs create true: a bridge that is there already is not changed",
                    code="SF-NET-006", where=self.path,
                )  # fmt: skip

    async def _check_enslaved(self, name: str) -> None:
        if await devices.device(name) is None:
            raise Refused(
                f"there is no device {name} on this host", code="SF-NET-004", where=self.path,
                hint="ip link shows those there are",
            )  # fmt: skip
        host = self.live.process.address.rpartition(":")[0].strip("[]")
        with contextlib.suppress(ValueError):
            carries = await devices.carrier_of(str(ipaddress.ip_address(host)))
            if carries == name and not self.allow_control_device:
                raise Refused(
                    f"device {name} carries this daemon's own address {host}: it would lose its peers",
                    code="SF-NET-008", where=self.path,
                    hint="use another device, or say allowControlDevice true",
                )  # fmt: skip

    @override
    async def on_start(self) -> None:
        if not self.filter_bridged:
            await self.make(filtering.UnfilteredBridges())
        if self.create:
            await self.make(HostBridge(self.bridge_name, self.enslaved, self.address, stp=self.stp))
        await self._take_up()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._take_up()

    async def _take_up(self) -> None:
        if self.create:
            self.service(Claims).take(self, "bridge", "", self.bridge_name)
        await self._look()
        self.spawn(self._watch())

    async def _watch(self) -> None:
        while True:
            await self.sleep(LOOK_EVERY_S)
            with contextlib.suppress(Refused):
                await self._look()

    async def _look(self) -> None:
        found = await devices.devices()
        there = any(one.ifname == self.bridge_name and one.is_bridge for one in found)
        self._trouble = "" if there else f"bridge {self.bridge_name} is not there any more"
        self.members = " ".join(
            sorted(one.ifname for one in found if one.master == self.bridge_name)
        )

    @override
    async def check(self) -> None:
        if self._trouble:
            raise Unwell(self._trouble)
