"""Machines of a simulation: each holds one daemon, which crashes, freezes, goes down and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from typing_extensions import override

from engine.runtime.eventlog import EventLog
from engine.runtime.process import Process
from engine.runtime.verbs import Verbs
from engine.security.identity import Caller, Role
from engine.settings import Settings
from engine.testing.simulation.components import Observer, observer
from engine.testing.simulation.loop import Life, SimLoop
from engine.testing.simulation.network import Network, SimLink
from engine.testing.simulation.world import SimLedger, SimWorkers, World, world
from engine.wire.codec import decode
from engine.wire.messages import Beat

if TYPE_CHECKING:
    from engine.runtime.live import Live
    from engine.testing.simulation.rules import Rules

CALLER = Caller("the simulation", "daemon", frozenset({Role.PEER, Role.OPERATOR}))
DELAY_S, FACTOR = 2.0, 2
LEASE_S = DELAY_S * (FACTOR + 1)
REMEMBER_S = 300.0


class TappedEvents(EventLog):
    """The events of a daemon, each change of state shown to the rules as it happens."""

    def __init__(self, daemon_id: str, machine: Machine, rules: Rules) -> None:
        """Take whose events these are and who watches."""
        super().__init__(daemon_id, "life", keep=1000)
        self._machine = machine
        self._rules = rules

    @override
    def state(self, live: Live) -> None:
        super().state(live)
        life = self._machine.life_of(live.process)
        if not (life.dead or life.leaving):
            self._rules.state(self._machine.name, live)


class Machine:
    """One machine with its daemon, when it runs.

    Attributes:
        life: The present life of the daemon, nothing while it is down.
        process: The shipped engine, while it runs.
    """

    def __init__(
        self, name: str, peers: Mapping[str, str], *,
        loop: SimLoop, random: Random, network: Network, world_: World, rules: Rules,
    ) -> None:  # fmt: skip
        """Put up a machine whose daemon has not begun."""
        self.name = name
        self.address = peers[name]
        self.life: Life | None = None
        self.process: Process | None = None
        self._peers = dict(peers)
        self._loop = loop
        self._random = random
        self._network = network
        self._world = world_
        self._rules = rules
        self._ledger: SimLedger | None = None
        self._verbs: Verbs | None = None
        self._lives: dict[int, Life] = {}

    def life_of(self, process: Process) -> Life:
        """Return the life a process belongs to."""
        return self._lives[id(process)]

    def connect(self, address: str, class_: str) -> SimLink:
        """Return a link from here."""
        del class_
        return self._network.link(self.address, address)

    async def handle(self, verb: str, message: bytes) -> bytes:
        """Answer one message as the daemon."""
        if self._verbs is None:
            await asyncio.Event().wait()
        answer = await self._verbs.handle(verb, message, CALLER)  # type: ignore[union-attr] # just asked
        if verb == "beat":
            self._rules.renewed(self.name, decode(message, Beat).renew)
        return answer

    # -- the daemon's life

    def begin(self) -> asyncio.Task[None] | None:
        """Begin the daemon if it is down; return what is done once it serves."""
        if self.life is not None:
            return None
        self._ledger = SimLedger(self._loop, self._random, self._ledger)
        self.life = Life(self._loop, self.name)
        self._network.servers[self.address] = self
        return self.life.spawn(self._begin(self.life, self._ledger))

    async def _begin(self, life: Life, ledger: SimLedger) -> None:
        settings = Settings(
            node=self.name, community="sim", peers=self._peers, liveness_delay_s=DELAY_S,
            liveness_factor=FACTOR, remember_s=REMEMBER_S, rollback_timeout_s=20.0, state_dir="/nowhere",
        )  # fmt: skip
        process = Process(
            settings, address=self.address, ledger=ledger, workers=SimWorkers(self._world),
            connect=self.connect,
        )  # fmt: skip
        self._lives[id(process)] = life
        process.events = TappedEvents(process.daemon_id, self, self._rules)
        process.services.put(world, self._world)
        watch: Observer = self._rules
        process.services.put(observer, watch)
        self.process = process
        self._verbs = Verbs(process)
        await process.begin()
        self._rules.begun(self.name, process)

    def crash(self, written: int = 0) -> None:
        """Lose the daemon's memory at once."""
        life, ledger = self.life, self._ledger
        if life is None or ledger is None:
            return
        ledger.lose(written)
        self._rules.down(self.name)
        self._down()
        life.kill()

    async def quit(self) -> None:
        """Let the daemon go down in order, as SIGTERM does."""
        life, process = self.life, self.process
        if life is None or process is None or life.frozen or process.state != "running":
            return
        self._network.servers.pop(self.address, None)  # it takes no connection any more
        self._network.broken(self.address)
        began_s = self._loop.time()
        stop = life.spawn(process.stop())
        while not (stop.done() or life.dead):  # noqa: ASYNC110 - a crash on its way down wakes nobody
            await asyncio.sleep(0.01)
        if self.life is life:
            life.leaving = True  # what it could not wait for is cut off, as by a crash
            in_time = self._loop.time() - began_s < process.settings.leave_timeout_s
            self._rules.let_go(self.name, process, in_time=in_time)
            self._rules.down(self.name)
            self._down()
            life.kill()

    def _down(self) -> None:
        self.life = self.process = self._verbs = None
        self._network.broken(self.address)

    @property
    def running(self) -> Process | None:
        """Return the process if it serves, frozen or not."""
        process = self.process
        return process if process is not None and process.recovered.is_set() else None
