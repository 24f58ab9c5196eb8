"""`sfdl diff`: what is different between two resolved descriptions."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from sfdl.commands.shared import (
    DIFFERENT,
    compiled_or_exit,
    folders_option,
    json_option,
    overrides_option,
)


@click.command("diff")
@folders_option
@overrides_option
@json_option
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def command(
    *,
    first: Path,
    second: Path,
    folders: tuple[Path, ...],
    overrides: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Compare what FIRST and SECOND resolve to; exit with 10 if that is different."""
    old = compiled_or_exit(first, folders, overrides, as_json=as_json)
    new = compiled_or_exit(second, folders, overrides, as_json=as_json)
    from sfdl.compare import differences  # noqa: PLC0415 - the compiler is loaded by now

    found = list(differences(old.root, new.root))
    if as_json:
        click.echo(json.dumps([asdict(difference) for difference in found], ensure_ascii=False))
    else:
        for difference in found:
            click.echo(str(difference))
    sys.exit(DIFFERENT if found else 0)
