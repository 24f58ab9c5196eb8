"""Asking conditions and acting upon the answer: `If`, `WaitFor` and what is like them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from components.workflow.base import Workflow
from components.workflow.conditions import Condition
from components.workflow.serial import (
    At,
    Begun,
    Close,
    Outcome,
    Pause,
    Serial,
    Start,
    Step,
    Test,
)
from engine.compound import Compound
from engine.core.faults import Refused
from engine.core.flows import Flow
from engine.core.leases import Verdict
from engine.core.records import Record
from engine.prim import Unwell
from engine.runtime.attributes import attr, link, output
from engine.runtime.kinds import bool_, duration_ms, str_


class Choosing(Serial):
    """Runs a child if there is one, asks the condition, and runs one of two branches.

    Asks again and again where an interval is given, until a limit.
    """

    def __init__(
        self, *, action: str = "", branches: tuple[str, str] = ("", ""),
        ends: tuple[str | None, str | None] = (None, None), message: str = "",
        interval_s: float | None = None, limit_s: float = 0.0,
    ) -> None:  # fmt: skip
        """Take what to run and how to end.

        Args:
            action: What is run first, or empty.
            branches: What is run if the condition is true, and if it is false.
            ends: Type of the record if the condition is true, or false, and there is no branch;
                nothing: normal.
            message: What an abnormal record says; what the condition said if empty.
            interval_s: Seconds between looks, for one who waits.
            limit_s: Seconds one waits at most; 0: for ever.
        """
        self._action = action
        self._branches = branches
        self._ends = ends
        self._message = message
        self._interval_s = interval_s
        self._limit_s = limit_s

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        match outcome:
            case Begun():
                at = replace(at, until_s=now_s + self._limit_s)
                return at, Start(self._action) if self._action else Test()
            case Record():
                if at.stage == "branch" or not outcome.is_normal:
                    return at, Close(outcome)
                return at, Test()
            case Verdict(None, text):
                return at, Close(Record.abnormal(f"the condition cannot be asked: {text}"))
            case Verdict(good, text):
                return self._answered(at, text, now_s, good=good is True)
            case _:
                return at, Test()

    def _answered(self, at: At, text: str, now_s: float, *, good: bool) -> tuple[At, Step]:
        if not good and self._interval_s is not None:
            if self._limit_s <= 0 or now_s < at.until_s:
                again_s = now_s + max(self._interval_s, 0.001)
                return at, Pause(min(again_s, at.until_s) if self._limit_s > 0 else again_s)
            text = f"{text}, for {self._limit_s:g} s"
        branch = self._branches[0 if good else 1]
        if branch:
            return replace(at, stage="branch"), Start(branch)
        words = "the condition is true" if good else text
        if self._ends[0 if good else 1] is None:
            return at, Close(Record.normal(words))
        return at, Close(Record.abnormal(self._message or words))


class _Choice(Workflow):
    apart = frozenset({"condition", "then", "else"})
    condition = link(Condition, doc="What is asked.", truth=True)

    def branches(self) -> tuple[str, str]:
        """Return the children for true and for false, empty where there are none."""
        return self.described("then"), self.described("else")


class If(_Choice, type="flow.if"):
    """Asks its condition once and runs `then` or `else`, ending as that does; normally without it.

    Example:
        choice extends If {
            condition true;
            then extends LAZY DoNothing { message "yes"; }
            else extends LAZY DoNothing { message "no"; }
        }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Choosing(branches=self.branches())


class WaitFor(_Choice, type="flow.waitfor"):
    """Asks its condition until it is true, and runs `then`; once the time is over, `else`.

    Example:
        wait extends WaitFor {
            condition extends FileExists { filename "/tmp/ready"; }
            interval "1s"; timeout "1m";
        }
    """

    interval = attr(duration_ms, 1000, doc="Milliseconds between looks.")
    timeout = attr(duration_ms, 0, doc="Milliseconds to wait; 0 is for ever.")

    @override
    def make_flow(self) -> Flow[Any]:
        return Choosing(branches=self.branches(), interval_s=self.interval, limit_s=self.timeout)


