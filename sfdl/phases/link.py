"""Phase `link`: references are followed, functions evaluated, assertions checked.

The walk goes depth first over the subject in attribute order. What an attribute needs is settled
first, on demand and in its own place, wherever in the file it stands. All waiting is kept on one
explicit stack, so chains of links and nested operators may be of any length, and a cycle is seen as
an attribute that waits for itself.

A failed attribute holds a `Failed`: whoever needs it fails with the same finding, and only what the
walk meets is reported. So failures in templates that nobody uses do not matter.
"""

from __future__ import annotations

from msgspec.structs import replace

from sfdl.diagnostics import Diagnostic
from sfdl.follow import Blocked, Failed, Failure, Lazy, follow
from sfdl.graph import (
    SIMPLE,
    Cell,
    Held,
    Link,
    Name,
    Scope,
    Settled,
    cell_of,
    name_text,
    path_of,
    span_of,
)
from sfdl.limits import TooLarge
from sfdl.messages import MOST_EXPLAINED, chain_notes, link_span, misspelled_notes
from sfdl.phases.apply import Applications, Need, Outcome
from sfdl.phases.convert import Endless, freeze
from sfdl.references import reference_text
from sfdl.values import ATTRIB, HERE, PARENT, Description, Kept, Reference, Tbd, Vector
from sfdl.world import World


class _Walk:
    """Goes through the attributes of one scope that are not plain data."""

    __slots__ = ("found", "index", "names", "scope")

    def __init__(self, scope: Scope, names: list[Name]) -> None:
        self.scope = scope
        self.names = names
        self.index = 0
        self.found: dict[Diagnostic, None] = {}


class _Demand:
    """Settles one attribute."""

    __slots__ = ("name", "opened", "scope")

    def __init__(self, scope: Scope, name: Name) -> None:
        self.scope = scope
        self.name = name
        self.opened: Scope | None = None


