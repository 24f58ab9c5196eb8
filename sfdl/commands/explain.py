"""`sfdl explain`: why an attribute has its value."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from sfdl.commands.shared import (
    WRONG,
    complain,
    folders_option,
    give_up,
    json_option,
    overrides_option,
)


@click.command("explain")
@folders_option
@overrides_option
@json_option
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("path")
def command(
    *,
    file: Path,
    path: str,
    folders: tuple[Path, ...],
    overrides: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Tell why the attribute PATH of FILE's result has its value, each step with its place."""
    from sfdl.canonical import to_json  # noqa: PLC0415 - keeps --help fast
    from sfdl.errors import CompileError, FormatError  # noqa: PLC0415 - as above
    from sfdl.explanation import explain  # noqa: PLC0415 - as above
    from sfdl.printer import print_value  # noqa: PLC0415 - as above

    try:
        told = explain(file, path, search_path=folders, overrides=overrides)
    except CompileError as error:
        complain(error.diagnostics, as_json=as_json)
        sys.exit(WRONG)
    except FormatError as error:
        give_up("sfdl explain", error.message)
    if as_json:
        reasons = [reason.as_json() for reason in told.reasons]
        answer = {"path": told.path, "value": json.loads(to_json(told.value)), "reasons": reasons}
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(f"{told.path} = {print_value(told.value)}")
    for reason in told.reasons:
        click.echo(f"  {reason}")
