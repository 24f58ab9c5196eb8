"""Channels: something a component offers that goes both ways, such as a console, used from far away.

What comes is kept until whoever pulls it says how far he has got, so a lost answer loses nothing; what
is sent is counted, so sending it again does it once. A channel nobody pulls is closed after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from engine.core.faults import Busy, EngineError, NotFound, Refused, fault_of
from engine.runtime.live import Live
from engine.security.identity import Caller
from engine.wire.messages import (
    Channelled,
    CloseChannel,
    FeedChannel,
    Handle,
    OnChannel,
    OpenChannel,
    PullChannel,
    ReadAnswer,
)

if TYPE_CHECKING:
    from engine.runtime.process import Process

KEPT_BYTES = 2**20
"""Most that is kept for one who does not pull; beyond, the oldest is lost."""
PIECE_BYTES, FEED_BYTES = 2**18, 2**16
"""Most in one answer, and in one message."""
IDLE_S = 45.0
"""Seconds without a pull after which a channel is closed."""
MOST_OPEN = 64
MOST_AWAY = 1024
"""Most channels of other processes whose places are known."""
WAIT_S, LONGEST_WAIT_S = 10.0, 20.0
"""Seconds for what is quick, and for the longest pull."""
LONGEST_NAME = 100


class Duplex(Protocol):
    """What a component gives: bytes in and out, until it ends."""

    async def read(self) -> bytes:
        """Wait for bytes; none at its end.

        Raises:
            EngineError: It broke; the text says how.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            EngineError: They cannot be sent.
        """
        ...

    async def close(self) -> None:
        """Let go of it. Harmless twice."""
        ...


class Channels:
    """The channels open in one process, and those it passes on."""

    def __init__(self) -> None:
        """Start without any."""
        self._open: dict[str, _Open] = {}
        self._away: dict[str, tuple[str, str]] = {}

    def application(self, channel: str) -> str | None:
        """Return whose a channel is, if it is known here."""
        found = self._open.get(channel)
        if found is not None:
            return found.live.segment.application
        return self._away[channel][1] if channel in self._away else None

    async def answer(self, process: Process, wanted: OnChannel, caller: Caller) -> ReadAnswer:
        """Do what a message asks for.

        Raises:
            NotFound: No such component or channel, or the component offers no such thing.
            Busy: Too many are open.
            EngineError: As the component raised it.
        """
        if isinstance(wanted, OpenChannel):
            return await self._begin(process, wanted, caller)
        if wanted.channel in self._away:
            address, application = self._away.pop(wanted.channel)
            if not isinstance(wanted, CloseChannel):
                self._remember(wanted.channel, address, application)
            return await self._pass_on(process, address, wanted)
        found = self._open.get(wanted.channel)
        if isinstance(wanted, CloseChannel):
            if found is not None:
                await found.close("closed")
            return Channelled()
        if found is None:
            raise NotFound("there is no such channel, or it was closed", code="SF-CHAN-002")
        if isinstance(wanted, FeedChannel):
            return await found.feed(wanted)
        return await found.pull(wanted)

    async def _pass_on(self, process: Process, address: str, wanted: OnChannel) -> ReadAnswer:
        wait_s = wanted.wait_ms / 1000 if isinstance(wanted, PullChannel) else 0.0
        budget_s = min(max(wait_s, 0.0), LONGEST_WAIT_S) + WAIT_S
        return await process.peers.stream(address, wanted, budget_s)

    async def _begin(self, process: Process, wanted: OpenChannel, caller: Caller) -> ReadAnswer:
        if not wanted.channel or max(len(wanted.channel), len(wanted.name)) > LONGEST_NAME:
            raise Refused("the name of a channel is too long, or missing", code="SF-CHAN-003")
        if wanted.channel in self._open:
            return Channelled()
        target: Live | Handle
        if wanted.ident is not None:
            target = process.live(wanted.ident)
        else:
            target = await process.reader.find(wanted.ref)
        who = wanted.who if caller.peer and wanted.who else caller.name
        if isinstance(target, Handle):
            there = replace(wanted, ref="", ident=target.ident, who=who)
            answer = await self._pass_on(process, target.address, there)
            self._remember(wanted.channel, target.address, target.name.partition(":")[0])
            return answer
        if len(self._open) >= MOST_OPEN:
            raise Busy(f"{MOST_OPEN} channels are open here", code="SF-CHAN-004", where=target.path)
        async with asyncio.timeout(WAIT_S):
            end = await target.prim.open_channel(wanted.name)
        process.events.note(target, "info", f"{wanted.name} opened by {who}")
        self._open[wanted.channel] = _Open(self, wanted, target, end, who)
        return Channelled()

    def _remember(self, channel: str, address: str, application: str) -> None:
        """Know where a channel is; those used longest ago are forgotten: who left them said no word."""
        self._away[channel] = (address, application)
        while len(self._away) > MOST_AWAY:
            del self._away[next(iter(self._away))]

    def forget(self, channel: str) -> bool:
        """Take in that a channel is closed; say whether it was open."""
        return self._open.pop(channel, None) is not None

    async def close(self) -> None:
        """Close all."""
        for each in list(self._open.values()):
            await each.close("the daemon is going down")


class _Open:
    """One channel: what has come and was not taken yet, and the end at the component."""

    def __init__(
        self, channels: Channels, wanted: OpenChannel, live: Live, end: Duplex, who: str
    ) -> None:
        self.live = live
        self._channels = channels
        self._id, self._name, self._who = wanted.channel, wanted.name, who
        self._end = end
        self._kept = bytearray()
        self._at = 0
        self._fed = 0
        self._ended = ""
        self._news = asyncio.Event()
        self._feeding = asyncio.Lock()
        self._pulled_s = asyncio.get_running_loop().time()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(IDLE_S, self._look)
        self._pump: asyncio.Task[None] = loop.create_task(
            self._run(), name=f"{live.path} {self._name}"
        )

    async def _run(self) -> None:
        why = f"{self._name} of {self.live.path} has ended"
        try:
            while data := await self._end.read():
                self._kept += data
                surplus = len(self._kept) - KEPT_BYTES
                if surplus > 0:
                    del self._kept[:surplus]
                    self._at += surplus
                self._news.set()
        except EngineError as error:
            why = error.fault.message
        except Exception as error:  # noqa: BLE001 - boundary: an author's code
            why = fault_of(error).message
        finally:
            self._ended = self._ended or why
            self._news.set()
            await self._end.close()

    def _look(self) -> None:
        """Close it once nobody has pulled for a while."""
        loop = asyncio.get_running_loop()
        left_s = self._pulled_s + IDLE_S - loop.time()
        if left_s > 0:
            self._timer = loop.call_later(left_s, self._look)
        else:
            self._finish("nobody reads it")
            self._pump.cancel()

    def _finish(self, why: str) -> None:
        self._timer.cancel()
        if self._channels.forget(self._id):
            text = f"{self._name} opened by {self._who} is closed: {why}"
            self.live.process.events.note(self.live, "info", text)
        self._ended = self._ended or why
        self._news.set()

    async def pull(self, wanted: PullChannel) -> Channelled:
        """Give what comes after what was taken, waiting for it."""
        loop = asyncio.get_running_loop()
        self._pulled_s = loop.time()
        taken = min(max(0, wanted.at - self._at), len(self._kept))
        del self._kept[:taken]
        self._at += taken
        if not self._kept and not self._ended:
            self._news.clear()
            wait_s = min(max(0, wanted.wait_ms) / 1000, LONGEST_WAIT_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
        self._pulled_s = loop.time()
        data = bytes(self._kept[:PIECE_BYTES])
        ended = self._ended if len(data) == len(self._kept) else ""
        return Channelled(self._at, data, self._fed, ended)

    async def feed(self, wanted: FeedChannel) -> Channelled:
        """Send what was not sent yet."""
        if len(wanted.data) > FEED_BYTES or wanted.at < 0:
            raise Refused(f"at most {FEED_BYTES} bytes at a time", code="SF-CHAN-003")
        async with self._feeding:
            if wanted.at > self._fed:
                raise Refused(f"{self._fed} bytes were sent, not {wanted.at}", code="SF-CHAN-003")
            rest = wanted.data[self._fed - wanted.at :]
            if rest and not self._ended:
                async with asyncio.timeout(WAIT_S):
                    await self._end.write(rest)
                self._fed += len(rest)
        return Channelled(self._at, fed=self._fed, ended=self._ended)

    async def close(self, why: str) -> None:
        """Let go of it; who waits for more hears so."""
        self._finish(why)
        self._pump.cancel()
        await asyncio.wait({self._pump})
