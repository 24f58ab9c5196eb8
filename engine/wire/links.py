"""Links: how messages reach a peer. A Pyro proxy is a connection and belongs to one thread."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import Pyro5.api
import Pyro5.errors

from engine.core.faults import Refused, TimedOut, Unreachable
from engine.wire.pyro import OBJECT, configure

WIDTHS = {"control": 8, "poll": 64, "beat": 2}
"""Connections a link of each class may use at a time."""


class Channel:
    """One connection to a process, for one thread at a time; reconnects when it was dropped."""

    def __init__(self, address: str) -> None:
        """Take `host:port`; nothing is connected yet."""
        configure()
        self.address = address
        self._proxy: Any = None

    def call(self, verb: str, message: bytes, budget_s: float) -> bytes:
        """Send a message and wait for the answer.

        A connection that was idle may have been dropped by the other side, so a failure on a used
        connection is tried once more on a new one; every verb may safely be repeated.

        Raises:
            Unreachable: Nobody answers there, or the connection broke.
            TimedOut: No answer within `budget_s` seconds.
            Refused: What answers is not a process of ours.
        """
        used = self._proxy is not None
        try:
            return self._send(verb, message, budget_s)
        except Unreachable:
            if not used:
                raise
            return self._send(verb, message, budget_s)

    def _send(self, verb: str, message: bytes, budget_s: float) -> bytes:
        if self._proxy is None:
            self._proxy = Pyro5.api.Proxy(f"PYRO:{OBJECT}@{self.address}")
            self._proxy._pyroMaxRetries = 0  # noqa: SLF001 - Pyro's documented name
        self._proxy._pyroTimeout = max(0.05, budget_s)  # noqa: SLF001 - Pyro's documented name
        try:
            answer: bytes = getattr(self._proxy, verb)(message)
        except Pyro5.errors.TimeoutError as error:
            self.close()
            raise TimedOut(f"{self.address} did not answer within {budget_s:.1f} s") from error
        except Pyro5.errors.ProtocolError as error:
            self.close()
            raise Refused(
                f"what answers at {self.address} is not a daemon of this protocol: {error}",
                code="SF-WIRE-001",
            ) from error
        except (Pyro5.errors.PyroError, OSError) as error:
            self.close()
            raise Unreachable(
                f"{self.address} cannot be reached: {_plainly(error)}", code="SF-WIRE-002"
            ) from error
        except AttributeError as error:
            self.close()
            raise Refused(
                f"what answers at {self.address} has no {verb}", code="SF-WIRE-001"
            ) from error
        return answer

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._proxy is not None:
            self._proxy._pyroRelease()  # noqa: SLF001 - Pyro's documented name
            self._proxy = None


def _plainly(error: BaseException) -> str:
    cause = error.__cause__ or error
    text = str(cause)
    return "connection refused" if "refused" in text.lower() else text or type(cause).__name__


class PyroLink:
    """A link of one class to one peer: a few threads, each with its own connection."""

    def __init__(self, address: str, class_: str) -> None:
        """Take the peer's address and the class, which decides the width."""
        self._address = address
        self._pool = ThreadPoolExecutor(WIDTHS[class_], thread_name_prefix=f"link-{class_}")
        self._local = threading.local()
        self._channels: list[Channel] = []
        self._closed = False

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
            channel = self._local.channel = Channel(self._address)
            self._channels.append(channel)
        return channel.call(verb, message, left_s)

    def close(self) -> None:
        """Let go of the connections; calls under way end by their budget."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
