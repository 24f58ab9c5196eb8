"""`sfping`: ask a daemon or a component how it is."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from engine.client.client import Client
from engine.commands._exit import Exit
from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("-c", "--count", default=1, show_default=True, help="How often to ask.")
@shared()
def main(host: str, name: str | None, *, count: int, front: Front) -> None:
    """Ask the daemon at HOST, or its component NAME, how it is; exit code 1 if it is unwell."""
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    well = True
    for _ in range(max(1, count)):
        began = time.monotonic()
        if name is None:
            welcome = client.hello()
            took_ms = (time.monotonic() - began) * 1000
            text = (
                f"{welcome.name} at {welcome.address}: {welcome.state}, version {welcome.version}, "
                f"{welcome.components} components, up {welcome.uptime_s:g} s, {took_ms:.1f} ms"
                f"{', INSECURE: no TLS' if welcome.security == 'insecure' else ''}"
            )
            data = msgspec.to_builtins(welcome)
        else:
            pong = client.ping(name)
            took_ms = (time.monotonic() - began) * 1000
            health = {True: "well", False: "unwell", None: "health unknown"}[pong.good]
            why = f" ({pong.text})" if pong.text else ""
            ready = "ready" if pong.ready else "not ready"
            text = f"{pong.name}: {pong.state}, {ready}, {health}{why}, {took_ms:.1f} ms"
            data = msgspec.to_builtins(pong)
            well = well and pong.good is not False
        front.result({**data, "round_trip_ms": round(took_ms, 2)}, text)
    if not well:
        sys.exit(Exit.FAILED)
