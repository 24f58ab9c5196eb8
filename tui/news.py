"""What the worker threads tell the console, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from engine.core.events import Event
from engine.wire.messages import AttributeRow, TreeRow, Welcome


@dataclass(frozen=True)
class Reached:
    """A daemon answered its greeting; its events follow from here on."""

    address: str
    welcome: Welcome


@dataclass(frozen=True)
class Silent:
    """A daemon does not answer."""

    address: str
    why: str


@dataclass(frozen=True)
class Happened:
    """A daemon's next events, perhaps none; `gap` says that some before them were missed."""

    address: str
    events: tuple[Event, ...]
    gap: bool = False


@dataclass(frozen=True)
class TreePage:
    """Some rows of the reading of a component, or of the list of applications where `ref` is empty.

    Attributes:
        number: Which reading it belongs to, as its question said.
        last: Nothing more comes of this reading.
    """

    address: str
    ref: str
    number: int
    rows: tuple[TreeRow, ...]
    last: bool


@dataclass(frozen=True)
class TreeRefused:
    """A reading could not be finished; `gone` says that there is no such component."""

    address: str
    ref: str
    number: int
    why: str
    gone: bool


@dataclass(frozen=True)
class AttributesRead:
    """The attributes of one component."""

    address: str
    ref: str
    rows: tuple[AttributeRow, ...]


@dataclass(frozen=True)
class AttributesRefused:
    """The attributes of a component could not be read."""

    address: str
    ref: str
    why: str


@dataclass(frozen=True)
class Told:
    """How an operation goes; `level` is `info` or `error`."""

    text: str
    level: str = "info"


TreeNews: TypeAlias = Reached | Silent | Happened | TreePage | TreeRefused
"""What changes the tree."""

News: TypeAlias = TreeNews | AttributesRead | AttributesRefused | Told


@dataclass(frozen=True)
class Question:
    """A reading the model asks for: a component's tree, or the applications where `ref` is empty."""

    address: str
    ref: str
    number: int
