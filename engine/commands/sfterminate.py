"""`sfterminate`: end an application or a component of it."""

from __future__ import annotations

import getpass
import sys

import click

from engine.client.client import Client
from engine.commands._exit import Exit
from engine.commands._front import Command, Front, shared
from engine.commands._progress import wait
from engine.core.records import ABNORMAL, NORMAL, Record


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.option("--abnormal", is_flag=True, help="End it as a failure.")
@click.option("--reason", default="", help="Why, for the record.")
@shared(timeout_s=600.0)
def main(host: str, name: str, *, abnormal: bool, reason: str, front: Front) -> None:
    """End the component NAME at HOST, and wait until nothing of it is left.

    NAME is an application, or a path into one such as pool:computer1:domain1; what a part's end
    means for the rest is for its parents to decide.
    """
    client = Client(front.address(host), timeout_s=front.timeout_s)
    record = Record(
        ABNORMAL if abnormal else NORMAL, reason or f"ended by {getpass.getuser()} with sfterminate"
    )
    operation = client.terminate(
        name, record, request_id=front.request_id, budget_s=front.timeout_s
    )
    gone = wait(front, operation)
    lines = [f"terminated {name}: {gone.components} components in {gone.took_ms} ms"]
    lines.extend(f"   trouble     {error}" for error in gone.errors)
    lines.extend(f"   left behind {line}" for line in gone.leftovers)
    data = {
        "name": name, "components": gone.components, "took_ms": gone.took_ms,
        "errors": list(gone.errors), "leftovers": list(gone.leftovers),
    }  # fmt: skip
    front.result(data, "\n".join(lines))
    if gone.leftovers:
        sys.exit(Exit.LEFTOVERS)
