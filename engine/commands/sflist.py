"""`sflist`: show the attributes of a component."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@shared()
def main(host: str, name: str | None, *, front: Front) -> None:
    """Show one level of attributes of NAME at HOST in declaration order; without NAME, what runs."""
    from engine.commands import _looking

    front.give(_looking.listing(front.reach(host), name or ""))
