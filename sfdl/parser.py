"""Tokens to attribute lists, with recovery after errors.

The LALR tables are made by Lark from `sfdl.lark`, once in a process and behind a lock; parses share
nothing else. After an unexpected token the parser goes back to the innermost attribute list, skips
to the next `;` or `}` and goes on, so that one run reports several independent errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from lark import Lark, UnexpectedToken

from sfdl.builder import Builder, Items, Parsing
from sfdl.diagnostics import Diagnostic
from sfdl.graph import Held
from sfdl.lexer import Lexeme, Tables, grammar_text, tables, tokens
from sfdl.limits import DEEPEST, DEEPEST_VECTOR

MOST_ERRORS = 20
"""Parse errors after which the rest of a file is not looked at."""

_lock = Lock()
_made: list[tuple[Lark, Tables]] = []


def _machine() -> tuple[Lark, Tables]:
    """Return parser and lexer tables, making them at the first call."""
    with _lock:
        if not _made:
            lark = Lark(
                grammar_text(),
                parser="lalr",
                lexer="basic",
                start=["file", "lone_primitive", "lone_reference"],
                keep_all_tokens=True,
                maybe_placeholders=False,
                transformer=Builder(),  # Lark only looks its methods up
            )
            _made.append((lark, tables(lark.terminals)))
        return _made[0]


def lexer_tables() -> Tables:
    """Return the tables of the lexer."""
    return _machine()[1]


def parse(source: Parsing, start: str = "file") -> Held:
    """Parse a text.

    Args:
        source: The text; problems and pending includes are noted on it.
        start: Rule to begin with: `file`, `lone_primitive` or `lone_reference`.

    Returns:
        The attribute list, primitive or reference, or None if an error left nothing to return.
    """
    lark, table = _machine()
    return _Run(source, lark, table, start).result()


class _Run:
    """One parse."""

    def __init__(self, source: Parsing, lark: Lark, table: Tables, start: str) -> None:
        self.source = source
        self.state = lark.parse_interactive("", start=start).parser_state
        self.tokens = tokens(source, table)
        self.recoverable = start == "file"
        self.errors = 0
        self.vectors = 0
        self.limits = _nests_deeply(source.text)

    def result(self) -> Held:
        feed = self.state.feed_token
        depth = 0
        limits = self.limits
        for token in self.tokens:
            if limits and token.type in _NESTING:
                depth += _NESTING[token.type]
                if depth > DEEPEST or self._too_deep(token):
                    self._refuse_depth(token)
                    return None
            try:
                feed(token)
            except UnexpectedToken as error:
                self._report(token, error.expected)
                if not self.recoverable or self.errors >= MOST_ERRORS or not self._recover(token):
                    return None
        return self._end()

    def _too_deep(self, token: Lexeme) -> bool:
        if token.type in _VECTORS:
            self.vectors += _NESTING[token.type]
        return self.vectors > DEEPEST_VECTOR

    def _refuse_depth(self, token: Lexeme) -> None:
        what = "vectors" if self.vectors > DEEPEST_VECTOR else "brackets and braces"
        most = DEEPEST_VECTOR if self.vectors > DEEPEST_VECTOR else DEEPEST
        start = token.start_pos or 0
        span = self.source.span(start, start + len(token))
        message = f"more than {most} {what} are inside each other"
        self.source.problems.append(Diagnostic("parse", "SF-LIMIT-004", message, span))

    def _end(self) -> Held:
        end = Lexeme("$END", "")
        end.source = self.source
        end.start_pos = len(self.source.text.rstrip())
        try:
            return self.state.feed_token(end, is_end=True)
        except UnexpectedToken as error:
            self._report(end, error.expected)
            return None

    def _recover(self, token: Lexeme) -> bool:
        """Go on after a wrong token; return False at the end of the text."""
        states = self.state.parse_conf.states
        stack = self.state.state_stack
        values = self.state.value_stack
        while not _begins_attribute(states[stack[-1]]):
            stack.pop()
            if not stack:
                return False
            values.pop()
        depth = 0
        following: Lexeme | None = token
        while following is not None:
            if following.type == "LBRACE":
                depth += 1
            elif following.type == "RBRACE" and depth:
                depth -= 1
            elif following.type == "RBRACE" and "RBRACE" in states[stack[-1]]:
                self.state.feed_token(following)
                return True
            elif following.type == "SEMICOLON" and not depth:
                return True
            following = next(self.tokens, None)
        return True

    def _report(self, token: Lexeme, expected: set[str]) -> None:
        self.errors += 1
        start = token.start_pos or 0
        message, notes = _explain(token, expected)
        span = self.source.span(start, start + len(token))
        self.source.problems.append(Diagnostic("parse", "SF-PARSE-001", message, span, notes))


_NESTING = {
    **dict.fromkeys(("LBRACE", "LPAR", "LSQB", "LVECTOR", "IF"), 1),
    **dict.fromkeys(("RBRACE", "RPAR", "RSQB", "RVECTOR", "FI"), -1),
}
_VECTORS = frozenset(("LSQB", "LVECTOR", "RSQB", "RVECTOR"))


def _nests_deeply(text: str) -> bool:
    """Tell whether a text has so many opening signs that its depth has to be watched."""
    vectors = text.count("[")
    return vectors > DEEPEST_VECTOR or sum(map(text.count, ("{", "(", "IF"))) + vectors > DEEPEST


def _begins_attribute(actions: Mapping[str, tuple[object, Held]]) -> bool:
    """Tell whether an attribute may begin in a state: only there is an include allowed."""
    if "INCLUDE" not in actions or "SEMICOLON" not in actions:
        return False
    _, argument = actions["SEMICOLON"]
    # Either the list goes on, or it is still to begin with the rule that matches nothing.
    return isinstance(argument, int) or not argument.expansion


def _explain(token: Lexeme, expected: set[str]) -> tuple[str, tuple[str, ...]]:
    """Return message and notes for a token that does not fit."""
    if token.type == "$END":
        return "the text ends too early", (_wanted(expected),)
    if token.type == "VAR":
        return "`VAR`: constraint variables are not supported", ()
    if token.type == "BAD" or token.source.text.startswith("/*", token.start_pos or 0):
        return _explain_bad(token), ()
    keyword = token.isalpha() and token.type != "WORD"
    notes = [_wanted(expected)]
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


def _wanted(expected: set[str]) -> str:
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
    literals = {kind: text for text, kind in lexer_tables().literals.items()}
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


def parse_items(source: Parsing) -> Items:
    """Parse a file and return its attribute list, empty after an error that left none."""
    items: Items | None = parse(source)
    return items if items is not None else []
