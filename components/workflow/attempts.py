"""What follows from how an action ended: `Retry`, `Try`, `Attempt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from components.workflow.base import Workflow, as_data, matches
from components.workflow.serial import At, Close, Outcome, Pause, Serial, Start, Step
from engine.core.flows import Do, Flow, Publish, Write
from engine.core.records import Record
from engine.core.supervision import Backoff
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import duration_ms, float_, int_, strings
from sfdl.values import Description

YEAR_S = 365.0 * 86400


class Retrying(Serial):
    """Runs one child again after certain ends of it."""

    def __init__(self, child: str, retries: int, backoff: Backoff, types: tuple[str, ...]) -> None:
        """Take the child, how often to run it again, the waits, and after which types of end."""
        self._child = child
        self._retries = retries
        self._backoff = backoff
        self._types = types

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if not isinstance(outcome, Record):
            return replace(at, count=at.count + 1), Start(self._child)
        if outcome.is_normal or not matches(outcome, self._types) or at.count > self._retries:
            return at, Close(outcome)
        wait_s = self._backoff.wait_s(at.count - 1, self._child)
        if wait_s > 0:
            return replace(at, record=outcome), Pause(now_s + wait_s)
        return replace(at, record=outcome, count=at.count + 1), Start(self._child)

    @override
    def also(self, before: At, after: At) -> Sequence[Do]:
        if after.count == before.count:
            return ()
        if after.count == 1 or after.record is None:
            return (Write("count", after.count),)
        text = f"attempt {after.count} after {after.record.sentence()}"
        return (Write("count", after.count), Publish(text))


class Retry(Workflow, type="flow.retry"):
    """Runs its action, and a fresh copy of it after each failure, up to a number of times.

    Example:
        stubborn extends Retry {
            retry 2; delay "1s"; backoff 2.0;
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    needs_action = True
    retry = attr(int_, 1, ge=0, doc="How often to run it again.")
    delay = attr(duration_ms, 0, doc="Milliseconds before the first repetition.")
    backoff = attr(float_, 1.0, ge=1, doc="Growth of the wait with each further repetition.")
    most_delay = attr(duration_ms, None, doc="Most milliseconds to wait.", called="maxDelay")
    jitter = attr(float_, 0.0, ge=0, le=1, doc="Share of the wait that chance may add.")
    types = attr(
        strings, ("abnormal",), doc="Types of end after which it is run again.", called="on"
    )
    count = output(int, doc="Attempts so far, the one under way included.")

    @override
    def make_flow(self) -> Flow[Any]:
        most_s = YEAR_S if self.most_delay is None else self.most_delay
        backoff = Backoff(self.delay, most_s, self.backoff, 0.0, self.jitter, self.live.id)
        return Retrying(self.action(), self.retry, backoff, self.types)


class Trying(Serial):
    """Runs one child, and then the one that stands for the type of its end."""

    def __init__(self, child: str, handlers: frozenset[str]) -> None:
        """Take the child and the names of all others."""
        self._child = child
        self._handlers = handlers

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if not isinstance(outcome, Record):
            return at, Start(self._child)
        if at.stage == "handling":
            return at, Close(outcome)
        handler = self._handler(outcome)
        if not handler:
            return at, Close(outcome)
        return replace(at, stage="handling", record=outcome), Start(handler)

    def _handler(self, record: Record) -> str:
        if record.type in self._handlers:
            return record.type
        if "abnormal" in self._handlers and matches(record, ("abnormal",)):
            return "abnormal"
        return "otherwise" if "otherwise" in self._handlers else ""


class Try(Workflow, type="flow.try"):
    """Runs its action, then the child named like the type of its end, and ends as that one does.

    The child `otherwise` stands for all types that have none of their own. Without either it ends with
    the record of the action.

    Example:
        careful extends Try {
            action extends Process { cmd [|"true"|]; terminate true; }
            abnormal extends LAZY DoNothing { message "it failed, and that is all right"; }
        }
    """

    needs_action = True

    @override
    def make_flow(self) -> Flow[Any]:
        action = self.action()
        table = self.live.context()
        names = {name for name, value in table.items() if isinstance(value, Description)}
        return Trying(action, frozenset(names - {action, "actions", "schema"}))


class Attempting(Serial):
    """Runs one child and ends normally whatever came of it."""

    def __init__(self, child: str, default: str) -> None:
        """Take the child, and another one for when it fails."""
        self._child = child
        self._default = default

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if not isinstance(outcome, Record):
            return at, Start(self._child)
        if at.record is None:
            at = replace(at, record=outcome)
            if not outcome.is_normal and self._default:
                return at, Start(self._default)
        return at, Close(Record.normal(f"its action ended: {outcome.sentence()}"))

    @override
    def also(self, before: At, after: At) -> Sequence[Do]:
        if after.record is None or before.record is not None:
            return ()
        return (Write("result", as_data(after.record)),)


class Attempt(Workflow, type="flow.attempt"):
    """Runs its action and ends normally whatever happens.

    After a failure the child `default` is run, if there is one.

    Example:
        anyway extends Attempt { action extends Process { cmd [|"true"|]; terminate true; } }
    """

    needs_action = True
    apart = frozenset({"condition", "default"})
    result = output(Description, doc="Record of the action, as data: type, description, component.")

    @override
    def make_flow(self) -> Flow[Any]:
        return Attempting(self.action(), self.described("default"))
