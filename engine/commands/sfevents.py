"""`sfevents`: show what has happened, and what happens."""

from __future__ import annotations

import time

import click
import msgspec

from engine.client.client import Client
from engine.commands._front import Command, Front, shared
from engine.core.events import (
    AttributeChanged,
    EffectEvent,
    Event,
    HealthChanged,
    Noted,
    Progressed,
    ReadyChanged,
    Rejected,
    Restarted,
    StateChanged,
)

WAIT_S = 15.0


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--kind", "kinds", multiple=True, help="Only these kinds, such as state or effect.")
@shared()
def main(
    host: str, name: str | None, *, follow: bool, kinds: tuple[str, ...], front: Front
) -> None:
    """Show the events the daemon at HOST keeps, of the application NAME or of all.

    With --follow, one line (or JSON object) for each event as it happens.
    """
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    cursor = "0"
    while True:
        wait_s = WAIT_S if follow else 0.0
        rows, cursor, gap = client.events(
            cursor, application=name or "", kinds=kinds, wait_s=wait_s
        )
        if gap:
            front.say("some events in between were not kept")
        for event in rows:
            front.result(msgspec.to_builtins(event), _line(event))
        if not rows and not follow:
            return


def _line(event: Event) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(event.at_ms / 1000))
    return f"{at}.{event.at_ms % 1000:03d}  {event.path or '-'}  {sentence(event)}"


def sentence(event: Event) -> str:
    """Say in words what an event is about."""
    match event.body:
        case StateChanged(state, record):
            return f"{state}: {record.sentence()}" if record is not None else state
        case ReadyChanged(ready):
            return "ready" if ready else "not ready"
        case HealthChanged(good, text):
            words = {True: "well", False: "unwell", None: "health unknown"}[good]
            return f"{words}: {text}" if text else words
        case AttributeChanged(attribute, text):
            return f"{attribute} = {text}"
        case Rejected() as refusal:
            return refusal.sentence()
        case EffectEvent(what, step):
            return f"{step} {what}"
        case Restarted(text) | Progressed(text=text) | Noted(text=text):
            return text
