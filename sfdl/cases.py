"""Test cases for descriptions: `NAME.sf` with `NAME.json` or `NAME.error` beside it.

`NAME.json` is the canonical JSON of the result; kinds and the order of members count. `NAME.error`
is an object: `phase` is the phase that fails, `offender` or `offenders` is text that the
diagnostics have to contain. Files whose names begin with `_` and folders called `lib` hold what
cases include. A file `case.env` sets environment variables, one `NAME=VALUE` on a line, for the
cases in its folder and below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sfdl.canonical import from_json, to_json
from sfdl.compiler import Compiled, compile_description
from sfdl.errors import CompileError, FormatError

ENVIRONMENT_FILE = "case.env"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went; `why` is empty if it passed."""

    path: Path
    why: str = ""


class _Members(list[tuple[str, object]]):
    """A JSON object as its members, so that their order counts in comparisons."""


def strict(text: str) -> object:
    """Read JSON so that kinds and the order of members make a difference.

    Example:
        >>> strict('{"a": 1}') == strict('{"a": 1.0}')
        False
    """
    return _marked(json.loads(text, object_pairs_hook=_Members))


def _marked(value: object) -> object:
    if isinstance(value, _Members):
        return "object", [(name, _marked(member)) for name, member in value]
    if isinstance(value, list):
        return "array", [_marked(item) for item in value]
    return type(value).__name__, value


def cases(folder: Path) -> Iterator[Path]:
    """Yield the cases below a folder, sorted."""
    for path in sorted(folder.rglob("*.sf")):
        inside = path.relative_to(folder)
        if not path.name.startswith("_") and "lib" not in inside.parts[:-1]:
            yield path


def environment_of(path: Path, top: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return `given` with what the `case.env` files from `top` down to a case set.

    Raises:
        FormatError: A line of such a file is not of the form `NAME=VALUE`.
    """
    environment = dict(given)
    folders = [folder for folder in path.parents if folder.is_relative_to(top)]
    for folder in reversed(folders):
        file = folder / ENVIRONMENT_FILE
        if file.is_file():
            environment.update(_assignments(file))
    return environment


def _assignments(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            name, equals, value = text.partition("=")
            if not equals:
                raise FormatError(f"{file}: `{text}` is not of the form NAME=VALUE")
            yield name.strip(), value.strip()


def run_case(path: Path, environment: Mapping[str, str], folders: tuple[Path, ...]) -> Outcome:
    """Run one case: compile, compare, and read the result back in both forms."""
    expected, error = path.with_suffix(".json"), path.with_suffix(".error")
    if not expected.is_file() and not error.is_file():
        return Outcome(path, "neither NAME.json nor NAME.error stands beside it")
    try:
        compiled = compile_description(path, search_path=folders, environment=environment)
    except CompileError as failure:
        if error.is_file():
            return Outcome(path, _wrong_failure(failure, error.read_text(encoding="utf-8")))
        return Outcome(path, f"does not compile:\n{failure}")
    if error.is_file():
        return Outcome(path, "compiles, but was expected to fail")
    return Outcome(path, _wrong_result(compiled, expected.read_text(encoding="utf-8"), environment))


def _wrong_failure(failure: CompileError, text: str) -> str:
    wanted = json.loads(text)
    phases = {diagnostic.phase for diagnostic in failure.diagnostics}
    if phases != {wanted["phase"]}:
        return f"fails in {', '.join(sorted(phases))}, expected {wanted['phase']}:\n{failure}"
    offenders = wanted.get("offenders", [wanted["offender"]] if "offender" in wanted else [])
    shown = str(failure)
    missing = [offender for offender in offenders if offender not in shown]
    return f"the diagnostics do not mention {', '.join(missing)}:\n{shown}" if missing else ""


def _wrong_result(compiled: Compiled, text: str, environment: Mapping[str, str]) -> str:
    wanted = strict(text)
    found = compiled.to_json()
    if strict(found) != wanted:
        return f"gives\n{found}\nexpected\n{text.strip()}"
    if strict(to_json(from_json(text))) != wanted:
        return "the expected JSON does not survive being read and written"
    again = compile_description(compiled.source(), environment=environment)
    if strict(again.to_json()) != wanted:
        return "the printed result does not compile to the same"
    return ""
