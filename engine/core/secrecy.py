"""Secrets: attributes tagged `secret`, which people do not see and files do not hold in the open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum

from sfdl.values import Description, Value, Vector

TAG = "secret"
HIDDEN = "(secret)"
NOTHING: tuple[Value, ...] = (None, "", Vector(()))
"""What an attribute for a secret holds where there is none."""


class Sight(Enum):
    """What whoever follows references may see of secrets."""

    COMPONENT = "component"
    """The value itself: it is for the component that holds the reference."""
    PEOPLE = "people"
    """`HIDDEN` instead."""
    NOBODY = "nobody"
    """Nothing: asking for one is refused, since what is said can be overheard."""


sight: ContextVar[Sight] = ContextVar("sight", default=Sight.COMPONENT)
"""On whose behalf references are followed at the moment."""


class Witness:
    """Notes whether a secret was met on the way."""

    __slots__ = ("met",)

    def __init__(self) -> None:
        """Start innocent."""
        self.met = False


_witness: ContextVar[Witness | None] = ContextVar("witness", default=None)


@contextmanager
def witnessing() -> Iterator[Witness]:
    """Note whether references followed inside meet a secret.

    Example:
        >>> with witnessing() as outer:
        ...     with witnessing() as inner:
        ...         met()
        >>> inner.met, outer.met
        (True, True)
    """
    mine = Witness()
    token = _witness.set(mine)
    try:
        yield mine
    finally:
        _witness.reset(token)
        if mine.met:
            met()


def met() -> None:
    """Say that a secret was met."""
    mine = _witness.get()
    if mine is not None:
        mine.met = True


def secret_names(tree: Description) -> frozenset[str]:
    """Return the names of the attributes of a component, or of data, that are secret."""
    return frozenset(name for name, words in tree.tags if TAG in words)


def redacted(value: Value) -> Value:
    """Return data with `HIDDEN` in the place of every secret inside.

    Example:
        >>> tree = Description((("p", "x"), ("q", 1)), (("p", frozenset({"secret"})),))
        >>> redacted(tree).attributes
        (('p', '(secret)'), ('q', 1))
    """
    match value:
        case Description():
            hidden = secret_names(value)
            pairs = tuple(
                (name, HIDDEN if name in hidden else redacted(each))
                for name, each in value.attributes
            )
            return Description(pairs, value.tags, value.data)
        case Vector(items):
            return Vector(tuple(redacted(each) for each in items))
        case _:
            return value


def has_secrets(value: Value) -> bool:
    """Say whether data has a secret anywhere inside; shared sub-trees are looked at once.

    An attribute for one that has none, as a prototype may have it, is no secret.

    Example:
        >>> tags = (("p", frozenset({"secret"})),)
        >>> [has_secrets(Description((("p", each),), tags)) for each in ("x", "", None)]
        [True, False, False]
    """
    seen: set[int] = set()
    pending = [value]
    while pending:
        match pending.pop():
            case Description() as tree if id(tree) not in seen:
                seen.add(id(tree))
                if any(tree.get(name) not in NOTHING for name in secret_names(tree)):
                    return True
                pending.extend(each for _, each in tree.attributes)
            case Vector(items):
                pending.extend(items)
            case _:
                pass
    return False
