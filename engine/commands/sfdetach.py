"""`sfdetach`: make a running component an application of its own."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@shared()
def main(host: str, name: str, *, front: Front) -> None:
    """Cut the component NAME at HOST off from its parent, and print its new complete name.

    It goes on with all below it, as an application of its own; its parent forgets it.
    """
    from engine.commands import _ending

    front.give(_ending.detach(front, front.reach(host), name))
