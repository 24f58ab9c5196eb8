"""`sfrun`: run a description in a process of its own, without a daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.commands._exit import Exit
from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("description", type=click.Path(path_type=Path))
@click.option("-e", "--exit", "leave", is_flag=True, help="End it again once it has started.")
@click.option("--secs", type=float, help="End it after so many seconds.")
@shared(timeout_s=600.0)
def main(description: Path, *, leave: bool, secs: float | None, front: Front) -> None:
    """Make DESCRIPTION real in this process, which listens nowhere, and stay until it has ended.

    Nothing outlives the command: state is kept in a folder that is removed at the end. Exit code 1
    if the application ended abnormally.
    """
    import sfdl
    from engine.daemon import run_alone

    tree = sfdl.compile(description).root
    lasts_s = 0.0 if leave else secs
    record = run_alone(tree, lasts_s=lasts_s, budget_s=front.timeout_s, say=front.say)
    data = {"type": record.type, "component": record.component, "description": record.description}
    front.result(data, f"ended: {record.sentence()}")
    if not record.is_normal:
        sys.exit(Exit.FAILED)
