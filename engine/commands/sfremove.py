"""`sfremove`: remove attributes of a running component."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--expect-generation", "expect", type=click.IntRange(min=0), metavar="N",
              help="Refuse if its attributes were changed since.")  # fmt: skip
@shared()
def main(host: str, refs: tuple[str, ...], *, expect: int | None, front: Front) -> None:
    """Remove the attribute REF, such as pool:vm1:note, at HOST, and print its old value.

    Several of one component are removed together, or none of them.
    """
    from engine.commands import _changing, _values

    ref, names = _values.removals(refs)
    front.give(_changing.remove(front, front.reach(host), ref, names, expect))
