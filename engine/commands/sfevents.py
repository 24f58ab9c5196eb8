"""`sfevents`: show what has happened, and what happens."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--kind", "kinds", multiple=True, help="Only these kinds, such as state or effect.")
@shared()
def main(
    host: str, name: str | None, *, follow: bool, kinds: tuple[str, ...], front: Front
) -> None:
    """Show the events the daemon at HOST keeps, of the component NAME and what is below, or of all.

    With --follow, one line (or JSON object) for each event as it happens.
    """
    import msgspec

    from engine.commands import _looking

    client = front.reach(host)
    for event in _looking.happenings(client, name or "", follow=follow, kinds=kinds):
        if event is None:
            front.say("some events in between were not kept")
        else:
            front.result(msgspec.to_builtins(event), _looking.event_line(event))
