"""`sfcall`: have a component do something."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.argument("action")
@click.argument("words", nargs=-1, metavar="[ARGUMENT]...")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long it may wait for its turn while a machine does something else.",
)
@shared(timeout_s=600.0)
def main(
    host: str, name: str, action: str, words: tuple[str, ...], *, wait_s: float, front: Front
) -> None:
    """Have the component NAME at HOST do ACTION, such as suspend, and print what it answers.

    What a component can do stands in its section of the reference. An ARGUMENT is a literal of the
    description language; anything else is text as it stands. Ctrl-C stops it.
    """
    from engine.commands import _calling

    front.give(
        _calling.call(front, front.reach(host), name, action, words, front.client, wait_s=wait_s)
    )
