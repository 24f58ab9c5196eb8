"""`stream`: events and logs after a cursor, waiting for the first; pieces of things; channels."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.events import Ident


class PullLog(Struct, frozen=True, tag="log"):
    """Ask for what components logged, after a cursor.

    Attributes:
        path: Complete name of the top of a sub-tree; empty: everything in the process.
        level: Only this level and worse; empty: all that was kept.
        trace: Only what was logged while this operation was under way, or one of this trace.
        wait_ms: How long to wait for the first record, at most 20,000.
    """

    cursor: str = ""
    path: str = ""
    level: str = ""
    trace: str = ""
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
        settled: With `whole`: first take in all that these parts have told by now.
    """

    cursor: str = ""
    application: str = ""
    kinds: tuple[str, ...] = ()
    whole: bool = False
    limit: int = 500
    wait_ms: int = 0
    settled: bool = False


class PullPiece(Struct, frozen=True, tag="piece"):
    """Ask for a piece of something long that components of the process offer, such as an image.

    Attributes:
        name: What, as its offerers call it.
        reader: Address of the process that wants it.
        offset: First byte wanted.
        limit: Bytes wanted, at most 2^20; 0: say how long it is, and what.
    """

    name: str
    reader: str
    offset: int = 0
    limit: int = 2**20


class OpenChannel(Struct, frozen=True, tag="open_channel"):
    """Open a channel to something that a component offers, such as a guest's serial console.

    Attributes:
        channel: Its id, chosen by the sender and known to nobody else; the same id again is the same
            channel.
        name: What is offered.
        ref: The component, or `ident`.
        who: Whom a peer asks for.
    """

    channel: str
    name: str
    ref: str = ""
    ident: Ident | None = None
    who: str = ""


class PullChannel(Struct, frozen=True, tag="pull_channel"):
    """Ask for what has come through a channel.

    Attributes:
        at: Bytes taken so far; what is before them is forgotten.
        wait_ms: How long to wait for more, at most 20,000.
    """

    channel: str
    at: int = 0
    wait_ms: int = 0


class FeedChannel(Struct, frozen=True, tag="feed_channel"):
    """Send something into a channel.

    Attributes:
        at: Bytes sent before; what was sent already is not sent again.
        data: At most 2^16 bytes.
    """

    channel: str
    at: int
    data: bytes


class CloseChannel(Struct, frozen=True, tag="close_channel"):
    """Close a channel; one not there is success."""

    channel: str


OnChannel: TypeAlias = OpenChannel | PullChannel | FeedChannel | CloseChannel
Pulling: TypeAlias = Pull | PullLog | PullPiece | OnChannel
