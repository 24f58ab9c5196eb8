"""A bad wire: stands between a port and the fabric's bridge, and delays, loses and doubles frames.

Runs in the fabric as a script of its own, standard library only. The bridge gets a tap in the port's
place; when we end, however we end, the tap is gone.

    wire.py PORT TAP DELAY_MS LOSS DUPLICATE

prints `ready` when frames pass. Frames keep their order, as on a wire. Checksums and segmentation
left to the network card are described by a header before each frame, which is passed on unread.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_TUNSETIFF, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 1, 1
_MOST_BYTES = 10 + 14 + 65536
_MOST_HELD = 20_000
"""Frames held up at a time; more are lost, as in a full queue."""


def _open_tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(tap, _TUNSETVNETHDRSZ, struct.pack("i", 10))
    return tap


def _open_port(name: str) -> socket.socket:
    # No protocol until it is bound: frames of other devices must not be taken for the port's.
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
    port.bind((name, _ETH_P_ALL))
    index = socket.if_nametoindex(name)
    member = struct.pack("iHH8s", index, _PACKET_MR_PROMISC, 0, b"")
    port.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, member)
    port.setblocking(False)
    return port


def _swap(port: str, tap: str) -> None:
    """Put the tap in the port's place; the port must not answer for the fabric by itself."""
    Path(f"/proc/sys/net/ipv4/conf/{port}/arp_ignore").write_text("8")
    ip = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin") or "ip"
    lines = f"link set {port} nomaster\nlink set {tap} master br0 up\n"
    subprocess.run([ip, "-batch", "-"], input=lines.encode(), check=True)


class Wire:
    """Frames on their way, by the time they are due."""

    def __init__(self, delay_s: float, loss: float, duplicate: float) -> None:
        """Take how bad the wire is."""
        self._delay_s, self._loss, self._duplicate = delay_s, loss, duplicate
        self._held: list[tuple[float, int, Callable[[bytes], object], bytes]] = []
        self._count = 0

    def take(self, frame: bytes, onward: Callable[[bytes], object], now: float) -> None:
        """Take a frame that came in at `now`; `onward` will send it."""
        if random.random() < self._loss:  # noqa: S311 - not a secret
            return
        for _ in range(2 if random.random() < self._duplicate else 1):  # noqa: S311 - not a secret
            if len(self._held) < _MOST_HELD:
                self._count += 1
                heapq.heappush(self._held, (now + self._delay_s, self._count, onward, frame))

    def release(self, now: float) -> float | None:
        """Send what is due; give the seconds until the next is, or nothing if none is held."""
        while self._held and self._held[0][0] <= now:
            _, _, onward, frame = heapq.heappop(self._held)
            try:
                onward(frame)
            except OSError:
                continue  # the other side is down or full: lost
        return max(0.0, self._held[0][0] - now) if self._held else None


def main() -> int:
    """Be the wire until killed."""
    port_name, tap_name, delay_ms, loss, duplicate = sys.argv[1:]
    wire = Wire(float(delay_ms) / 1000, float(loss), float(duplicate))
    port, tap = _open_port(port_name), _open_tap(tap_name)
    _swap(port_name, tap_name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sides: dict[int, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
        port.fileno(): (lambda: port.recv(_MOST_BYTES), lambda frame: os.write(tap, frame)),
        tap: (lambda: os.read(tap, _MOST_BYTES), port.send),
    }
    pause_s = None
    while True:
        ready, _, _ = select.select(list(sides), [], [], pause_s)
        now = time.monotonic()
        for side in ready:
            receive, onward = sides[side]
            for _ in range(64):
                try:
                    frame = receive()
                except BlockingIOError:
                    break
                except OSError:
                    return 0  # the host was switched off
                wire.take(frame, onward, now)
        pause_s = wire.release(time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
