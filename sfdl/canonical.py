"""Canonical JSON: one text for each description, and back.

Two descriptions are the same exactly if their canonical texts are; digests, sharing and comparison
rest on that. Writing uses an explicit stack, so depth is no limit.

| value | JSON |
|---|---|
| string, boolean, NULL, integer | the same |
| long, float | `{"$long": n}` `{"$float": x}` |
| byte array, TBD | `{"$bytes": "hex"}` `{"$tbd": true}` |
| double | a number with `.` or exponent; `{"$double": "NaN"}` where JSON has none |
| vector | array |
| component | object; first, if needed, `"$data": true` and `"$tags": {name: [tags]}` |
| reference | `{"$ref": "path"}` and `lazy`, `data`, `optional`, `default` if set |
| kept function | `{"$apply": "Class", "args": {...}}` and `lazy`, `data` |
| kept assertion | `{"$assert": {...}, "lazy": true}`; `"class"` if it is no group |

An attribute name that begins with `$` is written with the `$` doubled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, TypeAlias

from sfdl.errors import FormatError
from sfdl.literals import INT_MAX, INT_MIN, double_text, float_text, single
from sfdl.primitives import parse_reference
from sfdl.references import reference_text
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

_CHECK = "CheckAssertions"
_NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
Raw: TypeAlias = Any
"""JSON as the standard library reads it."""
Piece: TypeAlias = "str | Iterator[Piece]"
"""A text, or the pieces it is made of."""


def assemble(piece: Piece) -> str:
    """Join text that is produced in nested pieces, to any depth."""
    pieces: list[str] = []
    stack: list[Iterator[Piece]] = [iter((piece,))]
    while stack:
        for part in stack[-1]:
            if isinstance(part, str):
                pieces.append(part)
            else:
                stack.append(part)
                break
        else:
            stack.pop()
    return "".join(pieces)


def to_json(value: Value) -> str:
    """Return the canonical JSON of a description, or of any value, on one line."""
    return assemble(written(value))


def digest(value: Value) -> str:
    """Return the SHA-256 of the canonical JSON, as 64 lower-case hexadecimal digits."""
    return sha256(to_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def written(value: Value) -> Piece:  # noqa: PLR0911 - one for each kind
    """Return a value as canonical JSON: the text of a scalar, the pieces of anything larger."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Description):
        return _component(value)
    if isinstance(value, Vector):
        return _vector(value)
    if isinstance(value, Reference):
        return _reference(value)
    if isinstance(value, Kept):
        return _kept(value)
    return _number(value)


def _number(value: Value) -> str:
    if isinstance(value, float):
        return double_text(value) if isfinite(value) else f'{{"$double":"{_non_finite(value)}"}}'
    if isinstance(value, Long):
        return f'{{"$long":{value.value}}}'
    if isinstance(value, Float):
        number = value.value
        text = float_text(number) if isfinite(number) else f'"{_non_finite(number)}"'
        return f'{{"$float":{text}}}'
    if isinstance(value, Bytes):
        return f'{{"$bytes":"{value.value.hex()}"}}'
    if isinstance(value, Tbd):
        return '{"$tbd":true}'
    raise TypeError(f"{type(value).__name__} is no value of the language")


def _non_finite(value: float) -> str:
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")  # noqa: PLR0124 - NaN


def member_name(name: str) -> str:
    """Return an attribute name as the name of a JSON member, quotes included."""
    return encode_basestring(f"${name}" if name.startswith("$") else name)


def _members(pairs: tuple[tuple[str, Value], ...], *, first: bool = True) -> Iterator[Piece]:
    for name, value in pairs:
        yield f"{'' if first else ','}{member_name(name)}:"
        yield written(value)
        first = False


def _component(value: Description) -> Iterator[Piece]:
    yield "{"
    head: list[str] = []
    if value.data:
        head.append('"$data":true')
    if value.tags:
        tagged = ",".join(
            f"{member_name(name)}:[{','.join(encode_basestring(tag) for tag in sorted(tags))}]"
            for name, tags in value.tags
        )
        head.append(f'"$tags":{{{tagged}}}')
    yield ",".join(head)
    yield from _members(value.attributes, first=not head)
    yield "}"


