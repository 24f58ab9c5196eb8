"""Looking at what runs: how it is, what there is, and what happens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from engine.client.client import Client
from engine.commands._drawing import Line, age, drawn, table
from engine.commands._exit import Exit
from engine.commands._outcome import Outcome
from engine.core.events import (
    AttributeChanged,
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

WAIT_S = 15.0
LIFE = ("state", "ready", "health", "restart")
"""Kinds of event that `sfstatus --follow` tells."""

# -- how it is


def ping(client: Client) -> Outcome:
    """Ask a daemon how it is."""
    began = time.monotonic()
    welcome = client.hello()
    took_ms = (time.monotonic() - began) * 1000
    insecure = ", INSECURE: no TLS" if welcome.security == "insecure" else ""
    text = (
        f"{welcome.name} at {welcome.address}: {welcome.state}, version {welcome.version}, "
        f"{welcome.components} components, up {welcome.uptime_s:g} s, {took_ms:.1f} ms{insecure}"
    )
    return Outcome({**msgspec.to_builtins(welcome), "round_trip_ms": round(took_ms, 2)}, text)


def ping_component(client: Client, name: str) -> Outcome:
    """Ask a component how it is, running its check."""
    began = time.monotonic()
    pong = client.ping(name)
    took_ms = (time.monotonic() - began) * 1000
    health = {True: "well", False: "unwell", None: "health unknown"}[pong.good]
    why = f" ({pong.text})" if pong.text else ""
    ready = "ready" if pong.ready else "not ready"
    text = f"{pong.name}: {pong.state}, {ready}, {health}{why}, {took_ms:.1f} ms"
    code = Exit.FAILED if pong.good is False else Exit.DONE
    return Outcome({**msgspec.to_builtins(pong), "round_trip_ms": round(took_ms, 2)}, text, code)


def peers(client: Client) -> Outcome:
    """Have a daemon ask all daemons it knows how they are."""
    rows = client.peers()
    lines = [
        (row.name, row.address, row.problem or f"{row.state}, version {row.version}",
         f"{row.components} components" if row.version else "",
         f"{row.round_trip_ms:.1f} ms" if row.version else "",
         f"certificate {row.certificate}" if row.certificate else "no certificate", row.how)
        for row in rows
    ]  # fmt: skip
    unwell = any(row.problem for row in rows)
    text = table(lines) if lines else "it knows no other daemons"
    data = [msgspec.to_builtins(row) for row in rows]
    return Outcome(data, text, Exit.FAILED if unwell else Exit.DONE)


# -- what there is


def status(client: Client, host: str, name: str = "", depth: int | None = None) -> Outcome:
    """Show a tree, or the applications; those as trees if a depth is given."""
    if name:
        rows = list(client.whole_tree(name, depth=128 if depth is None else depth))
    else:
        rows = list(client.whole_tree())
        if depth:
            rows = [row for top in rows for row in client.whole_tree(top.path, depth=depth)]
    text = drawn([_line(row) for row in rows]) if rows else f"no applications at {host}"
    return Outcome([msgspec.to_builtins(row) for row in rows], text)


def _line(row: TreeRow) -> Line:
    words = [row.state]
    if row.state == "started":
        words.append("ready" if row.ready else "not ready")
    if row.good is not None:
        words.append("well" if row.good else "unwell")
    if row.health:
        words.append(f"({row.health})")
    if row.restarts:
        words.append(f"{row.restarts} restarts")
    if row.status:
        words.append(row.status)
    if row.record is not None:
        words.append(row.record.sentence())
    return Line(row.depth, row.name, (row.kind, ", ".join(words), row.address, age(row.age_s)))


def reaper(client: Client) -> Outcome:
    """Show what is still being undone."""
    facts = client.diagnosis().facts
    lines = [text for key, text in facts if key.startswith("reaper_")]
    return Outcome(lines, "\n".join(lines) or "nothing is left to be undone")


def listing(client: Client, name: str = "") -> Outcome:
    """Show one level of attributes of a component, or the applications."""
    if not name:
        applications = [row for row in client.tree().rows if isinstance(row, TreeRow)]
        lines = [f"{row.path}  {row.state}" for row in applications]
        return Outcome([msgspec.to_builtins(row) for row in applications], "\n".join(lines))
    rows = client.attributes(name)
    text = table((row.name, row.value, row.kind, " ".join(row.tags)) for row in rows)
    return Outcome([msgspec.to_builtins(row) for row in rows], text)


def dump(client: Client, name: str, *, resolved: bool = False) -> tuple[str, tuple[str, ...]]:
    """Return a live tree as text of the language, and the parts that were not reached."""
    import sfdl

    tree, lost = client.dump(name, resolved=resolved)
    return sfdl.print_file(tree), lost


def found(client: Client) -> Outcome:
    """Show what the hypervisors of a daemon really hold."""
    report = client.diagnosis(services=True)
    rows = [{"service": service, **dict(row)} for service, row in report.found]
    lines = ["  ".join(f"{key}={value}" for key, value in row.items()) for row in rows]
    return Outcome(rows, "\n".join(lines) or "no hypervisor in use")


# -- what happens


def now(client: Client, name: str = "") -> str:
    """Return from where on to follow a component: what happens on any of its hosts comes after it."""
    application = name.partition(":")[0]
    return client.events(application=application, whole=bool(name))[1]


def happenings(
    client: Client, name: str = "", *, follow: bool, kinds: tuple[str, ...] = (), cursor: str = "0"
) -> Iterator[Event | None]:
    """Give the events of an application or a sub-tree of it, of all its hosts when following.

    Nothing stands for a gap: some were not kept. With `follow` it goes on for ever.
    """
    application = name.partition(":")[0]
    while True:
        rows, cursor, gap = client.events(
            cursor, application=application, kinds=kinds, whole=follow and bool(name),
            wait_s=WAIT_S if follow else 0.0,
        )  # fmt: skip
        if gap:
            yield None
        yield from (event for event in rows if _within(event.path, name))
        if not rows and not follow:
            return


def life(client: Client, name: str, cursor: str) -> Iterator[Event | None]:
    """Give what becomes of a component and of all below it, on all hosts, until it has ended.

    Its own end is told last. Without a name: of all there is at the daemon, for ever.
    """
    application = name.partition(":")[0]
    end: Event | None = None
    while end is None:
        rows, cursor, gap = client.events(
            cursor, application=application, kinds=LIFE, whole=bool(name), wait_s=WAIT_S
        )
        if gap:
            yield None
        end = next((event for event in rows if name and ended(event, name)), None)
        yield from (event for event in rows if event is not end and _within(event.path, name))
    rows, _, _ = client.events(
        cursor, application=application, kinds=LIFE, whole=True, settled=True, limit=5000
    )
    yield from (event for event in rows if _within(event.path, name))
    yield end


def _within(path: str, name: str) -> bool:
    """Say whether a complete name is that of a component or of something below it.

    Example:
        >>> _within("pool:vm1:disk", "pool:vm1"), _within("pool:vm10", "pool:vm1")
        (True, False)
    """
    return not name or path == name or path.startswith(f"{name}:")


def ended(event: Event, name: str) -> bool:
    """Say whether an event tells the end of that very component."""
    return (
        event.path == name
        and isinstance(event.body, StateChanged)
        and event.body.state == "terminated"
    )


def event_line(event: Event) -> str:
    """Write an event as one line."""
    return f"{clock(event.at_ms)}  {event.path or '-'}  {sentence(event)}"


def clock(at_ms: int) -> str:
    """Write the local time of day to the millisecond."""
    at = time.strftime("%H:%M:%S", time.localtime(at_ms / 1000))
    return f"{at}.{at_ms % 1000:03d}"


def sentence(event: Event) -> str:
    """Say in words what an event is about."""
    match event.body:
        case StateChanged(state, record):
            return f"{state}: {record.sentence()}" if record is not None else state
        case ReadyChanged(ready):
            return "ready" if ready else "not ready"
        case HealthChanged(good, text):
            words = {True: "well", False: "unwell", None: "health unknown"}[good]
            return f"{words}: {text}" if text else words
        case AttributeChanged(attribute, text):
            return f"{attribute} = {text}"
        case EffectEvent(what, step):
            return f"{step} {what}"
        case Emitted() as told:
            return told.sentence()
        case Rejected() as refusal:
            return refusal.sentence()
        case Restarted(text) | Progressed(text=text) | Noted(text=text):
            return text
