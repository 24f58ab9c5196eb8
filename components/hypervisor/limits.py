"""Bounds of the line to one hypervisor: threads, time and what waits. Pure."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one connection.

    Attributes:
        threads: Worker threads for ordinary calls.
        reserved: Further threads, for looking at one domain and for destroying.
        stuck: From so many stuck calls on, no new work (define, start) is taken.
        read_s: Limit of a call that looks, in seconds, waiting for a thread included.
        change_s: Limit of a call that changes something, in seconds.
        open_s: Limit of opening the connection, in seconds.
        events: Events that wait for one slow reader.
        lost_s: How long a call may still take once its connection is lost, in seconds; libvirt
            ends most of them at once, and may forget one that was just being sent.
        reconnect_s: Pauses before the attempts to reconnect, in seconds; the last one repeats.
    """

    threads: int = 8
    reserved: int = 2
    stuck: int = 4
    read_s: float = 10.0
    change_s: float = 60.0
    open_s: float = 30.0
    events: int = 1000
    lost_s: float = 1.0
    reconnect_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


def limits_for(uri: str) -> Limits:
    """Return the usual bounds: Xen starts a guest by scripts, each of which may take 40 s.

    Example:
        >>> limits_for("xen+tcp://x1/system").change_s, limits_for("qemu:///system").change_s
        (180.0, 60.0)
    """
    return Limits(change_s=180.0) if uri.startswith("xen") else Limits()
