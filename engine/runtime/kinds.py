"""Kinds of attribute values: how what a description says becomes what an author's code sees."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from sfdl.values import Bytes, Description, Float, Long, Value, Vector

T = TypeVar("T")


class BadValueError(ValueError):
    """A value does not fit its kind; the text says what was expected, without the attribute's name."""


class Kind(Generic[T]):
    """One kind: a name for people, the schema kind of the language, and a reader.

    `read` gives the checked Python value or raises `BadValueError`.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        read: Callable[[Value], T],
        spell: Callable[[float], str] = "{:g}".format,
    ) -> None:
        """Take the name for people, the language's schema kind, the reader, and how limits look."""
        self.name = name
        self.schema = schema
        self.read = read
        self.spell = spell


def spell_size(size: float) -> str:
    """Write a number of bytes in the largest unit that fits.

    Example:
        >>> spell_size(2**20), spell_size(1.5 * 2**30)
        ('1 MiB', '1.5 GiB')
    """
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:g} {unit}"
    return f"{size:g} bytes"


def plain(value: Value) -> object:
    """Turn a value of the language into ordinary Python data; descriptions stay as they are.

    Example:
        >>> plain(Vector((1, Long(2), "a")))
        (1, 2, 'a')
    """
    match value:
        case Long(number) | Float(number):
            return number
        case Bytes(data):
            return data
        case Vector(items):
            return tuple(plain(item) for item in items)
        case _:
            return value


def shown(value: Value) -> str:
    """Show a value in a message, short enough for one line."""
    data = plain(value)
    if isinstance(data, Description):
        return f"a component of {len(data.attributes)} attributes"
    text = (
        {True: "true", False: "false", None: "NULL"}.get(data)
        if (data is None or isinstance(data, bool))
        else (f'"{data}"' if isinstance(data, str) else str(data))
    )
    text = str(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _string(value: Value) -> str:
    if isinstance(value, str):
        return value
    raise BadValueError(f"must be a string (got {shown(value)})")


def _boolean(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    raise BadValueError(f"must be true or false (got {shown(value)})")


def _integer(value: Value) -> int:
    number = plain(value) if isinstance(value, Long) else value
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    raise BadValueError(f"must be a whole number (got {shown(value)})")


def _number(value: Value) -> float:
    number = plain(value) if isinstance(value, Long | Float) else value
    if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number):
        return float(number)
    raise BadValueError(f"must be a number (got {shown(value)})")


def items_of(value: Value) -> tuple[Value, ...]:
    """Return what a list holds.

    Raises:
        BadValueError: It is no list.
    """
    if isinstance(value, Vector):
        return value.items
    raise BadValueError(f"must be a list (got {shown(value)})")


def fields_of(value: Value, known: Collection[str], what: str) -> Mapping[str, Value]:
    """Return the attributes of one description in a list, but for its class and those that are NULL.

    Args:
        value: Item of the list.
        known: Attributes it may have.
        what: What it describes, for people, with an article.

    Raises:
        BadValueError: It is no description, or has an attribute that is not known.

    Example:
        >>> fields_of(Description((("path", "/x"), ("mode", None))), ("path", "mode"), "a file")
        {'path': '/x'}
    """
    if not isinstance(value, Description):
        raise BadValueError(f"must be a list of components (got {shown(value)})")
    found = {name: each for name, each in value.attributes if each is not None}
    strange = sorted(set(found) - set(known) - {"sfClass"})
    if strange:
        raise BadValueError(f"{what} has no {strange[0]}; it has {', '.join(sorted(known))}")
    return found


def _list(value: Value) -> tuple[object, ...]:
    return tuple(plain(item) for item in items_of(value))


def _strings(value: Value) -> tuple[str, ...]:
    items = _list(value)
    if all(isinstance(item, str) for item in items):
        return tuple(str(item) for item in items)
    raise BadValueError(f"must be a list of strings (got {shown(value)})")


def _description(value: Value) -> Description:
    if isinstance(value, Description):
        return value
    raise BadValueError(f"must be a component description (got {shown(value)})")


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_SIZE_UNITS = {
    "": 2**20,
    **{unit: 1024**power for power, unit in enumerate("kmgt", start=1)},
    **{f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", start=1)},
    **{f"{unit}b": 1000**power for power, unit in enumerate("kmgt", start=1)},
}
_SIZE_LIMIT = 2**62


def _size(value: Value) -> int:
    number = plain(value) if isinstance(value, Long) else value
    if isinstance(number, int) and not isinstance(number, bool):
        size = number * 2**20
    elif isinstance(number, str):
        match = _SIZE.fullmatch(number)
        unit = _SIZE_UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise BadValueError(
                f'must be a size such as 512 (MiB), "512m" or "1.5g" (got {shown(value)})'
            )
        size = round(min(float(match[1]) * unit, 2.0 * _SIZE_LIMIT))
    else:
        raise BadValueError(f'must be a size such as 512 (MiB) or "1g" (got {shown(value)})')
    if not 0 <= size <= _SIZE_LIMIT:
        raise BadValueError(f"must be a size from 0 to 2^62 bytes (got {shown(value)})")
    return size


_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _duration(unit_s: float) -> Callable[[Value], float]:
    def read(value: Value) -> float:
        if isinstance(value, str):
            match = _DURATION.fullmatch(value)
            if match is None:
                raise BadValueError(
                    f'must be a duration such as "500ms", "30s" or "5m" (got {shown(value)})'
                )
            seconds = float(match[1]) * _DURATION_UNITS[match[2]]
            if not math.isfinite(seconds):
                raise BadValueError(f"must be a duration that ends (got {shown(value)})")
            return seconds
        seconds = _number(value) * unit_s
        if seconds < 0:
            raise BadValueError(f"must not be negative (got {shown(value)})")
        return seconds

    return read


str_ = Kind("string", "String", _string)
bool_ = Kind("boolean", "Boolean", _boolean)
int_ = Kind("whole number", "Long", _integer)
float_ = Kind("number", "Double", _number)
list_ = Kind("list", "Vector", _list)
strings = Kind("list of strings", "Vector", _strings)
description_ = Kind("description", "CD", _description)
size_bytes = Kind("size", "anyClass", _size, spell_size)
"""A size in bytes: a whole number is MiB, text has a unit; k, m, g, t and KiB are powers of 1024."""
duration_s = Kind("duration, s", "anyClass", _duration(1.0))
"""A duration in seconds: a plain number is seconds, text has a unit."""
duration_ms = Kind("duration, ms", "anyClass", _duration(0.001))
"""A duration in seconds whose plain numbers are milliseconds, text has a unit."""
