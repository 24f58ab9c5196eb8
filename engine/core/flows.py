"""Flows: a parent's pure decision about its children.

A flow is asked with what happened and answers with what to do; it holds no clock and does no I/O, so
every decision can be replayed. The one runner is `engine.runtime.flows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from msgspec import Struct

from engine.core.lifecycle import State
from engine.core.records import Record
from sfdl.values import Value


class ChildStarted(Struct, frozen=True):
    """A child asked for by `StartChild` has started."""

    child: str


class ChildReady(Struct, frozen=True):
    """A child's readiness changed."""

    child: str
    ready: bool


class StartFailed(Struct, frozen=True):
    """A child asked for by `StartChild` could not be started; nothing of it is left."""

    child: str
    record: Record


class ChildEnded(Struct, frozen=True):
    """A child ended by itself; told once, with its first record."""

    child: str
    record: Record


class ChildGone(Struct, frozen=True):
    """A child ended by `EndChild` is TERMINATED, and nothing of it is left."""

    child: str


class TimeUp(Struct, frozen=True):
    """The moment asked for by `WakeAt` has come."""


Happening: TypeAlias = ChildStarted | ChildReady | StartFailed | ChildEnded | ChildGone | TimeUp


class StartChild(Struct, frozen=True):
    """Create, deploy and start a child, once an earlier one of that name is gone.

    Attributes:
        child: Its name.
        template: Attribute of the parent that has its description; the one of its name if empty.
        overrides: Attributes that go on top of the description.
    """

    child: str
    template: str = ""
    overrides: tuple[tuple[str, Value], ...] = ()


class EndChild(Struct, frozen=True):
    """End this child; told as `ChildGone` once it is done, not as an end of its own.

    Attributes:
        again: It is to be started anew; should the daemon end in between, that is not forgotten.
    """

    child: str
    record: Record
    again: bool = False


class Drop(Struct, frozen=True):
    """Forget an ended child."""

    child: str


class WakeAt(Struct, frozen=True):
    """Ask again at this time (seconds on the clock of `now_s`); a later one replaces an earlier."""

    at_s: float


class Publish(Struct, frozen=True):
    """Leave an event that tells people what was decided."""

    text: str


class Finish(Struct, frozen=True):
    """End the parent itself with this record."""

    record: Record


Do: TypeAlias = StartChild | EndChild | Drop | WakeAt | Publish | Finish

S = TypeVar("S")


class Flow(Protocol[S]):
    """A parent's decisions as a pure state machine."""

    def begin(self, children: Mapping[str, State]) -> tuple[S, Sequence[Do]]:
        """Decide what to do when the parent has started, or was adopted with these children."""
        ...

    def on(self, state: S, what: Happening, now_s: float) -> tuple[S, Sequence[Do]]:
        """Decide what to do about one happening; `now_s` is monotonic seconds."""
        ...


class SharedFate:
    """The base rule: what ends one child ends the parent with the same record."""

    def begin(self, children: Mapping[str, State]) -> tuple[None, Sequence[Do]]:
        """Have nothing to do: the children are started by the phases."""
        del children
        return None, ()

    def on(self, state: None, what: Happening, now_s: float) -> tuple[None, Sequence[Do]]:
        """Pass an end on; everything else needs no decision."""
        del now_s
        if isinstance(what, ChildEnded | StartFailed):
            return state, (Finish(what.record),)
        return state, ()
