"""What an update means for one running component: keep it, replace it, or refuse."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from engine.core.diff import same
from sfdl.values import Description, Value

AS_BEFORE = "SF-UPDATE-009"
"""Code of a fault that left what it concerns as it was before: the rest of an update goes back, too."""


class Fate(Enum):
    """What becomes of a component."""

    KEEP = "keep"
    REPLACE = "replace"


class Judgement(Struct, frozen=True):
    """What an update means for one component itself, its children apart.

    Attributes:
        changed: Names of the plain attributes that differ, in order.
        why: Why it cannot be kept, or empty.
    """

    fate: Fate
    changed: tuple[str, ...] = ()
    why: str = ""


def judge(
    old: Mapping[str, Value],
    new: Description,
    *,
    updatable: Mapping[str, bool],
) -> Judgement:
    """Apply the base rule: a reserved attribute, or one that only counts at the start, replaces.

    Args:
        old: Attributes as they are now, without children and what the component writes itself.
        new: What it is to become.
        updatable: For each declared attribute, whether the component takes a new value in place.

    Example:
        >>> judge({"size": 1}, Description((("size", 2),)), updatable={"size": True}).fate
        <Fate.KEEP: 'keep'>
        >>> judge({"size": 1}, Description((("size", 2),)), updatable={"size": False}).why
        'size counts only when it starts'
    """
    table = {name: value for name, value in new.attributes if not _is_child(value)}
    changed = tuple(
        name for name in dict.fromkeys((*old, *table)) if not same(old.get(name), table.get(name))
    )
    reserved = [name for name in changed if name.startswith("sf")]
    if reserved:
        return Judgement(Fate.REPLACE, changed, f"{reserved[0]} differs")
    fixed = [name for name in changed if not updatable.get(name, True)]
    if fixed:
        return Judgement(Fate.REPLACE, changed, f"{fixed[0]} counts only when it starts")
    return Judgement(Fate.KEEP, changed)


def _is_child(value: Value) -> bool:
    return isinstance(value, Description) and not value.data
