"""Live components as the engine keeps them, beside the objects authors write.

A `Live` is one node of the tree in this process: its place, its attribute table (the shared
description plus a small dict of changes), its state, and what it has made. A `RemotePart` stands for
a child that lives in another process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from engine.core.events import Ident
from engine.core.leases import Lease, Verdict, Watch
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.core.secrecy import NOTHING, TAG, secret_names
from engine.runtime.effects import Owner
from engine.wire.messages import Handle, ParentLink
from sfdl.values import Description, Tbd, Value

if TYPE_CHECKING:
    from engine.core.ordering import Order
    from engine.prim import Prim
    from engine.runtime.effects import Effect, Site
    from engine.runtime.flows import FlowRun
    from engine.runtime.handles import Link
    from engine.runtime.ledger import EffectRow
    from engine.runtime.nursery import Nursery
    from engine.runtime.process import Process


def component_id(segment: str, path: str, incarnation: int) -> str:
    """Derive a component's id: the same after a restart of the daemon, never used for another."""
    text = f"{segment}\0{path}\0{incarnation}".encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest()


FLOW_STATE = "sfFlowState"
"""Attribute of a component whose flow goes on over a restart of the daemon: what it was doing."""
GENERATION = "sfGeneration"
"""Attribute of an application's root: how often it was updated, from 1 on."""


class Origin(Struct, frozen=True):
    """Where the components of a segment were made, if that is not where they are now.

    Ids and owner records go by the place of birth; cutting a tree off changes neither.
    """

    segment: str
    application: str
    path: str


class Made:
    """An effect of a live component, with its row in the ledger."""

    __slots__ = ("effect", "row", "site")

    def __init__(self, effect: Effect, row: EffectRow, site: Site) -> None:
        """Keep the effect beside what the ledger says of it."""
        self.effect = effect
        self.row = row
        self.site = site


class RemotePart:
    """A child that lives in another process, as its parent's process sees it.

    Attributes:
        asked: It may have been asked to start.
    """

    __slots__ = ("address", "asked", "components", "early", "ended", "hosts", "made", "name",
                 "parent", "path", "ready", "record", "root", "segment", "state", "watch")  # fmt: skip

    def __init__(self, parent: Live, name: str, segment: str, address: str) -> None:
        """Stand for the segment that is to be made at this address."""
        self.parent = parent
        self.name = name
        self.path: str = f"{parent.path}:{name}"
        self.segment = segment
        self.address = address
        self.asked = True
        self.root: Handle | None = None
        self.made: Made | None = None
        self.state = State.CREATING
        self.record: Record | None = None
        self.watch: Watch | None = None
        self.early: Record | None = None
        self.components = 0
        self.ready = False
        self.hosts: tuple[str, ...] = ()
        self.ended = asyncio.Event()

    @property
    def place(self) -> str:
        """Return the complete name under which it was made; it keeps that when its path changes."""
        return f"{self.parent.place}:{self.name}"


