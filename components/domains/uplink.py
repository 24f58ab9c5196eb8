"""How a machine gets onto a network: found and reserved before anything is made.

`Uplinks` is what a `Domain` asks in its deploy phase. The decision where a machine goes is its
description's; what may go wrong (no such network, an address somebody has) is found here.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from msgspec import Struct

from components.domains.spec import InterfaceSpec
from components.hypervisor.choice import is_local
from components.hypervisor.owner import holder_of
from components.hypervisor.protocol import DhcpHost, Hypervisor
from components.networks import devices
from components.networks.addresses import mac_from_ip, mac_from_uuid, trouble_with_host
from components.networks.claims import Claims
from components.networks.effects import KeptAddress
from components.networks.forwards import Forward
from engine.core.faults import BadDescription, Refused
from engine.prim import Prim

Kind = Literal["network", "bridge", "user"]


class Uplink(Struct, frozen=True):
    """An interface of a machine.

    Attributes:
        kind: `network` or `bridge`; `user`: its emulator makes a network up.
        source: Name of the network or bridge; what has a user network made up.
        made: Made by a component of ours, so that it need not be there yet.
        mac: Of the interface.
        ip: Of the interface; empty for DHCP.
        netmask: Dotted; goes with `ip`, and is told to the guest for further interfaces.
        model: What the guest takes it for; empty: what is usual for the machine.
        forwards: Ports of the host that lead to the guest; for a user network.
    """

    kind: Kind
    source: str
    made: bool
    mac: str
    ip: str
    netmask: str = ""
    model: str = ""
    forwards: tuple[Forward, ...] = ()

    @property
    def interface(self) -> InterfaceSpec:
        """Return it as it stands in the domain's specification."""
        source = "" if self.kind == "user" else self.source
        return InterfaceSpec(kind=self.kind, source=source, mac=self.mac, model=self.model)


def mac_for(
    mac: str, ip: str, uuid: str, prefix: str = "52:54", *, by_ip: bool = True, begins: str = ""
) -> str:  # fmt: skip
    """Return a machine's MAC address: the one given, else that of its address, else of its UUID.

    Args:
        mac: The one given.
        ip: Its address.
        uuid: Its UUID.
        prefix: First two octets of one that stands for an address.
        by_ip: Let it stand for the address, if there is one.
        begins: First three octets of one that stands for the UUID; empty: the usual ones.

    Example:
        >>> mac_for("", "10.20.1.11", "u"), mac_for("", "10.20.1.11", "u", by_ip=False)[:8]
        ('52:54:0a:14:01:0b', '52:54:00')
    """
    if mac or (ip and by_ip):
        return mac or mac_from_ip(ip, prefix)
    return mac_from_uuid(uuid, begins) if begins else mac_from_uuid(uuid)


def check_address(ip: str, netmask: str, gateway: str, where: str) -> None:
    """Refuse an address that no machine can have, or a gateway outside its subnet.

    Raises:
        BadDescription: The text says why.
    """
    trouble = trouble_with_host(ip, netmask)
    if trouble:
        raise BadDescription(
            f"ip {ip} with netmask {netmask}: {trouble}", code="SF-NET-001", where=where
        )
    inside = ipaddress.IPv4Interface(f"{ip}/{netmask}").network
    if gateway and ipaddress.IPv4Address(gateway) not in inside:
        raise BadDescription(
            f"gateway {gateway} is outside {inside}, the subnet of ip", code="SF-NET-001",
            where=where, hint="correct it or netmask, or say gatewayOnLink true",
        )  # fmt: skip


async def check_source(uplink: Uplink, prim: Prim, hypervisor: Hypervisor) -> None:
    """Refuse a network or bridge that is not there.

    Raises:
        Refused: The text lists those that are.
    """
    if uplink.made:
        return
    if uplink.kind == "bridge":
        made = prim.service(Claims).holder("bridge", "", uplink.source)
        if made is None and is_local(hypervisor.uri):
            await devices.check_bridge(uplink.source, where=prim.path)
        return
    facts = await hypervisor.networks.by_name(uplink.source)
    if prim.service(Claims).holder("networkName", hypervisor.uri, uplink.source) is not None:
        return
    if facts is None:
        there = [one.name for one in await hypervisor.networks.facts()]
        raise Refused(
            f"there is no network {uplink.source} at {hypervisor.uri}; "
            f"networks there: {', '.join(sorted(there)) or 'none'}",
            code="SF-NET-004", where=prim.path,
            hint="declare a Network, or name one of those",
        )  # fmt: skip
    if not facts.active:
        raise Refused(
            f"network {uplink.source} is not active", code="SF-NET-004", where=prim.path,
            hint=f"start it: virsh -c {hypervisor.uri} net-start {uplink.source}",
        )  # fmt: skip


def claim(uplink: Uplink, prim: Prim, uri: str) -> None:
    """Reserve the machine's addresses among the components of this host.

    Raises:
        Refused: Another component holds one; the text names it.
    """
    claims = prim.service(Claims)
    if uplink.ip:
        claims.take(prim, "ip", f"{uri} {uplink.kind} {uplink.source}", uplink.ip)
    claims.take(prim, "mac", uri, uplink.mac)


def check_unclaimed(uplink: Uplink, prim: Prim, uri: str) -> None:
    """Refuse a MAC address that another component of this host holds.

    Raises:
        Refused: The text names it.
    """
    prim.service(Claims).check(prim, "mac", uri, uplink.mac)


def release(uplink: Uplink, prim: Prim, uri: str) -> None:
    """Give back what an interface had that the machine has no more."""
    claims = prim.service(Claims)
    if uplink.ip:
        claims.give_back(prim, "ip", f"{uri} {uplink.kind} {uplink.source}", uplink.ip)
    claims.give_back(prim, "mac", uri, uplink.mac)


async def check_mac(uplink: Uplink, uuid: str, prim: Prim, hypervisor: Hypervisor) -> None:
    """Refuse a MAC address that another domain of the hypervisor has.

    Raises:
        Refused: The text names that domain.
    """
    for facts in await hypervisor.facts():
        if uplink.mac in facts.macs and facts.uuid != uuid:
            raise Refused(
                f"mac {uplink.mac} is that of domain {facts.name} already ({holder_of(facts)}, "
                f"UUID {facts.uuid})",
                code="SF-NET-002", where=prim.path,
                hint="give the machine another mac or ip",
            )  # fmt: skip


async def kept_address(
    uplink: Uplink, hostname: str, prim: Prim, hypervisor: Hypervisor
) -> KeptAddress | None:
    """Return what is to be kept for the machine at its network's DHCP server, if it has one.

    Raises:
        Refused: The network has gone since the deploy phase.
    """
    if uplink.kind != "network":
        return None
    facts = await hypervisor.networks.by_name(uplink.source)
    if facts is None:
        raise Refused(
            f"there is no network {uplink.source} any more", code="SF-NET-004", where=prim.path
        )
    inside = bool(uplink.ip and facts.dhcp and facts.subnet) and (
        ipaddress.ip_address(uplink.ip) in ipaddress.ip_interface(facts.subnet).network
    )
    if not inside:
        return None
    host = DhcpHost(mac=uplink.mac, ip=uplink.ip, name=hostname)
    return KeptAddress(hypervisor.uri, facts.uuid, facts.name, host)
