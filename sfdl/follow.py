"""Following the path of a reference through the graph of scopes.

`follow` takes one reference as far as it goes without evaluating anything: to a value, to an
attribute that has to be settled first (`Blocked`), to something lazy, or to a reason why it leads
nowhere. The phases decide what to do with each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sfdl.graph import PLAIN, Cell, Link, Name, Scope, Settled, is_component, path_of
from sfdl.messages import missing_notes
from sfdl.values import Description, Part, PartKind, Reference, Tbd
from sfdl.world import World


class Blocked(NamedTuple):
    """The value of this attribute has to be settled first."""

    scope: Scope
    name: Name


class Failure(NamedTuple):
    """The reference leads nowhere: which part failed, and why."""

    index: int
    why: str
    notes: tuple[str, ...] = ()


class Lazy:
    """The reference meets something that is resolved at run time."""

    __slots__ = ()


LAZY: Final = Lazy()
_SCOPED = frozenset((PartKind.ATTRIB, PartKind.HERE, PartKind.PARENT, PartKind.ROOT, PartKind.THIS))


def follow(
    reference: Reference, scope: Scope, world: World, known: Mapping[int, Any] | None = None
) -> Any:
    """Follow a reference that is written in `scope`.

    Args:
        reference: The reference; its flags are not looked at.
        scope: The component or application that contains it.
        world: Properties, environment and constants.
        known: Values of eager links found before, by the identity of their cells.

    Returns:
        The value, or a `Blocked`, `LAZY` or `Failure`. A component is given as its `Scope`.
    """
    parts = reference.parts
    last = len(parts) - 1
    current: Any = scope
    for index, part in enumerate(parts):
        if part.kind not in _SCOPED:
            current = _outside(part, index, world)
            if isinstance(current, Failure | Lazy):
                return current
            continue
        if current.__class__ is Description and part.kind is PartKind.HERE and part.name in current.names():
            current = current.get(part.name)
            continue
        if current.__class__ is not Scope:
            before = _words(parts[index - 1])
            return Failure(index, f"{before} is {world.kind(current)}, not a component")
        if part.kind is PartKind.PARENT:
            if current.parent is None:
                return Failure(index, "the file root has no parent")
            current = current.parent
        elif part.kind is PartKind.ROOT:
            while current.parent is not None:
                current = current.parent
        elif part.kind is not PartKind.THIS:
            found = _lookup(current, part, index)
            if isinstance(found, Failure):
                return found
            cell, owner = found
            current = cell.value
            if current.__class__ not in PLAIN:
                current = _settled(cell, owner, part.name, known)
                if isinstance(current, Blocked | Lazy):
                    return current
                if current.__class__ is Tbd:
                    return Failure(index, f"{_words(part)} is TBD: it was never given a value")
                if index < last and current.__class__ is Scope and not is_component(current):
                    return Failure(index + 1, f"{_words(part)} is a function kept as data")
    return current


def _words(part: Part) -> str:
    return f"`{part.name}`" if part.name else part.kind.value


def _outside(part: Part, index: int, world: World) -> Any:
    if part.kind in (PartKind.PROCESS, PartKind.HOST):
        return Failure(index, f"{part.kind.value} exists at run time only; write LAZY in front")
    try:
        return world.value(part.kind, part.name)
    except LookupError as error:
        return Failure(index, str(error.args[0]))


def _settled(cell: Cell, owner: Scope, name: Name, known: Mapping[int, Any] | None) -> Any:
    """Return the value of a cell that is not plain, or what stands in the way."""
    value = cell.value
    if value.__class__ is Link:
        if value.reference.lazy:
            return LAZY
        if value.reference.data:
            return value
        if known is not None and id(cell) in known:
            return known[id(cell)]
        return Blocked(owner, name)
    if value.__class__ is Scope and value.application is not None:
        if value.application.settled is Settled.NO:
            return Blocked(owner, name)
        if not value.application.data:
            return LAZY
    return value


def _lookup(scope: Scope, part: Part, index: int) -> tuple[Cell, Scope] | Failure:
    """Find the cell that a name part means, and the scope that has it."""
    name = part.name
    climbing = part.kind is PartKind.ATTRIB
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
    if scope.failed:
        return Failure(index, f"{path_of(scope)} is incomplete")
    what = "which has no" if index else "there is no"
    return Failure(index, f"{what} `{name}`", missing_notes(name, scope, climbing=climbing))


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
