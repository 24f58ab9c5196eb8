"""The one runner of flows: tells a compound's flow what happened and does what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from engine.core.decoding import from_json
from engine.core.events import Restarted
from engine.core.faults import EngineError, Fault, fault_of
from engine.core.flows import (
    ChildEnded,
    ChildGone,
    ChildStarted,
    CutOff,
    Do,
    Done,
    Drop,
    EndChild,
    Evaluate,
    Finish,
    Flow,
    Happening,
    Lasting,
    Perform,
    Performed,
    Publish,
    SharedFate,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
    Write,
)
from engine.core.lifecycle import State
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.conditions import judge
from engine.runtime.live import FLOW_STATE, Live, RemotePart
from engine.runtime.nursery import Nursery
from engine.runtime.settling import cut_off, settle
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.process import Process


class _Saved(msgspec.Struct):
    """A flow's state as it is kept, with what its clock and the wall showed."""

    now_s: float
    wall_s: float
    state: msgspec.Raw


class FlowRun:
    """One component's flow while the component is started.

    The flow's clock begins at 0 when it begins; that of a lasting flow goes on over restarts.

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
        self._zero_s = self._least_s = 0.0
        self._early: list[Happening] = []
        self._saving: asyncio.Handle | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._works: set[asyncio.Task[None]] = set()

    def begin(self, down: Collection[str] = ()) -> None:
        """Start deciding: the tree has started, or was adopted.

        Args:
            down: Children whose end is about to be told.
        """
        if self._live.state.ended:
            return
        children = {name: child.state for name, child in self._live.children.items()}
        children.update(dict.fromkeys(down, State.TERMINATED))
        if not self._begun:
            self._zero_s = asyncio.get_running_loop().time()
        self._begun = True
        try:
            self._flow = self._make_flow()
            saved = self._restored()
            if saved is not None and isinstance(self._flow, Lasting):
                self._state, dos = self._flow.resume(saved, children)
            else:
                self._state, dos = self._flow.begin(children)
        except Exception as error:  # noqa: BLE001 - boundary: a flow may be an author's
            dos = [Finish(_failed(fault_of(error)))]
        self._keep()
        self._perform(dos)
        early, self._early = self._early, []
        for what in early:
            self.tell(what)

    @property
    def lasting(self) -> bool:
        """Say whether what the flow was doing is known after a restart."""
        return isinstance(self._live.value(FLOW_STATE), str)

    def _restored(self) -> object | None:
        """Return the state kept by an earlier life, and set the clock by it."""
        text = self._live.value(FLOW_STATE)
        if not isinstance(text, str) or not isinstance(self._flow, Lasting):
            return None
        saved = from_json(text, _Saved)
        passed_s = max(0.0, self._process.wall_s() - saved.wall_s)
        if self._state is None:
            now_s = asyncio.get_running_loop().time()
            self._zero_s = now_s - saved.now_s - passed_s
        state: object = from_json(saved.state, self._flow.state_type)
        return state

    def _keep(self) -> None:
        if isinstance(self._flow, Lasting) and self._saving is None:
            self._saving = asyncio.get_running_loop().call_soon(self._save)

    def _save(self) -> None:
        self._saving = None
        if self._live.state.ended:
            return
        now_s = self._now_s()
        state = msgspec.Raw(msgspec.json.encode(self._state))
        saved = msgspec.json.encode(_Saved(now_s, self._process.wall_s(), state)).decode()
        self._process.keep_attribute(self._live, FLOW_STATE, saved)

    def renew(self) -> None:
        """Decide anew by the present attributes and children, after an update."""
        self.begin()

    @property
    def begun(self) -> bool:
        """Say whether the flow decides already."""
        return self._begun

    def tell(self, what: Happening) -> None:
        """Tell what happened; errors of the flow end the compound.

        Nothing is decided any more once the process goes down: its next life is told instead.
        """
        if self._live.state.ended or self._process.leaving:
            return
        if not self._begun:
            self._early.append(what)
            return
        now_s = self._now_s()
        before = self._state
        try:
            self._state, dos = self._flow.on(self._state, what, now_s)
        except Exception as error:  # noqa: BLE001 - boundary: a flow may be an author's
            dos = [Finish(_failed(fault_of(error)))]
        if self._state is not before:
            self._keep()
        self._perform(dos)

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel timers and work under way; return what is to be awaited."""
        for timer in (self._wake, self._saving):
            if timer is not None:
                timer.cancel()
        for work in self._works:
            work.cancel()
        return list(self._works)

    def _perform(self, dos: Sequence[Do]) -> None:
        for do in dos:
            work = self._takes_time(do)
            if work is not None:
                self.work(work)
            else:
                self._at_once(do)

    def _takes_time(self, do: Do) -> Coroutine[object, object, None] | None:
        match do:
            case StartChild():
                return self._start(do)
            case EndChild():
                return self._end(do)
            case Drop(child):
                return self.nursery.drop(child)
            case Done(record):
                return settle(self._process, self._live, record)
            case CutOff():
                return cut_off(self._process, self._live, do)
            case Evaluate(condition):
                return self._evaluate(condition)
            case Perform(step):
                return self._perform_step(step)
            case _:
                return None

    def _at_once(self, do: Do) -> None:
        match do:
            case WakeAt(at_s):
                self._wake_at(at_s)
            case Publish(text):
                self._process.events.publish(self._live, Restarted(text))
            case Finish(record):
                self._process.finish(self._live, record)
            case Write(name, value):
                self._live.write(name, value)
                self._process.keep_attribute(self._live, name, value)
            case _:
                pass

    def work(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Do something about a child in the background; cancelled when the compound ends."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    def _wake_at(self, at_s: float) -> None:
        if self._wake is not None:
            self._wake.cancel()

        def wake() -> None:
            self._least_s = max(self._least_s, at_s)  # sums of floats may fall short of it
            self.tell(TimeUp())

        self._wake = asyncio.get_running_loop().call_at(at_s + self._zero_s, wake)

    def _now_s(self) -> float:
        """Return what the flow's clock shows; never less than a time that has come."""
        return max(asyncio.get_running_loop().time() - self._zero_s, self._least_s)

    async def _evaluate(self, condition: str) -> None:
        self.tell(await judge(self._process, self._live, condition))

    async def _perform_step(self, step: str) -> None:
        try:
            record = await self._live.prim.perform(step)
        except Exception as error:  # noqa: BLE001 - boundary: an author's code
            fault = fault_of(error)
            record = Record.abnormal(fault.message, fault)
        self.tell(Performed(step, record))

    async def _end(self, do: EndChild) -> None:
        await self.nursery.end(do.child, do.record, again=do.again)
        self.tell(ChildGone(do.child))

    async def _start(self, do: StartChild) -> None:
        name = do.child
        try:
            await self.nursery.start(name, await self._description(do))
        except Exception as error:  # noqa: BLE001 - boundary: types place children by authors' code
            fault = fault_of(error)
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
        if found.data:
            found = Description(found.attributes, found.tags)
        found = found.overlaid(do.overrides)
        return await self._process.phases.placed(self._live, do.child, found)


def _failed(fault: Fault) -> Record:
    return Record.abnormal(f"its flow failed: {fault.message}", fault)


def child_ended(live: Live, name: str, record: Record) -> None:
    """Tell a compound that a child ended by itself.

    Before the tree has started, a failure fails the phase, and a normal end is told afterwards.
    """
    if live.state.ended:
        if live.flow is not None:
            live.flow.nursery.ended(name)
        return
    if live.flow is not None and live.flow.begun and live.state is State.STARTED:
        if not live.flow.nursery.fail(name, record):
            _tell_end(live, live.flow, name, record)
        return
    hold = live.process.growth_of(live) if record.is_normal else None
    if hold is not None:
        hold(lambda: child_ended(live, name, record))
    elif not live.process.fail_growth(live, record) and live.flow is not None:
        _tell_end(live, live.flow, name, record)


def _tell_end(live: Live, flow: FlowRun, name: str, record: Record) -> None:
    live.process.write_fate(live, name, "down", record)
    live.process.readiness.child(live, name, ready=False)
    flow.tell(ChildEnded(name, record))


def grown(root: Live, held: Sequence[Callable[[], None]]) -> None:
    """Let the flows of a tree that has grown decide from here on, parents first.

    Args:
        root: What has started.
        held: What happened meanwhile and waited for this.
    """
    hold = root.process.growth_of(root)
    for live in [] if hold is not None else list(root.walk()):
        if live.flow is not None and live.state is State.STARTED and not live.flow.begun:
            live.flow.begin()
    for work in held:
        if hold is not None:
            hold(work)
        else:
            work()


def holding(part: RemotePart) -> Callable[[Callable[[], None]], None] | None:
    """Return what keeps the news of a remote child until what it is part of has grown."""
    parent = part.parent
    nursery = parent.flow.nursery if parent.flow is not None else None
    if nursery is not None and nursery.growing(part.name):
        return lambda work: nursery.hold(part.name, work)
    return parent.process.growth_of(parent)
