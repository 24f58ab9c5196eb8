"""Following the path of a reference through the graph of scopes.

`follow` takes one reference as far as it goes without evaluating anything: to a value, to an
attribute that has to be settled first (`Blocked`), to something lazy, or to a reason why it leads
nowhere. The phases decide what to do with each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sfdl.diagnostics import Diagnostic
from sfdl.graph import PLAIN, Cell, Held, Link, Name, Scope, Settled, path_of
from sfdl.messages import missing_notes
from sfdl.phases.convert import freeze
from sfdl.values import (
    ATTRIB,
    HERE,
    PARENT,
    ROOT,
    THIS,
    Description,
    Part,
    PartKind,
    Reference,
    Tbd,
)
from sfdl.world import World, kind_of


class Failed:
    """Stands for a value that could not be had; carries the findings."""

    __slots__ = ("found",)

    def __init__(self, found: tuple[Diagnostic, ...]) -> None:
        self.found = found


class Blocked(NamedTuple):
    """The value of this attribute has to be settled first."""

    scope: Scope
    name: Name


class Failure(NamedTuple):
    """The reference leads nowhere: which part failed, and why.

    What was searched is kept rather than told, since most failures, those of optional references,
    are never shown.

    Attributes:
        part: Index of the part that failed.
        why: The reason, or an empty string if a name is missing.
        name: The missing name.
        scope: Where the search for it began.
        climbing: Whether ancestors were searched too.
    """

    part: int
    why: str = ""
    name: str = ""
    scope: Scope | None = None
    climbing: bool = False

    def reason(self) -> str:
        """Return why, in words."""
        if self.why or self.scope is None:
            return self.why
        if self.scope.failed:
            return f"{path_of(self.scope)} is incomplete"
        if self.part:
            return f"{path_of(self.scope)} has no attribute `{self.name}`"
        return f"there is no `{self.name}`"

    def notes(self) -> tuple[str, ...]:
        """Return where the name was searched, and which names it may have meant."""
        if self.scope is None or self.scope.failed:
            return ()
        return missing_notes(self.name, self.scope, climbing=self.climbing)


class Lazy:
    """The reference meets something that is resolved at run time."""

    __slots__ = ()


LAZY: Final = Lazy()
_SCOPED = frozenset((ATTRIB, HERE, PARENT, ROOT, THIS))


def follow(
    reference: Reference, scope: Scope, world: World, known: Mapping[int, Held] | None = None
) -> Held:
    """Follow a reference that is written in `scope`.

    Args:
        reference: The reference; its flags are not looked at.
        scope: The component or application that contains it.
        world: Properties, environment and constants.
        known: Values of eager links found before, by the identity of their cells.

    Returns:
        The value, or a `Blocked`, `LAZY`, `Failed` or `Failure`. A component is given as its `Scope`.
    """
    current: Held = scope
    for index, part in enumerate(reference.parts):
        if part.kind in _SCOPED:
            current = _step(current, reference.parts, index, known)
        else:
            current = _outside(part, index, world)
        if current.__class__ in _STOPS:
            return current
    return current


_STOPS = frozenset((Blocked, Failed, Failure, Lazy))


def _step(
    current: Held, parts: tuple[Part, ...], index: int, known: Mapping[int, Held] | None
) -> Held:
    """Take one part of a path."""
    part = parts[index]
    if current.__class__ is not Scope:
        return _inside_value(current, parts, index)
    if part.kind is PARENT:
        return current.parent or Failure(index, "the file root has no parent")
    if part.kind is ROOT:
        while current.parent is not None:
            current = current.parent
        return current
    if part.kind is THIS:
        return current
    found = _lookup(current, part, index)
    if isinstance(found, Failure):
        return found
    value = _settled(*found, part.name, known)
    if value.__class__ is Tbd:
        return Failure(index, f"{_words(part)} is TBD: it was never given a value")
    return value


def _inside_value(current: Held, parts: tuple[Part, ...], index: int) -> Held:
    """Step into something that is no component of the graph."""
    part = parts[index]
    frozen = current.__class__ is Description and part.kind is HERE
    if frozen and part.name in current.names():
        return current.get(part.name)
    return Failure(index, f"{_words(parts[index - 1])} is {kind_of(current)}, not a component")


def _words(part: Part) -> str:
    return f"`{part.name}`" if part.name else part.kind.value


def _outside(part: Part, index: int, world: World) -> Held:
    if part.kind in (PartKind.PROCESS, PartKind.HOST):
        return Failure(index, f"{part.kind.value} exists at run time only; write LAZY in front")
    try:
        return world.value(part.kind, part.name)
    except LookupError as error:
        return Failure(index, str(error.args[0]))


def _settled(cell: Cell, owner: Scope, name: Name, known: Mapping[int, Held] | None) -> Held:
    """Return the value of a cell, or what stands in the way."""
    value = cell.value
    if value.__class__ in PLAIN:
        return value
    if value.__class__ is Link:
        if value.reference.lazy:
            return LAZY
        if value.reference.data:
            return value.reference
        return known[id(cell)] if known and id(cell) in known else Blocked(owner, name)
    if value.__class__ is Scope and value.application is not None:
        if value.application.settled is Settled.NO:
            return Blocked(owner, name)
        return freeze(value) if value.application.data else LAZY
    return value


def _lookup(scope: Scope, part: Part, index: int) -> tuple[Cell, Scope] | Failure:
    """Find the cell that a name part means, and the scope that has it."""
    name = part.name
    climbing = part.kind is ATTRIB
    at: Scope | None = scope
    while at is not None:
        cell = at.attributes.get(name)
        if (
            cell is not None
            and not (cell.tags and index and "sfLocal" in cell.tags)
            and not (climbing and at.application is not None and name in hidden_slots(at))
        ):
            return cell, at
        if not climbing:
            break
        at = at.parent
    return Failure(index, "", name, scope, climbing)


_BINARY = frozenset(("left", "right"))
_HIDDEN: Mapping[object, frozenset[str]] = {
    **dict.fromkeys(("Minus", "Divide", "Mod", "EQ", "NE", "LT", "LE", "GT", "GE"), _BINARY),
    "Not": frozenset(("data",)),
    "IfThenElse": frozenset(("if", "then", "else")),
}
_NONE: frozenset[str] = frozenset()


def hidden_slots(application: Scope) -> frozenset[str]:
    """Return the argument names that searching by bare name passes over.

    The slots of operators are no names a user wrote, so `(left - right)` means the attributes of
    the component around it.
    """
    cell = application.attributes.get("sfFunctionClass")
    if cell is None:
        return _NONE
    if cell.value == "Switch":
        return frozenset(
            name for name in application.attributes if isinstance(name, str) and _is_case(name)
        )
    return _HIDDEN.get(cell.value, _NONE) if isinstance(cell.value, str) else _NONE


def _is_case(name: str) -> bool:
    return name.removeprefix("IF").isdigit() or name.removeprefix("THEN").isdigit()
