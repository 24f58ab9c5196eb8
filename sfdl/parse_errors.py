"""What to say about a token that does not fit."""

from __future__ import annotations

from collections.abc import Mapping

from sfdl.lexer import Lexeme


def explain_token(
    token: Lexeme, expected: set[str], literals: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """Return message and notes for a token that does not fit."""
    if token.type == "$END":
        return "the text ends too early", (_wanted(expected, literals),)
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
    return f"`{token}` is not expected here", tuple(notes)


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
