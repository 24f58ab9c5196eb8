"""The report of a process about itself: facts, and tables that say what it knows and is doing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import resource
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING

from engine.core.faults import EngineError
from engine.settings import told
from engine.wire.messages import Diagnosis, ReadDiagnosis, Table

if TYPE_CHECKING:
    from engine.runtime.process import Process

LIBRARIES = (
    "Pyro5", "msgpack", "msgspec", "lark", "networkx", "cryptography", "libvirt-python", "click",
    "prometheus-client", "dnspython", "zeroconf",
)  # fmt: skip
OURS = ("engine", "components", "sfdl")
DAY_S = 86_400.0


async def report(process: Process, question: ReadDiagnosis) -> Diagnosis:
    """Put the report together."""
    found = []
    if question.services:
        found = [(name, tuple(row.items())) for name, row in await process.services.diagnose()]
    tables = _tables(process, question.path) if question.whole else ()
    return Diagnosis(tuple(_facts(process).items()), tuple(found), tuple(tables))


def _facts(process: Process) -> dict[str, str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    facts = {
        "daemon": process.daemon_id,
        "node": process.node_name,
        "process": process.settings.process,
        "address": process.address,
        "state": process.state,
        "version": process.version,
        "pid": str(os.getpid()),
        "uptime_s": f"{time.monotonic() - process.began_s:.0f}",
        **process.security,
        "components": str(len(process.lives)),
        "applications": ", ".join(process.apps) or "none",
        "subprocesses": ", ".join(
            f"{name} at {address}" for name, address in process.subprocesses.addresses.items()
        )
        or "none",
        "segments": str(len(process.segments)),
        "operations": str(process.operations.running),
        "threads": str(threading.active_count()),
        "tasks": str(len(asyncio.all_tasks())),
        "descriptors": str(len(os.listdir("/proc/self/fd"))),  # noqa: PTH208 - a count, quickly
        "memory_peak_kib": str(usage.ru_maxrss),
        "ledger_bytes": str(process.ledger.size_bytes()),
        **{f"ledger_{table}": str(n) for table, n in process.ledger.counts().items()},
    }
    facts.update({f"reaper_{n}": line for n, line in enumerate(process.reaper.lines(), 1)})
    return facts


def _tables(process: Process, path: str) -> Iterable[Table]:
    if not path:
        yield Table("settings", ("name", "value", "from"), tuple(told(process.settings)))
        yield _versions()
        yield _certificates(process)
    yield from _about_components(process, path)
    if path:
        return
    yield _peers(process)
    yield _threads()
    yield _pools(process)
    yield _queues(process)


def _versions() -> Table:
    rows = [("python", platform.python_version()), ("system", platform.platform())]
    for name in LIBRARIES:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    return Table("versions", ("name", "version"), tuple(rows))


def _certificates(process: Process) -> Table:
    columns = ("what", "name", "days left", "expires", "file")
    try:
        rows = tuple(
            (
                each.what, each.name, f"{(each.expires_s - time.time()) / DAY_S:.0f}",
                time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(each.expires_s)), each.file,
            )
            for each in process.certificates()
        )  # fmt: skip
    except EngineError as error:
        rows = (("unreadable", error.fault.message, "", "", ""),)
    return Table("certificates", columns, rows)


def _about_components(process: Process, path: str) -> Iterable[Table]:
    """Give the tables about components, of all or of one sub-tree."""
    now_s = asyncio.get_running_loop().time()

    def within(place: str) -> bool:
        return not path or place == path or place.startswith(f"{path}:")

    operations = tuple(
        (
            type(each.op).__name__, getattr(each.op, "path", "") or getattr(each.op, "ref", ""),
            f"{now_s - each.began_s:.1f}", f"{each.budget_s:g}", each.id,
        )
        for each in process.operations.under_way_now
    )  # fmt: skip
    columns = ("operation", "about", "for s", "of s", "request id")
    yield Table("operations", columns, tuple(row for row in operations if within(row[1])))
    slow = tuple(
        (
            row.path,
            row.kind,
            row.phase,
            f"{row.seconds:.3f}",
            str(row.times),
            f"{now_s - row.at_s:.0f}",
        )
        for row in process.tally.hooks.rows(now_s)
        if within(row.path)
    )
    yield Table("slow hooks", ("component", "type", "phase", "seconds", "times", "ago s"), slow)
    pending = tuple(
        (
            item.made.row.path, item.made.effect.label(), str(item.attempts),
            f"{max(0.0, item.due_s - now_s):.0f}", item.error,
        )
        for item in process.reaper.items
        if within(item.made.row.path)
    )  # fmt: skip
    columns = ("component", "to be undone", "attempts", "again in s", "last error")
    yield Table("reaper", columns, pending)
    working = tuple(
        (
            live.path,
            live.state.value,
            str(len(live.tasks)),
            str(len(live.threads)),
            str(len(live.effects)),
        )
        for live in process.lives.values()
        if (live.tasks or live.threads or path) and within(live.path)
    )
    columns = ("component", "state", "tasks", "in threads", "effects")
    yield Table("at work", columns, working)


def _peers(process: Process) -> Table:
    now_s = asyncio.get_running_loop().time()
    rows = []
    for address, (met, welcome) in sorted(process.peers.met().items()):
        seen = f"{now_s - met.seen_s:.1f}" if met.seen_s is not None else "never"
        version = welcome.version if welcome is not None else ""
        rows.append((process.peers.name_of(address), address, seen, version, met.trouble))
    columns = ("name", "address", "seen s ago", "version", "trouble")
    return Table("peers", columns, tuple(rows))


def _threads() -> Table:
    frames = sys._current_frames()  # noqa: SLF001 - its documented name
    rows = tuple(
        (each.name, "yes" if each.daemon else "no", doing(frames.get(each.ident or 0)))
        for each in sorted(threading.enumerate(), key=lambda each: each.name)
    )
    return Table("threads", ("name", "daemon", "doing"), rows)


def doing(frame: FrameType | None) -> str:
    """Say what a thread does: where in our own code it is, else where at all."""
    if frame is None:
        return "ending"
    at: FrameType | None = frame
    while at is not None and str(at.f_globals.get("__name__", "")).partition(".")[0] not in OURS:
        at = at.f_back
    at = at or frame
    return f"{at.f_globals.get('__name__', '?')}.{at.f_code.co_qualname}, line {at.f_lineno}"


def _pools(process: Process) -> Table:
    rows = tuple(
        (each.name, str(each.size), str(each.busy), str(each.waiting), str(each.left))
        for each in (process.workers.usage(), *process.services.usage())
    )
    return Table("pools", ("name", "threads at most", "busy", "waiting", "left behind"), rows)


def _queues(process: Process) -> Table:
    rows = (
        ("writes of the ledger", str(process.ledger.waiting)),
        ("operations under way", str(process.operations.running)),
        ("items of the reaper", str(len(process.reaper.items))),
        ("events kept", str(process.events.held)),
        ("log records kept", str(process.logbook.held)),
    )
    return Table("queues", ("name", "length"), rows)
