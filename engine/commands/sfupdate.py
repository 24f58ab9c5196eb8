"""`sfupdate`: change a running application into what a new description says."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands._front import Command, Front, override, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.argument("description", type=click.Path(path_type=Path), required=False)
@click.option("-I", "--include", "folders", multiple=True, type=click.Path(path_type=Path),
              help="Also look for included files here.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="REF=VALUE",
              help="Set an attribute below sfConfig.")  # fmt: skip
@click.option("--sub", default="", metavar="REF", help="Only this part of the description.")
@click.option("--plan", is_flag=True, help="Only show what would change, and what is in the way.")
@click.option(
    "--expect", default="", metavar="DIGEST", help="Refuse unless the plan is still this."
)
@click.option("--revert", is_flag=True, help="Go back to what it was before its last update.")
@click.option("--signature", type=click.Path(path_type=Path), metavar="FILE",
              help="Send this signature of the description along (sfca sign).")  # fmt: skip
@shared(timeout_s=600.0)
def main(
    host: str, name: str, description: Path | None, folders: tuple[Path, ...],
    settings: tuple[str, ...], *, sub: str, plan: bool, expect: str, revert: bool,
    signature: Path | None, front: Front,
) -> None:  # fmt: skip
    """Compare the application NAME at HOST with DESCRIPTION, and change it in place.

    What differs is altered where its type can, else replaced; nothing is touched if anything of it
    refuses. Should it fail on the way, `sfUpdateFailure` decides: the application ends, or is as
    before.
    """
    if revert == (description is not None):
        raise click.UsageError("give a DESCRIPTION, or --revert")
    if revert and (plan or expect):
        raise click.UsageError("--revert goes back at once: it has no plan")

    from engine.commands import _changing, _growing
    from engine.commands.sfstart import signature_of

    overrides = [override(text) for text in settings]
    signed = signature_of(signature)
    tree = None
    if description is not None:
        tree = _growing.compiled(_growing.Source(description, folders, overrides, sub)).tree
    client = front.reach(host)
    if plan and tree is not None:
        front.give(_changing.plan(client, name, tree))
        return
    front.give(
        _changing.update(front, client, host, name, tree, expect=expect, signature=signed)
    )  # fmt: skip
