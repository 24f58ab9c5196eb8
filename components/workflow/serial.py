"""One thing at a time: the flow behind everything that runs, waits and asks in turn.

What differs between combinators is `next`: a pure function from where one is and how the last step
went to the next step. Resuming after a restart, timers, failures and stale news are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from msgspec import Struct
from typing_extensions import override

from components.workflow.base import failed
from engine.core.flows import (
    ChildEnded,
    ChildGone,
    Do,
    Done,
    Drop,
    Evaluate,
    EventIn,
    Happening,
    Perform,
    Performed,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
)
from engine.core.leases import Verdict
from engine.core.lifecycle import State
from engine.core.records import Record


class At(Struct, frozen=True):
    """Where a serial flow is.

    Attributes:
        stage: A word of the combinator's own.
        count: How often it has done something.
        until_s: When something is over as a whole.
        record: What is remembered.
        seen: Events that are remembered.
    """

    stage: str = ""
    count: int = 0
    until_s: float = 0.0
    record: Record | None = None
    seen: tuple[object, ...] = ()


class Start(Struct, frozen=True, tag="start"):
    """Run a child until it ends, or until a time if one is given; `template` as in `StartChild`."""

    child: str
    template: str = ""
    within_s: float | None = None


class Pause(Struct, frozen=True, tag="pause"):
    """Wait until this time."""

    until_s: float


class Test(Struct, frozen=True, tag="test"):
    """Ask the condition."""


class Act(Struct, frozen=True, tag="act"):
    """Have the component do something of its own."""

    step: str = ""


class Idle(Struct, frozen=True, tag="idle"):
    """Wait for what others do."""


class Close(Struct, frozen=True, tag="close"):
    """Be done."""

    record: Record


Step: TypeAlias = Start | Pause | Test | Act | Idle | Close


class Begun(Struct, frozen=True):
    """The flow begins."""


Outcome: TypeAlias = Begun | Record | TimeUp | Verdict | EventIn
"""How the last step went: a child's or the component's own record, time over, a verdict, an event."""


class Doing(Struct, frozen=True):
    """Where a serial flow is and what it is waiting for."""

    at: At
    step: Step


class Serial:
    """A flow that does one thing after the other; subclasses say which."""

    state_type: type[Doing] = Doing
    lasting_children: ClassVar[frozenset[str]] = frozenset({"condition"})

    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        """Decide the next step.

        Args:
            at: Where one is.
            outcome: How the last step went.
            now_s: Seconds since the flow began.
        """
        raise NotImplementedError

    def also(self, before: At, after: At) -> Sequence[Do]:
        """Return what else is to be done when the place has changed."""
        del before, after
        return ()

    def begin(self, children: Mapping[str, State]) -> tuple[Doing, Sequence[Do]]:
        """Take the first step."""
        del children
        return self._go(Doing(At(), Idle()), Begun(), 0.0)

    def resume(self, state: Doing, children: Mapping[str, State]) -> tuple[Doing, Sequence[Do]]:
        """Go on with the step that was under way, begun anew where nothing of it is left."""
        match state.step:
            case Start(child, _, within_s) if child in children:
                return state, () if within_s is None else (WakeAt(within_s),)
            case Close() | Idle():
                return state, ()
            case _:
                return state, self._take(state.step)

    def on(self, state: Doing, what: Happening, now_s: float) -> tuple[Doing, Sequence[Do]]:
        """Decide about one happening; what does not concern the step under way is old news."""
        match what, state.step:
            case ((ChildEnded(child, record) | StartFailed(child, record)), Start(busy)) if (
                child == busy
            ):
                return self._go(state, failed(record), now_s, child)
            case ChildGone(child), Start(busy) if child == busy:
                return self._go(state, Record.normal(f"{child} was let go"), now_s)
            case ChildEnded(child, record), Close():
                return state, (Drop(child),) if record.is_normal else (Done(failed(record)),)
            case ChildEnded(child, record), _ if child in self.lasting_children:
                text = f"{child} ended: {record.sentence()}"
                return self._go_to(state, state.at, Close(Record.abnormal(text, record.cause)))
            case TimeUp(), (Pause(until_s) | Start(within_s=float(until_s))) if now_s >= until_s:
                return self._go(state, what, now_s)
            case Verdict(), Test():
                return self._go(state, what, now_s)
            case Performed(step, record), Act(wanted) if step == wanted:
                return self._go(state, record, now_s)
            case EventIn(), Idle():
                return self._go(state, what, now_s)
            case _:
                return state, ()

    def _go(
        self, state: Doing, outcome: Outcome, now_s: float, ended: str = ""
    ) -> tuple[Doing, Sequence[Do]]:
        at, step = self.next(state.at, outcome, now_s)
        new, dos = self._go_to(state, at, step)
        again = isinstance(step, Close) or (isinstance(step, Start) and step.child == ended)
        return new, dos if not ended or again else (Drop(ended), *dos)

    def _go_to(self, state: Doing, at: At, step: Step) -> tuple[Doing, Sequence[Do]]:
        return Doing(at, step), (*self.also(state.at, at), *self._take(step))

    def _take(self, step: Step) -> tuple[Do, ...]:
        match step:
            case Start(child, template, within_s):
                start = StartChild(child, template)
                return (start,) if within_s is None else (start, WakeAt(within_s))
            case Pause(until_s):
                return (WakeAt(until_s),)
            case Test():
                return (Evaluate(),)
            case Act(word):
                return (Perform(word),)
            case Close(record):
                return (Done(record),)
            case Idle():
                return ()


class Standing(Serial):
    """Stays, whatever it hears."""

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        return at, Idle()


class Acting(Serial):
    """Has its component do one thing, and is done."""

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            return at, Close(outcome)
        return at, Act()
