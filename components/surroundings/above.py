"""Limits that stand above a component: the nearest of each name counts."""

from __future__ import annotations

from typing import TypeVar

from engine.core.faults import BadDescription
from engine.prim import Prim
from engine.runtime.kinds import BadValueError, Kind
from engine.wire.messages import Handle
from sfdl.values import Kept, Reference, Value

T = TypeVar("T")


async def said_above(prim: Prim, name: str, kind: Kind[T]) -> T | None:
    """Return an attribute that stands above a component; nothing if there is none.

    Raises:
        BadDescription: It is no value of its kind.
    """
    value = await _nearest(prim, name)
    if value is None or isinstance(value, Handle):
        return None
    try:
        return kind.read(value)
    except BadValueError as error:
        raise BadDescription(
            f"{name} above it {error}", code="SF-ATTR-001", where=prim.path
        ) from error


async def _nearest(prim: Prim, name: str) -> Value | Handle:
    """Return an attribute of that name above a component; the engine is asked beyond this process."""
    live = prim.live.parent
    while live is not None:
        value = live.value(name)
        if isinstance(value, Reference | Kept):
            break
        if value is not None:
            return value
        live = live.parent
    return None if live is None and prim.live.segment.parent is None else await prim.above(name)
