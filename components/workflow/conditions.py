"""Conditions: components that say yes or no when they are asked, and why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from engine.compound import Compound
from engine.core.faults import BadDescription, Ended, EngineError, NotFound, Refused
from engine.core.leases import Verdict
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, link, output
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    bool_,
    int_,
    plain,
    shown,
    str_,
)
from engine.wire.messages import Handle, Ping, Pong
from sfdl.errors import SmartDomainsError
from sfdl.values import Kept, Reference, Value


class Conditional(Prim):
    """Can be asked: `verdict` says why not, or nothing if the condition holds.

    All references are read anew at each evaluation.
    """

    failureText = output(str, doc="Why it was false when last asked; empty if it was true.")

    async def verdict(self) -> str:
        """Return an empty string if the condition holds, else why it does not.

        Raises:
            EngineError: It cannot be told.
        """
        raise NotImplementedError

    @exposed()
    async def evaluate(self) -> bool:
        """Say whether the condition holds now."""
        text = await self.verdict()
        self.failureText = text
        return not text


class Condition(Conditional, type="condition"):
    """A condition that is a value: true, false, or what a reference or function gives when asked.

    Prototypes such as `BooleanValue`, `True`, `False` and `Equals` are made of it.

    Example:
        enough extends Condition {
            free 3;
            wanted 2;
            test (LAZY ATTRIB free >= LAZY ATTRIB wanted);
        }
    """

    test = attr(
        bool_, doc="The value; LAZY references and functions are read anew each time.", fresh=True
    )
    text = attr(str_, "", doc="What is said when it is false.", called="failure", fresh=True)

    @override
    async def verdict(self) -> str:
        if await self.fetch("test"):
            return ""
        try:
            text = str(await self.fetch("failure"))
        except (EngineError, SmartDomainsError):  # what it would say cannot be put into words
            text = ""
        return text or f"{self.name} is false"


class StringEquals(Conditional, type="condition.stringequals"):
    """Two strings are the same.

    Example:
        same extends StringEquals { left "a"; right "A"; caseSensitive false; }
    """

    left = attr(str_, doc="One.", fresh=True)
    right = attr(str_, doc="The other.", fresh=True)
    case_sensitive = attr(bool_, True, doc="Capitals count.", called="caseSensitive")

    @override
    async def verdict(self) -> str:
        left, right = str(await self.fetch("left")), str(await self.fetch("right"))
        same = left == right or (not self.case_sensitive and left.lower() == right.lower())
        return "" if same else f'"{left}" is not "{right}"'


class StringLength(Conditional, type="condition.stringlength"):
    """A string has exactly this length."""

    string = attr(str_, doc="The string.", fresh=True)
    length = attr(int_, ge=0, doc="Characters it must have.", fresh=True)

    @override
    async def verdict(self) -> str:
        size, wanted = len(str(await self.fetch("string"))), await self.fetch("length")
        return "" if size == wanted else f"has {size} characters, not {wanted}"


def _pattern(value: Value) -> str:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise BadValueError(f"must be a regular expression ({error})") from None
        return value
    raise BadValueError(f"must be a regular expression (got {shown(value)})")


class Matches(Conditional, type="condition.matches"):
    """A string has a part that fits a pattern.

    Example:
        node extends Matches { string "node17"; pattern "^node[0-9]+$"; }
    """

    string = attr(str_, doc="The string.", fresh=True)
    pattern = attr(
        Kind("pattern", "String", _pattern), doc="Regular expression, as Python has them.", fresh=True,
    )  # fmt: skip

    @override
    async def verdict(self) -> str:
        string, pattern = str(await self.fetch("string")), str(await self.fetch("pattern"))
        return "" if re.search(pattern, string) else f'"{string}" does not match "{pattern}"'


class _Over(Compound, Conditional):
    """A condition over conditions: its children."""

    async def _sure(self) -> list[Verdict]:
        verdicts = [await self.judge(name) for name in self.children]
        for verdict in verdicts:
            if verdict.good is None:
                raise Refused(verdict.text, where=self.path)
        return verdicts


class And(_Over, type="condition.and"):
    """All of its children hold; so without children.

    Example:
        both extends And {
            a extends FileExists { filename "/tmp/a"; }
            b extends FileExists { filename "/tmp/b"; }
        }
    """

    @override
    async def verdict(self) -> str:
        return "; ".join(verdict.text for verdict in await self._sure() if not verdict.good)


class Or(_Over, type="condition.or"):
    """At least one of its children holds; so not without children.

    Example:
        either extends Or {
            a extends FileExists { filename "/tmp/a"; }
            b extends FileExists { filename "/tmp/b"; }
        }
    """

    @override
    async def verdict(self) -> str:
        verdicts = await self._sure()
        if any(verdict.good for verdict in verdicts):
            return ""
        return "; ".join(verdict.text for verdict in verdicts) or "there is nothing that could hold"


class Xor(_Over, type="condition.xor"):
    """An odd number of its children hold.

    Example:
        one extends Xor {
            a extends FileExists { filename "/tmp/a"; }
            b extends FileExists { filename "/tmp/b"; }
        }
    """

    @override
    async def verdict(self) -> str:
        good = sum(verdict.good is True for verdict in await self._sure())
        return "" if good % 2 else f"{good} of its conditions hold"


class Not(Compound, Conditional, type="condition.not"):
    """Its condition does not hold.

    Example:
        absent extends Not { condition extends FileExists { filename "/tmp/lock"; } }
    """

    condition = link(Condition, doc="What must not hold.", truth=True)

    @override
    async def verdict(self) -> str:
        verdict = await self.judge("condition")
        if verdict.good is None:
            raise Refused(verdict.text, where=self.path)
        return "the condition holds" if verdict.good else ""


def _same(left: object, right: object) -> bool:
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def _order(left: object, right: object, test: Callable[[Any, Any], bool]) -> bool:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise Refused(f"{left!r} and {right!r} cannot be put in order")
    return test(left, right)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _same,
    "!=": lambda left, right: not _same(left, right),
    "<": lambda left, right: _order(left, right, lambda a, b: a < b),
    "<=": lambda left, right: _order(left, right, lambda a, b: a <= b),
    ">": lambda left, right: _order(left, right, lambda a, b: a > b),
    ">=": lambda left, right: _order(left, right, lambda a, b: a >= b),
}


class Compare(Conditional, type="condition.compare"):
    """Two values, `left` and `right`, are as the word between them says.

    Example:
        enough extends Compare { left 3; op ">="; right 2; }
    """

    op = attr(str_, "==", choices=tuple(_TESTS), doc="How they must compare.")

    @override
    async def on_deploy(self) -> None:
        for side in ("left", "right"):
            if not self.live.has(side):
                raise BadDescription(f"{side} must be given", code="SF-ATTR-001", where=self.path)

    @override
    async def verdict(self) -> str:
        left, right = await self._now("left"), await self._now("right")
        text = f"{left!r} is not {self.op} {right!r}"
        return "" if _TESTS[self.op](left, right) else text

    async def _now(self, side: str) -> object:
        found = await self.live.process.resolver.settle(self.live, self.live.value(side))
        if isinstance(found, Handle):
            raise Refused(f"{side} leads to a component, not to a value", where=self.path)
        return plain(found)


class _Named(Conditional):
    """About a reference held by an attribute, which may lead nowhere."""

    attribute = ""

    @override
    async def on_deploy(self) -> None:
        if not isinstance(self.live.value(self.attribute), Reference | Kept):
            text = f"{self.attribute} must be a LAZY reference"
            raise BadDescription(text, code="SF-ATTR-001", where=self.path)


class Resolves(_Named, type="condition.resolves"):
    """Its `reference` leads to something now.

    Example:
        there extends Resolves { reference LAZY ATTRIB other; }
    """

    attribute = "reference"

    @override
    async def verdict(self) -> str:
        try:
            await self.live.process.resolver.settle(self.live, self.live.value(self.attribute))
        except NotFound as error:
            return error.fault.message
        return ""


class _Asked(Conditional):
    target = link(Prim, doc="The component.")

    async def _pong(self) -> Pong | str:
        """Ask how the target is; text says why it cannot be there."""
        try:
            target = await self.target.handle()
            pong = await self.request(target.address, Ping(ident=target.ident), budget_s=10.0)
        except (NotFound, Ended) as error:
            return error.fault.message
        if not isinstance(pong, Pong):
            raise EngineError("another answer than asked for")
        return pong


class IsAlive(_Asked, type="condition.isalive"):
    """Its target is there, started, and well."""

    @override
    async def verdict(self) -> str:
        pong = await self._pong()
        if isinstance(pong, str):
            return pong
        if pong.state != "started":
            return f"{pong.name} is {pong.state}"
        return f"{pong.name}: {pong.text}" if pong.good is False else ""


class IsReady(_Asked, type="condition.isready"):
    """Its target is there and ready."""

    @override
    async def verdict(self) -> str:
        pong = await self._pong()
        if isinstance(pong, str):
            return pong
        return "" if pong.ready else f"{pong.name} is not ready"


class RunningFor(Conditional, type="condition.runningfor"):
    """It has been there for at least so long, all units taken together.

    Example:
        old extends RunningFor { minutes 5; }
    """

    days = attr(int_, 0, ge=0, doc="Days.")
    hours = attr(int_, 0, ge=0, doc="Hours.")
    minutes = attr(int_, 0, ge=0, doc="Minutes.")
    seconds = attr(int_, 0, ge=0, doc="Seconds.")
    milliseconds = attr(int_, 0, ge=0, doc="Milliseconds.")

    @override
    async def verdict(self) -> str:
        wanted_s: float = self.days * 86400 + self.hours * 3600 + self.minutes * 60 + self.seconds
        wanted_s += self.milliseconds / 1000
        age_s = self.age_s()
        return "" if age_s >= wanted_s else f"runs for {age_s:.3f} s, not yet {wanted_s:g} s"
