"""Putting the phases together.

`compile_description` is `sfdl.compile`. One call is one compilation: nothing is shared between
calls but the parser's tables, so any number may run at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sfdl.builder import Parsing, fill
from sfdl.canonical import to_json
from sfdl.diagnostics import Diagnostic, failure
from sfdl.dump import dump
from sfdl.errors import CompileError, FormatError
from sfdl.graph import NO_TAGS, Anonymous, Cell, Name, Scope, span_of
from sfdl.includes import Loader
from sfdl.pause import collection_paused
from sfdl.phases.convert import freeze
from sfdl.phases.extra import run_phase
from sfdl.phases.function import mark_functions
from sfdl.phases.link import Linker
from sfdl.phases.place import Placement
from sfdl.phases.prototypes import Prototypes
from sfdl.phases.subject import SUBJECT, find_subject
from sfdl.primitives import parse_reference, parse_value
from sfdl.source import Span
from sfdl.trace import Trace
from sfdl.values import Description, Kept, PartKind, Vector
from sfdl.world import World

log = logging.getLogger(__name__)

PHASES = ("type", "place", "function", "sfConfig", "link")


class Compiled:
    """A compiled description, with what the compiler knows about it.

    Attributes:
        root: The resolved `sfConfig`.
        warnings: What is allowed but looks wrong, in order of position.
        subject: The graph that `root` was made from; for tools of this package.
    """

    def __init__(self, root: Description, subject: Scope, warnings: Sequence[Diagnostic]) -> None:
        self.root = root
        self.warnings = tuple(warnings)
        self.subject = subject

    def where(self, path: str) -> Span | None:
        """Return where an attribute of the result was written.

        Args:
            path: Names from `sfConfig` on, such as `pool:vm:memory`; empty for `sfConfig` itself.

        Returns:
            The place of its name, or None if there is no such attribute or it was computed.
        """
        if not path:
            return span_of(self.subject)
        try:
            parts = parse_reference(path).parts
        except FormatError:
            return None
        scope: object = self.subject
        cell: Cell | None = None
        for part in parts:
            if not isinstance(scope, Scope) or part.kind not in (PartKind.ATTRIB, PartKind.HERE):
                return None
            cell = numbered(scope).get(part.name)
            if cell is None:
                return None
            scope = cell.value
        return span_of(cell)

    def to_json(self) -> str:
        """Return the canonical JSON of `root`."""
        return to_json(self.root)

    def source(self) -> str:
        """Return `root` as the source text of a description."""
        from sfdl.printer import print_file  # noqa: PLC0415 - not needed to compile

        return print_file(self.root)


def numbered(scope: Scope) -> dict[str, Cell]:
    """Return cells by the names they have in the result."""
    named: dict[str, Cell] = {}
    number = 0
    for name, cell in scope.attributes.items():
        if isinstance(name, Anonymous):
            while f"--{number}" in scope.attributes:
                number += 1
            named[f"--{number}"] = cell
            number += 1
        elif isinstance(name, str):
            named[name] = cell
    return named


def compile_description(
    what: Path | str,
    *,
    search_path: Iterable[Path | str] = (),
    overrides: Iterable[tuple[str, str]] = (),
    properties: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    allowed: Iterable[str] = (),
    ask: Callable[[str], str] | None = None,
    progress: Callable[[str, Scope], None] | None = None,
    trace: Trace | None = None,
) -> Compiled:
    """Compile a description.

    Args:
        what: A `Path` is a file, looked for along the search path if it is not there as given; a
            `str` is text, whose includes are looked for in the current folder first.
        search_path: Folders for includes, before `SFPATH` and the shipped descriptions.
        overrides: Pairs such as `("sfConfig:pool:size", "4")`, applied as placements standing at
            the end of the main file. The text is read as a number, boolean, `NULL`, quoted string
            or literal vector if it is one, else as a string.
        properties: What `PROPERTY` finds; nothing by default.
        environment: What `ENVPROPERTY` and `SFPATH` find; the process's environment by default.
        allowed: Python packages from which constants, functions and phases may be imported.
        ask: Answers the function `UserInput`; without it the function is refused.
        progress: Called after each phase with its name and the file root.
        trace: Takes notes of what each phase does; see `sfdl.explanation`.

    Returns:
        The result.

    Raises:
        CompileError: The description is wrong; carries all failures of the phase that found some.
    """
    surroundings = os.environ if environment is None else environment
    world = World(dict(properties or {}), surroundings, tuple(allowed), ask)
    with collection_paused():
        root, loader = _parsed(what, Loader(search_path, surroundings), overrides)
        run = _Run(world, progress, trace)
        subject = run.run(root)
        frozen = run.frozen if run.frozen is not None else freeze(subject)
    if not isinstance(frozen, Description):
        raise TypeError("a component freezes to a description")
    return Compiled(frozen, subject, loader.problems)


def check_description(
    what: Path | str,
    *,
    search_path: Iterable[Path | str] = (),
    overrides: Iterable[tuple[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    library: bool = True,
) -> tuple[list[Diagnostic], Compiled | None]:
    """Compile a description and look for what is allowed but probably not meant.

    A file without `sfConfig` is a library: its phases are run up to the functions, unless
    `library` is false.

    Returns:
        Errors or warnings, in order of position, and the result if there is one.
    """
    from sfdl.lint import lint  # noqa: PLC0415 - not needed to compile

    surroundings = os.environ if environment is None else environment
    loader = Loader(search_path, surroundings)
    try:
        with collection_paused():
            root, _ = _parsed(what, loader, overrides)
            found = [*loader.problems, *lint(root, loader.sources)]
            run = _Run(World({}, surroundings), None, None)
            library = library and SUBJECT not in root.attributes
            subject = run.run(root, library=library)
    except CompileError as error:
        return list(error.diagnostics), None
    frozen = None if library else run.frozen
    result = Compiled(frozen, subject, found) if isinstance(frozen, Description) else None
    return list(failure(found).diagnostics) if found else [], result


def _parsed(
    what: Path | str, loader: Loader, overrides: Iterable[tuple[str, str]]
) -> tuple[Scope, Loader]:
    """Read all files into one tree.

    Raises:
        CompileError: A file is missing or malformed.
    """
    items = loader.load(what)
    main = loader.sources[0] if loader.sources else None
    root = Scope(None, main, 0)
    if not fill(root, root.attributes, items):
        fill(root, root.attributes, loader.flattened(items))
    loader.splice()
    wrong = [problem for problem in loader.problems if problem.severity == "error"]
    for path, text in overrides:
        wrong.extend(_override(root, path, text))
    if wrong:
        raise failure(wrong)
    return root, loader


def _override(root: Scope, path: str, text: str) -> list[Diagnostic]:
    try:
        parts = parse_reference(path).parts
    except FormatError as error:
        return [
            Diagnostic(
                "parse", "SF-PARSE-003", f"the override `{path}` is no path: {error.message}"
            )
        ]
    if any(part.kind not in (PartKind.ATTRIB, PartKind.HERE) for part in parts):
        return [
            Diagnostic("parse", "SF-PARSE-003", f"the override `{path}` may consist of names only")
        ]
    names = tuple(part.name for part in parts)
    name: Name = names if len(names) > 1 else names[0]
    source = Parsing(f"{path} {text}", "<override>")
    root.attributes[name] = Cell(parse_value(text), NO_TAGS, source, 0)
    return []


class _Run:
    """One compilation after parsing."""

    def __init__(
        self,
        world: World,
        progress: Callable[[str, Scope], None] | None,
        trace: Trace | None,
    ) -> None:
        self.frozen: Description | Kept | None = None
        self._world = world
        self._progress = progress
        self._trace = trace
        self._subject: Scope | None = None

    def run(self, root: Scope, *, library: bool = False) -> Scope:
        for phase in _phase_list(root):
            if library and phase == SUBJECT:
                return root
            problems = self._phase(phase, root)
            if problems:
                raise failure(problems)
            if self._progress is not None:
                self._progress(phase, root)
        if library:
            return root
        if self._subject is None:
            self._subject = find_subject(root, self._world)
        return self._subject

    def _phase(self, phase: str, root: Scope) -> list[Diagnostic]:
        """Run one phase; return what is wrong."""
        self.frozen = None
        match phase:
            case "type":
                prototypes = Prototypes(self._world.budget, self._trace)
                prototypes.run(root)
                return prototypes.problems
            case "place":
                placement = Placement(self._world, self._trace)
                placement.run(root)
                return placement.problems
            case "function":
                return mark_functions(root)
            case "sfConfig":
                self._subject = find_subject(root, self._world)
            case "link":
                if self._subject is None:
                    self._subject = find_subject(root, self._world)
                if self._trace is not None:
                    self._trace.linking(root)
                linker = Linker(self._world)
                problems = linker.run(self._subject)
                self.frozen = linker.result
                return problems
            case "print":
                log.info("description: %s", dump(root))
            case _:
                return run_phase(phase, root, self._world)
        return []


def _phase_list(root: Scope) -> tuple[str, ...]:
    cell = root.attributes.get("phaseList")
    if cell is not None and isinstance(cell.value, Vector):
        return tuple(item for item in cell.value.items if isinstance(item, str))
    return PHASES
