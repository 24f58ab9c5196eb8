"""`Prim`: the base class of every component an author writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from typing_extensions import override

from engine.core.events import Emitted
from engine.core.faults import EngineError, Kind, NotFound, fault_of
from engine.core.flows import Happening
from engine.core.leases import Verdict
from engine.core.records import Record
from engine.runtime.attributes import Declarations
from engine.runtime.conditions import judge
from engine.runtime.handles import decode_result
from engine.runtime.logbook import ComponentLog
from engine.runtime.requests import carry
from engine.settings import Settings
from engine.wire.codec import encode
from engine.wire.messages import Handle, Op, Result
from sfdl.values import Description, Part, PartKind, Reference, Value

if TYPE_CHECKING:
    from engine.runtime.channels import Duplex
    from engine.runtime.effects import Effect, Executor
    from engine.runtime.live import Live

T = TypeVar("T")
E = TypeVar("E", bound="Effect")

HOOKS = (
    "on_deploy",
    "on_start",
    "on_started",
    "on_ending",
    "on_terminate",
    "on_adopt",
    "check",
    "drain",
    "place_child",
    "check_update",
    "explain_update",
    "on_update",
    "on_update_started",
)


class Unwell(EngineError):
    """Raised by `check()`: the component does not do its job; the text says why."""

    kind = Kind.REFUSED


class Prim:
    """A component without children: declarations, hooks, and the means to make things.

    Hooks run on the engine's loop, one at a time, each with a deadline, and are cancelled when it
    passes. The order of a life: `on_deploy` (check and reserve; make nothing), `on_start` (make),
    `on_terminate` (only what effects do not cover; any prefix may have happened). Effects are undone
    afterwards, in reverse.

    Attributes:
        type_name: Short registered name, given as a class argument: `class X(Prim, type="my.x")`.
        reserved: This type's own defaults of reserved attributes.
        declarations: Everything declared with `attr`, `link`, `output` and `exposed`.
        hooks: Names of the hooks this type implements.
        creates_children: The type creates its children itself, with `create_child` or by its flow;
            the create phase leaves them alone.
        may_come_from_parent: Attributes that the component around this one may give instead, so that a
            library leaves them NULL.
    """

    type_name: ClassVar[str] = ""
    reserved: ClassVar[dict[str, Value]] = {}
    declarations: ClassVar[Declarations]
    hooks: ClassVar[frozenset[str]] = frozenset()
    creates_children: ClassVar[bool] = False
    may_come_from_parent: ClassVar[frozenset[str]] = frozenset()

    live: Live

    @override
    def __init_subclass__(cls, *, type: str = "", **kwargs: object) -> None:
        """Collect declarations and hooks, and merge the defaults of reserved attributes."""
        super().__init_subclass__(**kwargs)
        cls.type_name = type or cls.__dict__.get("type_name", "")
        cls.declarations = Declarations(cls)
        cls.hooks = frozenset(
            name for name in HOOKS if getattr(cls, name) is not getattr(Prim, name)
        )
        merged: dict[str, Value] = {}
        for base in reversed(cls.__mro__):
            merged.update(base.__dict__.get("reserved", {}))
        cls.reserved = merged

    def confidential(self) -> Collection[str]:
        """Return the names of attributes that are secret besides those that are tagged so."""
        return ()

    # -- hooks

    async def on_deploy(self) -> None:
        """Check and reserve; everything in the tree exists; make nothing."""

    async def on_start(self) -> None:
        """Make the component work; what is made with `make` is undone in reverse."""

    async def on_started(self) -> None:
        """Go on once all children have started."""

    async def on_ending(self, record: Record) -> None:
        """Do what has to be done while the children are still there; bounded as `on_terminate`."""

    async def on_terminate(self, record: Record) -> None:
        """Do what effects do not cover; any prefix of the life may have happened."""

    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        """Take up again after a restart of the daemon, with the effects found in place."""

    async def check(self) -> None:
        """Return if well; raise `Unwell` if not. Read bound values only; never block."""

    async def drain(self) -> None:
        """Move away: the daemon is about to stop. Return once moved; bounded by the daemon."""

    async def check_update(self, new: Mapping[str, Value]) -> bool:
        """Look at new attributes before anything is changed; raise to refuse the whole update.

        Returns:
            Whether this component can take them as it runs; else it is replaced.
        """
        del new
        return True

    async def explain_update(self, new: Mapping[str, Value]) -> Mapping[str, str]:
        """Say of attributes that would change how they take effect, for a plan; change nothing."""
        del new
        return {}

    async def on_update(self, old: Mapping[str, object], new: Mapping[str, object]) -> None:
        """Take new values of attributes, those that differ; they are bound already."""

    async def on_update_started(self) -> None:
        """Go on once the whole tree has been updated."""

    def doing(self) -> str:
        """Say in a few words what it does now, for the tree; nothing if there is nothing to say."""
        return ""

    def during(self, hook: str) -> AbstractContextManager[None]:
        """Enclose one of its hooks: `deploy`, `start`, `adopt`, `ending` or `terminate`.

        A type may say by this what it does; both of `on_start` and `on_started` are `start`.
        """
        del hook
        return nullcontext()

    @classmethod
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        """Look whether what a component needs is on this host, before there is one; change nothing.

        Args:
            given: Its plain attributes, bound, by the description's names; LAZY ones are missing.
            where: Its complete name to be.

        Raises:
            EngineError: Something is in the way; `sfstart --plan` shows it.
        """

    async def place_child(self, name: str, description: Description) -> Mapping[str, Value]:
        """Say where a child of this compound belongs, before it is created.

        Returns:
            Attributes that go on top of the description, such as `sfProcessHost`.
        """
        del name, description
        return {}

    async def perform(self, step: str) -> Record:
        """Do what the component's flow asked for with `Perform`.

        Returns:
            How it went; an error raised counts as an abnormal end of the step.
        """
        del step
        return Record.normal()

    async def open_channel(self, name: str) -> Duplex:
        """Open something that goes both ways, such as a console, for somebody far away.

        Raises:
            NotFound: The component offers nothing of that name.
            EngineError: It cannot be had now; the text says why.
        """
        kind = type(self).__name__
        raise NotFound(f"{self.path} is a {kind}, which has no {name}", code="SF-CHAN-001")

    def made_with(self) -> frozenset[str]:
        """Return children that the phases bring up though the type creates its children itself."""
        return frozenset()

    def dormant(self) -> frozenset[str]:
        """Return children that the phases create and deploy, but do not start."""
        return frozenset()

    def optional(self) -> frozenset[str]:
        """Return children whose readiness does not count for that of this component."""
        return frozenset()

    # -- what a component is

    @property
    def name(self) -> str:
        """Return the name below the parent."""
        return self.live.name

    @property
    def path(self) -> str:
        """Return the names from the application downwards, joined by `:`."""
        return self.live.path

    @property
    def work_folder(self) -> Path:
        """Return the daemon's folder for what components keep on this host."""
        return self.live.process.work_folder

    def service(self, factory: Callable[[], T]) -> T:
        """Return this process's one instance of a service."""
        return self.live.process.services.get(factory)

    @property
    def handle(self) -> Handle:
        """Return what others need to reach this component; may be passed to exposed methods."""
        return self.live.handle

    async def call(
        self, target: Handle, face: Callable[..., object], method: str, *data: object
    ) -> object:
        """Call an exposed method of a component known by its handle."""
        payload = encode(list(data))
        answer = await self.live.process.calls.call(target, method, payload)
        return decode_result(answer, face, method)

    async def above(self, name: str) -> Value | Handle:
        """Return the nearest attribute of that name above this component, or NULL."""
        parts = (Part(PartKind.PARENT), Part(PartKind.ATTRIB, name))
        try:
            return await self.live.process.resolver.resolve(self.live, Reference(parts, lazy=True))
        except NotFound:
            return None

    @property
    def settings(self) -> Settings:
        """Return the settings of the daemon."""
        return self.live.process.settings

    @property
    def log(self) -> ComponentLog:
        """Return the component's logger; its level can be changed per sub-tree while it runs."""
        return ComponentLog(self.live.process, self.live)

    # -- what a component does

    async def make(
        self, effect: E, *, keep: str = "never", executor: Executor | None = None,
        resume: bool = False,
    ) -> E:  # fmt: skip
        """Make an external thing: its intent is durable before it is made.

        Args:
            effect: What is to be there.
            keep: Which ends leave it: `never`, `always`, seconds as text, or types of records, such
                as `normal`. A rollback undoes it, unless its own type is among those.
            executor: Who runs its commands; ourselves if not given.
            resume: If an earlier creation of the component left it, take it over as it is.

        Returns:
            The effect with what became known while making it.

        Raises:
            NameTaken: A thing of that name is there and is not ours.
            Busy: An earlier thing at this path could not be undone yet.
        """
        return await self.live.process.keeper.make(
            self.live, effect, keep=keep, executor=executor, resume=resume
        )

    async def amend(self, effect: Effect, keep: str) -> None:
        """Change which ends leave something in place; durable when it returns.

        Args:
            effect: As `make` gave it back.
            keep: As for `make`.
        """
        await self.live.process.keeper.amend(self.live, effect, keep)

    async def unmake(self, effect: Effect) -> None:
        """Undo something before the component ends; what cannot be undone now is tried again.

        Args:
            effect: As `make` gave it back.
        """
        await self.live.process.keeper.unmake(self.live, effect)

    async def forget(self, effect: Effect) -> None:
        """Take in that something made is gone, or was set aside by wish; nothing is undone."""
        await self.live.process.keeper.forget(self.live, effect)

    async def run_blocking(self, function: Callable[..., T], *data: object) -> T:
        """Run a function in a worker thread; when cancelled, undo waits for the thread."""
        return await self.live.process.workers.run(function, *data, pending=self.live.threads)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run work in the background until the component ends; its failure ends the component."""
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(
            work, name=f"{self.path} background"
        )
        self.live.tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: asyncio.Task[object]) -> None:
        self.live.tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            fault = fault_of(error)
            self.live.process.finish(
                self.live, Record.abnormal(f"background work failed: {fault.message}", fault)
            )

    async def finish(self, record: Record) -> None:
        """End the component; returns at once, hooks run afterwards.

        A normal end while the tree is still starting waits until it has started.
        """
        self.live.process.done(self.live, record)

    def set_ready(self, ready: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Say whether the component is ready for those that depend on it."""
        self.live.process.readiness.say(self.live, ready=ready)

    def ready_when(self, condition: str, every_s: float, within_s: float = 0.0) -> None:
        """Be ready once the condition under that attribute says so.

        Args:
            condition: The attribute.
            every_s: Seconds between looks.
            within_s: Seconds after which it ends abnormally instead; 0: never.
        """
        watch = self.live.process.readiness.until_true(self.live, condition, every_s, within_s)
        self.spawn(watch)

    async def judge(self, condition: str) -> Verdict:
        """Ask the condition under an attribute; see `engine.runtime.conditions.judge`."""
        return await judge(self.live.process, self.live, condition)

    def tell(self, what: Happening) -> None:
        """Tell the component's own flow that something happened."""
        if self.live.flow is not None:
            self.live.flow.tell(what)

    async def request(
        self, address: str, op: Op, *, budget_s: float = 60.0, request_id: str = ""
    ) -> Result:
        """Have an operation carried out by a process; see `engine.runtime.requests.carry`."""
        return await carry(self.live.process, address, op, budget_s=budget_s, request_id=request_id)

    def age_s(self) -> float:
        """Return for how many seconds the component has been in its present state."""
        return asyncio.get_running_loop().time() - self.live.since_s

    def note(self, text: str, level: str = "info") -> None:
        """Leave an event with a sentence."""
        self.live.process.events.note(self.live, level, text)

    def emit(self, name: str, **facts: str | float | bool) -> None:
        """Leave an event of the component's own kind, with facts that are shown as text."""
        told = Emitted(name, tuple((key, str(fact)) for key, fact in facts.items()))
        self.live.process.events.publish(self.live, told)

    def progress(self, fraction: float, text: str) -> None:
        """Tell what the component is doing, and how far it has come from 0 to 1."""
        self.live.process.events.progress(self.live, fraction, text)
        self.live.process.operations.report(fraction, text)

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the loop."""
        await asyncio.sleep(seconds)

    async def fetch(self, name: str) -> object:
        """Read a declared attribute anew, following LAZY references, and check it.

        Raises:
            NotFound: The reference leads nowhere.
            BadDescription: The value does not fit the declaration.
        """
        return await self.live.process.resolver.fetch(self.live, name)

    async def get(self, reference: str) -> Value | Handle:
        """Follow any reference from here: a copy of a value, or a handle to a component."""
        from sfdl import parse_reference  # noqa: PLC0415 - the parser is slow to import

        return await self.live.process.resolver.resolve(self.live, parse_reference(reference))


Prim.declarations = Declarations(Prim)
