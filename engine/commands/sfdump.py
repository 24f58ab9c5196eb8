"""`sfdump`: write what runs back as a description."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.option("--resolved", is_flag=True, help="Follow LAZY references to values.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")
@shared()
def main(host: str, name: str, *, resolved: bool, output: Path | None, front: Front) -> None:
    """Write the live tree of NAME at HOST, over all its hosts, as a description that compiles again.

    Parts that cannot be reached are written as they were described, and named on standard error.
    """
    from engine.commands import _looking

    text, lost = _looking.dump(front.reach(host), name, resolved=resolved)
    for line in lost:
        front.say(f"not reached: {line}")
    if output is not None:
        output.write_text(text, "utf-8")
        front.result({"file": str(output), "lost": list(lost)}, "")
        return
    front.result({"description": text, "lost": list(lost)}, text.rstrip())