class Linker:
    """Links one subject."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._applications = Applications(world, self.problems_of)
        self._stack: list[_Walk | _Demand] = []
        self._walking: set[int] = set()
        self._demanded: dict[tuple[int, Name], _Demand] = {}
        self._found: dict[int, tuple[Diagnostic, ...]] = {}
        self._explained = 0
        self.result: Description | Kept | None = None

    def problems_of(self, scope: Scope) -> tuple[Diagnostic, ...]:
        """Return what was found wrong in a scope that has been walked."""
        return self._found.get(id(scope), ())

    def run(self, subject: Scope) -> list[Diagnostic]:
        """Link the subject in place and return what is wrong with it."""
        self._open(subject)
        self._work()
        problems = list(self.problems_of(subject))
        return problems or self._frozen(subject)

    def _frozen(self, subject: Scope) -> list[Diagnostic]:
        """Freeze the subject into `result`; return what is in the way."""
        try:
            self.result = freeze(subject, bounded=True)
        except Endless as endless:
            return [_endless(endless)]
        except TooLarge as limit:
            return [Diagnostic("link", "SF-LIMIT-003", str(limit), span_of(subject))]
        except RecursionError:
            message = "components and vectors inside each other are too deep to be written out"
            return [Diagnostic("link", "SF-LIMIT-003", message, span_of(subject))]
        return []

    def settled(self, scope: Scope, name: Name) -> Held:
        """Settle one attribute and what it needs, and return what its cell holds then."""
        self._push(scope, name)
        self._work()
        return scope.attributes[name].value

    def _work(self) -> None:
        while self._stack:
            task = self._stack[-1]
            if isinstance(task, _Walk):
                self._walk(task)
            else:
                self._settle(task)

    def _open(self, scope: Scope) -> None:
        names = _unfinished(scope)
        if not names:
            scope.walked = True
            return
        self._walking.add(id(scope))
        self._stack.append(_Walk(scope, names))

    def _push(self, scope: Scope, name: Name) -> None:
        demand = _Demand(scope, name)
        self._demanded[id(scope), name] = demand
        self._stack.append(demand)

    # ---- walking

    def _walk(self, walk: _Walk) -> None:
        attributes, names = walk.scope.attributes, walk.names
        while walk.index < len(names):
            name = names[walk.index]
            value = attributes[name].value
            if value.__class__ not in SIMPLE and not self._ready(walk, name, value):
                return
            walk.index += 1
        walk.scope.walked = True
        self._walking.discard(id(walk.scope))
        if walk.found:
            self._found[id(walk.scope)] = tuple(walk.found)
        self._stack.pop()

    def _ready(self, walk: _Walk, name: Name, value: Held) -> bool:
        """Deal with a value that is not plain; return False if it has to be looked at again."""
        scope = walk.scope
        kind = value.__class__
        if kind is Link:
            if value.reference.lazy or value.reference.data:
                return True
            if not self._linked(scope, name, value):
                self._push(scope, name)
            return False
        if kind is Scope:
            if value.application is None:
                return self._entered(walk, value)
            if value.application.settled is Settled.NO:
                self._push(scope, name)
                return False
            return True
        if kind is Vector:
            return self._entered_items(walk, value)
        if kind is Failed:
            walk.found.update(dict.fromkeys(value.found))
        elif kind is Tbd:
            cell = scope.attributes[name]
            message = f"`{name_text(name)}` in {path_of(scope)} is TBD: it was never given a value"
            notes = (
                f"{path_of(scope)} is written at {span_of(scope)}",
                *misspelled_notes((name_text(name),), scope),
            )
            finding = Diagnostic("link", "SF-LINK-003", message, span_of(cell), notes)
            scope.attributes[name] = cell.holding(Failed((finding,)))
            return False
        return True

    def _entered(self, walk: _Walk, child: Scope) -> bool:
        """Make sure a component has been walked; return False if that comes first."""
        if child.walked:
            walk.found.update(dict.fromkeys(self.problems_of(child)))
            return True
        if id(child) in self._walking:
            return True  # an endless tree, if it is one, is found when all links are known
        self._open(child)
        return child.walked

    def _entered_items(self, walk: _Walk, vector: Vector) -> bool:
        ready = True
        pending = [vector]
        seen = {id(vector)}
        while pending:
            for item in reversed(pending.pop().items):
                thing: Held = item
                if thing.__class__ is Vector:
                    if id(thing) not in seen:
                        seen.add(id(thing))
                        pending.append(thing)
                elif thing.__class__ is Tbd:
                    message = f"a vector in {path_of(walk.scope)} holds TBD"
                    walk.found[Diagnostic("link", "SF-LINK-003", message, span_of(walk.scope))] = (
                        None
                    )
                elif thing.__class__ is Scope and thing.application is None:
                    ready = self._entered(walk, thing) and ready
        return ready

    # ---- settling one attribute

    def _settle(self, demand: _Demand) -> None:
        scope, name = demand.scope, demand.name
        value = scope.attributes[name].value
        if value.__class__ is Link and not value.reference.lazy and not value.reference.data:
            found = follow(value.reference, scope, self._world)
            if isinstance(found, Blocked):
                if not self._is_cycle(demand, found):
                    self._push(found.scope, found.name)
                return
            self._conclude(scope, name, value, found)
            return
        if value.__class__ is Scope and value.application is not None:
            application: Scope = value
            if value.application.settled is Settled.NO:
                self._apply(demand, application)
                return
        self._drop(demand)

    def _drop(self, demand: _Demand) -> None:
        del self._demanded[id(demand.scope), demand.name]
        self._stack.pop()

    def _linked(self, scope: Scope, name: Name, link: Link) -> bool:
        """Settle an eager link if nothing stands in the way."""
        found = follow(link.reference, scope, self._world)
        if isinstance(found, Blocked):
            return False
        self._conclude(scope, name, link, found)
        return True

    def _conclude(self, scope: Scope, name: Name, link: Link, found: Held) -> None:
        """Replace a link by what it leads to."""
        reference = link.reference
        if isinstance(found, Lazy):
            found = replace(reference, lazy=True)
        else:
            endless = found.__class__ is Scope and _contains(found, scope)
            if reference.optional and (endless or isinstance(found, Failed | Failure)):
                found = reference.default
            elif endless:
                found = Failed((_endless_link(link, found),))
            elif isinstance(found, Failure):
                found = Failed((self._unresolved(scope, name, link, found),))
        if found.__class__ is Reference:
            found = Link(found, link.source, link.start)
        scope.attributes[name] = scope.attributes[name].holding(found)

    def _unresolved(self, scope: Scope, name: Name, link: Link, why: Failure) -> Diagnostic:
        text = reference_text(link.reference)
        span = link_span(link, why.part)
        self._explained += 1
        if self._explained > MOST_EXPLAINED:
            return Diagnostic("link", "SF-LINK-001", f"cannot resolve `{text}`", span)
        lead = 0
        if link.source is not None and span is not None:
            line, column = link.source.position(link.start)
            lead = span.column - column if line == span.line else 0
        notes = (*why.notes(), *chain_notes(scope, name))
        message = f"cannot resolve `{text}` in {path_of(scope)}: {why.reason()}"
        return Diagnostic("link", "SF-LINK-001", message, span, notes, lead=lead)

    def _is_cycle(self, demand: _Demand, wanted: Blocked) -> bool:
        """Fail the attribute if what it waits for waits for it."""
        first = self._demanded.get((id(wanted.scope), wanted.name))
        if first is None:
            return False
        at = self._stack.index(first)
        ring = [task for task in self._stack[at:] if isinstance(task, _Demand)]
        names = [f"{path_of(task.scope)}:{name_text(task.name)}" for task in ring]
        message = f"{names[0]} depends on itself: {' -> '.join([*names, names[0]])}"
        cells = [task.scope.attributes[task.name] for task in ring]
        notes = tuple(
            f"{name} is written at {span_of(cell)}" for name, cell in zip(names, cells, strict=True)
        )
        cell = demand.scope.attributes[demand.name]
        link = cell.value
        found: Held = Failed((Diagnostic("link", "SF-LINK-002", message, span_of(cell), notes),))
        if link.__class__ is Link and link.reference.optional:
            found = link.reference.default
            if found.__class__ is Reference:
                found = Link(found, link.source, link.start)
        demand.scope.attributes[demand.name] = cell.holding(found)
        return True

    # ---- applications

    def _apply(self, demand: _Demand, application: Scope) -> None:
        """Settle an application: first its arguments, then itself."""
        if demand.opened is None:
            assertion = application.application is not None and application.application.assertion
            demand.opened = self._copied(application) if assertion else application
            self._open(demand.opened)
            return
        outcome = self._applications.settle(demand.scope, demand.name, application, demand.opened)
        if isinstance(outcome, Need):
            self._wait_for(demand, outcome)
        elif isinstance(outcome, Outcome):
            cell = demand.scope.attributes[demand.name]
            demand.scope.attributes[demand.name] = cell.holding(outcome.value)

    def _copied(self, assertion: Scope) -> Scope:
        return assertion.copied_to(assertion.parent, self._world.budget)

    def _wait_for(self, demand: _Demand, need: Need) -> None:
        """Put first what an application needs beyond its arguments."""
        if isinstance(need.wanted, Blocked):
            if not self._is_cycle(demand, need.wanted):
                self._push(need.wanted.scope, need.wanted.name)
        elif id(need.wanted) in self._walking:
            cell = demand.scope.attributes[demand.name]
            message = f"{path_of(need.wanted)} is an argument of an expression inside itself"
            failed = Failed((Diagnostic("link", "SF-LINK-004", message, span_of(cell)),))
            demand.scope.attributes[demand.name] = cell.holding(failed)
        else:
            self._open(need.wanted)


def _unfinished(scope: Scope) -> list[Name]:
    """Return the names whose values need a look, after doing the links that lead to simple data."""
    unfinished = []
    attributes = scope.attributes
    for name in scope.layout().special:
        cell = attributes[name]
        if cell.value.__class__ is Link:
            plain = _plain_target(cell.value.reference, scope)
            if plain is not None:
                attributes[name] = cell.holding(plain.value)
                continue
        if cell.value.__class__ not in SIMPLE:
            unfinished.append(name)
    return unfinished


def _plain_target(reference: Reference, scope: Scope) -> Cell | None:
    """Return the cell an eager link leads to, if the way and the end are plain data.

    This is `follow` for the commonest cases, many times faster; anything unusual is left to it.
    """
    if reference.lazy or reference.data:
        return None
    at: Held = scope
    cell: Cell | None = None
    for index, part in enumerate(reference.parts):
        if cell is not None:
            at = cell.value
        if at.__class__ is not Scope or at.application is not None:
            return None
        if part.kind is PARENT:
            at = at.parent
            cell = None
            continue
        cell = at.attributes.get(part.name)
        if part.kind is ATTRIB and not index:
            while cell is None and at.parent is not None and at.application is None:
                at = at.parent
                cell = at.attributes.get(part.name)
        elif part.kind is not HERE:
            return None
        if cell is None or (cell.tags and index):
            return None
    return cell if cell is not None and cell.value.__class__ in SIMPLE else None


def _contains(target: Scope, scope: Scope) -> bool:
    """Tell whether `target` is `scope` or one of its ancestors."""
    at: Scope | None = scope
    while at is not None:
        if at is target:
            return True
        at = at.parent
    return False


def _endless_link(link: Link, target: Scope) -> Diagnostic:
    message = (
        f"`{reference_text(link.reference)}` leads to {path_of(target)}, which contains the link: "
        "the tree would have no end"
    )
    return Diagnostic("link", "SF-LINK-004", message, link_span(link, 0))


def _endless(endless: Endless) -> Diagnostic:
    """Tell which components contain themselves by way of links."""
    at = next(i for i, step in enumerate(endless.steps) if step is endless.steps[-1])
    ring = endless.steps[at:]
    names = " -> ".join(path_of(step) for step in ring)
    message = f"links make a tree without end: {names}"
    notes = tuple(f"{path_of(step)} is written at {span_of(cell_of(step))}" for step in ring[:-1])
    return Diagnostic("link", "SF-LINK-004", message, span_of(cell_of(ring[0])), notes)
