"""The service manager: told when the daemon is ready, when it stops, and that it is not stuck.

This is the protocol of systemd's `sd_notify`: words in datagrams to a socket the environment names.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

MORE_TIME_S = 30
"""Seconds asked for again and again while starting or stopping goes on."""
ASK_S = 10.0


class Notifier:
    """Tells the service manager how the daemon is; without one it does nothing."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take what the manager has said, out of the environment: it is not for our children."""
        name = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us = environment.pop("WATCHDOG_USEC", "")
        ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._every_s = int(watchdog_us) / 2e6 if watchdog_us.isdecimal() and ours else 0.0
        self._changing = True
        self._next_s = 0.0

    @property
    def period_s(self) -> float:
        """Return how often `beat` is to be called at least."""
        return self._every_s / 2 if self._every_s > 0 else ASK_S

    def ready(self, status: str) -> None:
        """Tell that start-up is over."""
        self._changing, self._next_s = False, 0.0
        self._send(f"READY=1\nSTATUS={status}")
        self.beat()

    def stopping(self) -> None:
        """Tell that the daemon is on its way out."""
        self._changing, self._next_s = True, 0.0
        self._send("STOPPING=1\nSTATUS=letting go of what runs")

    def beat(self) -> None:
        """Tell that the loop turns, if it is time to."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        if self._changing:
            self._next_s = now_s + min(ASK_S, self.period_s)
            self._send(f"EXTEND_TIMEOUT_USEC={MORE_TIME_S * 1_000_000}")
        if self._every_s > 0:
            self._next_s = now_s + self._every_s * 0.9
            self._send("WATCHDOG=1")

    def _send(self, words: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        ) as out:  # fmt: skip
            out.sendto(words.encode(), socket.MSG_DONTWAIT, self._address)
