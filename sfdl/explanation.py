"""Why an attribute has its value: the chain from the result back to what was written.

Each `Reason` is one step: the placement that put the attribute there, the prototype it came from,
what it overrides, the link or function that gave the value, and in the end the literal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from sfdl.compiler import Compiled, compile_description, numbered
from sfdl.errors import FormatError
from sfdl.functions import SIGNS
from sfdl.graph import (
    CLASS,
    Cell,
    Held,
    Link,
    Name,
    Scope,
    name_text,
    path_of,
    span_of,
)
from sfdl.primitives import parse_reference
from sfdl.printer import print_value
from sfdl.references import reference_text
from sfdl.source import Span
from sfdl.trace import Step, Trace
from sfdl.values import Description, Part, PartKind, Value

_MOST = 100


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of an explanation.

    Attributes:
        kind: `literal`, `prototype`, `override`, `placement`, `link` or `function`.
        text: What happened, in words.
        span: Where it is written.
        depth: Links and arguments followed so far.
    """

    kind: str
    text: str
    span: Span | None
    depth: int

    @override
    def __str__(self) -> str:
        """Return one indented line."""
        place = f" ({self.span})" if self.span is not None else ""
        return f"{'  ' * self.depth}{self.kind}: {self.text}{place}"

    def as_json(self) -> dict[str, object]:
        """Return a JSON object."""
        answer: dict[str, object] = {"kind": self.kind, "text": self.text, "depth": self.depth}
        if self.span is not None:
            answer |= {"file": self.span.file, "line": self.span.line, "column": self.span.column}
        return answer


@dataclass(frozen=True, slots=True)
class Explanation:
    """The value of an attribute, and the steps that led to it, last step first."""

    path: str
    value: Value
    reasons: tuple[Reason, ...]


def explain(
    what: Path | str,
    path: str,
    *,
    search_path: Iterable[Path | str] = (),
    overrides: Iterable[tuple[str, str]] = (),
) -> Explanation:
    """Compile a description and tell why an attribute of the result has its value.

    Args:
        what: A file (`Path`) or text (`str`), as for `sfdl.compile`.
        path: Names from `sfConfig` on, with or without `sfConfig:` in front.
        search_path: Folders for includes.
        overrides: Values set from outside.

    Raises:
        CompileError: The description is wrong.
        FormatError: The path leads nowhere.
    """
    trace = Trace()
    compiled = compile_description(what, search_path=search_path, overrides=overrides, trace=trace)
    parts = list(parse_reference(path).parts)
    if parts[0].name == "sfConfig" and "sfConfig" not in compiled.root.names():
        del parts[0]
    scope, name, value = _target(compiled, parts, path)
    story = _Story(trace)
    story.attribute(scope, name, 0)
    return Explanation(path, value, tuple(story.reasons))


def _target(compiled: Compiled, parts: list[Part], path: str) -> tuple[Scope, Name, Value]:
    """Find the attribute in the graph and its value in the result."""
    if not parts:
        subject = compiled.subject
        if subject.parent is None:
            raise FormatError("the file root has no value")
        name = next(n for n, c in subject.parent.attributes.items() if c.value is subject)
        return subject.parent, name, compiled.root
    scope: Held = compiled.subject
    value: Value = compiled.root
    owner, last = compiled.subject, parts[0].name
    real: Name = last
    for part in parts:
        known = numbered(scope) if isinstance(scope, Scope) else {}
        if (
            part.kind not in (PartKind.ATTRIB, PartKind.HERE)
            or not isinstance(value, Description)
            or part.name not in value.names()
            or part.name not in known
        ):
            raise FormatError(
                f"`{path}` leads nowhere: there is no `{part.name or part.kind.value}`"
            )
        owner = scope
        cell = known[part.name]
        real = next(n for n, c in owner.attributes.items() if c is cell)
        value = value.get(part.name)
        scope = cell.value
    return owner, real, value


