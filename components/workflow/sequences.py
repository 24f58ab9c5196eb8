"""Children one after the other: `Sequence`, `RandomSequence`, `Repeat`, `While`, `Until`."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from components.workflow.base import Workflow
from components.workflow.conditions import Condition
from components.workflow.serial import At, Begun, Close, Outcome, Pause, Serial, Start, Step, Test
from engine.core.flows import Flow
from engine.core.leases import Verdict
from engine.core.records import Record
from engine.runtime.attributes import attr, link
from engine.runtime.kinds import duration_ms, int_


class InTurn(Serial):
    """Runs the given children in turn, each once."""

    def __init__(self, children: tuple[str, ...]) -> None:
        """Take their names in the order wanted."""
        self._children = children

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            if not outcome.is_normal:
                return at, Close(outcome)
            at = replace(at, count=at.count + 1)
        if at.count >= len(self._children):
            return at, Close(Record.normal(f"all {at.count} children have ended normally"))
        return at, Start(self._children[at.count])


class Sequence(Workflow, type="flow.sequence"):
    """Runs its children in the order declared, each after the normal end of the one before.

    It ends normally after the last, and abnormally with the first that fails.

    Example:
        both extends Sequence {
            one extends Process { cmd [|"true"|]; terminate true; }
            two extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return InTurn(self.several())


class RandomSequence(Workflow, type="flow.randomsequence"):
    """Runs its children one after the other in an order drawn by lot, each once.

    Example:
        draw extends RandomSequence {
            one extends Process { cmd [|"true"|]; terminate true; }
            two extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    seed = attr(int_, None, doc="What the order is drawn from; by chance if not given.")

    @override
    def make_flow(self) -> Flow[Any]:
        names = list(self.several())
        chance = random.Random(self.live.id if self.seed is None else self.seed)  # noqa: S311 - no secret
        chance.shuffle(names)
        return InTurn(tuple(names))


class Repeating(Serial):
    """Runs one child a number of times, with pauses."""

    def __init__(self, child: str, times: int, interval_s: float) -> None:
        """Take the child, how often (negative: for ever), and the pause between two runs."""
        self._child = child
        self._times = times
        self._interval_s = interval_s

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            if not outcome.is_normal:
                return at, Close(outcome)
            at = replace(at, count=at.count + 1)
        if 0 <= self._times <= at.count:
            return at, Close(Record.normal(f"ran {at.count} times"))
        if isinstance(outcome, Record) and self._interval_s > 0:
            return at, Pause(now_s + self._interval_s)
        return at, Start(self._child)


class Repeat(Workflow, type="flow.repeat"):
    """Runs its action a number of times, one after the other; the first failure ends it.

    Example:
        often extends Repeat {
            repeat 3; interval "1s";
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    needs_action = True
    repeat = attr(int_, 1, ge=-1, doc="How often in all; -1 is for ever.")
    interval = attr(duration_ms, 0, doc="Milliseconds between two runs.")

    @override
    def make_flow(self) -> Flow[Any]:
        return Repeating(self.action(), self.repeat, self.interval)


class Looping(Serial):
    """Runs one child while, or until, a condition holds."""

    def __init__(self, child: str, *, first: bool, wanted: bool, most: int) -> None:
        """Take the child, whether to ask first, with which answer to go on, and most runs."""
        self._child = child
        self._first = first
        self._wanted = wanted
        self._most = most

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        match outcome:
            case Begun() if not self._first:
                return self._run(at)
            case Record():
                if not outcome.is_normal:
                    return at, Close(outcome)
                return replace(at, count=at.count + 1), Test()
            case Verdict(None, text):
                return at, Close(Record.abnormal(f"the condition cannot be asked: {text}"))
            case Verdict(good) if good is not self._wanted:
                return at, Close(Record.normal(f"ran {at.count} times"))
            case Verdict():
                return self._run(at)
            case _:
                return at, Test()

    def _run(self, at: At) -> tuple[At, Step]:
        if 0 <= self._most <= at.count:
            return at, Close(Record.normal(f"ran {at.count} times, the most allowed"))
        return at, Start(self._child)


class _Loop(Workflow):
    needs_action = True
    condition = link(Condition, doc="What is asked each time.", truth=True)
    most = attr(int_, -1, ge=-1, doc="Most runs; -1 is no limit.", called="max")


class While(_Loop, type="flow.while"):
    """Runs its action again and again as long as the condition holds, asked before each run.

    Example:
        busy extends While {
            condition false;
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Looping(self.action(), first=True, wanted=True, most=self.most)


class Until(_Loop, type="flow.until"):
    """Runs its action again and again until the condition holds, asked after each run.

    Example:
        atLeastOnce extends Until {
            condition true;
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Looping(self.action(), first=False, wanted=False, most=self.most)
