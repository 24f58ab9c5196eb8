"""Rows, ages and events in words; nothing is told by colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from rich.cells import cell_len, set_cell_size

from engine.core.events import (
    AttributeChanged,
    Detail,
    EffectEvent,
    Emitted,
    Event,
    HealthChanged,
    Noted,
    Progressed,
    ReadyChanged,
    Rejected,
    Restarted,
    StateChanged,
)
from engine.wire.messages import TreeRow


@dataclass(frozen=True)
class Line:
    """One event as shown: when, where, who, what, and whether it is bad."""

    at_ms: int
    host: str
    path: str
    text: str
    bad: bool


def age(seconds: float) -> str:
    """Write an age in at most four characters.

    Example:
        >>> age(0.4), age(59.9), age(60), age(7300), age(200_000)
        ('0s', '59s', '1m', '2h', '2d')
    """
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def state(row: TreeRow) -> str:
    """Write state, readiness and health of a component.

    Example:
        >>> from engine.core.events import Ident
        >>> state(TreeRow("a", "a", 0, "k", "started", True, False, "", "x:1", 0.0, 2, Ident("", "")))
        'unwell, 2 restarts'
    """
    if row.state != "started":
        word = row.state
    elif row.good is False:
        word = "unwell"
    else:
        word = "ready" if row.ready else "not ready"
    if row.restarts:
        word += f", {row.restarts} restart{'s' if row.restarts > 1 else ''}"
    return word


def is_bad(row: TreeRow) -> bool:
    """Say whether something is wrong with a component, going by its row."""
    return row.good is False or row.state in {"terminating", "terminated", "lost"}


def line(event: Event, host: str) -> Line:
    """Write one event."""
    text, bad = _detail(event.body)
    return Line(event.at_ms, host, event.path, text, bad)


def _detail(body: Detail) -> tuple[str, bool]:
    match body:
        case StateChanged(state, record):
            ended = record is not None and not record.is_normal
            return (f"{state}: {record.sentence()}" if record is not None else state), ended
        case ReadyChanged(ready):
            return ("ready" if ready else "no longer ready"), not ready
        case HealthChanged(good, text):
            word = {True: "well", False: "unwell", None: "cannot tell how it is"}[good]
            return (f"{word}: {text}" if text else word), good is False
        case AttributeChanged(attribute, text):
            return f"{attribute} = {text}", False
        case EffectEvent(what, step):
            return f"{step} {what}", False
        case Progressed(_, text, done, total):
            return (f"{text} ({done}/{total})" if total else text), False
        case Restarted(text) | Noted("info", text):
            return text, False
        case Noted(_, text):
            return text, True
        case Emitted() | Rejected():
            return body.sentence(), isinstance(body, Rejected)


def clock(at_ms: int, zone: tzinfo | None = None) -> str:
    """Write the time of day of an event, by default in the local zone."""
    return datetime.fromtimestamp(at_ms / 1000, zone).astimezone(zone).strftime("%H:%M:%S")


def fitted(text: str, width: int) -> str:
    """Cut or fill a text to a number of terminal cells; an ellipsis shows that it was cut.

    Example:
        >>> fitted("machine", 9), fitted("machine", 5), fitted("虚拟机", 5)
        ('machine  ', 'mach…', '虚拟…')
    """
    if cell_len(text) > width:
        return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)
    return set_cell_size(text, width)


def count(number: int, thing: str) -> str:
    """Write a number of things.

    Example:
        >>> count(1, "component"), count(10000, "component")
        ('1 component', '10,000 components')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
