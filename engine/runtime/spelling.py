"""Attributes that no component declares, looked for before anything is created.

A description may give a component attributes of its own, for others to refer to, so that one which is
not declared is no mistake by itself; one that is spelt almost as a declared one very likely is.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

from msgspec import Struct

from engine.core.diff import children
from engine.core.faults import EngineError, Fault, Kind
from engine.runtime.attributes import Declarations
from engine.runtime.kinds import shown
from engine.runtime.types import Types
from sfdl.values import Description

STRICT = "strictAttributes"
"""Attribute of a component: those of it and of all below it must be declared."""
ALIKE = 0.8
"""How alike two names are at least, of 1, to be taken for one another."""
_FREE = frozenset({"schema", STRICT})


class Undeclared(Struct, frozen=True):
    """An attribute that is not declared.

    Attributes:
        path: Of the component.
        text: What is wrong, with what was meant perhaps.
        refused: It may not be.
    """

    path: str
    text: str
    refused: bool

    @property
    def fault(self) -> Fault:
        """Return it as what a start is refused with."""
        hint = f"{STRICT} is true here; say it false on a component that has attributes of its own"
        return Fault(
            Kind.BAD_DESCRIPTION, self.text, "SF-ATTR-004", self.path, hint, phase="create"
        )


def undeclared(root: Description, name: str, types: Types) -> list[Undeclared]:
    """Find attributes that are not declared by the types of their components, over all hosts.

    Where `strictAttributes` holds all of them, elsewhere those that look misspelt.

    Args:
        root: The whole description.
        name: The application's, for complete names.
        types: Where component types are found; one that is not known here is passed over.
    """
    found: list[Undeclared] = []
    stack = [(root, name, False)]
    while stack:
        node, path, above = stack.pop()
        given = node.get(STRICT)
        strict = given if isinstance(given, bool) else above
        if given is not None and not isinstance(given, bool):
            text = f"{STRICT} must be true or false (got {shown(given)})"
            found.append(Undeclared(path, text, refused=True))
        found.extend(_of(node, path, types, strict=strict))
        below = [(child, f"{path}:{child_name}", strict) for child_name, child in children(node)]
        stack.extend(reversed(below))
    return found


def _of(node: Description, path: str, types: Types, *, strict: bool) -> list[Undeclared]:
    kind = node.get("sfClass")
    try:
        cls = types.component(kind, where=path) if isinstance(kind, str) else None
    except EngineError:
        return []
    if cls is None:
        return []
    found = []
    known = _names(cls.declarations)
    for name, value in node.attributes:
        if name in known or name.startswith("sf") or value is None:
            continue
        if isinstance(value, Description) and not value.data:  # a child
            continue
        near = nearest(cls.declarations, name)
        if near or strict:
            guess = f"; did you mean {near}?" if near else ""
            text = f"{name} is no attribute of a {cls.__name__}{guess}"
            found.append(Undeclared(path, text, refused=strict))
    return found


@lru_cache(maxsize=1024)
def _names(declared: Declarations) -> frozenset[str]:
    return _FREE.union(declared.attrs, declared.links, declared.outputs)


@lru_cache(maxsize=4096)
def nearest(declared: Declarations, name: str) -> str:
    """Return the declared attribute that a name looks like; empty if there is none."""
    names = [*declared.attrs, *declared.links]
    return next(iter(get_close_matches(name, names, 1, ALIKE)), "")
