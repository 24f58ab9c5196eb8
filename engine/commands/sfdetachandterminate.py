"""`sfdetachandterminate`: take a running component out of its application."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.option("--reason", default="", help="Why, for the record.")
@shared(timeout_s=600.0)
def main(host: str, name: str, *, reason: str, front: Front) -> None:
    """Cut the component NAME at HOST off from its parent, then end it with all below it.

    Its parent forgets it and decides nothing: the rest of the application goes on.
    """
    from engine.commands import _ending

    why = _ending.record("sfdetachandterminate", reason)
    front.give(_ending.detach_and_terminate(front, front.reach(host), name, why))
