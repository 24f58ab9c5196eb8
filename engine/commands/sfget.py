"""`sfget`: print the value of an attribute of a running component."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("ref")
@shared()
def main(host: str, ref: str, *, front: Front) -> None:
    """Follow the path REF, such as pool:vm1:memory, at HOST, and print the value it leads to.

    LAZY references on the way are followed, over all hosts. Of a component its complete name is
    printed; secrets are not shown.
    """
    from engine.commands import _changing

    front.give(_changing.get(front.reach(host), ref))