class Live:
    """One live component in this process.

    Attributes:
        willing: Its own rule of readiness holds.
        unready: Children it waits for to be ready, for a compound that has started.
        order: In which waves its children come to life, where that is not plain declaration.
    """

    __slots__ = (
        "_table",
        "bound",
        "changes",
        "checked_s",
        "children",
        "confided",
        "description",
        "effects",
        "ending",
        "flow",
        "generation",
        "health",
        "id",
        "incarnation",
        "lazy_names",
        "name",
        "order",
        "parent",
        "path",
        "prim",
        "ready",
        "record",
        "restarts",
        "segment",
        "since_s",
        "state",
        "tasks",
        "threads",
        "unready",
        "willing",
    )  # fmt: skip

    def __init__(
        self,
        segment: Segment,
        parent: Live | None,
        name: str,
        description: Description,
        incarnation: int,
    ) -> None:
        """Take the place of a component that is about to be created."""
        self.segment = segment
        self.parent = parent
        self.name = name
        self.path: str = f"{parent.path}:{name}" if parent is not None else segment.path
        self.description = description
        self.incarnation = incarnation
        self.id = component_id(segment.origin.segment, self.place, incarnation)
        self.changes: dict[str, Value] = {}
        self.bound: dict[str, object] = {}
        self.confided: set[str] = set()
        self.lazy_names: tuple[str, ...] = ()
        self.children: dict[str, Live | RemotePart] = {}
        self.effects: list[Made] = []
        self.tasks: set[asyncio.Task[object]] = set()
        self.threads: set[asyncio.Future[object]] = set()
        self.state = State.CREATING
        self.since_s = 0.0
        self.ready = False
        self.willing = False
        self.unready: set[str] | None = None
        self.order: Order | None = None
        self.health = Verdict(None)
        self.checked_s = 0.0
        self.record: Record | None = None
        self.restarts = 0
        self.generation = 0
        self.ending: asyncio.Task[None] | None = None
        self.flow: FlowRun | None = None
        self.prim: Prim
        self._table: dict[str, Value] | None = None

    @property
    def place(self) -> str:
        """Return the complete name under which it was made; it keeps that when its path changes."""
        segment = self.segment
        if segment.origin.path == segment.path:
            return self.path
        return segment.origin.path + self.path[len(segment.path) :]

    @property
    def owner(self) -> Owner:
        """Return whose a thing is that this component makes."""
        return Owner(
            self.process.community, self.segment.origin.application, self.place, self.incarnation
        )

    @property
    def process(self) -> Process:
        """Return the process that holds the component."""
        return self.segment.process

    @property
    def ident(self) -> Ident:
        """Return the component's identity, valid everywhere."""
        return Ident(self.process.daemon_id, self.id)

    @property
    def handle(self) -> Handle:
        """Return what other processes need to reach the component."""
        return Handle(self.ident, self.process.address, self.path)

    # -- attributes

    def has(self, name: str) -> bool:
        """Say whether the component has an attribute of that name, children included."""
        if name in self.changes:
            return not isinstance(self.changes[name], Tbd)
        return name in self._attributes()

    def value(self, name: str) -> Value:
        """Return an attribute as it stands, unresolved; NULL where there is none."""
        if name in self.changes:
            changed = self.changes[name]
            return None if isinstance(changed, Tbd) else changed
        return self._attributes().get(name)

    def context(self) -> dict[str, Value]:
        """Return all attributes in order, changes applied."""
        if not self.changes:
            return dict(self._attributes())
        whole = {**self._attributes(), **self.changes}
        return {name: value for name, value in whole.items() if not isinstance(value, Tbd)}

    def described(self) -> dict[str, Value]:
        """Return all attributes in order as others have set them, without what the component writes."""
        written = type(self.prim).declarations.outputs
        mine = {name: value for name, value in self.changes.items() if name not in written}
        whole = {**self._attributes(), **mine}
        return {name: value for name, value in whole.items() if not isinstance(value, Tbd)}

    def _attributes(self) -> dict[str, Value]:
        if self._table is None:
            self._table = dict(self.description.attributes)
        return self._table

    def write(self, name: str, value: Value) -> None:
        """Set an attribute from inside; an event says so when it differs."""
        if name in self.changes and self.changes[name] == value:
            return
        self.changes[name] = value
        self.process.events.attribute(self, name, value)

    def keep(self, **values: Value) -> None:
        """Set attributes from inside of which no event tells: what they say others have told."""
        self.changes.update(values)

    def is_secret(self, name: str) -> bool:
        """Say whether an attribute is secret: tagged so, said so by the component, or led to one."""
        if name in self.confided or name in secret_names(self.description):
            return True
        declared = type(self.prim).declarations.attrs.get(name)
        tagged = declared is not None and TAG in declared.tags
        return tagged or name in self.prim.confidential()

    @property
    def has_secrets(self) -> bool:
        """Say whether any attribute holds a secret, or a reference was followed to one."""
        if self.confided:
            return True
        declared = type(self.prim).declarations.attrs.items()
        tagged = (name for name, attribute in declared if TAG in attribute.tags)
        names = {*secret_names(self.description), *tagged, *self.prim.confidential()}
        return any(self.value(name) not in NOTHING for name in names)

    def inherited(self, name: str) -> Value:
        """Return the nearest definition of a reserved attribute going up, or NULL.

        The order is: the component's own, its type's default, its parents', what held above the
        segment, and nothing.
        """
        at: Live | None = self
        while at is not None:
            value = at.value(name)
            if value is not None:
                return value
            default = type(at.prim).reserved.get(name)
            if default is not None and at is self:
                return default
            at = at.parent
        return self.segment.inherited.get(name)

    def seconds(self, name: str, default: float) -> float:
        """Return a reserved attribute of the component itself in seconds."""
        value = self.value(name)
        if value is None:
            value = type(self.prim).reserved.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return float(value)
        return default

    def number(self, name: str, default: float) -> float:
        """Return the nearest definition of a reserved number going up, or the default."""
        value = self.inherited(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return float(value)
        return default

    def flag(self, name: str) -> bool:
        """Return a reserved Boolean of the component itself, false where it is not set."""
        value = self.value(name)
        if value is None:
            value = type(self.prim).reserved.get(name)
        return value is True

    def swap(self, description: Description) -> None:
        """Take another description; changes stay."""
        self.description = description
        self._table = None

    @property
    def nursery(self) -> Nursery:
        """Return what brings up single children; only compounds have one."""
        if self.flow is None:
            raise TypeError(f"{self.path} has no children")
        return self.flow.nursery

    def link(self, name: str) -> Link[Any]:
        """Return the live link declared under this name."""
        from engine.runtime.handles import Link  # noqa: PLC0415 - the two know each other

        return Link(self, name)

    # -- the tree

    def child_descriptions(self) -> list[tuple[str, Description]]:
        """Return the attributes that are deployed as children, in order, changes applied."""
        table = self.context() if self.changes else dict(self.description.attributes)
        return [
            (name, value)
            for name, value in table.items()
            if isinstance(value, Description) and not value.data
        ]

    def walk(self) -> Iterator[Live]:
        """Give this component and everything below it in this process, parents first."""
        stack: list[Live] = [self]
        while stack:
            live = stack.pop()
            yield live
            stack.extend(
                child for child in reversed(live.children.values()) if isinstance(child, Live)
            )

    def parts(self) -> Iterator[RemotePart]:
        """Give the remote children of this component and of everything below it here."""
        for live in self.walk():
            for child in live.children.values():
                if isinstance(child, RemotePart):
                    yield child


class Segment:
    """A maximal part of an application held by one process.

    Attributes:
        inherited: Reserved values that hold above it.
        origin: Where its components were made.
        orphan_since_s: Since when its parent has been silent for longer than the lease.
        ended_as_orphans: What has ended because of that, below what has not.
        lease: How long it goes on without hearing from its parent; nothing for an application root.
        growth: The task that is bringing it to life, while there is one.
        report: Told of every component that has entered the phase under way.
        aborted: Why the growth was stopped from outside.
        held: What is to be done once it has started.
    """

    def __init__(
        self,
        process: Process,
        *,
        id_: str,
        application: str,
        path: str,
        name: str,
        parent: ParentLink | None,
        description: Description,
        incarnation: int,
        inherited: dict[str, Value],
        origin: Origin | None = None,
    ) -> None:
        """Describe a part that is about to be made, or was found in the ledger."""
        self.process = process
        self.id = id_
        self.application = application
        self.path = path
        self.name = name
        self.parent = parent
        self.description = description
        self.incarnation = incarnation
        self.inherited = inherited
        self.origin = origin or Origin(id_, application, path)
        self.root: Live
        self.state = "created"
        self.lease: Lease | None = None
        self.orphan_since_s: float | None = None
        self.ended_as_orphans: list[Live] = []
        self.growth: asyncio.Task[Any] | None = None
        self.updating = False
        self.report: Callable[[str, int, int], None] | None = None
        self.done = 0
        self.total = 0
        self.aborted: Record | None = None
        self.aborted_by_request = False
        self.finished = asyncio.Event()
        self.held: list[Callable[[], None]] = []
        self.times_ms: list[tuple[str, int]] = []
        self.errors: list[str] = []
        self.leftovers: list[str] = []
        self.ended_elsewhere = 0

    @property
    def version(self) -> int:
        """Return how often it was updated, from 1 on."""
        value = self.root.value(GENERATION)
        return value if isinstance(value, int) else 1

    def parts(self) -> list[RemotePart]:
        """Return all parts in other processes; none while it is only being made."""
        return list(self.root.parts()) if hasattr(self, "root") else []

    def rename(self, application: str, path: str, name: str) -> None:
        """Take another complete name; ids and places of birth stay."""
        if hasattr(self, "root"):
            for live in self.root.walk():
                live.path = path + live.path[len(self.path) :]
                for child in live.children.values():
                    if isinstance(child, RemotePart):
                        child.path = f"{live.path}:{child.name}"
        self.application, self.path, self.name = application, path, name

    def split(self, live: Live, id_: str, name: str, inherited: dict[str, Value]) -> Segment:
        """Move a component and all below it into a new segment, under their old paths for now."""
        origin = Origin(self.origin.segment, self.origin.application, live.place)
        one = Segment(
            self.process,
            id_=id_,
            application=name,
            path=live.path,
            name=name,
            parent=None,
            description=live.description,
            incarnation=live.incarnation,
            inherited=inherited,
            origin=origin,
        )
        one.root, one.state = live, "started"
        for each in live.walk():
            each.segment = one
            for made in each.effects:
                made.row = replace(made.row, segment=id_)
        return one

    def stepped(self, text: str, components: int = 1) -> None:
        """Count components that have entered the phase under way, and tell whoever follows."""
        self.done += components
        if self.report is not None:
            self.report(text, self.done, self.total)
