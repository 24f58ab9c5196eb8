"""Components for the simulation: they make things, take time, fail, hang and end as they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from engine.compound import Compound
from engine.core.flows import Flow, Happening
from engine.core.records import Record
from engine.core.supervision import Backoff, Budget, Policy, Supervise
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, exposed, link
from engine.runtime.effects import Effect
from engine.runtime.kinds import bool_, float_, int_, str_
from engine.runtime.live import Live
from engine.testing.simulation.world import SimThing, SimTrouble

STEPS = ("", "deploy", "start", "terminate")


class Observer:
    """What hooks and flows report to; the rules implement it."""

    def hook(self, live: Live, name: str, *, begins: bool) -> None:
        """Take in that a hook begins or ends."""

    def told(self, parent: Live, what: Happening) -> None:
        """Take in that a flow was told something."""


def observer() -> Observer:
    """Stand for the one observer; every daemon is given it as a service before it begins."""
    raise LookupError("no simulation runs")


class Actor(Prim):
    """Does what its description says in each hook."""

    things = attr(int_, 0, ge=0, doc="Effects to make at the start.")
    keep = attr(str_, "never", doc="Which ends leave them.")
    slow = attr(float_, 0, ge=0, doc="Seconds each hook takes.")
    fail = attr(str_, "", choices=STEPS, doc="Hook that raises.")
    hang = attr(str_, "", choices=STEPS, doc="Hook that never returns.")
    ends_after = attr(float_, -1, doc="Seconds until it ends itself.", called="endsAfter")
    normal = attr(bool_, False, doc="Whether it then ends normally.")

    @contextlib.contextmanager
    def _hook(self, name: str) -> Iterator[None]:
        watch = self.service(observer)
        watch.hook(self.live, name, begins=True)
        try:
            yield
        finally:
            watch.hook(self.live, name, begins=False)

    async def _act(self, name: str) -> None:
        if self.slow:
            await self.sleep(self.slow)
        if self.hang == name:
            await asyncio.Event().wait()
        if self.fail == name:
            raise SimTrouble(f"told to fail in {name}")

    @override
    async def on_deploy(self) -> None:
        with self._hook("deploy"):
            await self._act("deploy")

    @override
    async def on_start(self) -> None:
        with self._hook("start"):
            for number in range(self.things):
                await self.make(SimThing(f"{self.path}#{number}", self.keep), keep=self.keep)
            await self._start()
            await self._act("start")

    async def _start(self) -> None:
        if self.ends_after >= 0:
            self.spawn(self._end_later())

    async def _end_later(self) -> None:
        await self.sleep(self.ends_after)
        await self.end(self.normal)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        with self._hook("adopt"):
            if self.ends_after >= 0:
                self.spawn(self._end_later())

    @override
    async def on_terminate(self, record: Record) -> None:
        with self._hook("terminate"):
            await self._act("terminate")

    @exposed()
    async def greet(self, name: str) -> str:
        """Return a greeting."""
        return f"{self.name} greets {name}"

    async def end(self, normal: bool) -> None:  # noqa: FBT001 - a fact
        """End by itself."""
        text = "told to end"
        await self.finish(Record.normal(text) if normal else Record.abnormal(text))


class Leaf(Actor, type="sim.leaf"):
    """A component without children that may call another one while it starts."""

    calls = link(Actor, doc="Whom to call while starting.", required=False)

    @override
    async def _start(self) -> None:
        await super()._start()
        if self.live.link("calls").given:
            await self.calls.api.greet(self.name)


class Checked(Leaf, type="sim.checked"):
    """A leaf with a health check."""

    unwell_after = attr(float_, -1, doc="Seconds until its check fails.", called="unwellAfter")

    @override
    async def check(self) -> None:
        age_s = asyncio.get_running_loop().time() - self.live.since_s
        if 0 <= self.unwell_after <= age_s:
            raise Unwell("told to be unwell")


class Told(Flow[Any]):
    """A flow that reports what it is told before it decides."""

    def __init__(self, parent: Live, inner: Flow[Any]) -> None:
        """Take the flow that decides."""
        self._parent = parent
        self._inner = inner

    @override
    def begin(self, children: Any) -> Any:
        return self._inner.begin(children)

    @override
    def on(self, state: Any, what: Happening, now_s: float) -> Any:
        self._parent.prim.service(observer).told(self._parent, what)
        return self._inner.on(state, what, now_s)


class Group(Actor, Compound, type="sim.group"):
    """Shares its children's fate."""

    @override
    def make_flow(self) -> Flow[Any]:
        return Told(self.live, super().make_flow())


class Guard(Actor, Compound, type="sim.guard"):
    """Restarts its children."""

    @override
    def make_flow(self) -> Flow[Any]:
        names = tuple(name for name, _ in self.live.child_descriptions())
        rule = Supervise(Policy(names, budget=Budget(3, 30.0), backoff=Backoff(0.5, 4.0)))
        return Told(self.live, rule)
