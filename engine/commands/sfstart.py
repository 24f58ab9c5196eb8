"""`sfstart`: make a description real."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands._front import Command, Front, override, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.argument("description", type=click.Path(path_type=Path))
@click.option("-I", "--include", "folders", multiple=True, type=click.Path(path_type=Path),
              help="Also look for included files here.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="REF=VALUE",
              help="Set an attribute below sfConfig.")  # fmt: skip
@click.option("--sub", default="", metavar="REF", help="Only this part of the description.")
@click.option("--parent", default="", metavar="REF",
              help="Make it a child of this running component.")  # fmt: skip
@click.option("--wait", "until", type=click.Choice(["started", "ready", "none"]),
              default="started", show_default=True, help="What to wait for.")  # fmt: skip
@click.option("--plan", is_flag=True, help="Only ask HOST what would be made, and what is wrong.")
@click.option(
    "--expect", default="", metavar="DIGEST", help="Refuse unless the plan is still this."
)
@click.option("--signature", type=click.Path(path_type=Path), metavar="FILE",
              help="Send this signature of the description along (sfca sign).")  # fmt: skip
@click.option("--show", is_flag=True, help="Only show what would be made; contact nobody.")
@shared(timeout_s=600.0)
def main(
    host: str, name: str, description: Path, folders: tuple[Path, ...], settings: tuple[str, ...],
    *, sub: str, parent: str, until: str, show: bool, plan: bool, expect: str,
    signature: Path | None, front: Front,
) -> None:  # fmt: skip
    """Compile DESCRIPTION here, and have HOST make it real as the application NAME.

    With an empty NAME the description's own name is taken, or one is made up. The command returns
    when every component on every host has started; if one fails, none is left. An interrupt rolls
    back what has been made so far.
    """
    overrides = [override(text) for text in settings]
    signed = signature_of(signature)
    if parent and (plan or expect):
        raise click.UsageError("--plan and --expect are for whole applications, not for --parent")

    from engine.commands import _growing

    made = _growing.compiled(_growing.Source(description, folders, overrides, sub))
    application = _growing.named(name, made.tree)
    if show:
        front.give(_growing.show(application, made.tree))
        return
    client = front.reach(host)
    if plan:
        front.give(_growing.planned(application, client.plan(application, made.tree)))
        return
    front.give(
        _growing.start(
            front, client, host, application, made, until=until, parent=parent, expect=expect,
            signature=signed,
        )
    )  # fmt: skip


def signature_of(file: Path | None) -> str:
    """Read the signature a user names; empty without one."""
    if file is None:
        return ""
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file}: {error}", param_hint="--signature") from error
