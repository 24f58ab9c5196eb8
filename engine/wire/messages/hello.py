"""`hello`: who is there, and do we speak the same protocol?"""

from __future__ import annotations

from msgspec import Struct

PROTOCOL = 1
"""Major version; peers of another one are refused."""


class Hello(Struct, frozen=True):
    """First message on a link."""

    protocol: int
    caller: str
    features: tuple[str, ...] = ()


class Welcome(Struct, frozen=True, tag="welcome"):
    """Answer to a hello.

    Attributes:
        daemon: Persistent id of the process.
        name: Its name among hosts.
        address: `host:port` it answers at.
        version: Of the program, for people.
        state: `running`, `draining` or `stopping`.
        at_ms: Wall clock of the answer, ms since 1970; for comparing clocks, and for nothing else.
        security: `tls`, or `insecure` for a daemon that was told to do without.
    """

    protocol: int
    daemon: str
    name: str
    address: str
    version: str
    state: str
    pid: int
    uptime_s: float
    components: int
    process: str = "rootProcess"
    security: str = "tls"
    at_ms: int = 0
