"""`sflog`: show what components have logged, and what they log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.commands._front import Command, Front, shared

if TYPE_CHECKING:
    from engine.client.client import Client
    from engine.client.logs import Said
    from engine.wire.messages import LogRow

LEVELS = ("ignore", "trace", "debug", "info", "warn", "warning", "error", "fatal")


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option(
    "--level", default="", type=click.Choice(["", *LEVELS], case_sensitive=False),
    metavar="LEVEL", help=f"Only this and worse: {', '.join(LEVELS)}.",
)  # fmt: skip
@click.option("--trace", default="", metavar="ID",
              help="Only what was logged while request ID was carried out, anywhere.")  # fmt: skip
@shared()
def main(
    host: str, name: str | None, *, follow: bool, level: str, trace: str, front: Front
) -> None:
    """Show what the component NAME, and all below it on all hosts, has logged; or all at HOST.

    Each host keeps the last 1,000 records of every application. Which records count is set with
    sfstatus --set-log. With --follow, one line (or JSON object) for each as it is written. With -v
    each says which request it belongs to: the id given with --request-id, or made up.
    """
    from engine.client.logs import Follower, Said, Scope, hosts_of, kept

    client = front.reach(host)
    path, addresses = hosts_of(client, name or "")
    scope = Scope(path, level, trace)

    def say(what: Said) -> None:
        front.say(f"{what.address}: {what.text}")

    rows, cursors = kept([front.client(address) for address in addresses], scope, say)
    for row in rows:
        _show(front, row)
    if not follow:
        return
    cursors = dict.fromkeys(addresses, "") | cursors
    follower = Follower(front.client, scope, cursors)
    try:
        for found in follower.rows(lambda: _hosts(client, name)):
            if isinstance(found, Said):
                say(found)
            else:
                _show(front, found)
    finally:
        follower.close()


def _hosts(client: Client, name: str | None) -> tuple[str, ...]:
    from engine.client.logs import hosts_of

    return hosts_of(client, name or "")[1]


def _show(front: Front, row: LogRow) -> None:
    import msgspec

    from engine.commands._looking import clock

    place = f"{row.path} on {row.node}" if row.node else row.path
    text = f"{clock(row.at_ms)}  {row.level:<5}  {place}  {row.text}"
    if front.verbose and row.trace:
        text += f"  [{row.trace}]"
    front.result(msgspec.to_builtins(row), text)
