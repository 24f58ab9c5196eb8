"""The command `sfparse`: compile descriptions and show the result.

Standard output is the resolved description, standard error everything else. Exit codes: 0 all
descriptions compile, 2 bad arguments, 3 a description is wrong or a file is missing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from sfdl.commands.shared import (
    WRONG,
    complain,
    count,
    folders_option,
    overrides_option,
    part_of,
)

# The compiler is imported where it is first needed, so that --help answers at once.
if TYPE_CHECKING:
    from sfdl.compiler import Compiled
    from sfdl.graph import Scope
    from sfdl.values import Value


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        verbose: Show the tree after each phase.
        quiet: Show failures only.
        summary: Show counts and times instead of the description.
        as_json: Show canonical JSON, and failures as JSON objects.
        folders: Folders for includes.
        overrides: Path and text of each value set from outside.
        part: Path of the part to show, or an empty string for all.
    """

    verbose: bool
    quiet: bool
    summary: bool
    as_json: bool
    folders: tuple[Path, ...]
    overrides: tuple[tuple[str, str], ...]
    part: str


def _listed(lists: tuple[Path, ...]) -> list[Path]:
    """Return the files that list files name, one on each line; `#` begins a comment."""
    found: list[Path] = []
    for path in lists:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            click.echo(f"sfparse: cannot read {path}: {error}", err=True)
            sys.exit(WRONG)
        words = (line.partition("#")[0].strip() for line in lines)
        found.extend(Path(word) for word in words if word)
    return found


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartdomains")
@click.option("-v", "--verbose", is_flag=True, help="Show the tree after each phase.")
@click.option("-q", "--quiet", is_flag=True, help="Show failures only.")
@click.option("-r", "--report", "summary", is_flag=True, help="Show a summary for each file.")
@click.option("--json", "as_json", is_flag=True, help="Show canonical JSON; failures as objects.")
@click.option("-R", "html", is_flag=True, help="Show a report on all files as one HTML page.")
@folders_option
@overrides_option
@click.option("--sub", "part", default="", metavar="REF", help="Show only this part of the result.")
@click.option(
    "-f",
    "lists",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="LIST",
    help="Read file names from LIST, one on each line.",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="FILE...")
def main(
    *,
    files: tuple[Path, ...],
    lists: tuple[Path, ...],
    verbose: bool,
    quiet: bool,
    summary: bool,
    html: bool,
    as_json: bool,
    folders: tuple[Path, ...],
    overrides: tuple[tuple[str, str], ...],
    part: str,
) -> None:
    """Compile descriptions and show what they resolve to."""
    options = Options(verbose, quiet, summary, as_json, folders, overrides, part)
    wanted = [*files, *_listed(lists)]
    if not wanted:
        raise click.UsageError("name at least one FILE, or a LIST with -f")
    if html:
        from sfdl.report import html_report  # noqa: PLC0415 - see the top

        page, right = html_report(wanted, folders, overrides)
        click.echo(page)
        sys.exit(0 if right else WRONG)
    results = [_one(path, options) for path in wanted]
    sys.exit(0 if all(results) else WRONG)


def _one(path: Path, options: Options) -> bool:
    """Compile one file and show the result; return whether it is right."""
    from sfdl.compiler import compile_description  # noqa: PLC0415 - see the top
    from sfdl.dump import dump  # noqa: PLC0415 - see the top
    from sfdl.errors import CompileError, FormatError  # noqa: PLC0415 - see the top

    started = perf_counter()

    def show(phase: str, root: Scope) -> None:
        click.echo(f"{path}: after phase {phase}: {dump(root)}", err=True)

    try:
        compiled = compile_description(
            path,
            search_path=options.folders,
            overrides=options.overrides,
            progress=show if options.verbose else None,
        )
        value = part_of(compiled.root, options.part)
    except CompileError as error:
        complain(error.diagnostics, as_json=options.as_json)
        return False
    except FormatError as error:
        click.echo(f"sfparse: {error.message}", err=True)
        return False
    if not options.quiet:
        if compiled.warnings:
            complain(compiled.warnings, as_json=options.as_json)
        _show(path, compiled, value, perf_counter() - started, options)
    return True


def _show(path: Path, compiled: Compiled, value: Value, seconds: float, options: Options) -> None:
    from sfdl.canonical import to_json  # noqa: PLC0415 - see the top
    from sfdl.printer import print_value  # noqa: PLC0415 - see the top

    if options.summary:
        counts = count(compiled.root)
        click.echo(
            f"{path}: {counts[0]} components, {counts[1]} attributes, "
            f"{len(compiled.warnings)} warnings, {seconds * 1000:.0f} ms"
        )
    elif options.as_json:
        click.echo(to_json(value))
    elif options.part:
        click.echo(print_value(value))
    else:
        click.echo(compiled.source(), nl=False)


if __name__ == "__main__":
    main()
