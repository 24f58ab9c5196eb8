"""Phase `type`: components take over the attributes of what they extend.

`extends P1, P2, {body}` merges left to right, later wins, at the top level of the component only.
A component's own prototypes are merged before its children are looked at, and a prototype is
resolved completely, in its own place, before it is copied. Both are done on demand, so the order of
the text does not matter. The work list is explicit: chains of any length need no stack.
"""

from __future__ import annotations

from collections.abc import Iterator

from sfdl.diagnostics import Diagnostic
from sfdl.graph import (
    COMPLETE,
    COMPLETING,
    MERGED,
    MERGING,
    NEW,
    Attributes,
    Cell,
    Link,
    Name,
    Scope,
    adopt_all,
    is_special,
    name_text,
    path_of,
    span_of,
)
from sfdl.limits import Budget, TooLarge
from sfdl.messages import MOST_EXPLAINED, link_span, missing_notes
from sfdl.references import reference_text
from sfdl.trace import Trace
from sfdl.values import ATTRIB, HERE, PARENT, ROOT, THIS


class _Task:
    """A scope to be merged, or to be merged and all its children completed."""

    __slots__ = ("children", "complete", "scope")

    def __init__(self, scope: Scope, *, complete: bool) -> None:
        self.scope = scope
        self.complete = complete
        self.children: Iterator[Scope] | None = None


class _Wrong(Exception):  # noqa: N818 - carries a finding inside this module only
    """A prototype cannot be used; empty if that was reported before."""

    def __init__(self, *found: Diagnostic) -> None:
        super().__init__()
        self.found = found


