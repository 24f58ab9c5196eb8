"""`read`: questions that change nothing."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.events import Ident
from engine.wire.codec import FlatTree


class ReadTree(Struct, frozen=True, tag="tree"):
    """Rows of a tree in pre-order, at most `limit`, after the cursor."""

    ref: str = ""
    ident: Ident | None = None
    depth: int = 128
    after: str = ""
    limit: int = 500


class ReadAttributes(Struct, frozen=True, tag="attributes"):
    """One level of attributes of a component, found by reference or id."""

    ref: str = ""
    ident: Ident | None = None


class ReadValue(Struct, frozen=True, tag="value"):
    """Follow a user's path, `app:child:attribute`, to a value or component.

    Attributes:
        names: What is left of the path below the component `ident`.
    """

    ref: str = ""
    ident: Ident | None = None
    names: tuple[str, ...] = ()


class ReadPeers(Struct, frozen=True, tag="peers"):
    """Ask how all processes this one knows answer it now."""


class Resolve(Struct, frozen=True, tag="resolve"):
    """Follow a reference from a component held here.

    Attributes:
        parts: Text of the remaining parts.
        walked: Components passed so far, to find loops.
        shown: The value is for people to see, who see no secrets.
    """

    start: Ident
    parts: str
    hops: int
    walked: tuple[str, ...] = ()
    shown: bool = False


class ReadSegment(Struct, frozen=True, tag="segment"):
    """Ask whether a segment is held here."""

    segment: str


class ReadDiagnosis(Struct, frozen=True, tag="diagnosis"):
    """Ask for the report of the process.

    Attributes:
        services: Add what its services find by looking.
        whole: Add the tables: settings, peers, threads, and the like.
        path: Only what is about a component and all below it, in tables that are about components.
    """

    services: bool = False
    whole: bool = False
    path: str = ""


class ReadCheckup(Struct, frozen=True, tag="checkup"):
    """Ask for a check of the machine the process runs on."""


class ReadCensus(Struct, frozen=True, tag="census"):
    """Ask how many components of which type are in which state; asked by the root of a sub-process."""


class ReadPlan(Struct, frozen=True, tag="plan"):
    """Ask what a start would make, and what is wrong with it, changing nothing."""

    name: str
    tree: FlatTree


class ReadUpdate(Struct, frozen=True, tag="plan_update"):
    """Ask what an update would do to an application, or to a part held here, changing nothing.

    Attributes:
        back: The description is that of before an update that failed.
    """

    tree: FlatTree
    ref: str = ""
    segment: str = ""
    back: bool = False


class ReadDump(Struct, frozen=True, tag="dump"):
    """Ask for a live sub-tree as a description; `resolved` follows LAZY references to values."""

    ref: str = ""
    ident: Ident | None = None
    resolved: bool = False


Reading: TypeAlias = (
    ReadPlan
    | ReadUpdate
    | ReadDump
    | ReadTree
    | ReadAttributes
    | ReadValue
    | ReadPeers
    | Resolve
    | ReadSegment
    | ReadDiagnosis
    | ReadCheckup
    | ReadCensus
)
