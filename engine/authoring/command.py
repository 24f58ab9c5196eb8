"""`sfdl library`: the library and the reference page of an installed package of component types."""

from __future__ import annotations

import sys
from importlib.metadata import metadata
from pathlib import Path

import click

from engine.authoring.catalogue import announced_by
from engine.core.faults import EngineError

WRONG = 3
"""Exit code for a package that is missing, or has no types, or types that cannot be loaded."""
STALE = 1
"""Exit code of `--check` when something would be written otherwise."""


@click.command()
@click.argument("package")
@click.option("--out", type=click.Path(path_type=Path), help="Write the library to this file.")
@click.option(
    "--page", type=click.Path(path_type=Path), help="Write a page of reference to this file."
)
@click.option("--title", help="First line of both.  [default: the summary of the package]")
@click.option(
    "--check", is_flag=True, help="Write nothing; say whether the files are as they would be."
)
def command(
    package: str, out: Path | None, page: Path | None, title: str | None, *, check: bool
) -> None:
    """Write the library of an installed distribution from the declarations of its component types.

    The library has a prototype and a schema for each type in entry-point group
    `smartdomains.components` of PACKAGE; without --out and --page it goes to standard output.
    """
    from engine.authoring.libraries import library  # noqa: PLC0415 - not for --help
    from engine.authoring.pages import page as reference  # noqa: PLC0415 - not for --help

    try:
        found = announced_by(package)
    except EngineError as error:
        fault = error.fault
        click.echo(f"sfdl: {fault.message}" + (f"\n  {fault.hint}" if fault.hint else ""), err=True)
        sys.exit(WRONG)
    title = title or f"{metadata(package)['Summary'] or f'Component types of {package}'}."
    writer = f"`sfdl library {package}`"
    prose = library(title, found, writer)
    head = f"# {title.rstrip('.')}\n\nWritten from the declarations by {writer}."
    files = {out: prose} if out else {}
    if page:
        files[page] = reference(head, {"Types": found})
    if not files:
        click.echo(prose, nl=False)
        return
    stale = [file for file, text in files.items() if _read(file) != text]
    for file in stale:
        if check:
            click.echo(f"sfdl: {file} is stale: run sfdl library {package}", err=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(files[file], "utf-8")
            click.echo(f"wrote {file}")
    sys.exit(STALE if check and stale else 0)


def _read(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""
