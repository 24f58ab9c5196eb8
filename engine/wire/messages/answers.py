"""What questions are answered with: rows in pages, reports, plans."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.events import Event, Ident
from engine.core.faults import Fault
from engine.core.findings import Finding
from engine.core.records import Record
from engine.wire.codec import FlatTree
from engine.wire.messages.handles import Handle


class TreeRow(Struct, frozen=True, tag="row"):
    """One component of a tree.

    Attributes:
        path: Complete name from the application downwards.
        depth: 0 for the component asked for.
        good: Health, or nothing when it cannot be told.
        seen_s: Age of what is shown, in seconds; 0 when read just now.
        status: What it says it does; empty where it says nothing.
    """

    path: str
    name: str
    depth: int
    kind: str
    state: str
    ready: bool
    good: bool | None
    health: str
    address: str
    age_s: float
    restarts: int
    ident: Ident
    record: Record | None = None
    seen_s: float = 0.0
    status: str = ""


class AttributeRow(Struct, frozen=True, tag="attribute"):
    """One attribute: its value as text of the language, kind and tags."""

    name: str
    value: str
    kind: str
    tags: tuple[str, ...] = ()


class LogRow(Struct, frozen=True, tag="log"):
    """One record a component logged.

    Attributes:
        seq: Number in its process.
        level: `trace`, `debug`, `info`, `warn`, `error` or `fatal`.
        node: Name of the host it was written on.
        operation: Id of the operation under way there when it was written, if one was.
        trace: Id of the request that operation is part of.
    """

    seq: int
    at_ms: int
    level: str
    path: str
    text: str
    node: str
    operation: str = ""
    trace: str = ""


class Page(Struct, frozen=True, tag="page"):
    """Rows, and where to go on: empty `next` means there is no more for now."""

    rows: tuple[TreeRow | AttributeRow | Event | LogRow, ...]
    next: str = ""
    gap: bool = False


class Resolved(Struct, frozen=True, tag="resolved"):
    """A reference followed: a handle, or a value as a tree of one attribute called `value`.

    Attributes:
        secret: The value is, or holds, a secret.
    """

    handle: Handle | None = None
    value: FlatTree | None = None
    secret: bool = False


class SegmentFacts(Struct, frozen=True, tag="held"):
    """What is known of a segment; an empty state means unknown here."""

    state: str
    root: Handle | None = None
    record: Record | None = None


class Table(Struct, frozen=True):
    """One section of a report, its cells as text."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Diagnosis(Struct, frozen=True, tag="report"):
    """Facts about the process as name and value, and rows its services found by looking."""

    facts: tuple[tuple[str, str], ...]
    found: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    tables: tuple[Table, ...] = ()


class PeerRow(Struct, frozen=True):
    """How one peer answered: `state` is its own word, or `unreachable` with the problem.

    Attributes:
        certificate: Name in the certificate it showed; empty without TLS.
        how: Where it is known from: `peers`, `dns`, `multicast` or `met`.
    """

    name: str
    address: str
    state: str
    version: str = ""
    components: int = 0
    round_trip_ms: float = 0.0
    problem: str = ""
    certificate: str = ""
    how: str = ""


class PeersSeen(Struct, frozen=True, tag="peers_seen"):
    """The peers of a process, by name."""

    rows: tuple[PeerRow, ...]


class Checkup(Struct, frozen=True, tag="checked"):
    """What a check of the machine has found."""

    findings: tuple[Finding, ...]


class Census(Struct, frozen=True, tag="counted"):
    """The components of a process: type, state, and how many there are of both."""

    components: tuple[tuple[str, str, int], ...]


class PlanRow(Struct, frozen=True):
    """One component that would change: `+` made, `-` ended, `~` altered, `+/-` replaced.

    Attributes:
        ways: How each of the attributes takes effect, where the component says so.
    """

    path: str
    change: str
    kind: str
    address: str
    why: str = ""
    attributes: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()


class Plan(Struct, frozen=True, tag="planned"):
    """What would happen, what is wrong with it, and a digest that changes with the world."""

    rows: tuple[PlanRow, ...]
    problems: tuple[Fault, ...]
    digest: str


class Dumped(Struct, frozen=True, tag="dumped"):
    """A live sub-tree as a description, and the parts that could not be reached."""

    tree: FlatTree
    lost: tuple[str, ...] = ()


class Failed(Struct, frozen=True, tag="failed"):
    """A reading that could not be answered."""

    fault: Fault


class Piece(Struct, frozen=True, tag="piece"):
    """A piece of something long.

    Attributes:
        total: Length of the whole, in bytes.
        about: What it is, encoded as its kind says; empty if it was not asked for.
        busy: As many read here as may: try again later, or elsewhere.
        elsewhere: Addresses of processes that have got the whole from here.
    """

    total: int
    data: bytes = b""
    about: bytes = b""
    busy: bool = False
    elsewhere: tuple[str, ...] = ()


class Channelled(Struct, frozen=True, tag="channelled"):
    """How a channel stands.

    Attributes:
        at: Where `data` begins, counted in bytes from the beginning; what was lost in between is
            skipped.
        data: What has come; empty if nothing did in time.
        fed: Bytes that were sent into it so far.
        ended: Why nothing more will come; empty: more may.
    """

    at: int = 0
    data: bytes = b""
    fed: int = 0
    ended: str = ""


ReadAnswer: TypeAlias = (
    Plan
    | Piece
    | Channelled
    | Dumped
    | Page
    | Resolved
    | SegmentFacts
    | Diagnosis
    | Checkup
    | Census
    | PeersSeen
    | Failed
)
