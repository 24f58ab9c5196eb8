"""Words that several verbs use: pointers to components, values as trees."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.events import Ident
from engine.wire.codec import FlatTree, flatten
from sfdl.values import Description, Value

SIGNATURE = "sfSignature"
"""Reserved value by which the signature of a description is passed down to the parts of a tree."""


class Handle(Struct, frozen=True, tag="handle"):
    """Points to a component: which one, where its process answers, and its complete name."""

    ident: Ident
    address: str
    name: str


def as_tree(value: Value) -> FlatTree:
    """Put one value into a tree: its only attribute is called `value`."""
    return flatten(Description((("value", value),)))


Plain: TypeAlias = str | int | float | bool | None
"""A reserved value that is passed down from parent to part."""
