"""Ports of this machine: which one a program may listen at, for those that must be told one before."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from pathlib import Path

LOWEST = 20000
"""Well-known services are below it."""
CONNECTIONS_FROM = 32768
"""Where the range of connections begins unless the system says otherwise, as Linux has it."""
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200


def trouble_at(host: str, port: int) -> str:
    """Say why a program cannot listen at an address of this machine, or nothing if it can; blocks.

    Connections that a program had there before, and that the system has not forgotten yet, do no harm.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return "in use" if error.errno == errno.EADDRINUSE else str(error.strerror or error)
    return ""


def free_port() -> int:
    """Return one TCP port; see `free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different TCP ports of loopback that nobody uses now; blocks for a moment.

    They are below those the system gives to connections, so that none of these takes one before a
    program listens there. Where nearly all belong to connections, they are as the system gives them.

    Raises:
        OSError: There are none.
    """
    with contextlib.ExitStack() as held:  # all at once, so that they differ
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            _bind(probe)
        return [probe.getsockname()[1] for probe in probes]


def _bind(probe: socket.socket) -> None:
    below = _first_of_connections()
    if below > LOWEST:
        chance = random.SystemRandom()
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", chance.randrange(LOWEST, below)))
                return
    probe.bind(("127.0.0.1", 0))


def _first_of_connections() -> int:
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return CONNECTIONS_FROM
