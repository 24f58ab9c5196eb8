"""Phase `place`: an attribute named `a:b:c` becomes attribute `c` of component `a:b`.

Passes go over the whole tree, depth first in attribute order, until nothing is left or a pass
achieves nothing. The target is found from the component that contains the placement, every name
being looked up without climbing; an eager link to a component is passed through. Type resolution is
over: what is placed keeps the prototypes it found where it was written, while its references
resolve where it lands.
"""

from __future__ import annotations

from collections.abc import Iterator

from sfdl.diagnostics import Diagnostic
from sfdl.follow import LAZY, Blocked, Failure, Lazy, follow
from sfdl.graph import Anonymous, Cell, Held, Link, Name, Scope, name_text, path_of, span_of
from sfdl.limits import MOST_PLACEMENT_PASSES
from sfdl.messages import MOST_EXPLAINED, missing_notes
from sfdl.trace import Trace
from sfdl.world import World


class _Wrong(Exception):  # noqa: N818 - carries a finding inside this module only
    """A placement cannot be done, yet or at all."""

    def __init__(self, code: str, why: str, missing: tuple[str, Scope] | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.why = why
        self.missing = missing

    def notes(self) -> tuple[str, ...]:
        """Return where a name was searched; only asked for when all passes are over."""
        return missing_notes(*self.missing) if self.missing is not None else ()


class Placement:
    """Moves the placements of a whole file."""

    def __init__(self, world: World, trace: Trace | None = None) -> None:
        self.problems: list[Diagnostic] = []
        self._world = world
        self._trace = trace
        self._pass = 0
        self._left: list[tuple[Scope, tuple[str | Anonymous, ...]]] = []

    def run(self, root: Scope) -> None:
        """Place everything below `root`; what cannot be placed is appended to `problems`."""
        while True:
            self._pass += 1
            self._left = []
            if not self._go_through(root) or self._pass >= MOST_PLACEMENT_PASSES:
                break
        for scope, name in self._left:
            self._report(scope, name)

    def _go_through(self, root: Scope) -> int:
        """Make one pass; return how many placements were done."""
        moved = 0
        stack: list[tuple[Scope, Iterator[tuple[Name, Cell]], list[Name]]] = [_opened(root)]
        while stack:
            scope, cells, done = stack[-1]
            for name, cell in cells:
                if name.__class__ is tuple:
                    if self._try(scope, name, cell):
                        done.append(name)
                    else:
                        self._left.append((scope, name))
                elif cell.value.__class__ is Scope:
                    child = cell.value
                    if child.layout().inner and child.parent is scope and child.moved != self._pass:
                        stack.append(_opened(child))
                        break
            else:
                for name in done:
                    del scope.attributes[name]
                    scope.forget_layout()
                moved += len(done)
                stack.pop()
        return moved

    def _try(self, scope: Scope, name: tuple[str | Anonymous, ...], cell: Cell) -> bool:
        try:
            target = self._target(scope, name)
        except _Wrong:
            return False
        if not self._insert(target, name, cell):
            return True
        if cell.value.__class__ is Scope:
            cell.value.parent = target
            cell.value.moved = self._pass
        return True

    def _insert(self, target: Scope, name: tuple[str | Anonymous, ...], cell: Cell) -> bool:
        """Set the attribute in its new place; return False if it is final there."""
        last = name[-1]
        earlier = target.attributes.get(last)
        if earlier is not None and "sfFinal" in earlier.tags:
            message = (
                f"`{name_text(name)}` would replace `{name_text(last)}`, which is tagged sfFinal"
            )
            notes = (f"it is final since {span_of(earlier)}",)
            self.problems.append(Diagnostic("place", "SF-PLACE-003", message, span_of(cell), notes))
            return False
        if earlier is not None and earlier.tags:
            cell = cell.tagged(earlier.tags | cell.tags)
        if self._trace is not None:
            self._trace.placed(target, name, cell, earlier)
        target.attributes[last] = cell
        target.forget_layout()
        return True

    def _target(self, scope: Scope, name: tuple[str | Anonymous, ...]) -> Scope:
        """Find the component that a placement goes to."""
        current = scope
        for index, part in enumerate(name[:-1]):
            cell = current.attributes.get(part)
            if cell is None:
                before = name_text(name[: index + 1])
                missing = name_text(part), current
                raise _Wrong("SF-PLACE-001", f"there is no `{before}`", missing)
            value = (
                self._through_links(current, part) if cell.value.__class__ is Link else cell.value
            )
            if value.__class__ is not Scope:
                before = name_text(name[: index + 1])
                what = "a lazy reference" if isinstance(value, Lazy) else self._world.kind(value)
                raise _Wrong("SF-PLACE-002", f"`{before}` is {what}, not a component")
            if value.sugar:
                before = name_text(name[: index + 1])
                raise _Wrong("SF-PLACE-002", f"`{before}` is an expression, not a component")
            current = value
        return current

    def _through_links(self, scope: Scope, name: Name) -> Held:
        """Return what an eager link leads to; anything but a scope means it is of no use here."""
        known: dict[int, Held] = {}
        stack: list[tuple[Scope, Name]] = [(scope, name)]
        while stack:
            at, wanted = stack[-1]
            cell = at.attributes[wanted]
            link = cell.value
            found: Held = None
            if link.__class__ is Link and not link.reference.lazy and not link.reference.data:
                found = follow(link.reference, at, self._world, known)
            if isinstance(found, Blocked):
                if found.scope.attributes[found.name].value.__class__ is not Link:
                    return None  # a function, which is computed only later
                if (found.scope, found.name) in stack:
                    return None
                stack.append((found.scope, found.name))
                continue
            if link.__class__ is Link and link.reference.lazy:
                found = LAZY
            elif link.__class__ is Link and link.reference.data:
                found = link.reference
            known[id(cell)] = None if isinstance(found, Failure) else found
            stack.pop()
        return known[id(scope.attributes[name])]

    def _report(self, scope: Scope, name: tuple[str | Anonymous, ...]) -> None:
        try:
            self._target(scope, name)
        except _Wrong as wrong:
            cell = scope.attributes[name]
            notes = wrong.notes() if len(self.problems) < MOST_EXPLAINED else ()
            message = f"cannot place `{name_text(name)}` in {path_of(scope)}: {wrong.why}"
            self.problems.append(Diagnostic("place", wrong.code, message, span_of(cell), notes))


def _opened(scope: Scope) -> tuple[Scope, Iterator[tuple[Name, Cell]], list[Name]]:
    return scope, iter([(name, scope.attributes[name]) for name in scope.layout().inner]), []