class FailingWaitFor(WaitFor, type="flow.failingwaitfor"):
    """As `WaitFor`, but ends abnormally when the time is over.

    Example:
        wait extends FailingWaitFor {
            condition extends FileExists { filename "/tmp/ready"; }
            timeout "1m"; message "it never came";
        }
    """

    message = attr(str_, "", doc="What the record says then; why it is false if empty.")

    @override
    def make_flow(self) -> Flow[Any]:
        then, _ = self.branches()
        return Choosing(
            branches=(then, ""), ends=(None, "abnormal"), message=self.message,
            interval_s=self.interval, limit_s=self.timeout,
        )  # fmt: skip


class PostCondition(_Choice, type="flow.postcondition"):
    """Runs its action; after its normal end asks the condition and goes on as `If` does.

    Example:
        checked extends PostCondition {
            action extends Process { cmd [|"true"|]; terminate true; }
            condition extends FileExists { filename "/tmp/result"; }
            then extends LAZY DoNothing { message "there is a result"; }
        }
    """

    needs_action = True

    @override
    def make_flow(self) -> Flow[Any]:
        return Choosing(action=self.action(), branches=self.branches())


class AssertPostConditionMet(_Choice, type="flow.assertpostconditionmet"):
    """Runs its action and ends abnormally if the condition is false afterwards.

    Example:
        sure extends AssertPostConditionMet {
            action extends Process { cmd [|"true"|]; terminate true; }
            condition extends DirectoryExists { filename "/tmp"; }
        }
    """

    needs_action = True
    message = attr(str_, "", doc="What the record says; why it is false if empty.")

    @override
    def make_flow(self) -> Flow[Any]:
        return Choosing(action=self.action(), ends=(None, "abnormal"), message=self.message)


class AssertPostConditionFailed(AssertPostConditionMet, type="flow.assertpostconditionfailed"):
    """Runs its action and ends abnormally if the condition is true afterwards.

    Example:
        clean extends AssertPostConditionFailed {
            action extends Process { cmd [|"true"|]; terminate true; }
            condition extends FileExists { filename "/tmp/litter"; }
        }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Choosing(action=self.action(), ends=("abnormal", None), message=self.message)


class EvaluateCondition(Compound, type="flow.evaluatecondition"):
    """Asks its condition when it starts, and publishes the answer; the start fails if it is false.

    Example:
        need extends EvaluateCondition { condition extends DirectoryExists { filename "/tmp"; } }
    """

    condition = link(Condition, doc="What is asked.", truth=True)
    fail_on_false = attr(bool_, True, doc="Fail the start if it is false.", called="failOnFalse")
    message = attr(str_, "", doc="What the failure says; why it is false if empty.")
    result = output(bool, doc="What the condition said.")

    @override
    async def on_started(self) -> None:
        verdict = await self.judge("condition")
        if verdict.good is None:
            raise Refused(f"the condition cannot be asked: {verdict.text}", where=self.path)
        self.result = verdict.good
        if self.fail_on_false and not verdict.good:
            raise Refused(self.message or verdict.text, where=self.path)


class ReadyGate(Compound, type="condition.readygate"):
    """Is not ready until its condition is true; made for `sfDependsOn`.

    Example:
        gate extends ReadyGate { condition extends FileExists { filename "/tmp/ready"; } }
    """

    reserved = {"sfReadyWhen": "signal"}  # noqa: RUF012 - a class's defaults, never changed

    condition = link(Condition, doc="What is waited for.", truth=True)
    interval = attr(duration_ms, 1000, doc="Milliseconds between looks.")
    timeout = attr(
        duration_ms, 0, doc="Milliseconds after which it ends abnormally; 0 is no limit."
    )

    @override
    async def on_started(self) -> None:
        self.ready_when("condition", self.interval, self.timeout)


class LivenessTest(Compound, type="condition.livenesstest"):
    """Stays, and is unwell whenever its condition is false.

    Example:
        health extends LivenessTest { condition extends FileExists { filename "/tmp/alive"; } }
    """

    condition = link(Condition, doc="What must hold.", truth=True)
    delay = attr(duration_ms, 0, doc="Milliseconds at first in which being false does not count.")

    @override
    async def check(self) -> None:
        verdict = await self.judge("condition")
        if verdict.good is False and self.age_s() >= self.delay:
            raise Unwell(verdict.text)
