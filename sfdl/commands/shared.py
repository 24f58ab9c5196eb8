"""What the commands of the language have in common: options, exit codes, complaints.

Standard output is data, standard error everything else. Exit codes: 0 done, 1 a test failed, 2 bad
arguments, 3 a description is wrong or a file is missing, 10 differences found.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

# The compiler is imported where it is first needed, so that --help answers at once.
if TYPE_CHECKING:
    from sfdl.compiler import Compiled
    from sfdl.diagnostics import Diagnostic
    from sfdl.values import Description, Value

FAILED, WRONG, DIFFERENT = 1, 3, 10

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def split_overrides(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Split each REF=VALUE of the command line."""
    pairs = []
    for text in given:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise click.BadParameter(f"`{text}` is not of the form REF=VALUE")
        pairs.append((path, value))
    return tuple(pairs)


def folders_option(command: Decorated) -> Decorated:
    """Add `-I DIR`."""
    return click.option(
        "-I",
        "folders",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Search DIR for includes; may be repeated.",
    )(command)


def overrides_option(command: Decorated) -> Decorated:
    """Add `-D REF=VALUE`."""
    return click.option(
        "-D",
        "overrides",
        multiple=True,
        callback=split_overrides,
        metavar="REF=VALUE",
        help="Set a value, such as sfConfig:size=4; may be repeated.",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def complain(diagnostics: Iterable[Diagnostic], *, as_json: bool) -> None:
    """Write diagnostics to standard error."""
    from sfdl.diagnostics import report  # noqa: PLC0415 - see the top

    if as_json:
        click.echo(json.dumps([diagnostic.as_json() for diagnostic in diagnostics]), err=True)
    else:
        click.echo(report(diagnostics), err=True)


def give_up(program: str, message: str, code: int = WRONG) -> NoReturn:
    """End with one line on standard error."""
    click.echo(f"{program}: {message}", err=True)
    sys.exit(code)


def compiled_or_exit(
    path: Path,
    folders: tuple[Path, ...],
    overrides: tuple[tuple[str, str], ...],
    *,
    as_json: bool = False,
) -> Compiled:
    """Compile a file; if it is wrong, say why and end with exit code 3."""
    from sfdl.compiler import compile_description  # noqa: PLC0415 - see the top
    from sfdl.errors import CompileError  # noqa: PLC0415 - see the top

    try:
        return compile_description(path, search_path=folders, overrides=overrides)
    except CompileError as error:
        complain(error.diagnostics, as_json=as_json)
        sys.exit(WRONG)


def part_of(root: Description, path: str) -> Value:
    """Return the part of a description that a path of names leads to; all of it for an empty path.

    Raises:
        FormatError: The path is no path of names, or leads nowhere.
    """
    from sfdl.errors import FormatError  # noqa: PLC0415 - see the top
    from sfdl.primitives import parse_reference  # noqa: PLC0415 - see the top
    from sfdl.values import Description, PartKind  # noqa: PLC0415 - see the top

    if not path:
        return root
    value: Value = root
    for part in parse_reference(path).parts:
        if part.kind not in (PartKind.ATTRIB, PartKind.HERE):
            raise FormatError(f"`{path}` may consist of names only")
        if not isinstance(value, Description) or part.name not in value.names():
            raise FormatError(f"`{path}` leads nowhere: there is no `{part.name}`")
        value = value.get(part.name)
    return value


def count(root: Description) -> tuple[int, int]:
    """Return how many components and how many attributes a description has, itself included."""
    from sfdl.values import Description  # noqa: PLC0415 - see the top

    components = attributes = 0
    pending = [root]
    while pending:
        description = pending.pop()
        components += 1
        attributes += len(description.attributes)
        pending.extend(
            value for _, value in description.attributes if isinstance(value, Description)
        )
    return components, attributes
