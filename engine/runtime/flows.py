"""The one runner of flows: tells a compound's flow what happened and does what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from engine.core.events import Restarted
from engine.core.faults import Ended, fault_of
from engine.core.flows import (
    ChildEnded,
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
from engine.core.lifecycle import Phase, State
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.live import Live, RemotePart
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.process import Process


class FlowRun:
    """One compound's flow while the compound is started."""

    def __init__(self, process: Process, live: Live, make_flow: Callable[[], Flow[Any]]) -> None:
        """Take the compound and what makes its decider, once its attributes are bound."""
        self._process = process
        self._live = live
        self._make_flow = make_flow
        self._flow: Flow[Any] = SharedFate()
        self._state: Any = None
        self._begun = False
        self._wake: asyncio.TimerHandle | None = None
        self._works: set[asyncio.Task[None]] = set()
        self._growing: dict[str, tuple[asyncio.Task[None], list[Record]]] = {}

    def begin(self) -> None:
        """Start deciding: the compound has started, or was adopted."""
        children = {name: child.state for name, child in self._live.children.items()}
        self._begun = True
        try:
            self._flow = self._make_flow()
            self._state, dos = self._flow.begin(children)
        except Exception as error:  # noqa: BLE001 - boundary: a flow may be an author's
            fault = fault_of(error)
            dos = [Finish(Record.abnormal(f"its flow failed: {fault.message}", fault))]
        self._perform(dos)

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
            fault = fault_of(error)
            dos = [Finish(Record.abnormal(f"its flow failed: {fault.message}", fault))]
        self._perform(dos)

    def fail_growth(self, name: str, record: Record) -> bool:
        """Stop a restart because something below it has ended; say whether there was one."""
        growing = self._growing.get(name)
        if growing is None:
            return False
        task, records = growing
        records.append(record)
        task.cancel()
        return True

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
                case StartChild(child):
                    self._work(self._restart(child))
                case EndChild(child, record):
                    self._work(self._end(child, record))
                case Drop(child):
                    self._work(self._drop(child))
                case WakeAt(at_s):
                    self._wake_at(at_s)
                case Publish(text):
                    self._process.events.publish(self._live, Restarted(text))
                case Finish(record):
                    self._process.finish(self._live, record)

    def _work(self, coroutine: Coroutine[object, object, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    def _wake_at(self, at_s: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = asyncio.get_running_loop().call_at(at_s, lambda: self.tell(TimeUp()))

    async def _gone(self, name: str) -> None:
        """Wait until an ended child is fully TERMINATED, then unlink it."""
        child = self._live.children.get(name)
        if isinstance(child, Live):
            if child.ending is not None:
                await asyncio.shield(child.ending)
        elif isinstance(child, RemotePart):
            await self._process.parts.end(child, child.record or Record.normal(), [])

    async def _drop(self, name: str) -> None:
        self._process.write_fate(self._live, name, "dropped", None)
        await self._gone(name)
        self._live.children.pop(name, None)

    async def _end(self, name: str, record: Record) -> None:
        child = self._live.children.get(name)
        if isinstance(child, Live):
            await asyncio.shield(self._process.ending.end(child, record))
        elif isinstance(child, RemotePart):
            await self._process.parts.end(child, record, [])
        self._live.children.pop(name, None)

    async def _restart(self, name: str) -> None:
        """Bring a child to life anew: the old one fully gone, then the three phases."""
        live = self._live
        old = live.children.get(name)
        restarts = old.restarts if isinstance(old, Live) else 0
        position = list(live.children).index(name) if name in live.children else None
        await self._gone(name)
        description = live.value(name)
        if not isinstance(description, Description):
            self.tell(StartFailed(name, Record.abnormal(f"{name} has no description")))
            return
        self._process.write_fate(live, name, "growing", None)
        failed = await self._try(name, description, restarts + 1)
        if failed is not None:
            self._process.write_fate(live, name, "down", failed)
            self.tell(StartFailed(name, failed))
            return
        self._process.write_fate(live, name, "", None)
        self._put_back(name, position)
        self.tell(ChildStarted(name))

    async def _try(self, name: str, description: Description, restarts: int) -> Record | None:
        """Grow a child; return nothing on success, else why not, with nothing of it left."""
        records: list[Record] = []
        growth = asyncio.get_running_loop().create_task(self._grow(name, description, restarts))
        self._growing[name] = (growth, records)
        try:
            await growth
            _refuse_ended(records)
        except asyncio.CancelledError:
            record = Record(DEPLOYMENT_FAILURE, "its parent is ending")
            if not records:
                growth.cancel()
                await asyncio.shield(self._undo(name, record))
                raise
            text = f"{records[0].component} ended before it had started: {records[0].description}"
            record = Record(DEPLOYMENT_FAILURE, text, f"{self._live.path}:{name}")
        except Exception as error:  # noqa: BLE001 - whatever failed, the flow must hear of it
            fault = fault_of(error)
            text = f"deployment failed at {fault.where or self._live.path}"
            record = Record(DEPLOYMENT_FAILURE, text, f"{self._live.path}:{name}", cause=fault)
        else:
            return None
        finally:
            del self._growing[name]
        await self._undo(name, record)
        return record

    async def _grow(self, name: str, description: Description, restarts: int) -> None:
        process, live = self._process, self._live
        incarnation = await process.born(live.segment, f"{live.path}:{name}")
        host = description.get("sfProcessHost")
        address = None
        if host is not None:
            found = await process.resolver.settle(live, host)
            address = await process.peers.elsewhere(str(found), where=live.path)
        if address is not None:
            part = RemotePart(live, name, process.new_id(), address)
            live.children[name] = part
            await process.parts.create(part, description)
            await process.parts.enter(part, Phase.DEPLOY)
            await process.parts.enter(part, Phase.START)
            return
        child = await process.phases.create(live.segment, live, name, description, incarnation)
        child.restarts = restarts
        await process.phases.enter(child, Phase.DEPLOY)
        await process.phases.enter(child, Phase.START)

    async def _undo(self, name: str, record: Record) -> None:
        child = self._live.children.pop(name, None)
        if isinstance(child, Live):
            await asyncio.shield(self._process.ending.end(child, record, orderly=True))
        elif isinstance(child, RemotePart):
            await self._process.parts.end(child, record, [])

    def _put_back(self, name: str, position: int | None) -> None:
        if position is None:
            return
        child = self._live.children.pop(name)
        items = list(self._live.children.items())
        items.insert(position, (name, child))
        self._live.children.clear()
        self._live.children.update(items)


def child_ended(live: Live, name: str, record: Record) -> None:
    """Tell a compound that a child ended by itself; before it has started that fails the phase."""
    if live.state.ended:
        return
    if live.flow is not None and live.flow.begun and live.state is State.STARTED:
        if not live.flow.fail_growth(name, record):
            live.process.write_fate(live, name, "down", record)
            live.flow.tell(ChildEnded(name, record))
        return
    live.process.fail_growth(live, record)


def _refuse_ended(records: list[Record]) -> None:
    if records:
        raise Ended("ended before it had started", where=records[0].component)
