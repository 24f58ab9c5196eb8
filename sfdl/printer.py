"""Descriptions as source text that compiles to the same description.

Everything is written out: kinds by their suffixes, vectors as literals or constructor lists,
functions kept for run time as `LAZY APPLY`, kept assertions as `LAZY ASSERT`. An explicit stack
keeps depth from being a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, isnan

from sfdl.canonical import Piece, assemble
from sfdl.literals import double_text, float_text, quoted
from sfdl.references import source_text, written_name
from sfdl.values import (
    Bytes,
    Description,
    Float,
    Kept,
    Long,
    Reference,
    Tbd,
    Value,
    Vector,
)

_STEP = "  "
_DEEPEST = 40
"""Levels after which the indentation stays as it is."""


def print_file(root: Description) -> str:
    """Return a description as a file: `sfConfig extends {...}`, ending with a newline."""
    return f"sfConfig {print_value(root)}\n"


def print_value(value: Value) -> str:
    """Return a value as it stands after an attribute's name.

    A number that is not finite has no literal and becomes an expression that gives it.
    """
    return assemble(_value(value, 0))


def _value(value: Value, depth: int, *, nested: bool = False) -> Piece:
    if isinstance(value, Description):
        return _component(value, depth, nested=nested)
    if isinstance(value, Vector):
        return _vector(value, depth)
    if isinstance(value, Kept):
        return _kept(value, depth)
    if isinstance(value, Reference):
        return reference_source(value)
    return _scalar(value)


def _scalar(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Long):
        return f"{value.value}L"
    if isinstance(value, Bytes):
        return f"#HEX#{value.value.hex()}#"
    if isinstance(value, float | Float):
        return _decimal(value)
    if isinstance(value, Tbd):
        return "TBD"
    raise TypeError(f"{type(value).__name__} is no value of the language")


def _number(value: float | Float) -> float:
    return value.value if isinstance(value, Float) else value


def _decimal(value: float | Float) -> str:
    number = _number(value)
    if not isfinite(number):
        return _computed(number, "1e38F" if isinstance(value, Float) else "1e308D")
    return f"{float_text(number)}F" if isinstance(value, Float) else f"{double_text(number)}D"


def _computed(number: float, large: str) -> str:
    """Return an expression for what no literal can say: an infinite number, or none at all."""
    infinite = f"({large} * {large})"
    if isnan(number):
        return f"({infinite} - {infinite})"
    return infinite if number > 0 else f"(-{large} * {large})"


def _vector(value: Vector, depth: int) -> Iterator[Piece]:
    literal = _is_literal(value)
    yield "[|" if literal else "["
    for index, item in enumerate(value.items):
        if index:
            yield ", "
        yield _value(item, depth, nested=True)
    yield "|]" if literal else "]"


def _is_literal(vector: Vector) -> bool:
    """Tell whether a vector holds nothing but what a literal vector may."""
    pending: list[Value] = [vector]
    while pending:
        value = pending.pop()
        if isinstance(value, Vector):
            pending.extend(value.items)
        elif (
            isinstance(value, Description | Kept)
            or (isinstance(value, Reference) and not value.data)
            or (isinstance(value, float | Float) and not isfinite(_number(value)))
        ):
            return False
    return True


def reference_source(value: Reference) -> str:
    """Return a reference as source text, with `LAZY`, `DATA` and `OPTIONAL`."""
    words = ["LAZY"] if value.lazy else ["DATA"] if value.data else []
    if value.optional:
        words.append(
            "OPTIONAL" if value.default is None else f"OPTIONAL ({print_value(value.default)})"
        )
    words.append(source_text(value))
    return " ".join(words)


def _component(value: Description, depth: int, *, nested: bool) -> Iterator[Piece]:
    yield "(" if nested else ""
    yield "extends DATA {" if value.data else "extends {"
    yield from _attributes(value.attributes, dict(value.tags), depth + 1)
    yield f"{_STEP * min(depth, _DEEPEST)}}}" if value.attributes else "}"
    yield ")" if nested else ""


def _attributes(
    pairs: tuple[tuple[str, Value], ...], tags: dict[str, frozenset[str]], depth: int
) -> Iterator[Piece]:
    number = 0
    for name, value in pairs:
        yield f"\n{_STEP * min(depth, _DEEPEST)}"
        if tags.get(name):
            yield f"[{', '.join(written_name(tag) for tag in sorted(tags[name]))}] "
        # The compiler numbers anonymous attributes in order, so only a name that keeps the count
        # can be left to it.
        if name == f"--{number}":
            number += 1
            yield "-- "
        else:
            yield f"{written_name(name)} "
        yield _value(value, depth)
        yield "" if isinstance(value, Description) else ";"
    yield "\n" if pairs else ""


def _kept(value: Kept, depth: int) -> Iterator[Piece]:
    yield "LAZY " if value.lazy else "DATA " if value.data else ""
    yield "ASSERT {" if value.assertion else "APPLY {"
    pairs = (("sfFunctionClass", value.function), *value.arguments)
    yield from _attributes(pairs, {}, depth + 1)
    yield f"{_STEP * min(depth, _DEEPEST)}}}"
