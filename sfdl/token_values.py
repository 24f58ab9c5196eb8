"""From the spelling of single tokens to values, noting what is wrong on their text."""

from __future__ import annotations

from collections.abc import Callable

from sfdl.graph import Held
from sfdl.lexer import Lexeme
from sfdl.literals import unescaped


def string_of(token: Lexeme) -> str:
    """Return the text of a string token."""
    return unescaped_token(token, token[1:-1], '"')


def unescaped_token(token: Lexeme, body: str, quote: str) -> str:
    """Return the body of a string token without escapes; notes what is wrong with them."""
    try:
        return unescaped(body, quote)
    except ValueError as error:
        token.source.problem(token, str(error))  # type: ignore[attr-defined]
        return body


def read_token(reader: Callable[[str], Held], token: Lexeme) -> Held:
    """Return the value of a number or byte array; notes what is wrong with it."""
    try:
        return reader(token)
    except ValueError as error:
        token.source.problem(token, str(error))  # type: ignore[attr-defined]
        return 0
