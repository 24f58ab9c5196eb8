"""Changing what runs: attributes one by one, and whole trees by a new description."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.client.client import Client
from engine.commands._drawing import Line, drawn
from engine.commands._front import Front
from engine.commands._growing import worst, wrong
from engine.commands._outcome import Outcome
from engine.commands._progress import wait
from engine.wire.codec import unflatten
from engine.wire.messages import Change, Changed, Handle, Plan, PlanRow, as_tree
from sfdl.values import Description, Value

# -- attributes


def get(client: Client, ref: str) -> Outcome:
    """Return the value a path leads to, or the component."""
    found = client.value(ref)
    if isinstance(found, Handle):
        text = f"{found.name} at {found.address}"
        return Outcome({"component": found.name, "address": found.address}, text)
    return Outcome({"value": _data(found)}, _written(found))


def put(
    front: Front, client: Client, ref: str, pairs: Sequence[tuple[str, Value]], expect: int | None
) -> Outcome:
    """Set attributes of a component, all or none; return their old values."""
    changes = [Change(name, "replace", as_tree(value)) for name, value in pairs]
    return _change(front, client, ref, changes, expect)


def remove(
    front: Front, client: Client, ref: str, names: Sequence[str], expect: int | None
) -> Outcome:
    """Remove attributes of a component, all or none; return their old values."""
    return _change(front, client, ref, [Change(name, "remove") for name in names], expect)


def _change(
    front: Front, client: Client, ref: str, changes: Sequence[Change], expect: int | None
) -> Outcome:
    operation = client.change(ref, changes, expect=expect, request_id=front.request_id)
    changed: Changed = wait(front, operation)
    old = {
        change.name: unflatten(tree).get("value")
        for change, tree in zip(changes, changed.old, strict=True)
    }
    data = {
        "component": changed.name, "generation": changed.generation,
        "old": {name: _data(value) for name, value in old.items()},
    }  # fmt: skip
    if len(old) == 1:
        return Outcome(data, _written(next(iter(old.values()))))
    return Outcome(data, "\n".join(f"{name} {_written(value)}" for name, value in old.items()))


def _written(value: Value) -> str:
    import sfdl

    return sfdl.print_value(value)


def _data(value: Value) -> msgspec.Raw:
    import sfdl

    return msgspec.Raw(sfdl.to_json(value).encode())


# -- whole trees


def plan(client: Client, name: str, tree: Description) -> Outcome:
    """Show what an update would do, and what is in its way."""
    found = client.plan_update(name, tree)
    texts = [f"{name} {_summary(found)}"]
    if found.rows:
        texts.append(drawn(plan_lines(name, found, tree)))
    texts.extend(wrong(fault) for fault in found.problems)
    texts.append(f"digest {found.digest}")
    return Outcome(msgspec.to_builtins(found), "\n".join(texts), worst(found.problems))


def _summary(found: Plan) -> str:
    words = {"+": "made", "-": "ended", "~": "altered", "+/-": "replaced"}
    counts = [
        f"{count} {word}"
        for sign, word in words.items()
        if (count := sum(row.change == sign for row in found.rows))
    ]
    return f"would have {', '.join(counts)}" if counts else "would stay as it is"


def plan_lines(name: str, found: Plan, tree: Description) -> list[Line]:
    """Lay a plan out as a tree; components on the way to what changes stand there for orientation."""
    rows = {row.path: row for row in found.rows}
    paths: dict[str, None] = {}
    for path in rows:
        parts = path.split(":") if path else []
        paths.update((":".join(parts[:count]), None) for count in range(len(parts) + 1))
    return [
        Line(
            path.count(":") + 1 if path else 0,
            f"{rows[path].change if path in rows else ' ':<3} {path.rpartition(':')[2] or name}",
            _cells(rows[path], tree) if path in rows else (),
        )
        for path in _in_order(list(paths))
    ]


def _in_order(paths: list[str]) -> list[str]:
    """Put parents before children and keep siblings in the order they were met."""
    below: dict[str, list[str]] = {}
    for path in paths:
        if path:
            below.setdefault(path.rpartition(":")[0], []).append(path)
    ordered: list[str] = []
    stack = [""] if paths else []
    while stack:
        path = stack.pop()
        ordered.append(path)
        stack.extend(reversed(below.get(path, ())))
    return ordered


def _cells(row: PlanRow, tree: Description) -> tuple[str, ...]:
    about = f"({row.why})" if row.change == "+/-" and row.why else ""
    if row.change == "~":
        ways = row.ways or ("",) * len(row.attributes)
        about = ", ".join(
            _becomes(row.path, each, tree) + (f" ({way})" if way else "")
            for each, way in zip(row.attributes, ways, strict=False)
        )
    return row.kind, row.address, about


def _becomes(path: str, name: str, tree: Description) -> str:
    """Say what an attribute would become, as far as the new description has it in the open."""
    node: Value = tree
    for part in path.split(":") if path else ():
        node = node.get(part) if isinstance(node, Description) else None
    if not isinstance(node, Description) or name not in node.names():
        return f"no {name}"
    if "secret" in dict(node.tags).get(name, ()):
        return f"{name} (secret)"
    return f"{name} {_written(node.get(name))}"


def update(
    front: Front, client: Client, host: str, name: str, tree: Description | None, *,
    expect: str = "", signature: str = "",
) -> Outcome:  # fmt: skip
    """Change a running application into what is described; without, into what it was before."""
    operation = client.update(
        name, tree, expect=expect, signature=signature, request_id=front.request_id,
        budget_s=front.timeout_s,
    )  # fmt: skip
    done = wait(front, operation)
    text = (
        f"updated {done.name} on {host}: {done.altered} altered, {done.replaced} replaced, "
        f"{done.made} made, {done.ended} ended; generation {done.generation}"
    )
    return Outcome(msgspec.to_builtins(done), text)
