"""Operations on virtual networks, in libvirt's words: plain functions that block, for worker threads.

As `operations` for domains: each takes an open connection and is idempotent as `protocol.Networks`
promises; libvirt's errors pass through unmapped, what we refuse ourselves is a `HypervisorError`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Literal

import libvirt

from components.hypervisor.errors import HypervisorError, from_libvirt
from components.hypervisor.operations import same_owner, taken
from components.hypervisor.owner import owner_in
from components.hypervisor.protocol import DhcpHost, NetworkFacts
from components.hypervisor.trusted_xml import parsed

ISOLATED = "isolated"


def identity(xml: str) -> tuple[str, str]:
    """Read UUID and name of a network or domain; both empty when the text is not XML."""
    with contextlib.suppress(ET.ParseError):
        root = parsed(xml)
        return root.findtext("uuid") or "", root.findtext("name") or ""
    return "", ""


def _facts_of(network: libvirt.virNetwork) -> NetworkFacts:
    root = parsed(network.XMLDesc(0))
    kept = _definition(network) if network.isPersistent() else root
    forward = root.find("forward")
    bridge = root.find("bridge")
    dhcp = root.find("ip/dhcp")
    hosts = [] if dhcp is None else dhcp.findall("host")
    return NetworkFacts(
        uuid=network.UUIDString(),
        name=network.name(),
        active=bool(network.isActive()),
        autostart=bool(network.isPersistent() and network.autostart()),
        persistent=bool(network.isPersistent()),
        forward=ISOLATED if forward is None else forward.get("mode", "nat"),
        bridge="" if bridge is None else bridge.get("name", ""),
        owner=owner_in(kept),
        subnet=_subnet(root.find("ip")),
        dhcp=dhcp is not None,
        hosts=tuple(
            DhcpHost(
                mac=host.get("mac", "").lower(), ip=host.get("ip", ""), name=host.get("name", "")
            )
            for host in hosts
        ),
    )


def _definition(network: libvirt.virNetwork) -> ET.Element:
    """Read what it will be at its next start: whose it is may have changed while it runs."""
    try:
        return parsed(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
    except libvirt.libvirtError as error:
        if from_libvirt(error, step="look at network").kind != "Unsupported":
            raise
        return parsed(network.XMLDesc(0))  # the test driver knows one definition only


def _subnet(ip: ET.Element | None) -> str:
    if ip is None:
        return ""
    width = ip.get("prefix") or ip.get("netmask") or "24"
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_interface(f"{ip.get('address', '')}/{width}"))
    return ""


def _is_gone(error: libvirt.libvirtError) -> bool:
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK)


def _seen(network: libvirt.virNetwork) -> NetworkFacts | None:
    try:
        return _facts_of(network)
    except libvirt.libvirtError as error:
        if _is_gone(error):
            return None
        raise


def _find(look: Callable[[str], libvirt.virNetwork], key: str) -> NetworkFacts | None:
    try:
        network = look(key)
    except libvirt.libvirtError as error:
        if _is_gone(error):
            return None
        raise
    return _seen(network)


def facts(connection: libvirt.virConnect) -> tuple[NetworkFacts, ...]:
    """List all networks; one that vanishes meanwhile is left out."""
    found = [_seen(network) for network in connection.listAllNetworks(0)]
    return tuple(one for one in found if one is not None)


def fact(connection: libvirt.virConnect, uuid: str) -> NetworkFacts | None:
    """Look at one network."""
    return _find(connection.networkLookupByUUIDString, uuid)


def by_name(connection: libvirt.virConnect, name: str) -> NetworkFacts | None:
    """Look at the network of that name."""
    return _find(connection.networkLookupByName, name)


def define(connection: libvirt.virConnect, xml: str) -> str:
    """Define a network, unless its name or UUID belongs to somebody else."""
    try:
        root = parsed(xml)
    except ET.ParseError as error:
        raise HypervisorError("Refused", f"not XML: {error}", step="define network") from error
    name, uuid = root.findtext("name") or "", root.findtext("uuid") or ""
    for found in (by_name(connection, name), fact(connection, uuid) if uuid else None):
        if found is not None and not (
            found.uuid == uuid and same_owner(found.owner, owner_in(root))
        ):
            state = "active" if found.active else "inactive"
            raise taken(
                "network", f"'{found.name}' with UUID {found.uuid}", state, found.owner, name
            )
    return str(connection.networkDefineXML(xml).UUIDString())


def start(connection: libvirt.virConnect, uuid: str, *, autostart: bool) -> None:
    """Start a network, and set whether it starts with the host."""
    network = connection.networkLookupByUUIDString(uuid)
    if not network.isActive():
        network.create()
    if bool(network.autostart()) != autostart:
        network.setAutostart(int(autostart))


def stop(connection: libvirt.virConnect, uuid: str) -> None:
    """Stop a network; done already, or no such network, is success."""
    with _unless_gone():
        network = connection.networkLookupByUUIDString(uuid)
        if network.isActive():
            network.destroy()


def undefine(connection: libvirt.virConnect, uuid: str) -> None:
    """Forget a network; no such network is success."""
    with _unless_gone():
        connection.networkLookupByUUIDString(uuid).undefine()


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        if not _is_gone(error):
            raise


def reserve(connection: libvirt.virConnect, uuid: str, host: DhcpHost) -> None:
    """Keep an address for one machine."""
    network = connection.networkLookupByUUIDString(uuid)
    found = _facts_of(network)
    for other in found.hosts:
        if other == host:
            return
        if host.mac == other.mac or host.ip == other.ip or (host.name and host.name == other.name):
            whose = other.name or other.mac
            raise HypervisorError(
                "NameTaken",
                f"network {found.name} keeps {other.ip} for {whose} ({other.mac})",
                step="reserve address",
                name=host.name,
                hint="give the machine another ip and mac, or end the other one first",
            )
    _update(network, "add", host)


def unreserve(connection: libvirt.virConnect, uuid: str, host: DhcpHost) -> None:
    """Drop a reservation; one that is not there is success."""
    with _unless_gone():
        network = connection.networkLookupByUUIDString(uuid)
        if host in _facts_of(network).hosts:
            _update(network, "delete", host)


def _update(network: libvirt.virNetwork, what: Literal["add", "delete"], host: DhcpHost) -> None:
    commands = {
        "add": libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
        "delete": libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE,
    }
    flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG if network.isPersistent() else 0
    if network.isActive():
        flags |= libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    element = ET.Element("host", {"mac": host.mac, "ip": host.ip})
    if host.name:
        element.set("name", host.name)
    text = ET.tostring(element, encoding="unicode")
    section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
    network.update(commands[what], section, -1, text, flags)
