"""`beat`: leases are renewed, and ends are told, one message per peer and round."""

from __future__ import annotations

from msgspec import Struct

from engine.core.events import Ident
from engine.core.leases import Sign
from engine.core.records import Record


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
