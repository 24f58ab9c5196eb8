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

from collections.abc import Iterator
from hashlib import sha256
from json.encoder import encode_basestring
from math import isfinite
from typing import TypeAlias

from sfdl.deep_json import Raw, loads
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


def written(value: Value) -> Piece:
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


def from_json(text: str) -> Value:
    """Read canonical JSON back; white space and the spelling of numbers are free.

    Returns:
        The value; a `Description` for the text of a description.

    Raises:
        FormatError: The text is no canonical JSON.
    """
    try:
        return _value(loads(text, _object))
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(f"this is no canonical JSON: {error}") from error


# Objects are read from the inside out, as the JSON reader completes them: what an object holds is
# in its final form already, but for its arrays.


def _object(pairs: list[tuple[str, Raw]]) -> Value:
    first = pairs[0][0] if pairs else ""
    if not first.startswith("$") or first.startswith("$$") or first in ("$data", "$tags"):
        return _read_component(pairs)
    members = dict(pairs)
    if first == "$ref":
        path = parse_reference(members["$ref"])
        lazy, data, optional = (members.get(flag) is True for flag in ("lazy", "data", "optional"))
        return Reference(path.parts, lazy, data, optional, _value(members.get("default")))
    if first in ("$apply", "$assert"):
        return _read_kept(members, assertion=first == "$assert")
    return _read_scalar(first, pairs[0][1])


def _value(raw: Raw) -> Value:
    """Finish what an object or the whole text holds: only arrays are left to be done."""
    if isinstance(raw, list):
        return _read_vector(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and not INT_MIN <= raw <= INT_MAX:
        raise FormatError(f"{raw} does not fit into 32 bits")
    value: Value = raw
    return value


def _read_vector(raw: list[Raw]) -> Vector:
    frames: list[tuple[Iterator[Raw], list[Value]]] = [(iter(raw), [])]
    while True:
        todo, items = frames[-1]
        for item in todo:
            if isinstance(item, list):
                frames.append((iter(item), []))
                break
            items.append(_value(item))
        else:
            frames.pop()
            vector = Vector(tuple(items))
            if not frames:
                return vector
            frames[-1][1].append(vector)


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


def _read_component(pairs: list[tuple[str, Raw]]) -> Description:
    data = False
    tags: tuple[tuple[str, frozenset[str]], ...] = ()
    attributes: list[tuple[str, Value]] = []
    for name, raw in pairs:
        if name == "$data":
            data = raw is True
        elif name == "$tags":
            tags = _read_tags(raw)
        else:
            attributes.append((name.removeprefix("$"), _value(raw)))
    return Description(tuple(attributes), tags, data)


def _read_tags(raw: Raw) -> tuple[tuple[str, frozenset[str]], ...]:
    found: list[tuple[str, frozenset[str]]] = []
    for name, names in _members_of(raw):
        if not isinstance(names, Vector) or not all(isinstance(tag, str) for tag in names.items):
            raise FormatError(f"the tags of `{name}` have to be an array of strings")
        found.append((name, frozenset(tag for tag in names.items if isinstance(tag, str))))
    return tuple(found)


def _members_of(raw: Raw) -> tuple[tuple[str, Value], ...]:
    """Return the members of an object that is no component, such as the arguments of a function."""
    if not isinstance(raw, Description):
        raise FormatError("an object is missing")
    return raw.attributes


def _read_kept(members: dict[str, Raw], *, assertion: bool) -> Kept:
    arguments = _members_of(members["$assert"] if assertion else members.get("args"))
    function = members.get("class", _CHECK) if assertion else members["$apply"]
    lazy, data = members.get("lazy") is True, members.get("data") is True
    return Kept(function, arguments, lazy, data, assertion)
