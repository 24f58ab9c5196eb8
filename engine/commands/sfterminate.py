"""`sfterminate`: end an application or a component of it."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.option("--abnormal", is_flag=True, help="End it as a failure.")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--no-wait", is_flag=True, help="Return once the daemon has taken it on.")
@shared(timeout_s=600.0)
def main(host: str, name: str, *, abnormal: bool, reason: str, no_wait: bool, front: Front) -> None:
    """End the component NAME at HOST, and wait until nothing of it is left.

    NAME is an application, or a path into one such as pool:computer1:domain1; what a part's end
    means for the rest is for its parents to decide.
    """
    from engine.commands import _ending

    why = _ending.record("sfterminate", reason, abnormal=abnormal)
    front.give(_ending.terminate(front, front.client(host), name, why, stay=not no_wait))
