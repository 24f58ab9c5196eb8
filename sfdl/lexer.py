"""Text to tokens.

The tokens are those of `sfdl.lark`; this module turns their patterns into one regular expression
and walks it, which is several times faster than a lexer that counts lines as it goes. White space
and comments are skipped in front of each token. What fits no token becomes a `BAD` token, so that
the parser can report it and go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from lark import Token
from lark.lexer import PatternStr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lark.lexer import TerminalDef

    from sfdl.source import Source

# Possessive and atomic: what was taken for a comment is never given back to form a token.
SKIP = r"(?>[ \t\n\r\f]+|//[^\n\r]*|/\*[\s\S]*?\*/)*+"
RESERVED = {"VAR": "VAR"}
"""Keywords that no rule uses: they are refused wherever they stand."""


class Lexeme(Token):
    """A token that knows its text; `start_pos` is its offset."""

    __slots__ = ("source",)

    source: Source


class Tables(NamedTuple):
    """What the lexer works from, made once from the terminals of the grammar."""

    pattern: re.Pattern[str]
    group_types: tuple[str, ...]
    literals: dict[str, str]
    keywords: dict[str, str]


def tables(terminals: Iterable[TerminalDef]) -> Tables:
    """Build the master expression: one group for each kind of token, the longest literals first."""
    keywords = dict(RESERVED)
    literals: dict[str, str] = {}
    kinds: list[tuple[int, str, str]] = []
    for terminal in terminals:
        if not isinstance(terminal.pattern, PatternStr):
            kinds.append((-terminal.priority, terminal.name, terminal.pattern.to_regexp()))
        elif terminal.pattern.value.isalpha():
            keywords[terminal.pattern.value] = terminal.name
        elif terminal.priority > 0:
            kinds.append((-terminal.priority, terminal.name, re.escape(terminal.pattern.value)))
        else:
            literals[terminal.pattern.value] = terminal.name
    kinds.sort()
    longest_first = sorted(literals, key=len, reverse=True)
    groups = [(name, regexp) for _, name, regexp in kinds]
    groups.append(("", "|".join(map(re.escape, longest_first))))
    groups.append(("BAD", r"[^ \t\n\r\f]"))
    groups.append(("END", r"\Z"))
    pattern = SKIP + "(?:" + "|".join(f"({regexp})" for _, regexp in groups) + ")"
    return Tables(re.compile(pattern), ("", *(name for name, _ in groups)), literals, keywords)


def tokens(source: Source, tables: Tables) -> Iterator[Lexeme]:
    """Yield the tokens of a text, without an end token."""
    literals, keywords, group_types = tables.literals, tables.keywords, tables.group_types
    new = str.__new__
    for match in tables.pattern.finditer(source.text):
        index = match.lastindex or 0
        kind = group_types[index]
        text = match[index]
        if not kind:
            kind = literals[text]
        elif kind == "WORD" and text in keywords:
            kind = keywords[text]
        elif kind == "END":
            return
        token = new(Lexeme, text)
        token.type = kind
        token.start_pos = match.start(index)
        token.source = source
        yield token


@lru_cache(maxsize=1)
def grammar_text() -> str:
    """Return the grammar, which is package data."""
    return files("sfdl").joinpath("sfdl.lark").read_text(encoding="utf-8")


def token_end(text: str, start: int) -> int:
    """Return the offset just after the token that begins at `start`."""
    from sfdl.parser import lexer_tables  # noqa: PLC0415 - the parser builds the tables, and uses us

    match = lexer_tables().pattern.match(text, start)
    return match.end() if match is not None else min(len(text), start + 1)


def path_parts(text: str, start: int) -> list[tuple[int, int]]:
    """Return the stretches of the parts of a reference whose first part begins at `start`."""
    from sfdl.parser import lexer_tables  # noqa: PLC0415 - as above

    found: list[tuple[int, int]] = []
    table = lexer_tables()
    begun: int | None = None
    for match in table.pattern.finditer(text, start):
        index = match.lastindex or 0
        word = match[index]
        if begun is None:
            begun = match.start(index)
            keyword = table.keywords.get(word)
            if keyword in _NAMED and table.group_types[index] == "WORD":
                continue
        elif found and found[-1][0] == begun:
            if word != ":":
                break
            begun = None
            continue
        found.append((begun, match.end()))
    return found


_NAMED = frozenset(
    ("ATTRIB", "HERE", "PROPERTY", "IPROPERTY", "ENVPROPERTY", "IENVPROPERTY", "CONSTANT", "HOST")
)
