"""Parts of messages that several phases share: where a reference failed, and what was near."""

from __future__ import annotations

from collections.abc import Iterator

from sfdl.diagnostics import suggest
from sfdl.graph import Link, Scope, path_of, span_of
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
    return tuple(notes)
