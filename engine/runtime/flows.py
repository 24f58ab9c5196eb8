"""The one runner of flows: tells a compound's flow what happened and does what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from engine.core.events import Restarted
from engine.core.faults import EngineError, Fault, fault_of
from engine.core.flows import (
    ChildEnded,
    ChildGone,
    ChildStarted,
    Do,
    Drop,
    EndChild,
    Finish,
    Flow,
    Happening,
    Publish,
    SharedFate,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
)
from engine.core.lifecycle import State
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.live import Live
from engine.runtime.nursery import Nursery
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.process import Process


class FlowRun:
    """One compound's flow while the compound is started.

    Attributes:
        nursery: Brings single children up and ends them.
    """

    def __init__(self, process: Process, live: Live, make_flow: Callable[[], Flow[Any]]) -> None:
        """Take the compound and what makes its decider, once its attributes are bound."""
        self.nursery = Nursery(process, live)
        self._process = process
        self._live = live
        self._make_flow = make_flow
        self._flow: Flow[Any] = SharedFate()
        self._state: Any = None
        self._begun = False
        self._wake: asyncio.TimerHandle | None = None
        self._works: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Start deciding: the compound has started, or was adopted."""
        children = {name: child.state for name, child in self._live.children.items()}
        self._begun = True
        try:
            self._flow = self._make_flow()
            self._state, dos = self._flow.begin(children)
        except Exception as error:  # noqa: BLE001 - boundary: a flow may be an author's
            dos = [Finish(_failed(fault_of(error)))]
        self._perform(dos)

    def renew(self) -> None:
        """Decide anew by the present attributes and children, after an update."""
        self.begin()

    @property
    def begun(self) -> bool:
        """Say whether the flow decides already."""
        return self._begun

    def tell(self, what: Happening) -> None:
        """Tell what happened; errors of the flow end the compound."""
        if self._live.state.ended:
            return
        now_s = asyncio.get_running_loop().time()
        try:
            self._state, dos = self._flow.on(self._state, what, now_s)
        except Exception as error:  # noqa: BLE001 - boundary: a flow may be an author's
            dos = [Finish(_failed(fault_of(error)))]
        self._perform(dos)

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel timers and restarts under way; return what is to be awaited."""
        if self._wake is not None:
            self._wake.cancel()
        for work in self._works:
            work.cancel()
        return list(self._works)

    def _perform(self, dos: Sequence[Do]) -> None:
        for do in dos:
            match do:
                case StartChild():
                    self.work(self._start(do))
                case EndChild():
                    self.work(self._end(do))
                case Drop(child):
                    self.work(self.nursery.drop(child))
                case WakeAt(at_s):
                    self._wake_at(at_s)
                case Publish(text):
                    self._process.events.publish(self._live, Restarted(text))
                case Finish(record):
                    self._process.finish(self._live, record)

    def work(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Do something about a child in the background; cancelled when the compound ends."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    def _wake_at(self, at_s: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = asyncio.get_running_loop().call_at(at_s, lambda: self.tell(TimeUp()))

    async def _end(self, do: EndChild) -> None:
        await self.nursery.end(do.child, do.record, again=do.again)
        self.tell(ChildGone(do.child))

    async def _start(self, do: StartChild) -> None:
        name = do.child
        try:
            await self.nursery.start(name, await self._description(do))
        except EngineError as error:
            fault = error.fault
            text = f"deployment failed at {fault.where or self._live.path}"
            path = f"{self._live.path}:{name}"
            self.tell(StartFailed(name, Record(DEPLOYMENT_FAILURE, text, path, cause=fault)))
            return
        self.tell(ChildStarted(name))

    async def _description(self, do: StartChild) -> Description:
        """Put together what a child is to be made from.

        Raises:
            EngineError: There is no description, or its place could not be found.
        """
        found = self._live.value(do.template or do.child)
        if not isinstance(found, Description):
            raise EngineError(
                f"{do.template or do.child} has no description", where=self._live.path
            )
        found = found.overlaid(do.overrides)
        return await self._process.phases.placed(self._live, do.child, found)


def _failed(fault: Fault) -> Record:
    return Record.abnormal(f"its flow failed: {fault.message}", fault)


def child_ended(live: Live, name: str, record: Record) -> None:
    """Tell a compound that a child ended by itself; before it has started that fails the phase."""
    if live.state.ended:
        return
    if live.flow is not None and live.flow.begun and live.state is State.STARTED:
        if not live.flow.nursery.fail(name, record):
            live.process.write_fate(live, name, "down", record)
            live.process.readiness.child(live, name, ready=False)
            live.flow.tell(ChildEnded(name, record))
        return
    live.process.fail_growth(live, record)
