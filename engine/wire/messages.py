"""What travels between processes: five verbs, each with its union of tagged messages.

Times are relative (`budget_ms`, `wait_ms`), never wall clock. Every message that changes something
has a request id its sender chose; sending it again asks how it stands.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.events import Event, Ident
from engine.core.faults import Fault
from engine.core.findings import Finding
from engine.core.leases import Sign
from engine.core.records import Record
from engine.wire.codec import FlatTree, flatten
from sfdl.values import Description, Value

SIGNATURE = "sfSignature"
"""Reserved value by which the signature of a description is passed down to the parts of a tree."""
PROTOCOL = 1
"""Major version; peers of another one are refused."""


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


# -- hello


class Hello(Struct, frozen=True):
    """First message on a link."""

    protocol: int
    caller: str
    features: tuple[str, ...] = ()


class Welcome(Struct, frozen=True, tag="welcome"):
    """Answer to a hello.

    Attributes:
        daemon: Persistent id of the process.
        name: Its name among hosts.
        address: `host:port` it answers at.
        version: Of the program, for people.
        state: `running`, `draining` or `stopping`.
        at_ms: Wall clock of the answer, ms since 1970; for comparing clocks, and for nothing else.
        security: `tls`, or `insecure` for a daemon that was told to do without.
    """

    protocol: int
    daemon: str
    name: str
    address: str
    version: str
    state: str
    pid: int
    uptime_s: float
    components: int
    process: str = "rootProcess"
    security: str = "tls"
    at_ms: int = 0


# -- submit


class ParentLink(Struct, frozen=True):
    """The parent of a segment, in another process."""

    ident: Ident
    address: str
    name: str


class Create(Struct, frozen=True, tag="create"):
    """Make a part of an application here.

    Attributes:
        segment: Its id, chosen by the sender before anything is made.
        application: Name of the application, unique per process that holds its root.
        path: Names from the application downwards; equal to `application` for the root.
        name: Name below its parent, or of the application.
        parent: Where its parent is, or nothing for the root of an application.
        inherited: Values of reserved attributes that hold above it.
        upto: How far to go: `created`, `deployed` or `started`.
        expect: Digest of the plan this start was decided on; another one refuses it.
    """

    segment: str
    application: str
    path: str
    name: str
    tree: FlatTree
    parent: ParentLink | None = None
    inherited: tuple[tuple[str, Plain], ...] = ()
    upto: str = "created"
    expect: str = ""


class Deploy(Struct, frozen=True, tag="deploy"):
    """Deploy a part created before."""

    segment: str


class Start(Struct, frozen=True, tag="start"):
    """Start a part deployed before."""

    segment: str


class Terminate(Struct, frozen=True, tag="terminate"):
    """End a component found by reference or id, or a segment by its id.

    Attributes:
        quietly: Do not tell its parent: the parent is the one who asks.
    """

    record: Record
    ref: str = ""
    segment: str = ""
    ident: Ident | None = None
    quietly: bool = False


class Call(Struct, frozen=True, tag="call"):
    """Call an exposed method; arguments are encoded data."""

    target: Ident
    method: str
    arguments: bytes


class Ping(Struct, frozen=True, tag="ping"):
    """Ask a component, found by reference or id, how it is, running its check."""

    ref: str = ""
    ident: Ident | None = None


class Change(Struct, frozen=True):
    """One attribute to change.

    Attributes:
        how: `add` refuses where it is there, `replace` does not mind, `remove` takes it away.
        value: As a tree of one attribute called `value`; nothing for `remove`.
    """

    name: str
    how: str
    value: FlatTree | None = None


class Set(Struct, frozen=True, tag="set"):
    """Change attributes of a component, all or none.

    Attributes:
        expect: Generation of its attributes this was decided on; another one refuses it.
    """

    changes: tuple[Change, ...]
    ref: str = ""
    ident: Ident | None = None
    expect: int | None = None


class Detach(Struct, frozen=True, tag="detach"):
    """Cut a component off from its parent: an application of its own from then on.

    Attributes:
        then: End it afterwards, with this record.
    """

    ref: str = ""
    ident: Ident | None = None
    then: Record | None = None


class Forget(Struct, frozen=True, tag="forget"):
    """Forget a part held by the sender: it is being cut off there."""

    segment: str
    parent: Ident


class Rename(Struct, frozen=True, tag="rename"):
    """Take another complete name: the tree of this part was cut off further up."""

    segment: str
    application: str
    path: str
    parent: ParentLink


class Cancel(Struct, frozen=True, tag="cancel"):
    """Stop a deployment under way, by the id of its request; it is rolled back."""

    request: str


class SetLevel(Struct, frozen=True, tag="set_level"):
    """Set which log records count in a sub-tree; an empty level takes that back.

    Attributes:
        ref: A component as users name it; empty: the whole process.
        path: Its complete name, where that is known already.
    """

    level: str
    ref: str = ""
    path: str = ""


class Drain(Struct, frozen=True, tag="drain"):
    """Take no new work, and ask components to move away; or, with `on` false, take work again.

    Attributes:
        limit_s: Seconds the moves may take in all.
    """

    on: bool = True
    limit_s: float = 0.0


class Update(Struct, frozen=True, tag="update"):
    """Change a running application into what is described.

    Attributes:
        tree: What it is to become; nothing: what it was before its last update.
        expect: Digest of the plan this was decided on; another one refuses it.
        signature: Of the new description, where daemons demand one.
    """

    ref: str
    tree: FlatTree | None = None
    expect: str = ""
    signature: str = ""


class UpdatePart(Struct, frozen=True, tag="update_part"):
    """Change a part of an application; sent by its parent's process once everything was looked at."""

    segment: str
    tree: FlatTree
    signature: str = ""


