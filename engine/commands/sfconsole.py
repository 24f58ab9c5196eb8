"""`sfconsole`: the serial console of a guest."""

from __future__ import annotations

import sys

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.option("--log", is_flag=True, help="Only print what the console has shown so far.")
@shared()
def main(host: str, name: str, *, log: bool, front: Front) -> None:
    """Open the serial console of the guest of the component NAME; Ctrl-] leaves it.

    What is typed goes to the guest, over the daemons' own links, wherever the guest is. Only one can
    have a console at a time. Needs the role operator.
    """
    from engine.client.channels import Channel
    from engine.commands._terminal import converse, raw, write_all

    client = front.reach(host)
    out = sys.stdout.fileno()
    channel = Channel(front.client(host), client, name, "console log" if log else "console")
    try:
        if log:
            while not channel.ended:
                write_all(out, channel.read())
            return
        keys = sys.stdin.fileno()
        front.say(f"console of {name}; Ctrl-] leaves")
        with raw(keys):
            why = converse(channel, keys, out)
        front.say(f"\n{why or 'left'}")
    finally:
        channel.close()
