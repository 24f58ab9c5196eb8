"""Flows: a parent's pure decision about its children.

A flow is asked with what happened and answers with what to do; it holds no clock and does no I/O, so
every decision can be replayed. The one runner is `engine.runtime.flows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from msgspec import Struct

from engine.core.leases import Verdict
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
    """A child is no longer there: ended by `EndChild`, cut off, or ended without telling."""

    child: str


class TimeUp(Struct, frozen=True):
    """The moment asked for by `WakeAt` has come."""


class EventIn(Struct, frozen=True):
    """Another component sent this; plain data."""

    value: object


class Asked(Struct, frozen=True):
    """Somebody changed what the flow goes by, or called a method that it decides about."""

    what: str
    value: object = None


class Performed(Struct, frozen=True):
    """What was asked for by `Perform` is done, or failed as the record says."""

    step: str
    record: Record


Happening: TypeAlias = (
    ChildStarted | ChildReady | StartFailed | ChildEnded | ChildGone | TimeUp | Verdict | EventIn
    | Asked | Performed
)  # fmt: skip


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
    """Ask again at this time on the clock of `now_s`; a later one replaces an earlier."""

    at_s: float


class Publish(Struct, frozen=True):
    """Leave an event that tells people what was decided."""

    text: str


class Finish(Struct, frozen=True):
    """End the parent itself with this record."""

    record: Record


class Done(Struct, frozen=True):
    """The job is done: what follows from a normal end is said by the `sfShould...` attributes."""

    record: Record


class CutOff(Struct, frozen=True):
    """Make applications of all children, then of the parent itself, then end it, as asked for.

    Attributes:
        children: Free the children.
        itself: Cut the parent off from its own parent.
        record: Why the parent ends then; nothing: it goes on.
    """

    children: bool = False
    itself: bool = False
    record: Record | None = None


class Evaluate(Struct, frozen=True):
    """Ask the condition under this attribute; told as a `Verdict`."""

    condition: str = "condition"


class Perform(Struct, frozen=True):
    """Call the component's own `perform` with this word; told as `Performed`."""

    step: str = ""


class Write(Struct, frozen=True):
    """Set an attribute of the parent."""

    name: str
    value: Value


Do: TypeAlias = (
    StartChild | EndChild | Drop | WakeAt | Publish | Finish | Done | CutOff | Evaluate | Perform
    | Write
)  # fmt: skip

S = TypeVar("S")


class Flow(Protocol[S]):
    """A parent's decisions as a pure state machine."""

    def begin(self, children: Mapping[str, State]) -> tuple[S, Sequence[Do]]:
        """Decide what to do when the parent has started, or was adopted with these children."""
        ...

    def on(self, state: S, what: Happening, now_s: float) -> tuple[S, Sequence[Do]]:
        """Decide what to do about one happening; `now_s` is seconds since the flow began."""
        ...


@runtime_checkable
class Lasting(Protocol[S]):
    """A flow whose state is kept over a restart of the daemon.

    Its clock goes on from where it was, the time in between included; so times in its state hold.

    Attributes:
        state_type: The class of its state: data that can be written as JSON.
    """

    state_type: type[S]

    def resume(self, state: S, children: Mapping[str, State]) -> tuple[S, Sequence[Do]]:
        """Go on after a restart.

        Args:
            state: As it was last.
            children: Those that run on, and those of whose end the flow is about to be told. One that
                is missing was on its way up or down, and nothing of it is left.
        """
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
