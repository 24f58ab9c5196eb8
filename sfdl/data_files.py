"""Files of data that a description includes: JSON, YAML and CSV.

The members of an object at the top become attributes where the include stands; a list at the top,
and the lines of a CSV file below its header, become attributes `row0`, `row1`, ... Objects are DATA
components, so that they can be referred to, extended and overridden and are never deployed; lists
are vectors. Whole numbers become ints or longs. Objects in canonical JSON form (`{"$long": 1}`,
`{"$ref": ...}`) are read as what they stand for. In CSV and YAML, text is text; a CSV field is read
as a number, boolean or `NULL` if it is one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from sfdl.builder import Items, Parsing
from sfdl.canonical import from_json
from sfdl.errors import FormatError
from sfdl.graph import NO_TAGS, Attributes, Cell, Held, Scope
from sfdl.limits import MOST_COMPONENTS
from sfdl.literals import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN
from sfdl.primitives import parse_value
from sfdl.values import Bytes, Description, Long, Value, Vector

_DEEPEST = 200


def read_data(source: Parsing, suffix: str) -> Items:
    """Return the attributes that a file of data stands for.

    Args:
        source: The file; positions are those of its lines where the form has lines.
        suffix: `.json`, `.yaml`, `.yml` or `.csv`.

    Raises:
        FormatError: The text is malformed, or holds what a description cannot.
    """
    if suffix == ".csv":
        return list(_rows(source))
    reader = _Reader(source)
    try:
        raw = _parsed_yaml(source.text) if suffix != ".json" else json.loads(source.text)
        held = raw if isinstance(raw, dict) else _numbered(raw)
        return [
            (name, Cell(reader.value(member, 0), NO_TAGS, source, reader.offset(name)))
            for name, member in reader.members(held)
        ]
    except RecursionError:
        raise FormatError("lists and objects are too deep inside each other") from None
    except ValueError as error:
        raise FormatError(str(error)) from error


def _parsed_yaml(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    import yaml  # noqa: PLC0415 - only files of this kind need it

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FormatError(" ".join(str(error).split())) from error


def _numbered(raw: object) -> dict[str, object]:
    if not isinstance(raw, list):
        raise FormatError("the file has to hold an object or a list")
    return {f"row{number}": item for number, item in enumerate(raw)}


class _Reader:
    """Turns plain data into values."""

    def __init__(self, source: Parsing) -> None:
        self._source = source
        self._values = 0
        self._at = 0

    def offset(self, name: str) -> int:
        """Return where a member is written, searching on from the one before."""
        at = self._source.text.find(name, self._at)
        self._at = max(at, self._at)
        return max(at, 0)

    def members(self, raw: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the members of an object; names have to be text."""
        for name, member in raw.items():
            if not isinstance(name, str):
                raise FormatError(f"the name `{name}` is no text")
            yield (name[1:] if name.startswith("$$") else name), member

    def value(self, raw: object, depth: int) -> Held:
        """Return one value; objects become scopes."""
        self._values += 1
        if self._values > MOST_COMPONENTS:
            raise FormatError(f"the file holds more than {MOST_COMPONENTS} values")
        if depth > _DEEPEST:
            raise FormatError(f"more than {_DEEPEST} lists and objects are inside each other")
        if isinstance(raw, dict):
            return self._object(raw, depth)
        if isinstance(raw, list):
            items: list[Value] = []
            for item in raw:
                held = self.value(item, depth + 1)
                items.append(_frozen(held) if isinstance(held, Scope) else held)
            return Vector(tuple(items))
        return _scalar(raw)

    def _object(self, raw: dict[Any, Any], depth: int) -> Held:
        first = next(iter(raw), "")
        if isinstance(first, str) and first.startswith("$") and not first.startswith("$$"):
            return from_json(json.dumps(raw))
        scope = Scope(None, self._source, 0)
        scope.data = True
        for name, member in self.members(raw):
            held = self.value(member, depth + 1)
            if isinstance(held, Scope):
                held.parent = scope
            scope.attributes[name] = Cell(held, NO_TAGS, self._source, 0)
        return scope


def _scalar(raw: object) -> Value:
    if isinstance(raw, int) and not isinstance(raw, bool) and not INT_MIN <= raw <= INT_MAX:
        if not LONG_MIN <= raw <= LONG_MAX:
            raise FormatError("a whole number does not fit into 64 bits")
        return Long(raw)
    if raw is None or isinstance(raw, str | bool | int | float):
        return raw
    if isinstance(raw, bytes):
        return Bytes(raw)
    if isinstance(raw, date):
        return raw.isoformat()
    raise FormatError(f"a description cannot hold a {type(raw).__name__}")


def _frozen(scope: Scope) -> Description:
    """Return an object that stands in a list; nothing can refer into it."""
    pairs = tuple(
        (str(name), _frozen(cell.value) if isinstance(cell.value, Scope) else cell.value)
        for name, cell in scope.attributes.items()
    )
    return Description(pairs, (), data=True)


def _rows(source: Parsing) -> Iterator[tuple[str, Cell]]:
    reader = csv.reader(io.StringIO(source.text, newline=""), strict=True)
    starts = _line_starts(source.text)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header) or not all(header):
            raise FormatError("the first line has to name each column once")
        number = 0
        line = reader.line_num
        for fields in reader:
            start, line = starts[min(line, len(starts) - 1)], reader.line_num
            if not fields:
                continue
            if len(fields) != len(header):
                raise FormatError(f"line {line} has {len(fields)} fields, the first {len(header)}")
            scope = Scope(None, source, start)
            scope.data = True
            cells: Attributes = {}
            for name, field in zip(header, fields, strict=True):
                cells[name] = Cell(_field(field), NO_TAGS, source, start)
            scope.attributes = cells
            yield f"row{number}", Cell(scope, NO_TAGS, source, start)
            number += 1
    except csv.Error as error:
        raise FormatError(str(error)) from error


def _field(text: str) -> Value:
    value = parse_value(text.strip())
    plain = value is None or isinstance(value, bool | int | float | Long)
    return value if plain else text


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts
