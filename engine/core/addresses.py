"""How users name hosts: `localhost`, `node7`, `node7:3801`, `[::1]:3801`."""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from engine.core.faults import Refused

PORT = 3800
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?")


def address_of(text: str, port: int = PORT) -> str:
    """Turn what is called a host into `host:port`.

    Raises:
        Refused: It is no host name or address.

    Example:
        >>> address_of("localhost"), address_of("[::1]:3801"), address_of("node7:4000")
        ('127.0.0.1:3800', '[::1]:3801', 'node7:4000')
    """
    match = _HOST.fullmatch(text)
    number = int(match[2] or port) if match else 0
    if match is None or not 0 < number < 65536:
        raise Refused(
            f"{text!r} is not a host or host:port", code="SF-HOST-001",
            hint="write a name such as localhost or node7, or node7:3801",
        )  # fmt: skip
    host = "127.0.0.1" if match[1] == "localhost" else match[1]
    return f"{host}:{number}"


class Found(Struct, frozen=True):
    """A place where a daemon may be.

    Attributes:
        how: What says so: `peers`, `dns`, `multicast`, or `met`.
    """

    name: str
    address: str
    how: str


def is_address(text: str) -> bool:
    """Say whether a host is written as an IP address.

    Example:
        >>> is_address("10.0.0.1"), is_address("[::1]"), is_address("node7")
        (True, True, False)
    """
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Say whether a host is called by a name alone, so that somebody has to know where it is.

    Example:
        >>> is_name("node7"), is_name("node7:3801"), is_name("127.0.0.1"), is_name("localhost")
        (True, False, False, False)
    """
    return ":" not in text and text != "localhost" and not is_address(text)
