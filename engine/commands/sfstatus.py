"""`sfstatus`: show what runs, as a tree."""

from __future__ import annotations

import click
import msgspec

from engine.client.client import Client
from engine.commands._front import Command, Front, shared
from engine.wire.messages import TreeRow


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--depth", default=128, show_default=True, help="Levels to show.")
@click.option("--reaper", is_flag=True, help="Show what is still being undone.")
@shared()
def main(host: str, name: str | None, *, depth: int, reaper: bool, front: Front) -> None:
    """Show the applications at HOST, or the tree of the component NAME over all its hosts."""
    client = Client(front.address(host), timeout_s=front.timeout_s)
    if client.hello().security == "insecure":
        front.say(f"INSECURE: the daemon at {host} runs without TLS")
    if reaper:
        facts = client.diagnosis().facts
        lines = [text for key, text in facts if key.startswith("reaper_")]
        front.result(lines, "\n".join(lines) or "nothing is left to be undone")
        return
    rows = list(client.whole_tree(name or "", depth=depth))
    text = _drawn(rows) if rows else f"no applications at {host}"
    front.result([msgspec.to_builtins(row) for row in rows], text)


def _drawn(rows: list[TreeRow]) -> str:
    """Draw rows in pre-order as a tree, states in a column of their own."""
    labels = []
    open_at: list[bool] = []
    for index, row in enumerate(rows):
        more = _has_sibling(rows, index)
        del open_at[row.depth :]
        bars = "".join("│  " if still else "   " for still in open_at[1:])
        branch = "" if row.depth == 0 else ("├─ " if more else "└─ ")
        labels.append(f"{bars}{branch}{row.name}")
        open_at.append(more)
    width = max(len(label) for label in labels)
    kinds = max(len(row.kind) for row in rows)
    return "\n".join(
        f"{label:<{width}}  {row.kind:<{kinds}}  {_state(row)}"
        for label, row in zip(labels, rows, strict=True)
    )


def _has_sibling(rows: list[TreeRow], index: int) -> bool:
    depth = rows[index].depth
    for row in rows[index + 1 :]:
        if row.depth <= depth:
            return row.depth == depth
    return False


def _state(row: TreeRow) -> str:
    words = [row.state]
    if row.state == "started":
        words.append("ready" if row.ready else "not ready")
    if row.good is not None:
        words.append("well" if row.good else "unwell")
    if row.health:
        words.append(f"({row.health})")
    if row.restarts:
        words.append(f"{row.restarts} restarts")
    if row.record is not None:
        words.append(row.record.sentence())
    return f"{', '.join(words)}  {row.address}  {row.age_s:.0f} s"
