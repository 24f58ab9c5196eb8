"""From a network's specification to its libvirt XML. Pure."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec

from components.hypervisor.owner import OwnerRecord
from components.hypervisor.protocol import DhcpHost
from components.hypervisor.xmltree import At, Element, write

BRIDGED = "bridge"
ISOLATED = "isolated"
FORWARDS = ("nat", "route", "open", ISOLATED, BRIDGED)


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A network as it shall be defined.

    Attributes:
        name: 1 to 63 of letters, digits and `._+-`.
        uuid: With dashes.
        owner: Whose it is.
        forward: One of `FORWARDS`.
        bridge: Device of the host; empty: the hypervisor chooses one. Needed for "bridge".
        subnet: The host's address with prefix length, as "10.30.0.1/24"; empty for none.
        dhcp: Hand out addresses of the subnet.
        first: First address handed out; empty: of the whole subnet.
        last: Last address handed out.
        hosts: Addresses kept for single machines.
        dns: Answer names on it.
        domain: DNS domain of its machines; empty for none.
        mtu: Largest packet in bytes; none: the hypervisor's default.
        vlan: VLAN tag, where the bridge knows VLANs; none: untagged.
    """

    name: str
    uuid: str
    owner: OwnerRecord
    forward: str = "nat"
    bridge: str = ""
    subnet: str = ""
    dhcp: bool = True
    first: str = ""
    last: str = ""
    hosts: tuple[DhcpHost, ...] = ()
    dns: bool = True
    domain: str = ""
    mtu: int | None = None
    vlan: int | None = None


class RangeXml(Element, frozen=True):
    """<range>: addresses handed out."""

    start: Annotated[str, At("@start")]
    end: Annotated[str, At("@end")]


class HostXml(Element, frozen=True):
    """<host>: an address kept for one machine."""

    mac: Annotated[str, At("@mac")]
    name: Annotated[str, At("@name")]
    ip: Annotated[str, At("@ip")]


class DhcpXml(Element, frozen=True):
    """<dhcp>."""

    range: Annotated[tuple[RangeXml, ...], At(".")]
    host: Annotated[tuple[HostXml, ...], At(".")]


class IpXml(Element, frozen=True):
    """<ip>: the host's address on the network."""

    address: Annotated[str, At("@address")]
    netmask: Annotated[str, At("@netmask")]
    dhcp: Annotated[DhcpXml | None, At(".")]


class NetworkXml(Element, frozen=True):
    """<network>."""

    name: Annotated[str, At("name")]
    uuid: Annotated[str, At("uuid")]
    owner: Annotated[OwnerRecord, At("metadata")]
    forward: Annotated[str, At("forward/@mode")]
    bridge: Annotated[str, At("bridge/@name")]
    stp: Annotated[str, At("bridge/@stp")]
    mtu: Annotated[int | None, At("mtu/@size")]
    domain: Annotated[str, At("domain/@name")]
    domain_local: Annotated[str, At("domain/@localOnly")]
    dns: Annotated[str, At("dns/@enable")]
    vlan: Annotated[int | None, At("vlan/tag/@id")]
    ip: Annotated[tuple[IpXml, ...], At(".")]


def dhcp_range(subnet: str) -> tuple[str, str]:
    """Return the first and last address that the host may hand out in a subnet.

    Example:
        >>> dhcp_range("10.30.0.1/24")
        ('10.30.0.2', '10.30.0.254')
    """
    interface = ipaddress.IPv4Interface(subnet)
    network = interface.network
    first, last = network.network_address + 1, network.broadcast_address - 1
    if interface.ip == first:
        first += 1
    elif interface.ip == last:
        last -= 1
    return str(first), str(last)


def network_xml(spec: NetworkSpec) -> str:
    """Write a network's XML; the same specification always gives the same text.

    Raises:
        BadSpecError: A text holds a control character.

    Example:
        >>> owner = OwnerRecord(community="lab", application="a", path="a:lan", incarnation=1)
        >>> spec = NetworkSpec(name="lan", uuid="6ba7b810-9dad-51d1-80b4-00c04fd430c8", owner=owner)
        >>> network_xml(spec).splitlines()[1]
        '  <name>lan</name>'
    """
    bridged = spec.forward == BRIDGED
    return write(
        "network",
        NetworkXml(
            name=spec.name,
            uuid=spec.uuid,
            owner=spec.owner,
            forward="" if spec.forward == ISOLATED else spec.forward,
            bridge=spec.bridge,
            stp="off" if spec.bridge and not bridged else "",
            mtu=spec.mtu,
            domain=spec.domain,
            domain_local="yes" if spec.domain else "",
            dns="" if spec.dns or bridged else "no",
            vlan=spec.vlan,
            ip=() if bridged or not spec.subnet else (_ip(spec),),
        ),
    )


def _ip(spec: NetworkSpec) -> IpXml:
    interface = ipaddress.IPv4Interface(spec.subnet)
    dhcp = None
    if spec.dhcp:
        first, last = dhcp_range(spec.subnet)
        span = RangeXml(start=spec.first or first, end=spec.last or last)
        hosts = tuple(HostXml(mac=host.mac, name=host.name, ip=host.ip) for host in spec.hosts)
        dhcp = DhcpXml(range=(span,), host=hosts)
    return IpXml(address=str(interface.ip), netmask=str(interface.netmask), dhcp=dhcp)
