"""`sfset`: set attributes of a running component."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("words", nargs=-1, required=True, metavar="REF VALUE | REF=VALUE...")
@click.option("--expect-generation", "expect", type=click.IntRange(min=0), metavar="N",
              help="Refuse if its attributes were changed since.")  # fmt: skip
@shared()
def main(host: str, words: tuple[str, ...], *, expect: int | None, front: Front) -> None:
    """Set the attribute REF, such as pool:vm1:memory, at HOST to VALUE, and print its old value.

    VALUE is a literal of the description language or a LAZY reference; anything else is text as it
    stands. Several REF=VALUE of one component are set together, or none of them.
    """
    from engine.commands import _changing, _values

    ref, pairs = _values.assignments(words)
    values = [(name, _values.value_of(text)) for name, text in pairs]
    front.give(_changing.put(front, front.reach(host), ref, values, expect))
