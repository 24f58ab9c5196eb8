"""`submit`: start an operation, or ask under its id how it stands."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.events import Ident
from engine.core.records import Record
from engine.wire.codec import FlatTree
from engine.wire.messages.handles import Plain


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
    """Call an exposed method; arguments are encoded data.

    Attributes:
        arguments: A list, in the order of the method's parameters.
        named: Further ones by the names of their parameters; empty for none.
    """

    target: Ident
    method: str
    arguments: bytes
    named: bytes = b""


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
    """Change a part of an application; sent by its parent's process once everything was looked at.

    Attributes:
        back: The description is that of before an update that failed.
    """

    segment: str
    tree: FlatTree
    signature: str = ""
    back: bool = False


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
        config: `env.NAME`, `nice`, `memoryMax`, `cpuMax`, `user`, as text.
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
        trace: Id of the request it all began with; empty: this is the one.
    """

    id: str
    op: Op
    budget_ms: int
    wait_ms: int
    trace: str = ""
