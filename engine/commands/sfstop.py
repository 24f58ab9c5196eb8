"""`sfstop`: end everything in a daemon, then the daemon."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.option("--drain", "drain_s", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
              help="First let components move away, for so long.")  # fmt: skip
@click.option("--force", is_flag=True, help="End them as by a shutdown, not as a wish of theirs.")
@shared(timeout_s=600.0)
def main(host: str, *, drain_s: float, force: bool, front: Front) -> None:
    """End all components of the daemon at HOST, newest application first, then the daemon itself."""
    from engine.commands import _ending

    front.give(_ending.stop(front, front.reach(host), force=force, drain_s=drain_s))
