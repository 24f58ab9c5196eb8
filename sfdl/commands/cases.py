"""`sfdl test`: run test cases for descriptions."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from sfdl.commands.shared import FAILED, folders_option, give_up, json_option, split_overrides


@click.command("test")
@folders_option
@json_option
@click.option(
    "--env",
    "variables",
    multiple=True,
    callback=split_overrides,
    metavar="NAME=VALUE",
    help="Set an environment variable for the cases; may be repeated.",
)
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass too.")
@click.argument("folders_of_cases", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(
    *,
    folders_of_cases: tuple[Path, ...],
    folders: tuple[Path, ...],
    variables: tuple[tuple[str, str], ...],
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the cases below each FOLDER: NAME.sf with NAME.json or NAME.error beside it.

    Exit with 1 if one fails. Files `case.env` set environment variables for cases below them.
    """
    from sfdl.cases import Outcome, cases, environment_of, run_case  # noqa: PLC0415 - for --help
    from sfdl.errors import FormatError  # noqa: PLC0415 - as above

    outcomes: list[Outcome] = []
    for top in folders_of_cases:
        if not top.is_dir():
            give_up("sfdl test", f"{top} is no folder")
        for path in cases(top):
            try:
                environment = environment_of(path, top, {**os.environ, **dict(variables)})
                outcomes.append(run_case(path, environment, folders))
            except (FormatError, json.JSONDecodeError) as error:
                outcomes.append(Outcome(path, f"the case is malformed: {error}"))
    failed = [outcome for outcome in outcomes if outcome.why]
    if as_json:
        listed = [
            {"case": str(one.path), "passed": not one.why, "why": one.why} for one in outcomes
        ]
        click.echo(json.dumps(listed))
    else:
        for outcome in outcomes:
            if outcome.why or verbose:
                click.echo(f"{'FAIL' if outcome.why else 'ok  '} {outcome.path}")
            if outcome.why:
                click.echo("\n".join(f"     {line}" for line in outcome.why.splitlines()))
        click.echo(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    if not outcomes:
        give_up("sfdl test", "there are no cases")
    sys.exit(FAILED if failed else 0)
