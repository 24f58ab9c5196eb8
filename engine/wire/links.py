"""Links: how a process reaches a peer, with several messages under way at once."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from engine.core.faults import TimedOut, Unreachable
from engine.wire.channel import Channel, Security

WIDTHS = {"control": 8, "poll": 64, "beat": 2}
"""Connections a link of each class may use at a time."""


class PyroLink:
    """A link of one class to one peer: a few threads, each with its own connection."""

    def __init__(self, address: str, class_: str, security: Security) -> None:
        """Take the peer's address, the class, which decides the width, and what we go there with."""
        self._address = address
        self._security = security
        self._pool = ThreadPoolExecutor(WIDTHS[class_], thread_name_prefix=f"link-{class_}")
        self._local = threading.local()
        self._channels: list[Channel] = []
        self._closed = False

    @property
    def certificate(self) -> str:
        """Return the name in the certificate the peer showed last; empty without TLS."""
        return next((each.certificate for each in reversed(self._channels) if each.certificate), "")

    async def call(self, verb: str, message: bytes, budget_s: float) -> bytes:
        """Send one message; see `engine.runtime.peers.Link`."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise Unreachable(f"the link to {self._address} is closed")
        until = time.monotonic() + budget_s
        work = loop.run_in_executor(self._pool, self._call, verb, message, until)
        return await asyncio.shield(work)

    def _call(self, verb: str, message: bytes, until: float) -> bytes:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimedOut(f"all connections to {self._address} were busy")
        channel: Channel | None = getattr(self._local, "channel", None)
        if channel is None:
            channel = self._local.channel = Channel(self._address, self._security)
            self._channels.append(channel)
        return channel.call(verb, message, left_s)

    def close(self) -> None:
        """Let go of the connections; calls under way end by their budget."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
