"""The value kinds an attribute may hold, as frozen data.

Plain Python scalars stand for the common kinds: `str`, `int` (32 bits, signed), `bool`, `float` (a
double) and `None` (NULL). The others are tagged structs, so that `1`, `1L`, `1.0F` and `1.0` stay
apart wherever a value travels: compiler, plan, wire, ledger and component share these classes.

Equality of the structs is structural but Python's own `1 == 1.0 == True` shines through; compare
values with `sfdl.canonical` digests where kinds matter.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from msgspec import Struct


class Long(Struct, frozen=True, tag="long", gc=False):
    """A 64-bit signed integer written with the suffix `L`."""

    value: int


class Float(Struct, frozen=True, tag="float", gc=False):
    """A single-precision number written with the suffix `F`; `value` is rounded as such."""

    value: float


class Bytes(Struct, frozen=True, tag="bytes", gc=False):
    """A byte array."""

    value: bytes


class Vector(Struct, frozen=True, tag="vector", gc=False):
    """An ordered list of values, in the order written."""

    items: tuple[Value, ...]


class Tbd(Struct, frozen=True, tag="tbd", gc=False):
    """A value still to be defined; never in a finished description."""


class PartKind(Enum):
    """What one step of a reference does."""

    ATTRIB = "ATTRIB"
    HERE = "HERE"
    PARENT = "PARENT"
    ROOT = "ROOT"
    THIS = "THIS"
    PROCESS = "PROCESS"
    HOST = "HOST"
    PROPERTY = "PROPERTY"
    IPROPERTY = "IPROPERTY"
    ENVPROPERTY = "ENVPROPERTY"
    IENVPROPERTY = "IENVPROPERTY"
    CONSTANT = "CONSTANT"


# For the inner loops: looking up a member on its class takes eight times as long as a global name.
ATTRIB: Final = PartKind.ATTRIB
HERE: Final = PartKind.HERE
PARENT: Final = PartKind.PARENT
ROOT: Final = PartKind.ROOT
THIS: Final = PartKind.THIS


class Part(Struct, frozen=True, gc=False):
    """One step of a reference; `name` is empty for PARENT, ROOT, THIS and PROCESS."""

    kind: PartKind
    name: str = ""


class Reference(Struct, frozen=True, tag="ref", gc=False):
    """A path of parts, still to be followed.

    A bare first word is `ATTRIB`, a bare later word `HERE`. `default` counts only if `optional`.
    """

    parts: tuple[Part, ...]
    lazy: bool = False
    data: bool = False
    optional: bool = False
    default: Value = None


class Kept(Struct, frozen=True, tag="kept", gc=False):
    """A function application or assertion left for run time.

    `function` is the short predefined class name or a dotted path; `arguments` hold the names and
    values as canonical JSON shows them, without `sfFunctionClass`.
    """

    function: str
    arguments: tuple[tuple[str, Value], ...]
    lazy: bool = False
    data: bool = False
    assertion: bool = False


class Description(Struct, frozen=True, tag="description", gc=False):
    """Immutable ordered attributes: what the compiler gives and everything else shares.

    There is no parent and no position inside, so equal sub-trees may be one object. `tags` lists
    only attributes that have some. `data` marks a component that is never deployed by itself.
    """

    attributes: tuple[tuple[str, Value], ...]
    tags: tuple[tuple[str, frozenset[str]], ...] = ()
    data: bool = False

    def get(self, name: str, default: Value = None) -> Value:
        """Return the value of `name`, or `default` where there is no such attribute."""
        for key, value in self.attributes:
            if key == name:
                return value
        return default

    def names(self) -> tuple[str, ...]:
        """Return the attribute names in order."""
        return tuple(name for name, _ in self.attributes)

    def replaced(self, name: str, value: Value) -> Description:
        """Return a copy with `name` set: in place where it exists, else appended."""
        pairs = [(key, value if key == name else old) for key, old in self.attributes]
        if name not in self.names():
            pairs.append((name, value))
        return Description(tuple(pairs), self.tags, self.data)

    def overlaid(self, overrides: tuple[tuple[str, Value], ...]) -> Description:
        """Return a copy with several attributes set, as by `replaced`; itself if there are none."""
        if not overrides:
            return self
        table = dict(self.attributes)
        table.update(overrides)
        return Description(tuple(table.items()), self.tags, self.data)


Value: TypeAlias = (
    str
    | int
    | bool
    | float
    | Long
    | Float
    | Bytes
    | Vector
    | Tbd
    | Reference
    | Kept
    | Description
    | None
)
