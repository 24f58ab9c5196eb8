"""`sflist`: show the attributes of a component."""

from __future__ import annotations

import click
import msgspec

from engine.client.client import Client
from engine.commands._front import Command, Front, shared
from engine.wire.messages import TreeRow


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@shared()
def main(host: str, name: str | None, *, front: Front) -> None:
    """Show one level of attributes of NAME at HOST in declaration order; without NAME, what runs."""
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    if name is None:
        applications = [row for row in client.tree().rows if isinstance(row, TreeRow)]
        lines = [f"{row.path}  {row.state}" for row in applications]
        front.result([msgspec.to_builtins(row) for row in applications], "\n".join(lines))
        return
    rows = client.attributes(name)
    cells = [(row.name, row.value, row.kind, " ".join(row.tags)) for row in rows]
    wide = [max(len(cell[column]) for cell in cells) for column in range(4)] if cells else []
    shown = (
        "  ".join(f"{text:<{size}}" for text, size in zip(cell, wide, strict=True))
        for cell in cells
    )
    text = "\n".join(line.rstrip() for line in shown)
    front.result([msgspec.to_builtins(row) for row in rows], text)
