"""What is allowed but probably not meant.

Works on the tree as parsed, includes spliced in, before any phase. Two warnings come from elsewhere:
the parser notes a lone `-` and `#codebase`, and putting attributes into a body notes duplicates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sfdl.builder import Parsing
from sfdl.diagnostics import Diagnostic
from sfdl.graph import Attributes, Cell, Link, Name, Scope, name_text, span_of
from sfdl.includes import DATA_SUFFIXES
from sfdl.lexer import Lexeme, tokens
from sfdl.parser import lexer_tables
from sfdl.references import reference_text
from sfdl.source import Source
from sfdl.values import PartKind

_OPERATOR = re.compile(r"([^\W\d]\w*)[-+%&^](\w+)")


def lint(root: Scope, sources: Iterable[Parsing]) -> list[Diagnostic]:
    """Return warnings, in no order.

    Args:
        root: The file root, before the type phase.
        sources: All texts it was read from.
    """
    found: list[Diagnostic] = []
    starts: dict[int, dict[int, Cell]] = {}
    pending: list[tuple[Scope, tuple[Attributes, ...]]] = [(root, ())]
    while pending:
        scope, around = pending.pop()
        for attributes in _bodies(scope):
            for name, cell in attributes.items():
                if not scope.sugar or scope.application is not None:
                    starts.setdefault(id(cell.source), {})[cell.start] = cell
                    found.extend(_shadowed(name, cell, (attributes, *around)))
                found.extend(_reference(scope, name, cell))
                if isinstance(cell.value, Scope):
                    pending.append((cell.value, (attributes, *around)))
    for source in sources:
        if not _is_data(source) and all(p.severity != "error" for p in source.problems):
            found.extend(_semicolons(source, starts.get(id(source), {})))
    return found


def _bodies(scope: Scope) -> Iterator[Attributes]:
    if scope.attributes and not scope.prototypes:
        yield scope.attributes
    for step in scope.prototypes or ():
        if isinstance(step, dict):
            yield step


def _warning(code: str, message: str, thing: Cell | Link, *notes: str) -> Diagnostic:
    return Diagnostic("lint", code, message, span_of(thing), notes, "warning")


def _shadowed(name: Name, cell: Cell, around: tuple[Attributes, ...]) -> Iterator[Diagnostic]:
    """Find names such as `a-1` where `a` exists: somebody may have meant an operator."""
    match = _OPERATOR.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return
    nearest = next((known[match[1]] for known in around if match[1] in known), None)
    second = match[2].isdigit() or any(match[2] in known for known in around)
    if nearest is not None and second:
        message = f"`{name}` is one name, although `{match[1]}` exists"
        yield _warning(
            "SF-LINT-005", message, cell, f"`{match[1]}` is written at {span_of(nearest)}"
        )


def _reference(scope: Scope, name: Name, cell: Cell) -> Iterator[Diagnostic]:
    link = cell.value
    if not isinstance(link, Link):
        return
    first = link.reference.parts[0]
    if (
        link.reference.lazy
        and first.kind in (PartKind.ATTRIB, PartKind.HERE)
        and first.name == name
        and scope.application is None
        and not scope.sugar
    ):
        text = reference_text(link.reference)
        message = f"`{name_text(name)} LAZY {text}` begins its search at itself"
        yield _warning("SF-LINT-006", message, link, f"write PARENT:{text} to begin outside")
    if scope.application is not None:
        return  # APPLY and ASSERT show their levels as braces
    levels = 0
    at: Scope | None = scope
    while at is not None and at.sugar:
        levels += 1
        at = at.parent
    parents = 0
    for part in link.reference.parts:
        if part.kind is not PartKind.PARENT:
            break
        parents += 1
    if levels and 0 < parents <= levels:
        where = "the component that holds it" if parents == levels else "an expression around it"
        message = f"`{reference_text(link.reference)}` in an expression begins at {where}"
        note = (
            f"each expression is a level of its own: {levels + 1} PARENT lead out of the component"
        )
        yield _warning("SF-LINT-007", message, link, note)


def _semicolons(source: Source, starts: dict[int, Cell]) -> Iterator[Diagnostic]:
    """Find attributes in front of which a semicolon is missing."""
    if not isinstance(source, Parsing):
        return
    stream = list(tokens(source, lexer_tables()))
    for index, token in enumerate(stream):
        cell = starts.get(token.start_pos or 0)
        if cell is None:
            continue
        before = index - 1
        if cell.tags and before >= 0 and stream[before].type == "RSQB":
            while before >= 0 and stream[before].type != "LSQB":
                before -= 1
            before -= 1
        if before < 0 or stream[before].type in _ENDS or _is_include(stream, before):
            continue
        last = stream[before]
        begin = last.start_pos or 0
        span = source.span(begin, begin + len(last))
        message = f"there is no semicolon between this value and `{token}`"
        yield Diagnostic("lint", "SF-LINT-003", message, span, (), "warning")


_ENDS = frozenset(("SEMICOLON", "LBRACE", "RBRACE"))


def _is_include(stream: list[Lexeme], index: int) -> bool:
    return index > 0 and stream[index - 1].type in ("INCLUDE", "INCLUDE_IF")


def _is_data(source: Parsing) -> bool:
    return source.path is not None and source.path.suffix.lower() in DATA_SUFFIXES