class Graft(Struct, frozen=True, tag="graft"):
    """Bring one more child of a running component to life; if that fails nothing of it is left.

    Attributes:
        ref: Its parent to be, or the parent's id.
        name: Its name below that.
        signature: Of the description, where daemons demand one.
    """

    name: str
    tree: FlatTree
    ref: str = ""
    ident: Ident | None = None
    signature: str = ""


class Spawn(Struct, frozen=True, tag="spawn"):
    """Have a sub-process of this name here, started if need be.

    Attributes:
        config: `env.NAME`, `nice`, `memoryMax`, `user`, as text.
        limit_s: Seconds it may take to start.
    """

    name: str
    config: tuple[tuple[str, str], ...] = ()
    limit_s: float = 60.0


class Stop(Struct, frozen=True, tag="stop"):
    """End everything in the process, then the process.

    Attributes:
        drain_s: Seconds components get to move away first.
    """

    force: bool = False
    drain_s: float = 0.0


Op: TypeAlias = (
    Create
    | Deploy
    | Start
    | Terminate
    | Call
    | Cancel
    | Ping
    | Set
    | Detach
    | Forget
    | Rename
    | Drain
    | Graft
    | SetLevel
    | Spawn
    | Update
    | UpdatePart
    | Stop
)


class Request(Struct, frozen=True):
    """Start an operation, or, with the id of a known one, ask how it stands.

    Attributes:
        budget_ms: What the operation may take in all.
        wait_ms: How long this call may wait for its end, at most 20,000.
    """

    id: str
    op: Op
    budget_ms: int
    wait_ms: int


class Progress(Struct, frozen=True):
    """How far an operation has come: a sentence, and steps done of a known total."""

    text: str
    done: int = 0
    total: int = 0


class Grown(Struct, frozen=True, tag="grown"):
    """Result of Create, Deploy, Start and Graft.

    Attributes:
        root: Handle of the part's root component.
        components: How many there are, parts in other processes included.
        hosts: Addresses of the processes that hold them.
        times_ms: Milliseconds per phase.
        ready: Whether the root is ready.
    """

    root: Handle
    components: int
    hosts: tuple[str, ...]
    times_ms: tuple[tuple[str, int], ...] = ()
    ready: bool = False


class Gone(Struct, frozen=True, tag="gone"):
    """Result of Terminate and Stop.

    Attributes:
        components: How many were ended.
        errors: What hooks raised on the way.
        leftovers: Effects and remote parts that the reaper still has to undo.
    """

    name: str
    components: int
    took_ms: int
    record: Record
    errors: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


class Returned(Struct, frozen=True, tag="returned"):
    """Result of Call: encoded data."""

    value: bytes


class Pong(Struct, frozen=True, tag="pong"):
    """Result of Ping."""

    name: str
    state: str
    ready: bool
    good: bool | None
    text: str
    record: Record | None = None


class Changed(Struct, frozen=True, tag="changed"):
    """Result of Set: the values before, as trees of one attribute called `value`."""

    name: str
    old: tuple[FlatTree, ...]
    generation: int


class Cut(Struct, frozen=True, tag="cut"):
    """Result of Detach: complete name before and after, and the process that holds it."""

    before: str
    name: str
    address: str


class Cancelled(Struct, frozen=True, tag="cancelled"):
    """Result of Cancel: whether there was something to stop."""

    found: bool


class Drained(Struct, frozen=True, tag="drained"):
    """Result of Drain: the state of the process, who moved, and who did not and why."""

    state: str
    moved: int
    stayed: tuple[str, ...]


class Updated(Struct, frozen=True, tag="updated"):
    """Result of Update: how many components were altered, replaced, made and ended.

    Attributes:
        generation: How often the application was updated, from 1 on.
    """

    name: str
    altered: int
    replaced: int
    made: int
    ended: int
    generation: int


