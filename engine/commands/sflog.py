"""`sflog`: show what components log."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared

WAIT_S = 15.0


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--level", default="", help="Only this level and worse: debug, info, warn, error.")
@shared()
def main(host: str, name: str | None, *, follow: bool, level: str, front: Front) -> None:
    """Show what the components of the daemon at HOST logged: NAME and what is below, or all.

    Of a tree over several hosts each daemon keeps what was logged there. `sfstatus --set-log` sets
    what is kept.
    """
    import msgspec

    from engine.commands import _looking

    client = front.reach(host)
    cursor = ""
    while True:
        wait_s = WAIT_S if follow else 0.0
        rows, cursor = client.log(cursor, path=name or "", level=level, wait_s=wait_s)
        for row in rows:
            text = f"{_looking.clock(row.at_ms)}  {row.level:<5}  {row.path}  {row.text}"
            front.result(msgspec.to_builtins(row), text)
        if not rows and not follow:
            return
