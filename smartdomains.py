"""What authors of components import: `from smartdomains import Prim, attr, link, Record`."""

from engine.compound import Compound
from engine.core.flows import (
    ChildEnded,
    ChildGone,
    ChildReady,
    ChildStarted,
    Do,
    Drop,
    EndChild,
    Finish,
    Flow,
    Happening,
    Publish,
    SharedFate,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
)
from engine.core.records import Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, exposed, link, on_change, output
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.kinds import (
    bool_,
    description_,
    duration_ms,
    duration_s,
    float_,
    int_,
    list_,
    size_bytes,
    str_,
    strings,
)
from engine.wire.messages import Handle

__all__ = [
    "ChildEnded", "ChildGone", "ChildReady", "ChildStarted", "Compound", "Do", "Drop", "Effect",
    "EndChild", "Finish", "Flow", "Handle", "Happening", "NameTaken", "Owner", "Presence",
    "Prim", "Publish", "Record", "SharedFate", "Site", "StartChild", "StartFailed", "TimeUp",
    "Unwell", "WakeAt", "attr", "bool_", "description_", "duration_ms", "duration_s", "exposed",
    "float_", "int_", "link", "list_", "on_change", "output", "size_bytes", "str_", "strings",
]  # fmt: skip