class Levelled(Struct, frozen=True, tag="levelled"):
    """Result of SetLevel: the level that counts for a component now."""

    path: str
    level: str


class Spawned(Struct, frozen=True, tag="spawned"):
    """Result of Spawn: where the sub-process answers."""

    name: str
    address: str


Result: TypeAlias = (
    Grown
    | Gone
    | Returned
    | Pong
    | Changed
    | Cut
    | Cancelled
    | Drained
    | Spawned
    | Updated
    | Levelled
)


class Answer(Struct, frozen=True, tag="answer"):
    """How an operation stands: `running`, `done` with a result, or `failed` with a fault."""

    status: str
    progress: Progress | None = None
    result: Result | None = None
    fault: Fault | None = None


# -- read


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


class ReadPlan(Struct, frozen=True, tag="plan"):
    """Ask what a start would make, and what is wrong with it, changing nothing."""

    name: str
    tree: FlatTree


class ReadUpdate(Struct, frozen=True, tag="plan_update"):
    """Ask what an update would do to an application, or to a part held here, changing nothing."""

    tree: FlatTree
    ref: str = ""
    segment: str = ""


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
)


class TreeRow(Struct, frozen=True, tag="row"):
    """One component of a tree.

    Attributes:
        path: Complete name from the application downwards.
        depth: 0 for the component asked for.
        good: Health, or nothing when it cannot be told.
        seen_s: Age of what is shown, in seconds; 0 when read just now.
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
    """

    seq: int
    at_ms: int
    level: str
    path: str
    text: str
    node: str


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
    """How one peer answered: `state` is its own word, or `unreachable` with the problem."""

    name: str
    address: str
    state: str
    version: str = ""
    components: int = 0
    round_trip_ms: float = 0.0
    problem: str = ""


class PeersSeen(Struct, frozen=True, tag="peers_seen"):
    """The peers of a process, by name."""

    rows: tuple[PeerRow, ...]


class Checkup(Struct, frozen=True, tag="checked"):
    """What a check of the machine has found."""

    findings: tuple[Finding, ...]


class PlanRow(Struct, frozen=True):
    """One component that would change: `+` made, `-` ended, `~` altered, `+/-` replaced."""

    path: str
    change: str
    kind: str
    address: str
    why: str = ""
    attributes: tuple[str, ...] = ()


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


def failed(verb: str, fault: Fault) -> Answer | Failed:
    """Return the answer of a verb that says it failed."""
    return Answer("failed", fault=fault) if verb == "submit" else Failed(fault)


ReadAnswer: TypeAlias = (
    Plan | Dumped | Page | Resolved | SegmentFacts | Diagnosis | Checkup | PeersSeen | Failed
)


# -- beat


class Notice(Struct, frozen=True):
    """A segment has ended by itself; told to the process of its parent."""

    segment: str
    parent: Ident
    record: Record


class Readied(Struct, frozen=True):
    """The readiness of a segment's root changed; told to the process of its parent."""

    segment: str
    parent: Ident
    ready: bool


class Beat(Struct, frozen=True):
    """Renew leases and pass notices; one message per peer and round.

    Attributes:
        restarting_s: The sender goes away on purpose and means to be back within so many seconds.
    """

    daemon: str
    renew: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    readied: tuple[Readied, ...] = ()
    restarting_s: float = 0.0


class Heard(Struct, frozen=True):
    """One segment's sign of life."""

    segment: str
    sign: Sign
    text: str = ""
    record: Record | None = None
    ready: bool = False


class BeatAnswer(Struct, frozen=True, tag="beat"):
    """Signs in the order of `renew`, and the segments whose notices were taken."""

    signs: tuple[Heard, ...] = ()
    taken: tuple[str, ...] = ()


# -- stream


class PullLog(Struct, frozen=True, tag="log"):
    """Ask for what components logged, after a cursor.

    Attributes:
        path: Complete name of the top of a sub-tree; empty: everything in the process.
        level: Only this level and worse; empty: all that was kept.
        wait_ms: How long to wait for the first record, at most 20,000.
    """

    cursor: str = ""
    path: str = ""
    level: str = ""
    limit: int = 500
    wait_ms: int = 0


class Pull(Struct, frozen=True, tag="events"):
    """Ask for events after a cursor.

    Attributes:
        cursor: As given by the last page; empty starts with the next event, `0` at the oldest kept.
        application: Only events of this application, or all.
        kinds: Only these kinds, or all.
        whole: Take in the events of the application's parts in other processes as well.
        wait_ms: How long to wait for the first event, at most 20,000.
    """

    cursor: str = ""
    application: str = ""
    kinds: tuple[str, ...] = ()
    whole: bool = False
    limit: int = 500
    wait_ms: int = 0
