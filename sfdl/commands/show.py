"""`sfdl print`: the resolved description, in one of several forms."""

from __future__ import annotations

from pathlib import Path

import click

from sfdl.commands.shared import (
    compiled_or_exit,
    complain,
    folders_option,
    give_up,
    json_option,
    overrides_option,
    part_of,
)


@click.command("print")
@folders_option
@overrides_option
@json_option
@click.option(
    "--as",
    "form",
    type=click.Choice(["sf", "json", "yaml", "dot"]),
    default=None,
    help="Source text (default), canonical JSON, YAML, or a Graphviz drawing.",
)
@click.option("--sub", "part", default="", metavar="REF", help="Show only this part of the result.")
@click.argument("file", type=click.Path(path_type=Path))
def command(
    *,
    file: Path,
    folders: tuple[Path, ...],
    overrides: tuple[tuple[str, str], ...],
    form: str | None,
    part: str,
    as_json: bool,
) -> None:
    """Show what FILE resolves to. `--json` is `--as json` with failures as JSON too."""
    compiled = compiled_or_exit(file, folders, overrides, as_json=as_json)
    from sfdl.errors import FormatError  # noqa: PLC0415 - the compiler is loaded by now
    from sfdl.export import exported  # noqa: PLC0415 - as above

    if compiled.warnings:
        complain(compiled.warnings, as_json=as_json)
    try:
        value = part_of(compiled.root, part)
        text = exported(value, form or ("json" if as_json else "sf"), whole=not part)
    except (FormatError, ValueError) as error:
        give_up("sfdl print", getattr(error, "message", str(error)))
    click.echo(text, nl=not text.endswith("\n"))
