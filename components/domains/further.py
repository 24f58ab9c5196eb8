"""What a description says of a machine's further disks and interfaces. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, cast

from msgspec import Struct

from components.networks.addresses import ip_kind, mac_kind, netmask_kind
from engine.runtime.kinds import BadValueError, Kind, bool_, fields_of, items_of, shown, str_
from sfdl.values import Description, Reference, Value

ALIAS = "ua-"
"""Begins the names at the hypervisor of what is plugged in and out, as libvirt wants it."""
_TARGET = re.compile(r"(?:vd|sd|xvd)[a-z]{1,2}[0-9]{0,2}")
_MODEL = re.compile(r"[A-Za-z0-9._-]+")


class FurtherDisk(Struct, frozen=True):
    """A disk that is there already.

    Attributes:
        path: File or block device on the host, or a reference to what says which.
        format: `raw` or `qcow2`; empty: raw, if it does not look like the other.
        read_only: The guest may not write to it.
        shareable: Other machines may have it as well.
        boot: The guest boots from it, whatever else it has.
        target: Its name in the guest; empty: the first one free.
    """

    path: str | Reference
    format: str = ""
    read_only: bool = False
    shareable: bool = False
    boot: bool = False
    target: str = ""


class FurtherInterface(Struct, frozen=True):
    """An interface beside the first.

    Attributes:
        kind: Whether it is on a network or on a bridge.
        source: Its name, or a reference to the component.
        mac: Lower case with colons; empty: from the address, else from the machine and the source.
        ip: Its address; empty: from DHCP.
        netmask: Dotted; goes with `ip`.
        model: What the guest takes it for; empty: as the first one.
    """

    kind: Literal["network", "bridge"]
    source: str | Reference
    mac: str = ""
    ip: str = ""
    netmask: str = "255.255.0.0"
    model: str = ""


def _place(found: Mapping[str, Value], name: str, what: str) -> str | Reference:
    value = found.get(name)
    if isinstance(value, Reference) or (isinstance(value, str) and value):
        return value
    raise BadValueError(f"{what} needs a {name} (got {shown(value)})")


def _one_of(found: Mapping[str, Value], name: str, pattern: re.Pattern[str], example: str) -> str:
    text = str_.read(found.get(name, ""))
    if text and pattern.fullmatch(text) is None:
        raise BadValueError(f"{name} must be such as {example} (got {shown(text)})")
    return text


def _twice(values: Sequence[object], what: str) -> None:
    given = [value for value in values if value]
    twice = next((value for value in given if given.count(value) > 1), None)
    if twice is not None:
        raise BadValueError(f"{what} {twice} is there twice")


_DISK = ("path", "format", "readOnly", "shareable", "boot", "target")


def _disk(value: Value) -> FurtherDisk:
    if isinstance(value, str | Reference):
        value = Description((("path", value),))
    found = fields_of(value, _DISK, "a disk")
    disk = FurtherDisk(
        _place(found, "path", "a disk"),
        format=str_.read(found.get("format", "")),
        read_only=bool_.read(found.get("readOnly", False)),
        shareable=bool_.read(found.get("shareable", False)),
        boot=bool_.read(found.get("boot", False)),
        target=_one_of(found, "target", _TARGET, "vdb, sdb or xvdb"),
    )
    if disk.format not in {"", "raw", "qcow2"}:
        raise BadValueError(f"format must be raw or qcow2 (got {shown(disk.format)})")
    if disk.shareable and disk.format == "qcow2" and not disk.read_only:
        raise BadValueError("shareable needs format raw: two writers would destroy a qcow2 file")
    return disk


def _disks(value: Value) -> tuple[FurtherDisk, ...]:
    disks = tuple(_disk(item) for item in items_of(value))
    _twice([disk.path for disk in disks if isinstance(disk.path, str)], "path")
    _twice([disk.target for disk in disks], "target")
    _twice(["true" for disk in disks if disk.boot], "boot")
    return disks


_INTERFACE = ("network", "bridge", "mac", "ip", "netmask", "model")


def _interface(value: Value) -> FurtherInterface:
    if isinstance(value, str):
        value = Description((("network", value),))
    found = fields_of(value, _INTERFACE, "an interface")
    kinds = [name for name in ("network", "bridge") if name in found]
    if len(kinds) != 1:
        raise BadValueError("an interface has a network or a bridge, one of them")
    return FurtherInterface(
        cast("Literal['network', 'bridge']", kinds[0]),
        _place(found, kinds[0], "an interface"),
        mac=mac_kind.read(found.get("mac", "")),
        ip=ip_kind.read(found.get("ip", "")),
        netmask=netmask_kind.read(found.get("netmask", "255.255.0.0")),
        model=_one_of(found, "model", _MODEL, "virtio or e1000"),
    )


def _interfaces(value: Value) -> tuple[FurtherInterface, ...]:
    interfaces = tuple(_interface(item) for item in items_of(value))
    _twice([one.mac for one in interfaces], "mac")
    _twice([one.ip for one in interfaces], "ip")
    return interfaces


disks_kind = Kind("list of disks", "Vector", _disks)
"""Components of path, format, readOnly, shareable, boot and target, or paths alone."""
interfaces_kind = Kind("list of interfaces", "Vector", _interfaces)
"""Components of network or bridge, mac, ip, netmask and model, or names of networks alone."""


class Existing(Struct, frozen=True):
    """A further disk as it was found.

    Attributes:
        path: File or block device.
        kind: `file` or `block`.
        target: Its name in the guest; empty: the first one free.
    """

    path: str
    kind: Literal["file", "block"]
    format: str
    read_only: bool = False
    shareable: bool = False
    boot: bool = False
    target: str = ""


def letters(index: int) -> str:
    """Return the letters of the `index`-th disk.

    Example:
        >>> letters(0), letters(25), letters(26)
        ('a', 'z', 'aa')
    """
    last = chr(ord("a") + index % 26)
    return last if index < 26 else chr(ord("a") + index // 26 - 1) + last


def free_target(prefix: str, taken: Collection[str]) -> str:
    """Return the first name in the guest that no disk has; one with partitions has its letter.

    Example:
        >>> free_target("xvd", ("xvda1", "xvda2")), free_target("vd", ("vda", "vdc"))
        ('xvdb', 'vdb')
    """
    used = {name.rstrip("0123456789") for name in taken}
    return next(name for index in range(702) if (name := f"{prefix}{letters(index)}") not in used)


def placed(disks: Sequence[Existing], prefix: str, taken: Collection[str]) -> tuple[Existing, ...]:
    """Give each disk a name in the guest that says none.

    Args:
        disks: Some of them with a name.
        prefix: Of names that are given here, such as `vd`.
        taken: Names that other disks of the machine have.
    """
    used = {*taken, *(disk.target for disk in disks if disk.target)}
    found = []
    for disk in disks:
        target = disk.target or free_target(prefix, used)
        used.add(target)
        found.append(Existing(disk.path, disk.kind, disk.format, disk.read_only, disk.shareable,
                              disk.boot, target))  # fmt: skip
    return tuple(found)
