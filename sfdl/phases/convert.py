"""Phase `convert`: the linked graph becomes frozen data.

Attributes tagged `sfTemp` and assertions that were satisfied for good are left out. A component
that several links lead to is frozen once and shared. Anonymous names get their numbers here: `--0`,
`--1`, in order of appearance within their component.
"""

from __future__ import annotations

from collections.abc import Iterator

from sfdl.graph import (
    CLASS,
    SIMPLE,
    Anonymous,
    Cell,
    Held,
    Link,
    Name,
    Scope,
    Settled,
    is_special,
    name_text,
)
from sfdl.limits import MOST_ATTRIBUTES, TooLarge, size_of
from sfdl.values import Description, Kept, Value, Vector


class Endless(Exception):  # noqa: N818 - a finding that the link phase reports
    """A component contains itself by way of links; carries the paths on the way."""

    def __init__(self, steps: list[Scope]) -> None:
        super().__init__("endless tree")
        self.steps = steps


class Done:
    """What has been frozen: values by the identity of scopes, sizes by that of values."""

    __slots__ = ("sizes", "values")

    def __init__(self) -> None:
        self.values: dict[int, Description | Kept] = {}
        self.sizes: dict[int, int] = {}


class _Frame:
    """A component or application whose attributes are being frozen."""

    __slots__ = ("number", "pairs", "pending", "scope", "size", "tags", "todo")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.pairs: list[tuple[str, Value]] = []
        self.tags: list[tuple[str, frozenset[str]]] = []
        self.todo: Iterator[tuple[Name, Cell]] = iter(scope.attributes.items())
        self.pending: tuple[Name, Cell] | None = None
        self.number = 0
        self.size = len(scope.attributes)

    def next_name(self) -> str:
        """Return the name of the next anonymous attribute, passing over names that are taken."""
        while True:
            name = f"--{self.number}"
            self.number += 1
            if name not in self.scope.attributes:
                return name

    def finished(self) -> Description | Kept:
        kept = self.scope.application
        if kept is None:
            return Description(tuple(self.pairs), tuple(self.tags), self.scope.data)
        cell = self.scope.attributes.get(CLASS)
        name = cell.value if cell is not None and isinstance(cell.value, str) else ""
        return Kept(name, tuple(self.pairs), kept.lazy, kept.data, kept.assertion)

    def advance(self, done: Done) -> Scope | None:
        """Freeze attributes until one needs a scope frozen first; return that scope."""
        waits_for = self._unusual(done)
        if waits_for is not None:
            return waits_for
        usual = SIMPLE if self.scope.application is None else _NOTHING
        append = self.pairs.append
        for name, cell in self.todo:
            value: Held = cell.value
            if value.__class__ in usual and name.__class__ is str and not cell.tags:
                append((name, value))  # type: ignore[arg-type]
                continue
            self.pending = name, cell
            waits_for = self._unusual(done)
            if waits_for is not None:
                return waits_for
        return None

    def _unusual(self, done: Done) -> Scope | None:
        """Freeze the pending attribute, or return the scope that comes first."""
        if self.pending is None:
            return None
        name, cell = self.pending
        application = self.scope.application is not None
        if not _left_out(name, cell, application=application):
            value = frozen_value(cell.value, done.values)
            if value.__class__ is Scope:
                leaf = _leaf(value) if value is cell.value else None
                if leaf is None:
                    waits_for: Scope = value
                    return waits_for
                done.values[id(value)] = leaf
                done.sizes[id(leaf)] = len(leaf.attributes)
                value = leaf
            shown = self.next_name() if name.__class__ is Anonymous else name_text(name)
            self.size += size_of(value, done.sizes)
            self.pairs.append((shown, value))
            if cell.tags and not application:
                self.tags.append((shown, cell.tags))
        self.pending = None
        return None


_NOTHING: frozenset[type] = frozenset()


def _leaf(scope: Scope) -> Description | None:
    """Return a component that holds nothing but plain data without tags; None for any other."""
    attributes = scope.attributes
    if scope.application is not None:
        return None
    for name in scope.layout().special:
        if is_special(name, attributes[name]):
            return None
    pairs = [
        cell.frozen or cell.freeze(name)  # type: ignore[arg-type]
        for name, cell in attributes.items()
    ]
    return Description(tuple(pairs), (), scope.data)


def _left_out(name: Name, cell: Cell, *, application: bool) -> bool:
    if application and isinstance(name, str) and (name == CLASS or name.startswith("phase.")):
        return True
    if cell.tags and not application and "sfTemp" in cell.tags:
        return True
    value = cell.value
    return (
        value.__class__ is Scope
        and value.application is not None
        and value.application.settled is Settled.DROPPED
    )


def frozen_value(value: Held, done: dict[int, Description | Kept]) -> Held:
    """Return a value as frozen data, or the scope that has to be frozen first."""
    if value.__class__ is Link:
        return value.reference
    if value.__class__ is Scope:
        return done.get(id(value), value)
    if value.__class__ is not Vector:
        return value
    held: tuple[Held, ...] = value.items
    if not any(item.__class__ is Scope or item.__class__ is Vector for item in held):
        return value
    items = []
    for item in held:
        frozen = frozen_value(item, done)
        if frozen.__class__ is Scope:
            return frozen
        items.append(frozen)
    return Vector(tuple(items))


def freeze(top: Scope, *, bounded: bool = False) -> Description | Kept:
    """Return a scope and all it holds as frozen data.

    Args:
        top: A linked component, or an application.
        bounded: Refuse a result that is too large when shared components are written out.

    Raises:
        Endless: Links lead from a component back into itself.
        TooLarge: The result is above the limit.
    """
    done = Done()
    frames = [_Frame(top)]
    open_ids = {id(top)}
    while frames:
        frame = frames[-1]
        child = frame.advance(done)
        if child is None:
            finished = done.values[id(frame.scope)] = frame.finished()
            done.sizes[id(finished)] = frame.size
            if bounded and frame.size > MOST_ATTRIBUTES:
                raise TooLarge(
                    f"the result would have more than {MOST_ATTRIBUTES} attributes, "
                    "components that links repeat being counted each time"
                )
            open_ids.discard(id(frame.scope))
            frames.pop()
        elif id(child) in open_ids:
            raise Endless([*(step.scope for step in frames), child])
        else:
            frames.append(_Frame(child))
            open_ids.add(id(child))
    return done.values[id(top)]
