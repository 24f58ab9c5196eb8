"""Finding and reading files: the main file, and those it includes.

`#include "p"` is looked for beside the including file, beside the main file, and then along the
search path: the folders given, `SFPATH`, the descriptions shipped with this package, and those that
installed distributions announce under the entry-point group `smartdomains.descriptions`. The first
hit wins. Included attributes are spliced in as if they stood there, so nothing here looks at what
they mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sfdl.builder import Include, Items, Parsing, fill
from sfdl.diagnostics import Diagnostic
from sfdl.errors import FormatError
from sfdl.limits import MOST_INCLUDES
from sfdl.parsed import PARSED
from sfdl.parser import parse_items
from sfdl.source import Source

DATA_SUFFIXES = frozenset((".json", ".yaml", ".yml", ".csv"))
"""Included files that are data rather than source text; see `sfdl.data_files`."""

ENTRY_POINTS = "smartdomains.descriptions"


def shipped_folder() -> Path:
    """Return the folder of the descriptions that come with this package."""
    return Path(__file__).resolve().parent.parent / "descriptions"


@lru_cache(maxsize=1)
def announced_folders() -> tuple[Path, ...]:
    """Return the description folders of other installed distributions, in order of their names.

    An entry point names a package; its folder is searched. One that cannot be imported is skipped.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed
    from importlib.util import find_spec  # noqa: PLC0415 - as above

    folders: list[Path] = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            spec = find_spec(point.value)
        except (ImportError, ValueError):
            continue
        if spec is not None and spec.submodule_search_locations:
            folders.extend(map(Path, spec.submodule_search_locations))
    return tuple(folders)


