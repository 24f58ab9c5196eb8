"""`sfdl check`: everything that is wrong or looks wrong."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sfdl.commands.shared import (
    WRONG,
    complain,
    folders_option,
    json_option,
    overrides_option,
)

if TYPE_CHECKING:
    from sfdl.compiler import Compiled
    from sfdl.diagnostics import Diagnostic
    from sfdl.values import Description

PACKAGES = ("engine", "components")
"""Packages whose classes may be imported."""


@click.command("check")
@folders_option
@overrides_option
@json_option
@click.option("--classes", is_flag=True, help="Import the class that each `sfClass` names.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(
    *,
    files: tuple[Path, ...],
    folders: tuple[Path, ...],
    overrides: tuple[tuple[str, str], ...],
    classes: bool,
    as_json: bool,
) -> None:
    """Report all errors and warnings in FILES; exit with 3 if there is an error.

    A file without `sfConfig` is a library and is checked as far as that goes.
    """
    from sfdl.compiler import check_description  # noqa: PLC0415 - keeps --help fast

    found: list[Diagnostic] = []
    for path in files:
        findings, compiled = check_description(path, search_path=folders, overrides=overrides)
        found.extend(findings)
        if classes and compiled is not None:
            found.extend(missing_classes(compiled))
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    if found or as_json:
        complain(found, as_json=as_json)
    if not as_json:
        noun = "file" if len(files) == 1 else "files"
        said = f"{len(files)} {noun}: {errors} errors, {len(found) - errors} warnings"
        click.echo(said, err=True)
    sys.exit(WRONG if errors else 0)


def missing_classes(compiled: Compiled) -> list[Diagnostic]:
    """Import the class of every component; return what is missing.

    Only short names of registered types are imported, and paths below `engine`, `components` and the
    packages of registered types; anything else is reported without being imported.
    """
    from sfdl.diagnostics import Diagnostic  # noqa: PLC0415 - as above

    registered = {
        point.name: point.value for point in entry_points(group="smartdomains.components")
    }
    verdicts: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for path, name in _class_names(compiled.root):
        if name not in verdicts:
            verdicts[name] = _verdict(name, registered)
        if verdicts[name]:
            message = f"`sfClass` of {path or 'sfConfig'} is `{name}`: {verdicts[name]}"
            place = compiled.where(f"{path}:sfClass" if path else "sfClass")
            problems.append(Diagnostic("sfConfig", "SF-CLASS-001", message, place))
    return problems


def _class_names(root: Description) -> list[tuple[str, str]]:
    from sfdl.references import written_name  # noqa: PLC0415 - as above
    from sfdl.values import Description  # noqa: PLC0415 - as above

    found: list[tuple[str, str]] = []
    pending = [("", root)]
    while pending:
        path, component = pending.pop()
        for name, value in component.attributes:
            if isinstance(value, Description):
                pending.append((f"{path}:{written_name(name)}".lstrip(":"), value))
            elif name == "sfClass" and isinstance(value, str):
                found.append((path, value))
    return found


def _verdict(name: str, registered: dict[str, str]) -> str:
    """Say why a class cannot be used, or return an empty text."""
    path = registered.get(name, name).replace(":", ".")
    announced = {point.partition(":")[0].partition(".")[0] for point in registered.values()}
    if path.partition(".")[0] not in {*PACKAGES, *announced}:
        return "no registered type, and not below " + " or ".join(PACKAGES)
    module, _, member = path.rpartition(".")
    try:
        found = getattr(import_module(module), member, None)
    except ImportError as error:
        return f"cannot be imported: {error}"
    return "" if isinstance(found, type) else "there is no such class"