class Prototypes:
    """Resolves the prototypes of a whole file."""

    def __init__(self, budget: Budget, trace: Trace | None = None) -> None:
        self.problems: list[Diagnostic] = []
        self._budget = budget
        self._trace = trace
        self._tasks: list[_Task] = []

    def run(self, root: Scope) -> None:
        """Complete `root` and everything in it; failures are appended to `problems`."""
        self._tasks = [_Task(root, complete=True)]
        while self._tasks:
            task = self._tasks[-1]
            if task.scope.state < MERGED:
                try:
                    self._merge(task.scope)
                except TooLarge as limit:
                    place = span_of(task.scope)
                    self.problems.append(Diagnostic("type", "SF-LIMIT-001", str(limit), place))
                    return
            elif not task.complete or task.scope.state is COMPLETE:
                self._tasks.pop()
            else:
                self._next_child(task)

    def _next_child(self, task: _Task) -> None:
        scope = task.scope
        if task.children is None:
            scope.state = COMPLETING
            task.children = iter(scope.components())
        for child in task.children:
            if child.state is not COMPLETE:
                self._tasks.append(_Task(child, complete=True))
                return
        scope.state = COMPLETE
        self._tasks.pop()

    def _merge(self, scope: Scope) -> None:
        """Merge the prototypes of a scope, or put first what that has to wait for."""
        steps = scope.prototypes or []
        if scope.state is NEW:
            scope.state = MERGING
            for step in steps:
                if not isinstance(step, Link):
                    scope.attributes.update(step)  # what a search from here sees until it is merged
        found = self._collected(scope, steps)
        if found is None:
            return
        scope.prototypes = None
        scope.state = MERGED
        scope.attributes = {}
        scope.forget_layout()
        if self._trace is not None:
            self._trace.merged(scope, found)
        for part in found:
            if isinstance(part, Scope):
                self._inherit(scope, part)
            else:
                self._extend(scope, part)
        if not scope.layout().inner:
            scope.state = COMPLETE

    def _collected(
        self, scope: Scope, steps: list[Link | Attributes]
    ) -> list[Scope | Attributes] | None:
        """Return prototypes and bodies in order, or None if something has to be done first."""
        found: list[Scope | Attributes] = []
        for step in steps:
            if not isinstance(step, Link):
                found.append(step)
                continue
            try:
                prototype = self._find(scope, step)
            except _Wrong as wrong:
                self.problems.extend(wrong.found)
                scope.failed = True
                continue
            if isinstance(prototype, _Task):
                self._tasks.append(prototype)
                return None
            found.append(prototype)
        return found

    def _inherit(self, scope: Scope, prototype: Scope) -> None:
        """Add copies of the attributes of a prototype."""
        scope.failed = scope.failed or prototype.failed
        if scope.application is None and prototype.application is not None:
            scope.application = prototype.application.copy()
        if scope.attributes:
            for name, cell in prototype.attributes.items():
                self._set(scope, name, cell)
            scope.forget_layout()
        else:
            scope.attributes = prototype.attributes.copy()
            scope.share_layout(prototype)
        adopt_all(prototype, scope, self._budget)

    def _extend(self, scope: Scope, body: Attributes) -> None:
        """Add the attributes of a body."""
        for name, cell in body.items():
            if "sfOverride" in cell.tags and name not in scope.attributes and not scope.failed:
                message = f"`{name_text(name)}` is tagged sfOverride, but no prototype has it"
                notes = missing_notes(name_text(name), scope)
                self.problems.append(
                    Diagnostic("type", "SF-TYPE-005", message, span_of(cell), notes)
                )
            self._set(scope, name, cell)
            if is_special(name, cell):
                scope.forget_layout()

    def _set(self, scope: Scope, name: Name, cell: Cell) -> None:
        attributes = scope.attributes
        earlier = attributes.get(name)
        if earlier is None:
            attributes[name] = cell
            return
        if "sfFinal" in earlier.tags and (earlier.start, earlier.source) != (
            cell.start,
            cell.source,
        ):
            message = f"`{name_text(name)}` is tagged sfFinal and cannot be overridden"
            notes = (f"it is final since {span_of(earlier)}",)
            self.problems.append(Diagnostic("type", "SF-TYPE-004", message, span_of(cell), notes))
        if earlier.tags and not earlier.tags <= cell.tags:
            cell = cell.tagged(earlier.tags | cell.tags)
        attributes[name] = cell

    def _find(self, scope: Scope, link: Link) -> Scope | _Task:
        """Return the prototype, complete, or the task that has to be done first."""
        current = scope
        for index, part in enumerate(link.reference.parts):
            into = part.kind in (HERE, ATTRIB)
            if index and into and current is not scope and current.state < MERGED:
                if current.state is MERGING:
                    raise self._cycle(scope, link, current)
                return _Task(current, complete=False)
            current = self._step(scope, link, index, current)
        if current.state in (MERGING, COMPLETING):
            raise self._cycle(scope, link, current)
        return current if current.state is COMPLETE else _Task(current, complete=True)

    def _step(self, scope: Scope, link: Link, index: int, current: Scope) -> Scope:
        """Follow one part of a reference to a prototype."""
        part = link.reference.parts[index]
        if part.kind is PARENT:
            if current.parent is None:
                raise self._wrong(scope, link, index, "the file root has no parent")
            return current.parent
        if part.kind is ROOT:
            while current.parent is not None:
                current = current.parent
            return current
        if part.kind in (HERE, ATTRIB):
            return self._named(scope, link, index, current)
        if part.kind is not THIS:
            raise self._wrong(scope, link, index, f"{part.kind.value} cannot be extended")
        return current

    def _named(self, scope: Scope, link: Link, index: int, current: Scope) -> Scope:
        part = link.reference.parts[index]
        climbing = part.kind is ATTRIB
        cell = _climb(current, part.name) if climbing else current.attributes.get(part.name)
        if cell is None:
            if current.failed:
                raise _Wrong
            many = len(self.problems) >= MOST_EXPLAINED
            notes = () if many else missing_notes(part.name, current, climbing=climbing)
            raise self._wrong(scope, link, index, f"there is no `{part.name}`", notes)
        if cell.value.__class__ is not Scope:
            notes = (f"`{part.name}` is written at {span_of(cell)}",)
            raise self._wrong(scope, link, index, f"`{part.name}` is not a component", notes)
        found: Scope = cell.value
        return found

    def _wrong(
        self, scope: Scope, link: Link, index: int, why: str, notes: tuple[str, ...] = ()
    ) -> _Wrong:
        text = reference_text(link.reference)
        code = "SF-TYPE-002" if why.endswith("component") else "SF-TYPE-001"
        who = path_of(scope) if len(self.problems) < MOST_EXPLAINED else "this component"
        message = f"{who} cannot extend `{text}`: {why}"
        return _Wrong(Diagnostic("type", code, message, link_span(link, index), notes))

    def _cycle(self, scope: Scope, link: Link, target: Scope) -> _Wrong:
        at = next(i for i, task in enumerate(self._tasks) if task.scope is target)
        round_trip = [task.scope for task in self._tasks[at:]]
        names = " -> ".join(path_of(step) for step in (*round_trip, target))
        notes = tuple(f"{path_of(step)} is written at {span_of(step)}" for step in round_trip)
        message = f"{path_of(scope)} extends itself: {names}"
        return _Wrong(Diagnostic("type", "SF-TYPE-003", message, link_span(link, 0), notes))


def _climb(scope: Scope, name: str) -> Cell | None:
    """Search a scope and its ancestors, nearest first."""
    at: Scope | None = scope
    while at is not None:
        cell = at.attributes.get(name)
        if cell is not None:
            return cell
        at = at.parent
    return None
