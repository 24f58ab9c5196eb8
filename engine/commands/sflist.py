"""`sflist`: show the attributes of a component."""

from __future__ import annotations

import click
import msgspec

from engine.client.client import Client
from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@shared()
def main(host: str, name: str | None, *, front: Front) -> None:
    """Show one level of attributes of NAME at HOST in declaration order; without NAME, what runs."""
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    if name is None:
        applications = [row for row in client.tree().rows if hasattr(row, "state")]
        lines = [f"{row.path}  {row.state}" for row in applications]
        front.result([msgspec.to_builtins(row) for row in applications], "\n".join(lines))
        return
    rows = client.attributes(name)
    wide = [max((len(text) for text in column), default=0) for column in zip(
        *((row.name, row.value, row.kind) for row in rows), strict=True)] or [0, 0, 0]  # fmt: skip
    text = "\n".join(
        f"{row.name:<{wide[0]}}  {row.value:<{wide[1]}}  {row.kind:<{wide[2]}}  {' '.join(row.tags)}".rstrip()
        for row in rows
    )
    front.result([msgspec.to_builtins(row) for row in rows], text)
