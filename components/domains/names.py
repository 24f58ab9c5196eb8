"""Names, UUIDs and addresses of virtual machines."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid as uuids

from engine.core.faults import BadDescription

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_ODD = re.compile(r"[^A-Za-z0-9._+-]")
_NAMESPACE = uuids.uuid5(uuids.NAMESPACE_URL, "smartdomains:domain")
LONGEST = 63


def name_from_path(path: str) -> str:
    """Make a domain name from a component's complete name; a long one is cut in its middle.

    Example:
        >>> name_from_path("pool:computer1:domain1")
        'pool-computer1-domain1'
    """
    name = _ODD.sub("-", path.replace(":", "-")).lstrip("-._+") or "domain"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    half = (LONGEST - len(digest) - 2) // 2
    return f"{name[:half]}-{digest}-{name[-half:]}"


def check_name(name: str, *, where: str) -> str:
    """Return the name if a hypervisor takes it.

    Raises:
        BadDescription: It does not; the message shows the offending character.
    """
    if _NAME.fullmatch(name):
        return name
    odd = next((char for char in name if _ODD.match(char)), "")
    why = f"{odd!r} is not allowed" if odd else "it must begin with a letter or digit"
    if len(name) > LONGEST:
        why = f"it has {len(name)} characters, at most {LONGEST} are allowed"
    raise BadDescription(
        f"domainName {name!r}: {why}", code="SF-NAME-006", where=where,
        hint="letters, digits and . _ + - only",
    )  # fmt: skip


def uuid_of(community: str, application: str, path: str) -> str:
    """Derive a machine's UUID from its place, so that a redeployment finds the same machine."""
    return str(uuids.uuid5(_NAMESPACE, f"{community}/{application}/{path}"))


def mac_from_ip(ip: str, prefix: str = "52:54") -> str:
    """Derive a MAC address whose last four octets are the IPv4 address.

    Example:
        >>> mac_from_ip("10.20.1.11")
        '52:54:0a:14:01:0b'
    """
    return prefix + "".join(f":{octet:02x}" for octet in ipaddress.IPv4Address(ip).packed)


def mac_from_uuid(uuid: str) -> str:
    """Derive a stable MAC address in the locally administered range."""
    octets = hashlib.sha256(uuid.encode()).digest()[:3]
    return "52:54:00" + "".join(f":{octet:02x}" for octet in octets)


def check_ip(text: str, *, where: str) -> str:
    """Return an IPv4 address as written, without its prefix length.

    Raises:
        BadDescription: It is none, or not one a machine can have.
    """
    try:
        interface = ipaddress.IPv4Interface(text)
    except ValueError as error:
        raise BadDescription(f"ip {text!r} is no IPv4 address: {error}", code="SF-NET-001",
                             where=where) from error  # fmt: skip
    address = interface.ip
    network = interface.network
    edges = (
        {network.network_address, network.broadcast_address} if network.prefixlen < 31 else set()
    )
    if address.is_multicast or address.is_unspecified or address in edges:
        raise BadDescription(
            f"ip {text!r} cannot be the address of one machine", code="SF-NET-001", where=where
        )
    return str(address)
