"""`sfstop`: end everything in a daemon, then the daemon."""

from __future__ import annotations

import sys

import click

from engine.client.client import Client
from engine.commands._exit import Exit
from engine.commands._front import Command, Front, shared
from engine.commands._progress import wait


@click.command(cls=Command)
@click.argument("host")
@shared(timeout_s=600.0)
def main(host: str, *, front: Front) -> None:
    """End all components of the daemon at HOST, newest application first, then the daemon itself."""
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    gone = wait(front, client.stop(request_id=front.request_id))
    lines = [f"stopped {gone.name}: {gone.components} components ended in {gone.took_ms} ms"]
    lines.extend(f"   trouble     {error}" for error in gone.errors)
    lines.extend(f"   left behind {line}" for line in gone.leftovers)
    data = {
        "components": gone.components,
        "took_ms": gone.took_ms,
        "leftovers": list(gone.leftovers),
    }
    front.result(data, "\n".join(lines))
    if gone.leftovers:
        sys.exit(Exit.LEFTOVERS)
