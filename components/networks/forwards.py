"""Ports of the host that lead to a guest on a network of its own. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, cast

from msgspec import Struct

from engine.runtime.kinds import BadValueError, Kind, shown, strings
from sfdl.values import Value

LOOPBACK = "127.0.0.1"
_FORM = re.compile(
    r"(?:(?P<address>[0-9.]+):)?(?P<port>[0-9]{1,5}):(?P<to>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?"
)


class Forward(Struct, frozen=True):
    """A port of the host that leads to one of the guest.

    Attributes:
        port: Of the host.
        to: Of the guest.
        protocol: `tcp` or `udp`.
        address: Address of the host it is at.
    """

    port: int
    to: int
    protocol: Literal["tcp", "udp"] = "tcp"
    address: str = LOOPBACK

    @property
    def text(self) -> str:
        """Return the port of the host for people, which only one can have."""
        return f"{self.address}:{self.port}/{self.protocol}"

    @property
    def rule(self) -> str:
        """Return it as QEMU writes it.

        Example:
            >>> Forward(2222, 22).rule
            'tcp:127.0.0.1:2222-:22'
        """
        return f"{self.protocol}:{self.address}:{self.port}-:{self.to}"


def read_forward(text: str) -> Forward:
    """Read `[ADDRESS:]PORT:GUESTPORT[/PROTOCOL]`.

    Raises:
        BadValueError: It is written otherwise, or a port is none.

    Example:
        >>> read_forward("2222:22").text, read_forward("0.0.0.0:5353:53/udp").text
        ('127.0.0.1:2222/tcp', '0.0.0.0:5353/udp')
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadValueError(
            f"{shown(text)} is not [ADDRESS:]PORT:GUESTPORT[/tcp or /udp], such as 2222:22"
        )
    address, port, to = found["address"] or LOOPBACK, int(found["port"]), int(found["to"])
    try:
        ipaddress.IPv4Address(address)
    except ValueError as error:
        raise BadValueError(f"{shown(text)}: {error}") from None
    for number in (port, to):
        if not 1 <= number <= 65535:
            raise BadValueError(f"{shown(text)}: {number} is no port, which are 1 to 65535")
    protocol = cast('Literal["tcp", "udp"]', found["protocol"] or "tcp")
    return Forward(port, to, protocol, address)


def _forwards(value: Value) -> tuple[Forward, ...]:
    found = tuple(read_forward(text) for text in strings.read(value))
    texts = [each.text for each in found]
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise BadValueError(f"{twice} leads to two ports")
    return found


forwards_kind = Kind("list of forwarded ports", "Vector", _forwards)
