"""Network devices and routes of this host, as `ip` tells them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from msgspec import Struct

from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.commands import run_command

IP_S = 10.0


class _Info(Struct, frozen=True):
    info_kind: str = ""


class Device(Struct, frozen=True):
    """A network device.

    Attributes:
        ifname: Its name.
        ifalias: What was written on it; may be empty.
        linkinfo: What kind it is.
        master: Bridge it belongs to; may be empty.
        flags: Words such as "UP".
    """

    ifname: str = ""
    ifalias: str = ""
    linkinfo: _Info = _Info()
    master: str = ""
    flags: tuple[str, ...] = ()

    @property
    def is_bridge(self) -> bool:
        """Say whether it is a bridge."""
        return self.linkinfo.info_kind == "bridge"


class _Route(Struct, frozen=True):
    dst: str = ""
    dev: str = ""


async def _ask(*words: str) -> bytes:
    output = await run_command(("ip", "-j", *words), timeout_s=IP_S)
    if output.status != 0:
        said = output.stderr.decode(errors="replace").strip()
        raise Refused(f"ip {' '.join(words)} failed: {said}", code="SF-RUN-001")
    return output.stdout.strip() or b"[]"


async def devices() -> list[Device]:
    """List the network devices of this host.

    Raises:
        Refused: The host has no `ip`, or it fails.
    """
    return from_json(await _ask("-d", "link", "show"), list[Device])


async def device(name: str) -> Device | None:
    """Look at one device; none when there is no such device."""
    return next((one for one in await devices() if one.ifname == name), None)


async def bridges() -> list[str]:
    """List the names of this host's bridges."""
    return sorted(one.ifname for one in await devices() if one.is_bridge)


def overlap(subnet: str, routes: Sequence[tuple[str, str]]) -> str:
    """Say which of the routes, a destination and a device each, covers a part of a subnet.

    Example:
        >>> overlap("10.1.0.1/16", [("10.1.2.0/24", "eth0"), ("default", "eth0")])
        '10.1.2.0/24 on eth0'
    """
    wanted = ipaddress.IPv4Interface(subnet).network
    for target, name in routes:
        if target != "default" and wanted.overlaps(ipaddress.IPv4Network(target, strict=False)):
            return f"{target} on {name}"
    return ""


async def routes() -> list[tuple[str, str]]:
    """List where this host sends packets: destination and device of each route."""
    found = from_json(await _ask("-4", "route", "show", "table", "main"), list[_Route])
    return [(one.dst, one.dev) for one in found]


class _Address(Struct, frozen=True):
    local: str = ""


class _Addressed(Struct, frozen=True):
    ifname: str = ""
    addr_info: tuple[_Address, ...] = ()


async def carrier_of(address: str) -> str:
    """Return the device that has an address of this host; empty when none has it."""
    found = from_json(await _ask("address", "show"), list[_Addressed])
    for one in found:
        if any(each.local == address for each in one.addr_info):
            return one.ifname
    return ""


async def check_bridge(name: str, *, where: str) -> None:
    """Refuse a bridge that this host does not have.

    Raises:
        Refused: There is no such device, or it is no bridge; the text lists the bridges there are.
    """
    found = await device(name)
    if found is not None and found.is_bridge:
        return
    what = "there is no bridge" if found is None else "this device is no bridge:"
    known = ", ".join(await bridges()) or "none"
    raise Refused(
        f"{what} {name} on this host; bridges here: {known}", code="SF-NET-004", where=where,
        hint=f"make it (ip link add {name} type bridge), or declare a Bridge with create true",
    )  # fmt: skip