class _Story:
    """Collects reasons."""

    def __init__(self, trace: Trace) -> None:
        self.reasons: list[Reason] = []
        self._trace = trace
        self._told: set[tuple[int, Name]] = set()

    def _add(self, kind: str, text: str, span: Span | None, depth: int) -> None:
        self.reasons.append(Reason(kind, text, span, depth))

    def attribute(self, scope: Scope, name: Name, depth: int) -> None:
        """Tell why one attribute is what it is; follows links and arguments."""
        if (id(scope), name) in self._told or len(self.reasons) >= _MOST:
            return
        self._told.add((id(scope), name))
        cell = scope.attributes[name]
        if not self._placements(scope, name, depth):
            self._inherited(scope, name, depth)
        self._value(scope, name, cell, depth)

    def _placements(self, scope: Scope, name: Name, depth: int) -> bool:
        placed = self._trace.placements.get((id(scope), name), ())
        for whole, cell, earlier in reversed(placed):
            instead = f", instead of what stands at {span_of(earlier)}" if earlier else ""
            text = f"placed into {path_of(scope)} as `{name_text(whole)}`{instead}"
            self._add("placement", text, span_of(cell), depth)
        return bool(placed)

    def _inherited(self, scope: Scope, name: Name, depth: int) -> None:
        """Tell which prototype an attribute comes from, and whose value it overrides."""
        at: Scope | None = scope
        while at is not None:
            steps = [step for step in self._steps(at) if name in step[1]]
            if not steps:
                return
            (winner, attributes), earlier = steps[-1], steps[:-1]
            here = path_of(at)
            for prototype, brought in reversed(earlier):
                if brought[name] is not attributes[name]:
                    source = path_of(prototype) if prototype is not None else "an earlier body"
                    text = f"{here} overrides the `{name_text(name)}` of {source}"
                    self._add("override", text, span_of(brought[name]), depth)
            if winner is not None:
                text = f"{here} inherits `{name_text(name)}` from {path_of(winner)}"
                self._add("prototype", text, span_of(winner), depth)
            at = winner

    def _steps(self, scope: Scope) -> list[Step]:
        """Return what a scope was made of; a copied one was made like its original."""
        inward: list[Name] = []
        at = scope
        while id(at) not in self._trace.steps:
            parent = at.parent
            if parent is None:
                return []
            found = (n for n, c in parent.attributes.items() if c.value is at)
            own = next(found, None)
            if own is None:
                return []
            inward.append(own)
            at = parent
        steps = self._trace.steps[id(at)]
        while inward:
            wanted = inward.pop()
            brought = [step for step in steps if wanted in step[1]]
            original = brought[-1][1][wanted].value if brought else None
            if not isinstance(original, Scope) or original is scope:
                return []
            steps = self._trace.steps.get(id(original), [])
            if not steps and not inward:
                return [(original, original.attributes)]
            if not steps:
                steps = [(None, original.attributes)]
        return steps

    def _value(self, scope: Scope, name: Name, cell: Cell, depth: int) -> None:
        before = self._trace.before.get((id(scope), name), cell.value)
        if isinstance(before, Link):
            self._link(scope, before, depth)
        elif isinstance(before, Scope) and before.application is not None:
            self._function(before, depth)
        elif isinstance(before, Scope):
            self._add("literal", "a component written", span_of(before), depth)
        else:
            self._add("literal", f"`{_line(before)}` is written", span_of(cell), depth)

    def _link(self, scope: Scope, link: Link, depth: int) -> None:
        text = reference_text(link.reference)
        found = _followed(link, scope)
        if link.reference.lazy or link.reference.data:
            word = "LAZY" if link.reference.lazy else "DATA"
            self._add("link", f"`{word} {text}` is kept for run time", span_of(link), depth)
        elif found is None:
            self._add("link", f"`{text}` is taken from outside", span_of(link), depth)
        else:
            owner, name = found
            where = f"{path_of(owner)}:{name_text(name)}" if owner.parent else name_text(name)
            self._add("link", f"`{text}` leads to {where}", span_of(link), depth)
            self.attribute(owner, name, depth + 1)

    def _function(self, application: Scope, depth: int) -> None:
        named = application.attributes.get(CLASS)
        function = str(named.value) if named is not None else "?"
        text = f"the result of `{SIGNS.get(function, function)}`"
        self._add("function", text, span_of(application), depth)
        for name in list(application.attributes):
            if not (isinstance(name, str) and name.startswith(("sf", "phase."))):
                self.attribute(application, name, depth + 1)


def _followed(link: Link, scope: Scope) -> tuple[Scope, Name] | None:
    """Return the attribute a link leads to, or None if the way is not through components."""
    at: Held = scope
    found: tuple[Scope, Name] | None = None
    for part in link.reference.parts:
        if not isinstance(at, Scope):
            return None
        found = None
        if part.kind in (PartKind.ATTRIB, PartKind.HERE):
            owner = _owner(at, part)
            if owner is None:
                return None
            found = owner, part.name
            at = owner.attributes[part.name].value
        elif part.kind is PartKind.PARENT:
            at = at.parent
        elif part.kind is PartKind.ROOT:
            while at.parent is not None:
                at = at.parent
        elif part.kind is not PartKind.THIS:
            return None
    return found


def _owner(scope: Scope, part: Part) -> Scope | None:
    at: Scope | None = scope
    while at is not None and part.name not in at.attributes:
        at = at.parent if part.kind is PartKind.ATTRIB else None
    return at


def _line(value: Value) -> str:
    try:
        text = " ".join(print_value(value).split())
    except (TypeError, ValueError):
        return "..."
    return text if len(text) <= 60 else f"{text[:57]}..."
