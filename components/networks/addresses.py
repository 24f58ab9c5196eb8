"""Addresses: how a description may write them, and how one follows from another. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re

from engine.runtime.kinds import BadValueError, Kind, plain, shown
from sfdl.values import Value

_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


def mac_from_ip(ip: str, prefix: str = "52:54") -> str:
    """Derive a MAC address whose last four octets are the IPv4 address.

    Example:
        >>> mac_from_ip("10.20.1.11")
        '52:54:0a:14:01:0b'
    """
    return prefix + "".join(f":{octet:02x}" for octet in ipaddress.IPv4Address(ip).packed)


def mac_from_uuid(uuid: str, prefix: str = "52:54:00") -> str:
    """Derive a stable MAC address, by default in the locally administered range."""
    octets = hashlib.sha256(uuid.encode()).digest()[:3]
    return prefix + "".join(f":{octet:02x}" for octet in octets)


def trouble_with_host(ip: str, mask: str) -> str:
    """Say why an address cannot be that of one machine in its subnet; nothing if it can.

    Example:
        >>> trouble_with_host("10.20.255.255", "255.255.0.0")
        'it is the broadcast address of 10.20.0.0/16'
    """
    interface = ipaddress.IPv4Interface(f"{ip}/{mask}")
    network = interface.network
    if network.prefixlen >= 31:
        return ""
    if interface.ip == network.network_address:
        return f"it is the address of the network {network} itself"
    if interface.ip == network.broadcast_address:
        return f"it is the broadcast address of {network}"
    return ""


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value.strip()
    raise BadValueError(f"must be a string (got {shown(value)})")


def _ip(value: Value) -> str:
    text = _text(value)
    if not text:
        return ""
    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError as error:
        raise BadValueError(f"is no IPv4 address: {error}") from error
    if address.ip.is_multicast or address.ip.is_unspecified or address.ip == _EVERYBODY:
        raise BadValueError(f"cannot be the address of one machine (got {shown(value)})")
    trouble = trouble_with_host(str(address.ip), str(address.netmask))
    if trouble:
        raise BadValueError(f"cannot be the address of one machine: {trouble}")
    return str(address.ip)


_EVERYBODY = ipaddress.IPv4Address("255.255.255.255")


def _netmask(value: Value) -> str:
    number = plain(value)
    text = str(number) if isinstance(number, int) and not isinstance(number, bool) else _text(value)
    wrong = f"is no netmask: ones come first, as in 255.255.0.0 or 16 (got {shown(value)})"
    try:
        network = ipaddress.IPv4Network(f"0.0.0.0/{text.removeprefix('/')}")
    except ValueError as error:
        raise BadValueError(wrong) from error
    if "." in text and str(network.netmask) != text:
        raise BadValueError(wrong)
    return str(network.netmask)


def _mac(value: Value) -> str:
    text = _text(value).lower()
    if not text:
        return ""
    if _MAC.fullmatch(text) is None:
        raise BadValueError(
            f"is no MAC address: six octets such as 52:54:00:12:34:56 (got {shown(value)})"
        )
    mac = text.replace("-", ":")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise BadValueError(
            f"is no MAC address of one machine: its first octet must be even (got {shown(value)})"
        )
    return mac


_PREFIX = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){2}")


def _mac_prefix(value: Value) -> str:
    text = _text(value).lower()
    if text and (_PREFIX.fullmatch(text) is None or int(text[:2], 16) & 1):
        raise BadValueError(
            "must be three octets such as 00:16:3e, the first of them even, as begin MAC addresses of "
            f"single machines (got {shown(value)})"
        )
    return text.replace("-", ":")


def _subnet(value: Value) -> str:
    text = _text(value)
    if not text:
        return ""
    try:
        interface = ipaddress.IPv4Interface(text)
    except ValueError as error:
        raise BadValueError(f"is no subnet: {error}; write 10.30.0.1/24") from error
    if "/" not in text:
        raise BadValueError(f"needs a prefix length, as in 10.30.0.1/24 (got {shown(value)})")
    if interface.network.prefixlen > 30:
        raise BadValueError(f"has no room for machines (got {shown(value)})")
    trouble = trouble_with_host(str(interface.ip), str(interface.netmask))
    if trouble:
        raise BadValueError(f"must be the host's own address in it, with prefix: {trouble}")
    return str(interface)


def _hostname(value: Value) -> str:
    text = _text(value)
    if not text:
        return ""
    labels = text.split(".")
    wrong = [label for label in labels if _LABEL.fullmatch(label) is None]
    if wrong or len(text) > 253:
        raise BadValueError(
            f"is no host name: letters, digits and - in parts of at most 63 (got {shown(value)})"
        )
    return text


def _device(value: Value) -> str:
    text = _text(value)
    if text and _DEVICE.fullmatch(text) is None:
        raise BadValueError(
            f"is no name of a network device: at most 15 letters, digits and . _ - (got {shown(value)})"
        )
    return text


ip_kind = Kind("IPv4 address", "String", _ip)
"""The address of one machine, with or without prefix length; read without it; may be empty."""
netmask_kind = Kind("netmask", "anyClass", _netmask)
"""A netmask, dotted or as a prefix length; read as dotted."""
mac_kind = Kind("MAC address", "String", _mac)
mac_prefix_kind = Kind("three octets", "String", _mac_prefix)
"""Six octets with `:` or `-`; read in lower case with `:`; may be empty."""
subnet_kind = Kind("subnet", "String", _subnet)
"""The host's address in a subnet with prefix length, such as 10.30.0.1/24; may be empty."""
hostname_kind = Kind("host name", "String", _hostname)
"""A host name after RFC 1123, with or without domain; may be empty."""
device_kind = Kind("device name", "String", _device)
"""Name of a network device of the host; may be empty."""
