"""Events between components: who hears whom, and what is done about what is heard."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from components.workflow.base import Workflow
from components.workflow.memory import ALL, EventFile, Memory, how_many
from components.workflow.serial import (
    Acting,
    At,
    Close,
    Idle,
    Outcome,
    Serial,
    Standing,
    Start,
    Step,
)
from engine.core.faults import BadDescription, EngineError
from engine.core.flows import (
    ChildEnded,
    Do,
    Done,
    Drop,
    EventIn,
    Flow,
    Happening,
    Publish,
    StartChild,
    StartFailed,
)
from engine.core.levels import level_of
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.runtime.attributes import attr, exposed
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, Kind, bool_, int_, plain, shown, str_
from engine.runtime.outbox import Outbox
from engine.wire.messages import Handle
from sfdl.values import Description, Kept, Part, PartKind, Reference, Value


def _data(value: Value) -> object:
    if isinstance(value, Description):
        raise BadValueError(f"must be plain data (got {shown(value)})")
    return plain(value)


data = Kind("plain data", "anyClass", _data)


class Listening(Workflow, type="event.component"):
    """Hears events and passes them on.

    `registerWith` is a LAZY reference to a component it wants to hear, or a list or block of them;
    `sendTo` of those it sends to. Delivery is in order for each pair, at most once, and never delays the
    sender; of more than 1000 events that wait for one sink the oldest are dropped.
    """

    apart: ClassVar[frozenset[str]] = frozenset({"condition", "registerWith", "sendTo"})

    @property
    def outbox(self) -> Outbox:
        """Return who listens to this component."""
        known: Outbox | None = self.__dict__.get("_outbox")
        if known is None:
            known = self.__dict__["_outbox"] = Outbox(self.live.process, self.live)
        return known

    # -- what is exposed

    @exposed()
    async def event(self, value: object) -> None:
        """Hear an event: plain data, handled first and then passed on."""
        await self.on_event(value)
        self.tell(EventIn(value))
        self.outbox.send(value)

    @exposed()
    async def register(self, sink: Handle) -> None:
        """Send all further events to a component as well."""
        self.outbox.add(sink, self.history())

    @exposed()
    async def deregister(self, sink: Handle) -> None:
        """Send nothing more to a component."""
        self.outbox.remove(sink)

    # -- what types differ in

    async def on_event(self, value: object) -> None:
        """Do something about an event before it is passed on."""

    def history(self) -> tuple[object, ...]:
        """Return what somebody hears who registers now."""
        return ()

    # -- wiring

    @override
    async def on_deploy(self) -> None:
        await super().on_deploy()
        for sink in await self._targets("sendTo"):
            self.outbox.add(sink)
        for source in await self._targets("registerWith"):
            await self.call(source, Listening, "register", self.handle)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for source in await self._targets("registerWith"):
            await self.call(source, Listening, "register", self.handle)

    @override
    async def on_terminate(self, record: Record) -> None:
        await self.outbox.sent()
        with contextlib.suppress(EngineError):
            for source in await self._targets("registerWith"):
                with contextlib.suppress(EngineError):
                    await self.call(source, Listening, "deregister", self.handle)

    async def _targets(self, block: str) -> list[Handle]:
        value = self.live.value(block)
        found = []
        for name, reference in self._entries(block, value):
            target = await self.live.process.resolver.resolve(self.live, reference)
            if not isinstance(target, Handle):
                text = f"{block}:{name} leads to a value, not to a component"
                raise BadDescription(text, code="SF-EVENT-001", where=self.path)
            found.append(target)
        return found

    def _entries(self, block: str, value: Value) -> list[tuple[str, Reference]]:
        pairs: list[tuple[str, Value]] = []
        if isinstance(value, Description):
            pairs = [
                (name, _outwards(each) if isinstance(each, Reference) else each)
                for name, each in value.attributes
            ]
        elif isinstance(value, Kept) and value.function == "Vector":
            pairs = _listed(value)
        elif value is not None:
            pairs = [("", value)]
        wrong = [name for name, each in pairs if not isinstance(each, Reference)]
        if wrong:
            raise BadDescription(
                f"{block} takes LAZY references to components, and {wrong[0] or block} is none",
                code="SF-EVENT-001", where=self.path,
            )  # fmt: skip
        return [(name, each) for name, each in pairs if isinstance(each, Reference)]


def _listed(value: Kept) -> list[tuple[str, Value]]:
    """Return the references of a list as the component that holds the list would have them."""
    import sfdl  # noqa: PLC0415 - the compiler is slow to import

    found = {need.slot[0]: need.at_holder for need in sfdl.needs(value)}
    return [
        (f"[{number}]", found.get(slot, literal))
        for number, (slot, literal) in enumerate(value.arguments)
    ]


def _outwards(reference: Reference) -> Reference:
    """Turn a reference held by a block into the same one held by the component around it."""
    first, *rest = reference.parts
    if first.kind is not PartKind.PARENT:
        return reference
    parts: tuple[Part, ...] = tuple(rest) or (Part(PartKind.THIS),)
    return Reference(parts, lazy=True, optional=reference.optional, default=reference.default)


class EventPrim(Listening, type="event.prim"):
    """Hears events and passes them on to those registered with it.

    Example:
        ear extends EventPrim { registerWith [LAZY ATTRIB other]; }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Standing()


