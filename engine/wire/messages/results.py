"""What comes of an operation: how far it is, one result for each kind, or a fault."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.faults import Fault
from engine.core.records import Record
from engine.wire.codec import FlatTree
from engine.wire.messages.handles import Handle


class Progress(Struct, frozen=True):
    """How far an operation has come: a sentence, and steps done of a known total."""

    text: str
    done: int = 0
    total: int = 0


class Grown(Struct, frozen=True, tag="grown"):
    """Result of Create, Deploy, Start and Graft.

    Attributes:
        root: Handle of the part's root component.
        components: How many there are, parts in other processes included.
        hosts: Addresses of the processes that hold them.
        times_ms: Milliseconds per phase.
        ready: Whether the root is ready.
    """

    root: Handle
    components: int
    hosts: tuple[str, ...]
    times_ms: tuple[tuple[str, int], ...] = ()
    ready: bool = False


class Gone(Struct, frozen=True, tag="gone"):
    """Result of Terminate and Stop.

    Attributes:
        components: How many were ended.
        errors: What hooks raised on the way.
        leftovers: Effects and remote parts that the reaper still has to undo.
    """

    name: str
    components: int
    took_ms: int
    record: Record
    errors: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


class Returned(Struct, frozen=True, tag="returned"):
    """Result of Call: encoded data."""

    value: bytes


class Pong(Struct, frozen=True, tag="pong"):
    """Result of Ping."""

    name: str
    state: str
    ready: bool
    good: bool | None
    text: str
    record: Record | None = None


class Changed(Struct, frozen=True, tag="changed"):
    """Result of Set: the values before, as trees of one attribute called `value`."""

    name: str
    old: tuple[FlatTree, ...]
    generation: int


class Cut(Struct, frozen=True, tag="cut"):
    """Result of Detach: complete name before and after, and the process that holds it."""

    before: str
    name: str
    address: str


class Cancelled(Struct, frozen=True, tag="cancelled"):
    """Result of Cancel: whether there was something to stop."""

    found: bool


class Drained(Struct, frozen=True, tag="drained"):
    """Result of Drain: the state of the process, who moved, and who did not and why."""

    state: str
    moved: int
    stayed: tuple[str, ...]


class Updated(Struct, frozen=True, tag="updated"):
    """Result of Update: how many components were altered, replaced, made and ended.

    Attributes:
        generation: How often the application was updated, from 1 on.
    """

    name: str
    altered: int
    replaced: int
    made: int
    ended: int
    generation: int


class Levelled(Struct, frozen=True, tag="levelled"):
    """Result of SetLevel: the level that counts for a component now."""

    path: str
    level: str


class Spawned(Struct, frozen=True, tag="spawned"):
    """Result of Spawn: where the sub-process answers."""

    name: str
    address: str


Result: TypeAlias = (
    Grown
    | Gone
    | Returned
    | Pong
    | Changed
    | Cut
    | Cancelled
    | Drained
    | Spawned
    | Updated
    | Levelled
)


class Answer(Struct, frozen=True, tag="answer"):
    """How an operation stands: `running`, `done` with a result, or `failed` with a fault."""

    status: str
    progress: Progress | None = None
    result: Result | None = None
    fault: Fault | None = None