def _vector(value: Vector) -> Iterator[Piece]:
    yield "["
    for index, item in enumerate(value.items):
        if index:
            yield ","
        yield written(item)
    yield "]"


def _reference(value: Reference) -> Iterator[Piece]:
    yield f'{{"$ref":{encode_basestring(reference_text(value))}'
    for flag in ("lazy", "data", "optional"):
        if getattr(value, flag):
            yield f',"{flag}":true'
    if value.optional and value.default is not None:
        yield ',"default":'
        yield written(value.default)
    yield "}"


def _kept(value: Kept) -> Iterator[Piece]:
    if value.assertion:
        yield '{"$assert":{'
    else:
        yield f'{{"$apply":{encode_basestring(value.function)},"args":{{'
    yield from _members(value.arguments)
    yield "}"
    if value.assertion and value.function != _CHECK:
        yield f',"class":{encode_basestring(value.function)}'
    if value.lazy:
        yield ',"lazy":true'
    if value.data:
        yield ',"data":true'
    yield "}"


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, in order."""


def from_json(text: str) -> Value:
    """Read canonical JSON back; white space and the spelling of numbers are free.

    Returns:
        The value; a `Description` for the text of a description.

    Raises:
        FormatError: The text is no canonical JSON.
    """
    try:
        return _read(json.loads(text, object_pairs_hook=_Members))
    except FormatError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"this is no canonical JSON: {error}") from error


def _read(raw: Raw) -> Value:
    if isinstance(raw, _Members):
        return _read_object(raw)
    if isinstance(raw, list):
        return Vector(tuple(map(_read, raw)))
    if isinstance(raw, int) and not isinstance(raw, bool) and not INT_MIN <= raw <= INT_MAX:
        raise FormatError(f"{raw} does not fit into 32 bits")
    value: Value = raw
    return value


def _read_object(raw: _Members) -> Value:
    first = raw[0][0] if raw else ""
    if not first.startswith("$") or first.startswith("$$") or first in ("$data", "$tags"):
        return _read_component(raw)
    members = dict(raw)
    if first == "$ref":
        path = parse_reference(members["$ref"])
        lazy, data, optional = (members.get(flag) is True for flag in ("lazy", "data", "optional"))
        return Reference(path.parts, lazy, data, optional, _read(members.get("default")))
    if first in ("$apply", "$assert"):
        return _read_kept(members, assertion=first == "$assert")
    return _read_scalar(first, raw[0][1])


def _read_scalar(key: str, value: Raw) -> Value:
    if key == "$long":
        return Long(int(value))
    if key == "$float":
        return Float(_NON_FINITE[value] if isinstance(value, str) else single(float(value)))
    if key == "$double":
        return _NON_FINITE[value]
    if key == "$bytes":
        return Bytes(bytes.fromhex(value))
    if key == "$tbd":
        return Tbd()
    raise FormatError(f"`{key}` means nothing in canonical JSON")


def _plain_name(name: str) -> str:
    return name.removeprefix("$")


def _read_component(raw: _Members) -> Description:
    data = False
    tags: tuple[tuple[str, frozenset[str]], ...] = ()
    pairs: list[tuple[str, Value]] = []
    for name, value in raw:
        if name == "$data":
            data = value is True
        elif name == "$tags":
            tags = tuple((_plain_name(tagged), frozenset(names)) for tagged, names in value)
        else:
            pairs.append((_plain_name(name), _read(value)))
    return Description(tuple(pairs), tags, data)


def _read_kept(members: dict[str, Any], *, assertion: bool) -> Kept:
    raw = members["$assert"] if assertion else members["args"]
    arguments = tuple((_plain_name(name), _read(value)) for name, value in raw)
    function = members.get("class", _CHECK) if assertion else members["$apply"]
    lazy, data = members.get("lazy") is True, members.get("data") is True
    return Kept(function, arguments, lazy, data, assertion)
