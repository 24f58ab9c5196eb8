"""`sfstatus`: show what runs, as a tree."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--depth", type=click.IntRange(min=0), help="Levels to show.  [default: all]")
@click.option("--follow", is_flag=True, help="Go on with what happens, until NAME has ended.")
@click.option("--reaper", is_flag=True, help="Show what is still being undone.")
@click.option("--set-log", "log", nargs=2, metavar="REF LEVEL",
              help="Log a sub-tree from this level on; an empty level takes that back.")  # fmt: skip
@shared()
def main(
    host: str, name: str | None, *, depth: int | None, follow: bool, reaper: bool,
    log: tuple[str, str] | None, front: Front,
) -> None:  # fmt: skip
    """Show the applications at HOST, or the tree of the component NAME over all its hosts.

    With --depth and without NAME the trees of all applications. With --follow each change of state,
    readiness or health is a line (or JSON object) more.
    """
    from engine.commands import _looking

    client = front.client(host)
    if client.hello().security == "insecure":
        front.say(f"INSECURE: the daemon at {host} runs without TLS")
    if log is not None:
        levelled = client.set_level(*log)
        place = levelled.path or host
        front.result(
            {"path": levelled.path, "level": levelled.level}, f"{place} logs from {levelled.level}"
        )
        return
    if reaper:
        front.give(_looking.reaper(client))
        return
    cursor = _looking.now(client, name or "") if follow else ""
    outcome = _looking.status(client, host, name or "", depth)
    front.give(outcome)
    if follow:
        _follow(front, host, name or "", outcome.data, cursor)


def _follow(front: Front, host: str, name: str, rows: object, cursor: str) -> None:
    """Tell what happens until the component has ended, or for ever."""
    import msgspec

    from engine.commands import _looking

    top = name
    if name and isinstance(rows, list) and rows:
        top = str(rows[0]["path"])
    client = front.client(host)
    for event in _looking.life(client, top, cursor):
        if event is None:
            front.say("some events in between were not kept")
        else:
            front.result(msgspec.to_builtins(event), _looking.event_line(event))
