"""Whether somebody has an address already: asked of everybody on a bridge, as RFC 5227 has it."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time

from components.hypervisor.choice import is_local, scheme_of
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import Refused
from engine.prim import Prim

ETH_ARP = 0x0806
PROBES, BETWEEN_S = 3, 0.4
"""How often it is asked, and seconds given for each answer."""
_ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_HEAD = (ETH_ARP, 1, 0x0800, 6, 4)


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def probe(mac: str, ip: str) -> bytes:
    """Write the frame that asks who has an address, without saying that anybody takes it.

    Example:
        >>> list(probe("52:54:00:00:00:01", "10.0.0.5")[-4:])
        [10, 0, 0, 5]
    """
    ours, nobody = _octets(mac), bytes(4)
    return _ARP.pack(
        b"\xff" * 6, ours, *_HEAD, 1, ours, nobody, bytes(6), ipaddress.IPv4Address(ip).packed
    )


def holder_in(frame: bytes, ip: str) -> str:
    """Return the MAC address of who says in a frame that it has an address; nothing if it does not.

    Example:
        >>> holder_in(probe("52:54:00:00:00:01", "10.0.0.5"), "10.0.0.5")
        ''
    """
    if len(frame) < _ARP.size:
        return ""
    _, _, *head, _, sender, address, _, _ = _ARP.unpack(frame[: _ARP.size])
    if tuple(head) != _HEAD or address != ipaddress.IPv4Address(ip).packed:
        return ""
    return bytes(sender).hex(":")


def ask(device: str, ip: str) -> str:
    """Ask everybody at a device for an address; blocks for about a second.

    Returns:
        The MAC address of who has it, or nothing.

    Raises:
        OSError: There is no such device, or it may not be asked.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ARP)) as link:
        link.bind((device, ETH_ARP))
        mac = link.getsockname()[4].hex(":")
        for _ in range(PROBES):
            link.send(probe(mac, ip))
            until_s = time.monotonic() + BETWEEN_S
            while (left_s := until_s - time.monotonic()) > 0:
                link.settimeout(left_s)
                try:
                    found = holder_in(link.recv(2048), ip)
                except TimeoutError:
                    break
                if found:
                    return found
    return ""


async def refuse_taken(
    prim: Prim, hypervisor: Hypervisor, kind: str, source: str, ip: str, mac: str
) -> None:
    """Refuse an address that a machine of nobody we know has on a network or bridge of this host.

    Args:
        prim: Who is to have it.
        hypervisor: Where it will be.
        kind: `network` or `bridge`.
        source: Its name.
        ip: The address.
        mac: That of the machine: it may itself be there from an earlier start.

    Raises:
        Refused: Somebody has it, or it cannot be asked.
    """
    if scheme_of(hypervisor.uri) == "test":
        return
    if not is_local(hypervisor.uri):
        raise Refused(
            f"probeAddress: {hypervisor.uri} is another host, whose bridges cannot be asked here",
            code="SF-NET-011", where=prim.path,
            hint="run a daemon there and put the machine on it, or leave probeAddress out",
        )  # fmt: skip
    device = source
    if kind == "network":
        facts = await hypervisor.networks.by_name(source)
        device = facts.bridge if facts is not None else ""
    if not device:
        return
    try:
        found = await prim.run_blocking(ask, device, ip)
    except OSError as error:
        raise Refused(
            f"probeAddress: {device} cannot be asked for {ip}: {error.strerror}", code="SF-NET-011",
            where=prim.path, hint="the daemon needs the right to send raw packets (CAP_NET_RAW)",
        ) from error  # fmt: skip
    if found and found != mac.lower():
        raise Refused(
            f"{ip} is in use on {device} by {found}", code="SF-NET-011", where=prim.path,
            hint="exclude it from the pool, or find out whose that is",
        )  # fmt: skip
