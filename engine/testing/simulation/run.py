"""Running a schedule from its first step to the check that nothing is left."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct
from typing_extensions import override

from engine.runtime.process import Process
from engine.testing.simulation.client import Client
from engine.testing.simulation.clocks import Clocks, Dice, instead
from engine.testing.simulation.loop import LIFE, Life, SimLoop
from engine.testing.simulation.machines import LEASE_S, REMEMBER_S, Machine
from engine.testing.simulation.network import Network
from engine.testing.simulation.rules import Broken, Rules, settled
from engine.testing.simulation.schedule import (
    AnyStep,
    Crash,
    Cut,
    Deploy,
    Finish,
    Freeze,
    Heal,
    Node,
    Noise,
    Ping,
    Quit,
    Repeat,
    Restart,
    Schedule,
    Shift,
    Terminate,
    Thaw,
    Trouble,
    host_name,
    script,
)
from engine.testing.simulation.world import SimTrouble, World

DOWN_S, ANSWER_S, QUIET_S, END_S = 100.0, 400.0, 200.0, 700.0
"""Virtual seconds, once all is mended, until a daemon on its way down is down, every request is
answered, everything is quiet, and after the end of all applications nothing is left."""
FOR_EVER = {"reaper", "liveness", "housekeeping"}
"""Names of the tasks a daemon always has."""


class Outcome(Struct, frozen=True):
    """How a run went.

    Attributes:
        broken: The first rule broken, if any.
        trace: Everything seen, one line each.
        seconds: Virtual seconds it took.
    """

    broken: Broken | None
    trace: tuple[str, ...]
    seconds: float


class Simulation:
    """One run of one schedule."""

    def __init__(self, schedule: Schedule, loop: SimLoop, clocks: Clocks) -> None:
        """Put everything up; nothing runs yet."""
        self._schedule = schedule
        self._loop = loop
        self._clocks = clocks
        self.rules = Rules(loop.time, LEASE_S)
        dice = random.Random(schedule.seed)  # noqa: S311 - no secret
        self._world = World(loop, dice, self.rules.complain, self._crashed, self.rules.held)
        self._network = Network(loop, dice, self.rules.complain)
        peers = {host_name(n): f"{host_name(n)}:3800" for n in range(schedule.hosts)}
        self.machines = [
            Machine(
                name, peers, loop=loop, random=dice, network=self._network, world_=self._world,
                rules=self.rules,
            )
            for name in peers
        ]  # fmt: skip
        self._client = Client(self._network, self.rules, self._world, schedule.hosts)
        self._quitting: set[asyncio.Task[None]] = set()

    def _crashed(self, life: Life) -> None:
        for machine in self.machines:
            if machine.life is life:
                machine.crash()

    def _machine(self, number: int) -> Machine:
        return self.machines[number % len(self.machines)]

    # -- steps

    async def run(self) -> None:
        """Carry out all steps, then mend everything, end everything, and look what is left.

        Raises:
            Broken: The first rule that was broken.
        """
        await self._begin_all()
        for step in self._schedule.steps:
            self.rules.note(f"-- {step!r}")
            self._do(step)
            await asyncio.sleep(step.pause_s)
            self._check()
        await self._mend()
        await self._end()

    def _check(self) -> None:
        for trouble in self._loop.troubles:
            self.rules.complain(0, trouble)
        self._loop.troubles.clear()
        if self.rules.broken:
            raise self.rules.broken[0]

    def _do(self, step: AnyStep) -> None:  # noqa: C901, PLR0912 - one case per kind of step
        match step:
            case Deploy(app=app, tree=tree, twice_s=twice_s):
                sent = self._client.deploy(self._root_of(app), f"app{app}", tree)
                if twice_s >= 0:
                    self._client.again(sent, twice_s)
            case Terminate(app=app, path=path, twice_s=twice_s):
                sent = self._client.terminate(
                    self._root_of(app), f"app{app}:{path}" if path else f"app{app}"
                )
                if twice_s >= 0:
                    self._client.again(sent, twice_s)
            case Ping(app=app):
                self._client.ping(self._root_of(app), f"app{app}")
            case Repeat(pick=pick):
                if self._client.requests:
                    self._client.again(self._client.requests[pick % len(self._client.requests)])
            case Finish(pick=pick, normal=normal):
                self._finish(pick, normal=normal)
            case Noise(to=to):
                self._network.disturb(step, self._machine(to).address)
            case Crash(host=host, written=written):
                self._machine(host).crash(written)
            case Quit(host=host):
                task = self._loop.create_task(self._machine(host).quit())
                self._quitting.add(task)
                task.add_done_callback(self._quitting.discard)
            case Restart(host=host):
                self._machine(host).begin()
            case Freeze(host=host):
                self._freeze(host, frozen=True)
            case Thaw(host=host):
                self._freeze(host, frozen=False)
            case Cut(source=source, to=to, both=both):
                self._cut(source, to)
                if both:
                    self._cut(to, source)
            case Heal():
                self._network.heal()
            case Shift(host=host, by_s=by_s):
                ahead_s, name = self._clocks.ahead_s, self._machine(host).name
                ahead_s[name] = ahead_s.get(name, 0.0) + by_s
            case Trouble(host=host):
                self._world.plan(self._machine(host).name, step)

    def _root_of(self, app: int) -> str:
        return self._machine(app).address

    def _cut(self, source: int, to: int) -> None:
        one, other = self._machine(source), self._machine(to)
        if one is not other:
            self._network.cuts.add((one.address, other.address))

    def _freeze(self, host: int, *, frozen: bool) -> None:
        life = self._machine(host).life
        if life is not None and frozen:
            life.freeze()
        elif life is not None:
            life.thaw()

    def _finish(self, pick: int, *, normal: bool) -> None:
        running = self.rules.running()
        if not running:
            return
        seen = running[pick % len(running)]
        machine = next(machine for machine in self.machines if machine.name == seen.host)
        live = machine.process.lives.get(seen.id) if machine.process is not None else None
        if live is not None and machine.life is not None:
            machine.life.spawn(live.prim.end(normal))  # type: ignore[attr-defined] # all are actors

    # -- the end of a schedule

    async def _begin_all(self) -> None:
        for machine in self.machines:
            machine.begin()
        await self._bounded(
            lambda: all(machine.running for machine in self.machines), 60, "not all daemons begin"
        )

    async def _bounded(self, condition: object, bound_s: float, text: str) -> None:
        if not await settled(condition, bound_s=bound_s, every_s=0.05 if bound_s <= 60 else 1.0):  # type: ignore[arg-type] # a function
            self.rules.complain(7, f"{text} within {bound_s:g} s")
        self._check()

    async def _mend(self) -> None:
        self.rules.note("-- everything is mended")
        self._network.heal()
        self._world.heal()
        for machine in self.machines:
            if machine.life is not None and machine.life.frozen:
                machine.life.thaw()
        await self._bounded(lambda: not self._quitting, DOWN_S, "a daemon does not go down")
        await self._begin_all()
        await self._answered()

    async def _answered(self) -> None:
        await self._bounded(lambda: not self._client.tasks, ANSWER_S, "a request is not answered")

    def _processes(self) -> list[Process]:
        return [machine.process for machine in self.machines if machine.process is not None]

    async def _end(self) -> None:
        await settled(
            lambda: not self.rules.unquiet(self._processes()), bound_s=QUIET_S, every_s=2.0
        )
        for rule, text in self.rules.unquiet(self._processes()):
            self.rules.complain(rule, text)
        self._check()
        self.rules.note("-- everything is ended")
        for machine in self.machines:
            for name in list(machine.process.apps) if machine.process is not None else []:
                self._client.terminate(machine.address, name)
        await self._answered()
        await settled(lambda: not self._left(), bound_s=END_S, every_s=20.0)
        await self._end_kept_orphans()
        for text in self._left():
            self.rules.complain(1, text)
        self._check()
        await self._names_are_free()
        await self._let_go()

    async def _end_kept_orphans(self) -> None:
        """End by hand what its description tells to stay when its parent is gone."""
        for machine in self.machines:
            for segment in list(machine.process.segments.values()) if machine.process else []:
                kept = "sfOrphanPolicy" in repr(segment.description) or segment.inherited.get(
                    "sfOrphanPolicy"
                )
                if kept and segment.lease is None:
                    self.rules.note(f"ending the orphan {segment.path} by hand")
                    self._client.end_part(machine.address, segment.id)
        await self._answered()

    def _left(self) -> list[str]:
        """Return what is left although everything was ended."""
        left = [
            f"{name} is left at {host}"
            for (host, name), thing in self._world.things.items()
            if thing.keep not in {"normal", "always"}
        ]
        for process in self._processes():
            at = process.node_name
            left += [f"{live.path} is left at {at}" for live in process.lives.values()]
            left += [
                f"part {segment.path} is left at {at}" for segment in process.segments.values()
            ]
            left += [f"the name {name} is left at {at}" for name in process.apps]
            left += [f"the reaper at {at} still has {line}" for line in process.reaper.lines()]
            counts = process.ledger.counts()
            left += [
                f"{counts[table]} rows in {table} are left at {at}"
                for table in ("segments", "births", "fates", "effects")
                if counts[table]
            ]
        return left

    async def _names_are_free(self) -> None:
        """Start and end every application name once more, and let old answers be forgotten."""
        names = sorted({step.app for step in self._schedule.steps if isinstance(step, Deploy)})
        for app in names:
            await self._once_more(app)
        longest_s = REMEMBER_S + sum(
            abs(step.by_s) for step in self._schedule.steps if isinstance(step, Shift)
        )
        await asyncio.sleep(longest_s + 120)
        for process in self._processes():
            for table in ("requests", "ended"):
                if process.ledger.counts()[table]:
                    self.rules.complain(7, f"{table} are kept for ever at {process.node_name}")
        self._check()

    async def _once_more(self, app: int) -> None:
        name, address = f"app{app}", self._root_of(app)
        sent = self._client.deploy(address, name, Node("leaf"))
        await self._answered()
        if not (sent.answers and sent.answers[-1].status == "done"):
            self.rules.complain(1, f"the name {name} is not free")
        self._client.terminate(address, name)
        await self._answered()

    async def _let_go(self) -> None:
        for machine in self.machines:
            life = machine.life
            tasks = [task for task in (life.tasks if life else ()) if not task.done()]
            odd = sorted(task.get_name() for task in tasks if task.get_name() not in FOR_EVER)
            if odd:
                self.rules.complain(7, f"tasks are left at {machine.name}: {', '.join(odd)}")
            await machine.quit()
        self._check()

    def close(self) -> None:
        """Let go of everything, whatever happened."""
        for machine in self.machines:
            if machine.life is not None:
                machine.crash()
        for task in (*self._client.tasks, *self._quitting):
            task.cancel()


class _Alarm(logging.Handler):
    """Turns what the engine logs as an error nobody planned into a broken rule."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(logging.ERROR)
        self._rules = rules

    @override
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        life = LIFE.get()
        leaving = life is not None and life.leaving
        closed = isinstance(error, RuntimeError | ValueError) and (
            "ignored GeneratorExit" in str(error) or "in a different Context" in str(error)
        )
        if closed:
            return  # a crash closes coroutines in the middle, which no real crash does
        if error is not None and not leaving and not isinstance(error, SimTrouble):
            self._rules.complain(0, f"{record.getMessage()}: {error!r}")


