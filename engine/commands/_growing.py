"""Making descriptions real: compile here, look at the plan, start there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.client.client import Client, Operation
from engine.commands._drawing import Line, drawn
from engine.commands._exit import Exit, exit_of
from engine.commands._front import Front
from engine.commands._outcome import Outcome
from engine.commands._progress import wait
from engine.core.diff import diff
from engine.core.faults import BadDescription, Fault, TimedOut
from engine.core.faults import Ended as EndedError
from engine.wire.messages import Grown, Handle, Plan, TreeRow
from sfdl.values import Description

SETTLED = ("ready", "state")
POLL_S = 5.0


class Source(NamedTuple):
    """A description as the user names it."""

    file: Path
    folders: Sequence[Path] = ()
    overrides: Sequence[tuple[str, str]] = ()
    sub: str = ""


class Compiled(NamedTuple):
    """What came of compiling, and how long it took."""

    tree: Description
    took_ms: int


def compiled(source: Source) -> Compiled:
    """Compile a description, or the part of it that is asked for.

    Raises:
        CompileError: It is wrong.
        BadDescription: There is no such part.
    """
    import sfdl

    began = time.monotonic()
    tree = sfdl.compile(
        source.file, search_path=source.folders, overrides=source.overrides
    ).root  # fmt: skip
    for name in source.sub.split(":") if source.sub else ():
        part = tree.get(name) if name in tree.names() else None
        if not isinstance(part, Description):
            raise BadDescription(
                f"there is no component {name} for --sub {source.sub}", where=str(source.file)
            )
        tree = part
    return Compiled(tree, round((time.monotonic() - began) * 1000))


def named(name: str, tree: Description) -> str:
    """Return the name of the application to be: as given, its own, or one made up."""
    own = tree.get("sfProcessComponentName")
    return name or (own if isinstance(own, str) and own else f"unnamed_{int(time.time() * 1000)}")


def start(
    front: Front, client: Client, host: str, name: str, made: Compiled, *, until: str = "started",
    parent: str = "", expect: str = "", signature: str = "",
) -> Outcome:  # fmt: skip
    """Have a description made real, as an application or below a running component.

    Args:
        front: How to speak.
        client: Of the daemon to ask.
        host: What the user calls it.
        name: Of the application or child.
        made: What to make.
        until: Wait for `none`: accepted; `deployed`, and go no further; `started`; or `ready`.
        parent: The running component to make it a child of.
        expect: Digest of the plan it was decided on.
        signature: Of the description.
    """
    budget_s = front.timeout_s
    whole = f"{parent}:{name}" if parent else name
    if parent:
        operation = client.graft(
            parent, name, made.tree, signature=signature, request_id=front.request_id,
            budget_s=budget_s,
        )  # fmt: skip
    else:
        operation = client.start(
            name, made.tree, request_id=front.request_id, expect=expect, signature=signature,
            upto="deployed" if until == "deployed" else "started", budget_s=budget_s,
        )  # fmt: skip
    if until == "none":
        return _accepted(front, operation, whole, host)
    until_s = time.monotonic() + budget_s
    rows = list(diff(None, made.tree))
    hosts = {row.host for row in rows if row.host} or {host}
    front.say(f"{whole}: {len(rows)} components to make on {', '.join(sorted(hosts))}")
    grown = wait(front, operation, undo=True)
    if until == "ready" and not grown.ready:
        try:
            _await_ready(client, grown.root, until_s)
        except KeyboardInterrupt:
            text = "interrupted: it has started and goes on, but is not ready yet"
            raise KeyboardInterrupt(text) from None
    times = "".join(f", {phase} {ms} ms" for phase, ms in grown.times_ms)
    state = "loaded" if until == "deployed" else "started"
    text = (
        f"{state} {whole} on {host}: {grown.components} components on {len(grown.hosts)} hosts, "
        f"compile {made.took_ms} ms{times}"
    )
    data = {
        "name": whole, "components": grown.components, "hosts": list(grown.hosts),
        "times_ms": {"compile": made.took_ms, **dict(grown.times_ms)},
    }  # fmt: skip
    return Outcome(data, text)


def _accepted(front: Front, operation: Operation[Grown], name: str, host: str) -> Outcome:
    operation.accepted()
    front.request_id = operation.id
    text = f"accepted {name} on {host}; ask for the outcome with: --request-id {operation.id}"
    return Outcome({"name": name, "request_id": operation.id}, text)


def _await_ready(client: Client, root: Handle, until_s: float) -> None:
    application = root.name.partition(":")[0]
    cursor = ""
    while True:
        _, cursor, _ = client.events(cursor, application=application, kinds=SETTLED)
        row = _row(client, root.name)
        if row.state != "started":
            record = row.record.sentence() if row.record else row.state
            raise EndedError(f"ended before it was ready: {record}", where=root.name)
        if row.ready:
            return
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimedOut(
                "has started, but was not ready in time; it goes on", where=root.name,
                hint=f"see what it waits for: sfstatus HOST {root.name}",
            )  # fmt: skip
        client.events(
            cursor, application=application, kinds=SETTLED, wait_s=min(left_s, POLL_S)
        )  # fmt: skip


def _row(client: Client, ref: str) -> TreeRow:
    for row in client.tree(ref, depth=0).rows:
        if isinstance(row, TreeRow):
            return row
    raise EndedError("has ended", where=ref)


def show(name: str, tree: Description) -> Outcome:
    """Show what would be made, asking nobody."""
    rows = list(diff(None, tree))
    lines = [
        Line(
            row.path.count(":") + 1 if row.path else 0,
            f"{row.change.value} {row.path.rpartition(':')[2] or name}",
            (row.type, f"on {row.host}" if row.host else ""),
        )
        for row in rows
    ]
    text = f"{name} would be made of {len(rows)} components:\n{drawn(lines)}"
    return Outcome([msgspec.to_builtins(row) for row in rows], text)


def planned(name: str, plan: Plan) -> Outcome:
    """Show what a start would make, where, and what is wrong with it."""
    lines = [
        Line(
            row.path.count(":") + 1 if row.path else 0,
            f"{row.change} {row.path.rpartition(':')[2] or name}",
            (row.kind, row.address),
        )
        for row in plan.rows
    ]
    texts = [f"{name} would be made of {len(plan.rows)} components:", drawn(lines)]
    texts.extend(wrong(fault) for fault in plan.problems)
    texts.append(f"digest {plan.digest}")
    return Outcome(msgspec.to_builtins(plan), "\n".join(texts), worst(plan.problems))


def wrong(fault: Fault) -> str:
    """Say in a line what is in the way of a plan."""
    place = "" if fault.message.startswith(fault.where) else f"{fault.where}: "
    return f"  wrong: {place}{fault.message}"


def worst(problems: Sequence[Fault]) -> Exit:
    """Return the exit code of a plan: that of a wrong description first."""
    codes = [exit_of(fault) for fault in problems]
    return Exit.DESCRIPTION if Exit.DESCRIPTION in codes else next(iter(codes), Exit.DONE)
