"""Encoding of trees and messages: msgpack, strict, with shared sub-trees sent once."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from engine.core.decoding import from_msgpack
from engine.core.secrecy import TAG
from sfdl.values import Bytes, Description, Float, Kept, Long, Reference, Tbd, Value, Vector

T = TypeVar("T")
MOST_NODES = 1_000_000
"""Components and data that a description may unfold to: small tables can stand for huge trees."""


class NodeRef(Struct, frozen=True, tag="node"):
    """Stands for the sub-tree at this index of the table."""

    index: int


class FlatVector(Struct, frozen=True, tag="vector"):
    """A vector whose components are references into the table."""

    items: tuple[FlatValue, ...]


class FlatKept(Struct, frozen=True, tag="kept"):
    """A kept function whose arguments may be references into the table."""

    function: str
    arguments: tuple[tuple[str, FlatValue], ...]
    flags: tuple[bool, bool, bool]


FlatValue: TypeAlias = (
    str | int | bool | float | Long | Float | Bytes | Tbd | Reference
    | FlatVector | FlatKept | NodeRef | None
)  # fmt: skip


class FlatNode(Struct, frozen=True, array_like=True):
    """One component of the table."""

    attributes: tuple[tuple[str, FlatValue], ...]
    tags: tuple[tuple[str, tuple[str, ...]], ...]
    data: bool


class FlatTree(Struct, frozen=True, array_like=True):
    """A description as a table of unique nodes; the last one is the root, leaves come first.

    Nesting on the wire stays shallow whatever the depth of the tree, and a sub-tree that is one
    object in memory travels once.
    """

    nodes: tuple[FlatNode, ...]


def flatten(root: Description) -> FlatTree:
    """Turn a description into its table."""
    table: list[FlatNode] = []
    index: dict[int, int] = {}

    def value(item: Value) -> FlatValue:
        match item:
            case Description():
                return NodeRef(index[id(item)])
            case Vector(items):
                return FlatVector(tuple(value(each) for each in items))
            case Kept(function, arguments, lazy, data, assertion):
                pairs = tuple((name, value(each)) for name, each in arguments)
                return FlatKept(function, pairs, (lazy, data, assertion))
            case _:
                return item

    stack: list[tuple[Description, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in index:
            continue
        if not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in _inner(node) if id(child) not in index)
            continue
        attributes = tuple((name, value(item)) for name, item in node.attributes)
        tags = tuple((name, tuple(sorted(words))) for name, words in node.tags)
        index[id(node)] = len(table)
        table.append(FlatNode(attributes, tags, node.data))
    return FlatTree(tuple(table))


def _inner(node: Description) -> list[Description]:
    found: list[Description] = []
    pending: list[Value] = [item for _, item in node.attributes]
    while pending:
        item = pending.pop()
        match item:
            case Description():
                found.append(item)
            case Vector(items):
                pending.extend(items)
            case Kept():
                pending.extend(argument for _, argument in item.arguments)
            case _:
                pass
    return found


def unflatten(tree: FlatTree) -> Description:
    """Turn a table back into a description; equal sub-trees become one object.

    Raises:
        msgspec.ValidationError: The table is empty, refers forwards, or unfolds to more than
            `MOST_NODES` components and data.
    """
    done: list[Description] = []
    sizes: list[int] = []
    size = 0

    def value(item: FlatValue) -> Value:
        nonlocal size
        match item:
            case NodeRef(number):
                if not 0 <= number < len(done):
                    raise msgspec.ValidationError("description refers to a node that is not there")
                size += sizes[number]
                return done[number]
            case FlatVector(items):
                return Vector(tuple(value(each) for each in items))
            case FlatKept(function, arguments, (lazy, data, assertion)):
                pairs = tuple((name, value(each)) for name, each in arguments)
                return Kept(function, pairs, lazy, data, assertion)
            case _:
                return item

    for node in tree.nodes:
        size = 1
        attributes = tuple((name, value(item)) for name, item in node.attributes)
        if size > MOST_NODES:
            raise msgspec.ValidationError("description unfolds to too many components")
        sizes.append(size)
        tags = tuple((name, frozenset(words)) for name, words in node.tags)
        done.append(Description(attributes, tags, node.data))
    if not done:
        raise msgspec.ValidationError("an empty description")
    return done[-1]


_encoder = msgspec.msgpack.Encoder()


def encode(message: object) -> bytes:
    """Encode any message or plain data."""
    return _encoder.encode(message)


def decode(data: bytes, type_: type[T]) -> T:
    """Decode strictly.

    Raises:
        msgspec.DecodeError: The bytes are not such a message.
    """
    try:
        return from_msgpack(data, type_)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"not a message: {error}") from error


def encode_tree(root: Description) -> bytes:
    """Encode a description by itself, as the ledger keeps it."""
    return encode(flatten(root))


def encode_value(value: Value, *, secret: bool = False) -> bytes:
    """Encode any value of the language by itself; one that is secret says so."""
    tags = (("value", frozenset({TAG})),) if secret else ()
    return encode_tree(Description((("value", value),), tags))


def decode_value(data: bytes) -> Value:
    """Decode a value encoded by `encode_value`."""
    return decode_tree(data).get("value")


def decode_tree(data: bytes) -> Description:
    """Decode a description encoded by `encode_tree`."""
    return unflatten(decode(data, FlatTree))
