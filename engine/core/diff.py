"""The one comparison of component trees: what a change would create, end or alter.

`diff(None, tree)` is a start plan, `diff(tree, None)` an end, two trees an update or a drift report.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from sfdl.values import Description, Value


class Change(Enum):
    """What would happen to one component."""

    CREATE = "+"
    END = "-"
    ALTER = "~"
    REPLACE = "+/-"


class Difference(Struct, frozen=True):
    """One component that differs.

    Attributes:
        path: Names from the root downwards, joined by `:`; empty for the root itself.
        change: What would happen to it.
        type: Its type name, the new one where both sides have one.
        host: Host it asks for itself, or empty for its parent's.
        attributes: Names of the plain attributes that differ, in order.
    """

    path: str
    change: Change
    type: str
    host: str
    attributes: tuple[str, ...] = ()


def children(tree: Description) -> Iterator[tuple[str, Description]]:
    """Give the attributes of a component that are deployed as its children, in order."""
    for name, value in tree.attributes:
        if isinstance(value, Description) and not value.data:
            yield name, value


def diff(old: Description | None, new: Description | None, path: str = "") -> Iterator[Difference]:
    """Compare two trees, parents before children; equal sub-trees that are one object are skipped.

    Example:
        >>> pool = Description((("sfClass", "Pool"), ("vm", Description((("sfClass", "Vm"),)))))
        >>> [(d.path, d.change.value) for d in diff(None, pool)]
        [('', '+'), ('vm', '+')]
    """
    if old is new:
        return
    present = new if new is not None else old
    if present is None:
        return
    row = _row(path, old, new, present)
    if row is not None:
        yield row
    before = dict(children(old)) if old is not None else {}
    after = dict(children(new)) if new is not None else {}
    for name in [*after, *(name for name in before if name not in after)]:
        yield from diff(before.get(name), after.get(name), f"{path}:{name}" if path else name)


def _row(
    path: str, old: Description | None, new: Description | None, present: Description
) -> Difference | None:
    kind, host = _text(present.get("sfClass")), _text(present.get("sfProcessHost"))
    if old is None or new is None:
        return Difference(path, Change.CREATE if old is None else Change.END, kind, host)
    names = dict.fromkeys((*old.names(), *new.names()))
    changed = tuple(
        name
        for name in names
        if not (_is_child(old.get(name)) or _is_child(new.get(name)))
        and not same(old.get(name), new.get(name))
    )
    if not changed:
        return None
    replace = any(name in {"sfClass", "sfProcessHost", "sfProcessName"} for name in changed)
    return Difference(path, Change.REPLACE if replace else Change.ALTER, kind, host, changed)


def same(one: Value, other: Value) -> bool:
    """Say whether two values are equal and of the same kind.

    Example:
        >>> same(1, 1), same(1, True)
        (True, False)
    """
    return type(one) is type(other) and one == other


def _is_child(value: Value) -> bool:
    return isinstance(value, Description) and not value.data


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""
