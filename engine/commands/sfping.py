"""`sfping`: ask a daemon or a component how it is."""

from __future__ import annotations

import sys
import time

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("-c", "--count", type=click.IntRange(min=1), default=1, show_default=True,
              help="How often to ask, a second apart.")  # fmt: skip
@click.option("--all", "everybody", is_flag=True, help="Have it ask all daemons it knows.")
@shared()
def main(host: str, name: str | None, *, count: int, everybody: bool, front: Front) -> None:
    """Ask the daemon at HOST, or its component NAME, how it is; exit code 1 if it is unwell.

    With --all the daemon asks those it knows: a line for each with its state, version and
    round-trip time, and exit code 1 if one does not answer.
    """
    if everybody and name is not None:
        raise click.UsageError("--all asks daemons, not the component NAME")

    from engine.commands import _looking
    from engine.commands._exit import Exit

    client = front.reach(host)
    code = Exit.DONE
    for turn in range(count):
        if turn:
            time.sleep(1)
        if everybody:
            outcome = _looking.peers(client)
        elif name is None:
            outcome = _looking.ping(client)
        else:
            outcome = _looking.ping_component(client, name)
        front.result(*outcome)
        code = max(code, outcome.code)
    if code != Exit.DONE:
        sys.exit(code)