@contextmanager
def _listening(rules: Rules) -> Iterator[None]:
    logger = logging.getLogger("sf")
    alarm, level, propagate = _Alarm(rules), logger.level, logger.propagate
    logger.addHandler(alarm)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(alarm)
        logger.setLevel(level)
        logger.propagate = propagate


def run(schedule: Schedule) -> Outcome:
    """Run a schedule and say how it went; the same schedule always goes the same way."""
    loop = SimLoop()
    clocks = Clocks(loop)
    broken: Broken | None = None
    simulation = Simulation(schedule, loop, clocks)
    rules = simulation.rules
    try:
        with instead(clocks, Dice(schedule.seed)), _listening(rules):
            try:
                loop.run_until_complete(simulation.run())
            except Broken as error:
                broken = error
            except Exception as error:  # noqa: BLE001 - whatever happens is an outcome
                broken = Broken(0, repr(error))
            finally:
                simulation.close()
                with suppress(RuntimeError):  # what spins has been told already
                    loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    return Outcome(broken, tuple(rules.trace), loop.time() - 1000)


def replay(schedule: Schedule) -> None:
    """Run a schedule, print what happened, and end the program with status 1 if a rule was broken."""
    outcome = run(schedule)
    print("\n".join(outcome.trace))  # noqa: T201 - it is a program's output
    if outcome.broken is not None:
        sys.exit(str(outcome.broken))
    print(f"all rules kept, {outcome.seconds:g} virtual seconds")  # noqa: T201


def failure(schedule: Schedule, broken: Broken) -> str:
    """Return what to show of a failing schedule: the rule, and the program that shows it again."""
    return f"{broken}\n\nTo see it again:\n\n{script(schedule)}"
