"""Tokens to attribute lists, with recovery after errors.

The LALR tables are made by Lark from `sfdl.lark`, once in a process and behind a lock; parses share
nothing else. After an unexpected token the parser goes back to the innermost attribute list, skips
to the next `;` or `}` and goes on, so that one run reports several independent errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

from lark import Lark
from lark.parsers.lalr_parser_state import ParserState

from sfdl.builder import Builder, Items, Parsing
from sfdl.common_forms import read_attributes
from sfdl.diagnostics import Diagnostic
from sfdl.graph import Held
from sfdl.lexer import Lexeme, Tables, grammar_text, tables
from sfdl.limits import DEEPEST, DEEPEST_VECTOR
from sfdl.parse_errors import explain_token

MOST_ERRORS = 20
"""Parse errors after which the rest of a file is not looked at."""

_STARTS = ("file", "lone_primitive", "lone_reference")
_lock = Lock()
_made: list[_Machine] = []


class _Machine:
    """Parser and lexer tables."""

    def __init__(self) -> None:
        lark = Lark(
            grammar_text(),
            parser="lalr",
            lexer="basic",
            start=list(_STARTS),
            keep_all_tokens=True,
            maybe_placeholders=False,
            transformer=Builder(),  # Lark only looks its methods up
        )
        self.lexer = tables(lark.terminals)
        self.starts = {
            start: _Table(lark.parse_interactive("", start=start).parser_state) for start in _STARTS
        }


def _machine() -> _Machine:
    """Return the tables, making them at the first call."""
    with _lock:
        if not _made:
            _made.append(_Machine())
        return _made[0]


def lexer_tables() -> Tables:
    """Return the tables of the lexer."""
    return _machine().lexer


def parse(source: Parsing, start: str = "file") -> Held:
    """Parse a text.

    Args:
        source: The text; problems and pending includes are noted on it.
        start: Rule to begin with: `file`, `lone_primitive` or `lone_reference`.

    Returns:
        The attribute list, primitive or reference, or None if an error left nothing to return.
    """
    return _Run(source, _machine(), start).result()


class _Table:
    """The LALR tables for one start rule, in the form that runs fastest.

    Attributes:
        shifts: For each state, the next state by kind of token.
        reductions: For each state, by kind of token: how many symbols, the builder's method, and
            the state that follows by the state below.
        settled: Reductions of states that do the same whatever comes next.
        lists: States in which an attribute may begin and a list of attributes is on the stack.
    """

    def __init__(self, parser: ParserState[int]) -> None:
        conf = parser.parse_conf
        self.states = conf.states
        self.start, self.end = conf.start_state, conf.end_state
        followers: dict[str, dict[int, int]] = {}
        for state, actions in conf.states.items():
            for symbol, (_, target) in actions.items():
                if isinstance(target, int):
                    followers.setdefault(symbol, {})[state] = target
        made: dict[Held, _Reduction] = {}
        self.shifts: dict[int, dict[str, int]] = {}
        self.reductions: dict[int, dict[str, _Reduction]] = {}
        for state, actions in conf.states.items():
            shifts = self.shifts[state] = {}
            reductions: dict[str, _Reduction] = {}
            self.reductions[state] = reductions
            for symbol, (_, target) in actions.items():
                if isinstance(target, int):
                    shifts[symbol] = target
                    continue
                if target not in made:
                    follow = followers.get(target.origin.name, {})
                    made[target] = len(target.expansion), conf.callbacks[target], follow
                reductions[symbol] = made[target]
        self.settled = {
            state: next(iter(reductions.values()))
            for state, reductions in self.reductions.items()
            if len({id(reduction) for reduction in reductions.values()}) == 1
            and not self.shifts[state]
            and _harmless(conf.states[state])
        }
        self.lists = frozenset(
            state
            for state, actions in conf.states.items()
            if _begins_attribute(actions) and isinstance(actions["SEMICOLON"][1], int)
        )


_Reduction = tuple[int, Callable[[list[Held]], Held], dict[int, int]]


def _harmless(actions: Mapping[str, tuple[object, Held]]) -> bool:
    """Tell whether a state only goes on with an attribute list."""
    _, rule = next(iter(actions.values()))
    return bool(rule.origin.name == "attributes")


class _Run:
    """One parse."""

    def __init__(self, source: Parsing, machine: _Machine, start: str) -> None:
        self.source = source
        self.table = machine.starts[start]
        self.lexer = machine.lexer
        self.stack = [self.table.start]
        self.values: list[Held] = []
        self.at = 0
        self.recoverable = start == "file"
        self.errors = 0
        self.depth = 0
        self.vectors = 0
        self.limits = _nests_deeply(source.text)

    def result(self) -> Held:
        table, stack, values = self.table, self.stack, self.values
        settled, lists = table.settled, table.lists
        for token in iter(self._next, None):
            if self.limits and token.type in _NESTING and self._too_deep(token):
                return None
            if not self._feed(token):
                self._report(token, table.states[stack[-1]])
                if not self.recoverable or self.errors >= MOST_ERRORS or not self._recover(token):
                    return None
            while stack[-1] in settled:
                self._reduce(settled[stack[-1]])
            if stack[-1] in lists:
                self.at = read_attributes(self.source, self.at, values[-1])
        return self._end()

    def _next(self) -> Lexeme | None:
        """Return the next token, or None at the end."""
        lexer = self.lexer
        match = lexer.pattern.match(self.source.text, self.at)
        if match is None:
            return None
        index = match.lastindex or 0
        kind = lexer.group_types[index]
        text = match[index]
        self.at = match.end()
        if not kind:
            kind = lexer.literals[text]
        elif kind == "WORD" and text in lexer.keywords:
            kind = lexer.keywords[text]
        elif kind == "END":
            return None
        token = str.__new__(Lexeme, text)
        token.type = kind
        token.start_pos = match.start(index)
        token.source = self.source
        if kind == "DIVIDE" and self.source.text.startswith("/*", match.start(index)):
            self.at = len(self.source.text)  # a comment without end is the rest of the text
            self.recoverable = False
        return token

    def _feed(self, token: Lexeme) -> bool:
        """Shift a token after the reductions it asks for; return False if it does not fit."""
        stack, values = self.stack, self.values
        shifts, reductions = self.table.shifts, self.table.reductions
        kind = token.type
        while True:
            state = stack[-1]
            target = shifts[state].get(kind)
            if target is not None:
                stack.append(target)
                values.append(token)
                return True
            reduction = reductions[state].get(kind)
            if reduction is None:
                return False
            size, callback, follow = reduction
            if size:
                operands = values[-size:]
                del values[-size:]
                del stack[-size:]
            else:
                operands = []
            values.append(callback(operands))
            stack.append(follow[stack[-1]])

    def _reduce(self, reduction: _Reduction) -> None:
        size, callback, follow = reduction
        operands = self.values[len(self.values) - size :]
        del self.values[len(self.values) - size :]
        del self.stack[len(self.stack) - size :]
        self.values.append(callback(operands))
        self.stack.append(follow[self.stack[-1]])

    def _too_deep(self, token: Lexeme) -> bool:
        self.depth += _NESTING[token.type]
        if token.type in _VECTORS:
            self.vectors += _NESTING[token.type]
        if self.depth <= DEEPEST and self.vectors <= DEEPEST_VECTOR:
            return False
        what = "vectors" if self.vectors > DEEPEST_VECTOR else "brackets and braces"
        most = DEEPEST_VECTOR if self.vectors > DEEPEST_VECTOR else DEEPEST
        start = token.start_pos or 0
        span = self.source.span(start, start + len(token))
        message = f"more than {most} {what} are inside each other"
        self.source.problems.append(Diagnostic("parse", "SF-LIMIT-004", message, span))
        return True

    def _end(self) -> Held:
        end = Lexeme("$END", "")
        end.source = self.source
        end.start_pos = len(self.source.text.rstrip())
        while self.stack[-1] != self.table.end:
            reduction = self.table.reductions[self.stack[-1]].get("$END")
            if reduction is None:
                self._report(end, self.table.states[self.stack[-1]])
                return None
            self._reduce(reduction)
        return self.values[-1]

    def _recover(self, token: Lexeme) -> bool:
        """Go on after a wrong token; return False at the end of the text.

        What was complete before it, as a `;` would have found it, is kept.
        """
        states, stack, values = self.table.states, self.stack, self.values
        while not _begins_attribute(states[stack[-1]]):
            reduction = self.table.reductions[stack[-1]].get("SEMICOLON")
            if reduction is None:
                break
            self._reduce(reduction)
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
                self._feed(following)
                return True
            elif following.type == "SEMICOLON" and not depth:
                return True
            following = self._next()
        return True

    def _report(self, token: Lexeme, actions: Mapping[str, tuple[object, Held]]) -> None:
        self.errors += 1
        start = token.start_pos or 0
        expected = {symbol for symbol in actions if symbol.isupper()}
        kinds = {kind: text for text, kind in self.lexer.literals.items()}
        message, notes = explain_token(token, expected, kinds)
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


def parse_items(source: Parsing) -> Items:
    """Parse a file and return its attribute list, empty after an error that left none."""
    items: Items | None = parse(source)
    return items if items is not None else []
