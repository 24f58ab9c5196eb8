"""Parts of messages that several phases share: where a reference failed, and what was near."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sfdl.diagnostics import suggest
from sfdl.graph import Cell, Link, Name, Scope, path_of, scopes, span_of
from sfdl.source import Span

MOST_EXPLAINED = 20
"""Findings of a phase for which names near by are searched; the rest say only what and where."""


def link_span(link: Link, index: int) -> Span | None:
    """Return the stretch of part `index` of a reference, or of its first part."""
    from sfdl.lexer import path_parts  # noqa: PLC0415 - only for messages; the lexer needs the grammar

    if link.source is None:
        return None
    parts = path_parts(link.source.text, link.start)
    if not parts:
        return span_of(link)
    return link.source.span(*parts[min(index, len(parts) - 1)])


def chain_notes(scope: Scope, name: Name) -> tuple[str, ...]:
    """Say how an attribute came to stand in a component: by placement or by inheritance."""
    while scope.sugar and scope.parent is not None:
        name = _name_in(scope.parent, scope) or name
        scope = scope.parent
    cell = scope.attributes.get(name)
    if cell is None or cell.source is None:
        return ()
    if len(path_parts_of(cell)) > 1:
        return (f"placed by {span_of(cell)}",)
    template = _written_in(scope, name, cell)
    if template is None or template is scope:
        return ()
    heir = scope
    while heir.parent is not None and (heir.source, heir.start) == (
        template.source,
        template.start,
    ):
        heir, template = heir.parent, template.parent or template
    written = f"template {path_of(template)} ({span_of(template)})"
    return (f"inherited from {written} by {path_of(heir)} ({span_of(heir)})",)


def _name_in(parent: Scope, child: Scope) -> Name | None:
    return next((n for n, c in parent.attributes.items() if c.value is child), None)


def misspelled_notes(wanted: Iterable[str], scope: Scope) -> tuple[str, ...]:
    """Say which attributes of a component may be meant by names that it lacks."""
    notes: list[str] = []
    names = [name for name in scope.attributes if isinstance(name, str)]
    for name in wanted:
        for near in suggest(name, names, most=1):
            if _DIGITS.sub("", near) != _DIGITS.sub("", name):
                place = span_of(scope.attributes[near])
                notes.append(f"did you mean `{name}` by `{near}` ({place})?")
    return tuple(notes)


_DIGITS = re.compile(r"[0-9]+")


def path_parts_of(cell: Cell) -> list[tuple[int, int]]:
    """Return the stretches of the parts of an attribute's name; several make a placement."""
    from sfdl.lexer import path_parts  # noqa: PLC0415 - as below

    return path_parts(cell.source.text, cell.start) if cell.source is not None else []


def value_span(name: str, cell: Cell) -> Span | None:
    """Return where the value of an attribute begins: its first token, or all of a path.

    Where the text does not show the name, as in an included file of data, it is `span_of`.
    """
    parts = path_parts_of(cell)
    if cell.source is None or not parts or cell.source.text[slice(*parts[-1])].strip('"') != name:
        return span_of(cell)
    from sfdl.lexer import path_parts  # noqa: PLC0415 - as above

    value = path_parts(cell.source.text, parts[-1][1])
    return cell.source.span(value[0][0], value[-1][1]) if value else span_of(cell)


def _written_in(scope: Scope, name: Name, cell: Cell) -> Scope | None:
    """Return the component in whose text an attribute stands: of all copies the original."""
    root = scope
    while root.parent is not None:
        root = root.parent
    best: Scope | None = None
    rank = -1, -1
    for other in scopes(root):
        own = other.attributes.get(name)
        if own is None or own.start != cell.start or own.source is not cell.source:
            continue
        if other.source is not cell.source or other.start > cell.start:
            continue
        parent = other.parent
        around = parent.start if parent is not None and parent.source is cell.source else -1
        around = around if around <= other.start else -1
        if (other.start, around) > rank:
            best, rank = other, (other.start, around)
    return best


def _visible(scope: Scope, *, climbing: bool) -> Iterator[Scope]:
    at: Scope | None = scope
    while at is not None:
        yield at
        at = at.parent if climbing else None


def missing_notes(name: str, scope: Scope, *, climbing: bool = False) -> tuple[str, ...]:
    """Say where a name was searched, and which visible names it may have meant."""
    searched = list(_visible(scope, climbing=climbing))
    notes = ["searched " + ", ".join(path_of(at) for at in searched)]
    known = {
        other: cell
        for at in reversed(searched)
        for other, cell in at.attributes.items()
        if isinstance(other, str) and not other.startswith("phase.")
    }
    for better in suggest(name, known):
        span = span_of(known[better])
        notes.append(f"did you mean `{better}`{f' ({span})' if span is not None else ''}?")
    match = _OPERATOR.fullmatch(name)
    if match is not None and match[1] in known:
        notes.append(f"`{name}` is one name; an operator needs spaces: ({match[1]} {match[2]} ...)")
    return tuple(notes)


_OPERATOR = re.compile(r"([^\W\d]\w*)([-+%])\w+")
