"""`sfdrain`: keep new work away from a daemon, or let it come again."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.option("--limit", "limit_s", type=click.FloatRange(min=0), default=60.0, show_default=True,
              metavar="SECONDS", help="How long components may take to move away.")  # fmt: skip
@click.option("--end", is_flag=True, help="Take new work again.")
@shared()
def main(host: str, *, limit_s: float, end: bool, front: Front) -> None:
    """Have the daemon at HOST take no new work, and ask its components to move elsewhere.

    What does not move goes on where it is, and the exit code is 1. With --end the daemon takes work
    again; this also ends what `sfdaemon --maintenance` began.
    """
    from engine.commands import _ending

    limit_s = 0.0 if end else limit_s
    front.give(_ending.drain(front, front.reach(host), on=not end, limit_s=limit_s))
