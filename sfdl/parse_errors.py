"""What to say about a token that does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sfdl.diagnostics import suggest
from sfdl.lexer import Lexeme
from sfdl.references import KEYWORDS
from sfdl.source import Source


def explain_token(
    token: Lexeme, expected: set[str], literals: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """Return message and notes for a token that does not fit."""
    if token.type == "$END":
        return "the text ends too early", (_wanted(expected, literals), *_brace_notes(token))
    if token.type == "VAR":
        return "`VAR`: constraint variables are not supported", ()
    if token.type == "BAD" or token.source.text.startswith("/*", token.start_pos or 0):
        return _explain_bad(token), ()
    keyword = token.isalpha() and token.type != "WORD"
    notes = [_wanted(expected, literals)]
    if keyword and "WORD" in expected:
        notes.append(f'`{token}` is a keyword; as a name it is written in quotes: "{token}"')
    if token.type in _OPERATORS and "RPAR" in expected:
        notes.append("operators have no precedence: give each its own parentheses")
    if token.type == "EXTENDS":
        notes.append("a component inside a vector or an operator is written (extends ...)")
    notes.extend(_words_before(token))
    if token.type == "RBRACE":
        notes.extend(_brace_notes(token))
    return f"`{token}` is not expected here", tuple(notes)


_WORD = r"[^\W\d][\w.]*"
_BEFORE = re.compile(rf"({_WORD})(?:\s+({_WORD}))?\s*$")
_ALONE = re.compile(r'("[^"\n]*\.(?:sf|json|yaml|yml|csv)")\s*(?:[^\W\d][\w.]*\s*)?$')


def _words_before(token: Lexeme) -> list[str]:
    """Say what the words in front may have been meant to be: a keyword, or an include."""
    text, at = token.source.text, token.start_pos or 0
    start = max(0, at - 200)
    before = text[start:at]
    notes: list[str] = []
    match = _BEFORE.search(before)
    for group in (1, 2):
        notes.extend(_keyword_note(token, start, match, group))
    alone = _ALONE.search(before)
    if alone is not None:
        place = token.source.span(start + alone.start(1), start + alone.end(1))
        notes.append(
            f"{alone[1]} ({place}) is a name here; a file is taken in by #include {alone[1]}"
        )
    return notes


def _keyword_note(token: Lexeme, start: int, match: re.Match[str] | None, group: int) -> list[str]:
    word = (match[group] or "") if match is not None else ""
    near = suggest(word, KEYWORDS, most=1) if len(word) > 2 and word not in KEYWORDS else []
    if not near or match is None:
        return []
    place = token.source.span(start + match.start(group), start + match.end(group))
    return [f"did you mean `{near[0]}` by `{word}` ({place})?"]


def _brace_notes(token: Lexeme) -> list[str]:
    """Compare braces with the indentation: tell the first place where they disagree."""
    source = token.source
    opened: list[tuple[int, int]] = []
    for match in _SIGNS.finditer(source.text, 0, token.start_pos or 0):
        line = source.text.rfind("\n", 0, match.start()) + 1
        before = source.text[line : match.start()]
        margin = len(before) - len(before.lstrip())
        first = match.start() == line + margin
        if match[0] == "{":
            opened.append((match.start(), margin))
        elif match[0] == "}" and opened:
            start, around = opened.pop()
            if first and margin < around:
                place = source.span(start, start + 1)
                return [f"going by the indentation, the `{{` at {place} is never closed"]
            if first and margin > around:
                place = source.span(match.start(), match.end())
                missing = f"going by the indentation, a `{{` is missing before {place}"
                return [missing, *_unopened(source, match.start(), margin)]
    if token.type == "RBRACE":
        return _unopened(source, token.start_pos or 0, 0)
    if opened:
        place = source.span(opened[-1][0], opened[-1][0] + 1)
        return [f"the `{{` at {place} is never closed"]
    return []


def _unopened(source: Source, before: int, margin: int) -> list[str]:
    """Find the last line of a given margin in front of a place that opens nothing."""
    lines = source.text[:before].split("\n")
    for number in range(len(lines) - 1, 0, -1):
        line, following = lines[number - 1], lines[number]
        own = len(line) - len(line.lstrip())
        deeper = len(following) - len(following.lstrip()) > own and following.strip()
        if line.strip() and own == margin and deeper and not line.rstrip().endswith(_OPENING):
            return [
                f"line {number} ({source.name}:{number}) opens nothing, but the next is indented"
            ]
    return []


_OPENING = ("{", "[", "(", ",", "[|", "*/")
_SIGNS = re.compile(r'"[^"\\\n\r]*(?:\\.[^"\\\n\r]*)*"|//[^\n]*|/\*[\s\S]*?\*/|##[^#]*#|[{}]')


def _explain_bad(token: Lexeme) -> str:
    text, at = token.source.text, token.start_pos or 0
    if token.startswith('"'):
        return "this string has no end on its line"
    if text.startswith("/*", at):
        return "this comment is never closed"
    if text.startswith("##", at):
        return "this string is never closed; it ends at the next `#`"
    return f"`{token}` begins no word, number or sign of the language"


_OPERATORS = frozenset(
    (
        "PLUS",
        "MINUS",
        "TIMES",
        "DIVIDE",
        "MOD",
        "CONCAT",
        "APPEND",
        "AND",
        "OR",
        "XOR",
        "IMPLIES",
        "EQ",
        "NE",
        "GE",
        "LE",
        "GT",
        "LT",
    )
)
_VALUES = frozenset(("STRING", "INT", "TBD", "NULL", "TRUE"))


def _wanted(expected: set[str], literals: Mapping[str, str]) -> str:
    """Say what would have been right, grouping what is many."""
    rest = set(expected)
    words: list[str] = []
    if rest >= _VALUES:
        words.append("a value")
        rest &= {"RBRACE", "RSQB", "RPAR", "SEMICOLON"}
    elif "WORD" in rest and "STRING" in rest:
        words.append("a name")
        rest &= {"RBRACE", "RSQB", "RPAR", "SEMICOLON", "LBRACE", "COMMA"}
    if rest & _OPERATORS:
        words.append("an operator")
        rest -= _OPERATORS
    names = {"$END": "the end of the text", "WORD": "a name", "STRING": "a string"}
    words.extend(sorted(names.get(kind) or f"`{literals.get(kind, kind)}`" for kind in rest))
    listed = (
        words[0]
        if len(words) == 1
        else f"{', '.join(words[:-1])} or {words[-1]}"
        if words
        else "nothing"
    )
    return f"expected {listed}"
