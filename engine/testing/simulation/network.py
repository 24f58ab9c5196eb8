"""The network between daemons: latency, loss, duplicates, delays, cuts, and nothing but bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Protocol

from engine.core.faults import EngineError, TimedOut, Unreachable
from engine.testing.simulation.loop import Life, SimLoop
from engine.testing.simulation.schedule import Noise

LEAST_S, MOST_S = 0.0003, 0.003
"""Seconds a message is under way, one direction, undisturbed."""


class Server(Protocol):
    """What answers at an address."""

    @property
    def life(self) -> Life | None:
        """Return its present life, or nothing while it is down."""
        ...

    def handle(self, verb: str, message: bytes) -> Coroutine[Any, Any, bytes]:
        """Answer one message."""
        ...


class Network:
    """Carries messages between addresses as the schedule wants it.

    Attributes:
        cuts: Pairs (from, to) that no message passes.
        complain: Told of what must not be: number of the rule and a sentence.
    """

    def __init__(self, loop: SimLoop, random: Random, complain: Callable[[int, str], None]) -> None:
        """Start without servers or faults."""
        self._loop = loop
        self._random = random
        self._complain = complain
        self._noise: list[tuple[Noise, str, list[int]]] = []
        self._serving: dict[str, dict[asyncio.Future[bytes], None]] = {}
        self.servers: dict[str, Server] = {}
        self.cuts: set[tuple[str, str]] = set()

    def disturb(self, noise: Noise, to: str) -> None:
        """Disturb the next messages to an address."""
        self._noise.append((noise, to, [noise.times]))

    def heal(self) -> None:
        """Mend everything."""
        self._noise.clear()
        self.cuts.clear()

    def _noise_for(self, verb: str, to: str) -> Noise | None:
        for noise, address, left in self._noise:
            if left[0] > 0 and address == to and noise.verb in {"", verb}:
                left[0] -= 1
                return noise
        return None

    def _latency_s(self) -> float:
        return self._random.uniform(LEAST_S, MOST_S)

    def link(self, source: str, to: str) -> SimLink:
        """Return a link from one address to another."""
        return SimLink(self, source, to)

    # -- one message

    def send(
        self, source: str, to: str, verb: str, message: bytes, answer: asyncio.Future[bytes]
    ) -> None:
        """Carry a message there and its answer back; what is lost on the way leaves `answer` open."""
        if not isinstance(message, bytes):
            self._complain(10, f"{verb} to {to} carries a {type(message).__name__}")  # type: ignore[unreachable] # the rule
        noise = self._noise_for(verb, to)
        mode = noise.mode if noise is not None else ""
        if mode == "drop" or (source, to) in self.cuts:
            return
        life = self._life(to)  # a connection ends with whom it was made to
        delay_s = self._latency_s()
        if life is None:
            refused = Unreachable(f"{to} cannot be reached: connection refused")
            self._loop.outside(delay_s, _fail, answer, refused)
            return
        delay_s += noise.delay_s if noise is not None else 0.0
        self._loop.outside(delay_s, self._arrive, source, to, life, verb, message, answer, mode)
        if mode == "twice":
            again: asyncio.Future[bytes] = self._loop.create_future()
            again.add_done_callback(lambda done: done.exception())  # nobody waits for it
            self._loop.outside(
                delay_s + self._latency_s(),
                self._arrive,
                source,
                to,
                life,
                verb,
                message,
                again,
                "",
            )

    def _life(self, address: str) -> Life | None:
        server = self.servers.get(address)
        life = server.life if server is not None else None
        return None if life is None or life.dead else life

    def _arrive(
        self, source: str, to: str, life: Life, verb: str, message: bytes,
        answer: asyncio.Future[bytes], mode: str,
    ) -> None:  # fmt: skip
        if self._life(to) is not life:
            broken = Unreachable(f"{to}: the connection broke")
            self._loop.outside(self._latency_s(), _fail, answer, broken)
            return
        server = self.servers[to]
        serving = self._serving.setdefault(to, {})
        serving[answer] = None
        work = life.spawn(server.handle(verb, message))

        def answered(done: asyncio.Task[bytes]) -> None:
            serving.pop(answer, None)
            if done.cancelled() or done.exception() is not None:
                return
            if mode == "lose":
                broken = Unreachable(f"{to}: the connection broke")
                self._loop.outside(self._latency_s(), _fail, answer, broken)
            elif (to, source) not in self.cuts:
                self._loop.outside(self._latency_s(), _give, answer, done.result())

        work.add_done_callback(answered)

    def broken(self, to: str) -> None:
        """Break the connections to a daemon that died: its machine answers for it."""
        for answer in self._serving.pop(to, {}):
            gone = Unreachable(f"{to}: the connection broke")
            self._loop.outside(self._latency_s(), _fail, answer, gone)


def _give(answer: asyncio.Future[bytes], data: bytes) -> None:
    if not answer.done():
        answer.set_result(data)


def _fail(answer: asyncio.Future[bytes], error: EngineError) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # seen: whoever waits for it may be dead


class SimLink:
    """A link on the simulated network."""

    certificate = ""

    def __init__(self, network: Network, source: str, to: str) -> None:
        """Take the network and both ends."""
        self._network = network
        self._source = source
        self._to = to

    async def call(self, verb: str, message: bytes, budget_s: float) -> bytes:
        """Send one message and wait for its answer."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._network.send(self._source, self._to, verb, message, answer)
        try:
            async with asyncio.timeout(max(0.05, budget_s)):
                return await answer
        except TimeoutError as error:
            raise TimedOut(f"{self._to} did not answer within {budget_s:g} s") from error

    def close(self) -> None:
        """Have nothing to close."""
