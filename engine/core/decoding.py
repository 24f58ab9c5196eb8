"""Decoding data by type, safe from several threads at once.

msgspec finds out what a type is made of when it is first decoded, in steps. Another thread that meets
the half-known type meanwhile ends the whole process by a memory fault (seen with msgspec 0.22). Here a
type is learnt by one thread at a time, before it is used.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")
_learning = threading.Lock()
_learnt: set[object] = set()


def _learn(type_: type[object]) -> None:
    with _learning:
        msgspec.msgpack.Decoder(type_)
        _learnt.add(type_)


def from_msgpack(data: bytes, type_: type[T]) -> T:
    """Decode MessagePack strictly.

    Raises:
        msgspec.DecodeError: It is no such thing.
    """
    if type_ not in _learnt:
        _learn(type_)
    return msgspec.msgpack.decode(data, type=type_)


def from_json(data: bytes | str, type_: type[T]) -> T:
    """Decode JSON strictly.

    Raises:
        msgspec.DecodeError: It is no such thing.
    """
    if type_ not in _learnt:
        _learn(type_)
    return msgspec.json.decode(data, type=type_)


def converted(value: object, type_: type[T]) -> T:
    """Turn plain data into a type, strictly.

    Raises:
        msgspec.ValidationError: It does not fit.
    """
    if type_ not in _learnt:
        _learn(type_)
    return msgspec.convert(value, type_, strict=True)