def search_folders(given: Iterable[Path | str], environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders of the search path, the announced ones only when all others are used up."""
    yield from map(Path, given)
    yield from (
        Path(folder) for folder in environment.get("SFPATH", "").split(os.pathsep) if folder
    )
    yield shipped_folder()
    yield from announced_folders()


class Missing(Exception):  # noqa: N818 - not an error by itself: `#include?` takes it as an answer
    """A file was not found; carries the places that were tried."""

    def __init__(self, tried: Sequence[Path]) -> None:
        super().__init__("file not found")
        self.tried = tuple(tried)


def is_file(path: Path) -> bool:
    """Tell whether a path is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find(name: str, first: Iterable[Path], folders: Iterable[Path]) -> Path:
    """Return the file that `name` means.

    Raises:
        Missing: It is nowhere.
        ValueError: It is an address other than `file:`.
    """
    if "://" in name or name.startswith("file:"):
        address = urlsplit(name)
        if address.scheme != "file":
            raise ValueError(f"`{name}`: only file: addresses can be included")
        path = Path(unquote(address.path))
        if is_file(path):
            return path
        raise Missing([path])
    relative = name.lstrip("/")
    tried: list[Path] = []
    for group in (first, folders):
        for folder in group:
            path = folder / relative
            if is_file(path):
                return path
            if path not in tried:
                tried.append(path)
    raise Missing(tried)


def find_main(path: Path, folders: Iterable[Path]) -> Path:
    """Return the main file that `path` means: as given, else along the search path.

    Raises:
        Missing: It is nowhere.
    """
    if is_file(path):
        return path
    if path.is_absolute():
        raise Missing([path])
    return find(str(path), [Path.cwd()], folders)


class Loader:
    """Reads a main file or text, and what it includes."""

    def __init__(self, search_path: Iterable[Path | str], environment: Mapping[str, str]) -> None:
        self._given = tuple(search_path)
        self._environment = environment
        self.main_folder = Path.cwd()
        self.sources: list[Parsing] = []
        self.problems: list[Diagnostic] = []

    def folders(self) -> Iterator[Path]:
        """Yield the folders of the search path."""
        return search_folders(self._given, self._environment)

    def main_file(self, path: Path) -> Path | None:
        """Find the main file; notes a problem if it is missing."""
        try:
            return find_main(path, self.folders())
        except Missing as missing:
            notes = tuple(f"searched {tried}" for tried in missing.tried)
            self.problems.append(
                Diagnostic("include", "SF-INCLUDE-001", f"file not found: {path}", None, notes)
            )
        return None

    def load(self, what: Path | str) -> Items:
        """Read the main file (a `Path`) or text (a `str`); failures are noted as problems."""
        if isinstance(what, Path):
            path = self.main_file(what)
            if path is None:
                return []
            self.main_folder = path.resolve().parent
            source = self._read(path, str(path), None, None)
            if source is None:
                return []
        else:
            source = Parsing(what)
        self.sources.append(source)
        return parse_items(source)

    def splice(self) -> None:
        """Read the included files and put all attributes that waited for them in place."""
        done = 0
        while done < len(self.sources):
            # Sources are appended while their includes are read.
            source = self.sources[done]
            done += 1
            for scope, target, items in source.pending:
                fill(scope, target, self.flattened(items))
        for source in self.sources:
            self.problems.extend(source.problems)

    def flattened(self, items: Items) -> Items:
        """Replace the includes in a list by the attributes of the files they name."""
        flat: Items = []
        waiting = [iter(items)]
        while waiting:
            for item in waiting[-1]:
                if isinstance(item, Include):
                    waiting.append(iter(self._included(item)))
                    break
                flat.append(item)
            else:
                waiting.pop()
        return flat

    def _included(self, include: Include) -> Items:
        source = include.source
        beside = [
            source.path.parent if source.path is not None else self.main_folder,
            self.main_folder,
        ]
        try:
            path = find(include.name, beside, self.folders())
        except Missing as missing:
            if not include.optional:
                notes = tuple(f"searched {tried}" for tried in missing.tried)
                self._problem(include, "SF-INCLUDE-001", f"file not found: {include.name}", notes)
            return []
        except ValueError as error:
            self._problem(include, "SF-INCLUDE-003", str(error), ())
            return []
        if path.resolve() in source.chain:
            at = source.chain.index(path.resolve())
            cycle = " -> ".join(str(step) for step in (*source.chain[at:], path))
            self._problem(include, "SF-INCLUDE-002", f"files include each other: {cycle}", ())
            return []
        if len(self.sources) >= MOST_INCLUDES:
            message = f"more than {MOST_INCLUDES} files are included"
            self._problem(include, "SF-LIMIT-005", message, ())
            return []
        parsing = self._read(path, str(path), include, source)
        if parsing is None:
            return []
        if path.suffix.lower() not in DATA_SUFFIXES:
            self.sources.append(parsing)
            return PARSED.parse(parsing)
        return self._data(include, parsing, path)

    def _data(self, include: Include, source: Parsing, path: Path) -> Items:
        from sfdl.data_files import read_data  # noqa: PLC0415 - seldom needed

        self.sources.append(source)
        try:
            return read_data(source, path.suffix.lower())
        except FormatError as error:
            message = f"{path} cannot be read as data: {error.message}"
            self._problem(include, "SF-INCLUDE-005", message, ())
            return []

    def _read(
        self, path: Path, name: str, include: Include | None, parent: Source | None
    ) -> Parsing | None:
        came_from = None
        if include is not None:
            came_from = include.source.span(include.start, include.start + len("#include"))
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read {path}: {error}"
            if include is None:
                self.problems.append(Diagnostic("include", "SF-INCLUDE-004", message))
            else:
                self._problem(include, "SF-INCLUDE-004", message, ())
            return None
        return Parsing(text, name, path.resolve(), parent, came_from)

    def _problem(self, include: Include, code: str, message: str, notes: tuple[str, ...]) -> None:
        span = include.source.span(include.start, include.start + len("#include"))
        self.problems.append(Diagnostic("include", code, message, span, notes))
