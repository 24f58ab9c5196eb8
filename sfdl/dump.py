"""The tree between two phases, as JSON for people and tests.

The form is canonical JSON with two additions for what is not resolved yet: `"$extends"` lists the
prototypes of a component, and a placement keeps its whole name as the member's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from json.encoder import encode_basestring

from sfdl.canonical import Piece, assemble, member_name, written
from sfdl.follow import Failed
from sfdl.graph import Anonymous, Attributes, Link, Name, Scope, name_text
from sfdl.references import reference_text
from sfdl.values import Value, Vector


def dump(root: Scope) -> str:
    """Return a tree in any state, on one line."""
    return assemble(_scope(root, frozenset()))


def _scope(scope: Scope, around: frozenset[int]) -> Iterator[Piece]:
    if id(scope) in around:
        yield '{"$cycle":true}'
        return
    around |= {id(scope)}
    head: list[str] = []
    if scope.data:
        head.append('"$data":true')
    tags = [(name, cell.tags) for name, cell in scope.attributes.items() if cell.tags]
    if tags:
        listed = (
            f"{member_name(name_text(name))}:[{','.join(map(encode_basestring, sorted(found)))}]"
            for name, found in tags
        )
        head.append(f'"$tags":{{{",".join(listed)}}}')
    yield f"{{{','.join(head)}"
    yield from _prototypes(scope, around, comma=bool(head))
    comma = bool(head) or bool(scope.prototypes)
    yield from _members(scope.attributes if not scope.prototypes else {}, around, comma=comma)
    yield "}"


def _prototypes(scope: Scope, around: frozenset[int], *, comma: bool) -> Iterator[Piece]:
    if not scope.prototypes:
        return
    yield f'{"," if comma else ""}"$extends":['
    for index, step in enumerate(scope.prototypes):
        yield "," if index else ""
        if isinstance(step, Link):
            yield encode_basestring(reference_text(step.reference))
        else:
            yield "{"
            yield from _members(step, around, comma=False)
            yield "}"
    yield "]"


def _members(attributes: Attributes, around: frozenset[int], *, comma: bool) -> Iterator[Piece]:
    number = 0
    for name, cell in attributes.items():
        yield f"{',' if comma else ''}{_shown(name, number)}:"
        number += isinstance(name, Anonymous)
        yield _value(cell.value, around)
        comma = True


def _shown(name: Name, number: int) -> str:
    return member_name(f"--{number}" if isinstance(name, Anonymous) else name_text(name))


def _value(value: Scope | Link | Failed | Value, around: frozenset[int]) -> Piece:
    if isinstance(value, Scope):
        return _scope(value, around)
    if isinstance(value, Link):
        return written(value.reference)
    if isinstance(value, Failed):
        return '{"$failed":true}'
    if isinstance(value, Vector):
        return _vector(value, around)
    return written(value)


def _vector(value: Vector, around: frozenset[int]) -> Iterator[Piece]:
    yield "["
    for index, item in enumerate(value.items):
        yield "," if index else ""
        yield _value(item, around)
    yield "]"