class EventCompound(Listening, type="event.compound"):
    """A bus: what it hears goes to all that are registered with it. It has ordinary children.

    Example:
        bus extends EventCompound;
    """

    @override
    def made_with(self) -> frozenset[str]:
        return frozenset(self.several())

    @override
    def make_flow(self) -> Flow[Any]:
        return Sharing()


class Sharing(Standing):
    """Shares the fate of the children."""

    @override
    def on(self, state: Any, what: Happening, now_s: float) -> tuple[Any, tuple[Do, ...]]:
        if isinstance(what, ChildEnded | StartFailed):
            return state, (Done(what.record),)
        return state, ()


class EventSend(Listening, type="event.send"):
    """Sends its event when it starts, and ends.

    Example:
        tell extends EventSend { event "go"; sendTo LAZY ATTRIB other; }
    """

    value = attr(data, doc="What to send: plain data.", called="event")

    @override
    def make_flow(self) -> Flow[Any]:
        return Acting()

    @override
    async def perform(self, step: str) -> Record:
        self.outbox.send(self.value)
        return Record.normal("its event was sent")


class Counting(Serial):
    """Waits for a number of events."""

    def __init__(self, count: int, *, different: bool) -> None:
        """Take how many, and whether the same one counts once only."""
        self._count = count
        self._different = different

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, EventIn):
            text = json.dumps(outcome.value, default=str)
            if not self._different or text not in at.seen:
                seen = (*at.seen, text) if self._different else ()
                at = replace(at, count=at.count + 1, seen=seen)
        if at.count >= self._count:
            return at, Close(Record.normal(f"heard {at.count} events"))
        return at, Idle()


class EventCounter(Listening, type="event.counter"):
    """Ends normally after a number of events.

    Example:
        three extends EventCounter { count 3; registerWith LAZY ATTRIB other; }
    """

    count = attr(int_, 1, ge=0, le=100_000, doc="How many.")
    different = attr(
        bool_, True, doc="Count events that are the same once only.", called="allDifferent"
    )

    @override
    def make_flow(self) -> Flow[Any]:
        return Counting(self.count, different=self.different)


class Choosing(Serial):
    """Runs the child that an event names, and ends as it does."""

    def __init__(self, names: frozenset[str]) -> None:
        """Take the names of the children there may be."""
        self._names = names

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            return at, Close(outcome)
        name = _chosen(outcome, self._names)
        return at, Start(name) if name else Idle()


def _chosen(what: object, names: frozenset[str]) -> str:
    if not isinstance(what, EventIn):
        return ""
    text = str(what.value)
    if text in names:
        return text
    return "otherwise" if "otherwise" in names else ""


class Answering:
    """Runs a child for each event, until one fails."""

    state_type: type[At] = At

    def __init__(self, names: frozenset[str]) -> None:
        """Take the names of the children there may be."""
        self._names = names

    def begin(self, children: object) -> tuple[At, tuple[Do, ...]]:
        """Wait for events."""
        del children
        return At(), ()

    def resume(self, state: At, children: dict[str, State]) -> tuple[At, tuple[Do, ...]]:
        """Bring up again those that were on their way."""
        left = [str(child) for child in state.seen if child not in children]
        return state, tuple(StartChild(child, child.partition("-")[0]) for child in left)

    def on(self, state: At, what: Happening, now_s: float) -> tuple[At, tuple[Do, ...]]:
        """Start what an event names; be done when something fails."""
        del now_s
        match what:
            case EventIn():
                name = _chosen(what, self._names)
                if not name:
                    return state, ()
                child = f"{name}-{state.count}"
                new = replace(state, count=state.count + 1, seen=(*state.seen, child))
                return new, (StartChild(child, name),)
            case ChildEnded(child, record) | StartFailed(child, record):
                if not record.is_normal:
                    return state, (Done(Record.abnormal(record.sentence(), record.cause)),)
                seen = tuple(each for each in state.seen if each != child)
                return replace(state, seen=seen), (Drop(child), Publish(f"{child} is done"))
            case _:
                return state, ()


class OnEvent(Listening, type="event.on"):
    """Runs the description whose name equals the text of an event, or `otherwise`.

    Once, ending as that child does; or for each event until a child ends abnormally.

    Example:
        react extends OnEvent {
            registerWith LAZY ATTRIB other;
            go extends LAZY DoNothing { message "went"; }
        }
    """

    single = attr(bool_, True, doc="Take one event only.", called="singleEvent")

    @override
    def make_flow(self) -> Flow[Any]:
        table = self.live.context()
        apart = {"registerWith", "sendTo", "schema"}
        names = frozenset(
            name for name, value in table.items()
            if isinstance(value, Description) and name not in apart and "-" not in name
        )  # fmt: skip
        return Choosing(names) if self.single else Answering(names)


class EventQueue(EventPrim, type="event.queue"):
    """Remembers events, and replays them in order to each component that registers.

    What it remembers outlives a restart of the daemon.

    Example:
        news extends EventQueue { keep 100; }
        late extends EventLog { registerWith LAZY ATTRIB news; file "/tmp/news"; }
    """

    keep = attr(how_many, ALL, doc="Most events to remember, the newest ones; or all.")

    @override
    async def on_start(self) -> None:
        await super().on_start()
        file = await self.make(EventFile(str(self.work_folder / f"events-{self.live.id}")))
        await self.memory.keep_in(file, self.keep, self.run_blocking)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await super().on_adopt(effects)
        for effect in effects:
            if isinstance(effect, EventFile):
                await self.memory.keep_in(effect, self.keep, self.run_blocking, again=True)

    @property
    def memory(self) -> Memory:
        """Return what it remembers; before it has started, in memory only."""
        known: Memory | None = self.__dict__.get("_memory")
        if known is None:
            known = self.__dict__["_memory"] = Memory()
        return known

    @override
    async def on_event(self, value: object) -> None:
        await self.memory.add(value, self.run_blocking)

    @override
    def history(self) -> tuple[object, ...]:
        return self.memory.events


class EventLog(EventPrim, type="event.log"):
    """Writes events down: into a file, into its log, or, with neither, as events of the engine.

    Example:
        written extends EventLog { file "/tmp/events"; registerWith LAZY ATTRIB other; }
    """

    file = attr(str_, None, doc="File to append to, one line for each, with the time.")
    logger = attr(
        str_, None, choices=("trace", "debug", "info", "warn", "error"),
        doc="Level at which its log gets them; sflog shows it.",
    )  # fmt: skip

    @override
    async def on_event(self, value: object) -> None:
        text = f"event {json.dumps(value, default=str)}"
        if self.logger is not None:
            self.log.log(level_of(self.logger), text)
        if self.file is not None:
            await self.run_blocking(_append, self.file, value)
        elif self.logger is None:
            self.note(text)


def _append(file: str, value: object) -> None:
    line = json.dumps({"time": time.time(), "event": value}, default=str)
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
