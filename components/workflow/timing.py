"""Time around an action: `Timeout`, `During`, `Delay`, `SlowStart`, and `DoNothing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from components.workflow.base import Workflow, signed_ms, word
from components.workflow.events import Listening
from components.workflow.serial import At, Begun, Close, Idle, Outcome, Pause, Serial, Start, Step
from engine.core.flows import EventIn, Flow, TimeUp
from engine.core.records import Record
from engine.runtime.attributes import attr
from engine.runtime.kinds import bool_, duration_ms, str_
from sfdl.values import Description, Value


class Limited(Serial):
    """Runs one child for at most some time."""

    def __init__(self, child: str, limit_s: float | None, late: Record) -> None:
        """Take the child, the seconds it has (nothing: for ever), and what to end with then."""
        self._child = child
        self._limit_s = limit_s
        self._late = late

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            return at, Close(outcome)
        if isinstance(outcome, TimeUp):
            return at, Close(self._late)
        within_s = None if self._limit_s is None else now_s + self._limit_s
        return at, Start(self._child, within_s=within_s)


class Timeout(Workflow, type="flow.timeout"):
    """Runs its action, and ends abnormally with it if it has not ended in time.

    Example:
        bounded extends Timeout {
            time "1m";
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    needs_action = True
    time = attr(duration_ms, 0, doc="Milliseconds it has; 0 is no limit.")

    @override
    def make_flow(self) -> Flow[Any]:
        late = Record.abnormal(f"{self.action()} has not ended within {self.time:g} s")
        return Limited(self.action(), self.time or None, late)


class During(Workflow, type="flow.during"):
    """Runs its action for some time and then ends normally with it, or before as the action does.

    Example:
        awhile extends During { time "10s"; action extends Process { cmd [|"sleep", "60"|]; } }
    """

    needs_action = True
    time = attr(signed_ms, 0, doc="Milliseconds it runs; 0: not at all, negative: no limit.")

    @override
    def make_flow(self) -> Flow[Any]:
        over = Record.normal(f"its time of {self.time:g} s is over")
        if self.time == 0:
            return Waiting("", 0.0, over)
        return Limited(self.action(), self.time if self.time > 0 else None, over)


class Waiting(Serial):
    """Waits, and then runs a child or is done."""

    def __init__(self, child: str, wait_s: float, done: Record | None) -> None:
        """Take the child or an empty string, the seconds, and the record without a child."""
        self._child = child
        self._wait_s = wait_s
        self._done = done

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            return at, Close(outcome)
        if isinstance(outcome, EventIn):
            return at, Idle()
        if isinstance(outcome, Begun) and self._wait_s > 0:
            return replace(at, stage="waiting"), Pause(now_s + self._wait_s)
        if self._child:
            return at, Start(self._child)
        return at, Idle() if self._done is None else Close(self._done)


class Delay(Workflow, type="flow.delay"):
    """Waits, then runs its action and ends as it does; without an action it just ends.

    Example:
        later extends Delay {
            time "5s";
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    time = attr(duration_ms, 0, doc="Milliseconds to wait.")

    @override
    def make_flow(self) -> Flow[Any]:
        child = self.action() if self.described("action") or self.several() else ""
        return Waiting(child, self.time, Record.normal(f"waited {self.time:g} s"))


class SlowStart(Workflow, type="flow.slowstart"):
    """Runs its action; until that was well once, or the delay is over, being unwell does not count.

    Example:
        slow extends SlowStart {
            delay "30s";
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    needs_action = True
    delay = attr(duration_ms, 1000, doc="Milliseconds it may take to become well.")

    @override
    def make_flow(self) -> Flow[Any]:
        return Limited(self.action(), None, Record.normal())

    @override
    async def place_child(self, name: str, description: Description) -> Mapping[str, Value]:
        return {"sfStartGrace": self.delay}


class DoNothing(Listening, type="flow.donothing"):
    """Waits and then ends as it is told: for tests, and where something is still to come.

    Example:
        pause extends DoNothing { time "1s"; }
    """

    time = attr(duration_ms, 0, doc="Milliseconds to wait.")
    ends = attr(
        word, "normal", doc="Type of the record to end with; none: stay.", called="terminationType"
    )
    message = attr(str_, "", doc="What the record says.")
    print_events = attr(bool_, False, doc="Leave a line for each event.", called="printEvents")

    @override
    def make_flow(self) -> Flow[Any]:
        done = None if self.ends == "none" else Record(self.ends, self.message or "did nothing")
        return Waiting("", self.time, done)

    @override
    async def on_event(self, value: object) -> None:
        if self.print_events:
            self.note(f"heard {value}")
