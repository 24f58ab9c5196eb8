"""Plugging disks and interfaces into a running guest, and out of it."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from components.domains.further import ALIAS
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import Hypervisor
from components.hypervisor.trusted_xml import parsed

if TYPE_CHECKING:
    from components.domains.domain import Domain

UNPLUG_S, LOOK_S = 30.0, 0.2
"""Seconds a guest may take to let go of a device, and between two looks whether it has."""

Word = Literal["disks", "interfaces"]
"""Attribute a device is described by."""


class Device(Struct, frozen=True):
    """A disk or an interface that can be plugged.

    Attributes:
        word: Attribute it is described by.
        key: What tells it from others in the guest: the name of a disk, the MAC address of an interface.
        xml: The device.
    """

    word: Word
    key: str
    xml: str


class Plugs(Struct, frozen=True):
    """What is to be done to a running guest, in that order; a changed device is in both."""

    out: tuple[Device, ...]
    into: tuple[Device, ...]


def _root(xml: str) -> ET.Element:
    return parsed(xml)


def keys_in(xml: str) -> frozenset[tuple[Word, str]]:
    """Return what devices a machine has, by their attribute and key."""
    root = _root(xml)
    disks = [each.get("dev", "") for each in root.findall("devices/disk/target")]
    macs = [each.get("address", "").lower() for each in root.findall("devices/interface/mac")]
    return frozenset([("disks", key) for key in disks] + [("interfaces", key) for key in macs])


def disk_at(path: str, xml: str) -> str:
    """Return the name in the guest of the disk that is a file or device; empty: it has none."""
    for disk in _root(xml).findall("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and path in source.attrib.values():
            return target.get("dev", "")
    return ""


def path_at(target: str, xml: str) -> str:
    """Return the file or device of the disk that has a name in the guest; empty: there is none."""
    for disk in _root(xml).findall("devices/disk"):
        source, named = disk.find("source"), disk.find("target")
        if source is not None and named is not None and named.get("dev") == target:
            return source.get("file") or source.get("dev") or ""
    return ""


def devices_of(xml: str) -> tuple[Device, ...]:
    """Return the devices of a definition of ours that can be plugged: those with names of ours."""
    words: dict[str, tuple[Word, str, str]] = {
        "disk": ("disks", "target", "dev"), "interface": ("interfaces", "mac", "address"),
    }  # fmt: skip
    found = []
    for tag, (word, inner, attribute) in words.items():
        for element in _root(xml).findall(f"devices/{tag}"):
            alias, place = element.find("alias"), element.find(inner)
            if alias is not None and alias.get("name", "").startswith(ALIAS) and place is not None:
                text = ET.tostring(element, encoding="unicode").strip()
                found.append(Device(word, place.get(attribute, "").lower(), text))
    return tuple(found)


def plugs_between(old: str, new: str, live: str) -> Plugs:
    """Say what makes a running guest have the devices of its new definition.

    Args:
        old: Its definition until now.
        new: Its definition to be.
        live: What it has, as its hypervisor says.
    """
    there = keys_in(live)
    before = {(each.word, each.key): each for each in devices_of(old)}
    after = {(each.word, each.key): each for each in devices_of(new)}
    out = [each for key, each in before.items() if key in there and after.get(key) != each]
    gone = {(each.word, each.key) for each in out}
    into = [each for key, each in after.items() if key not in there or key in gone]
    return Plugs(tuple(out), tuple(into))


class Plugging:
    """Does it to the guest of one domain."""

    def __init__(self, domain: Domain, hypervisor: Hypervisor) -> None:
        """Serve one domain."""
        self._domain = domain
        self._hypervisor = hypervisor

    async def carry_out(self, plugs: Plugs) -> set[Word]:
        """Plug out, then in; return the attributes of what waits for a power cycle.

        Raises:
            HypervisorError: `Unreachable` or `Timeout`: it is not known what has become of it.
        """
        left: set[Word] = set()
        stuck: set[str] = set()
        for device in plugs.out:
            if not await self._try(device, self._out):
                left.add(device.word)
                stuck.add(device.key)
        for device in plugs.into:
            if device.key in stuck or not await self._try(device, self._into):
                left.add(device.word)
        return left

    async def _try(self, device: Device, act: Callable[[Device], Awaitable[None]]) -> bool:
        try:
            await act(device)
        except HypervisorError as error:
            if error.kind in {"Unreachable", "Timeout"}:
                raise
            self._domain.lacks(device.word, error)
            return False
        return True

    async def _into(self, device: Device) -> None:
        await self._hypervisor.machines.attach(self._domain.uuid, device.xml)
        self._domain.emit("plugged", kind=device.word, device=device.key)

    async def _out(self, device: Device) -> None:
        uuid = self._domain.uuid
        await self._hypervisor.machines.detach(uuid, device.xml)
        for _ in range(round(UNPLUG_S / LOOK_S)):
            if (device.word, device.key) not in keys_in(await self._hypervisor.xml(uuid)):
                self._domain.emit("unplugged", kind=device.word, device=device.key)
                return
            await asyncio.sleep(LOOK_S)
        raise HypervisorError(
            "Refused", f"the guest has not let go of {device.key} within {UNPLUG_S:g} s",
            step="detach", name=self._domain.called,
        )  # fmt: skip
