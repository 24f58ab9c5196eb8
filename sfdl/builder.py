# ruff: noqa: D102, ARG002 - one method for each rule of the grammar, which says what it matches
# ruff: noqa: ANN401 - what a rule gives is as varied as the values of the language
"""From grammar rules to scopes: what the parser calls as it reduces.

One method for each alternative of `sfdl.lark`, called with everything the rule matched, tokens
included. There is no state here: whatever a method needs to know about the text it finds on the
tokens, so one builder serves any number of parses at once.

Operators, vectors, `IF` and `SWITCH` become scopes that carry `phase.function`, as a component
extending a function template does; the later phases know only that one form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from sfdl.diagnostics import Diagnostic
from sfdl.graph import (
    CLASS,
    FUNCTION,
    NEW,
    NO_TAGS,
    Anonymous,
    Application,
    Attributes,
    Cell,
    Link,
    Name,
    Scope,
    name_text,
    span_of,
)
from sfdl.lexer import Lexeme
from sfdl.literals import read_bytes, read_double, read_float, read_int, read_long
from sfdl.source import Source, Span
from sfdl.token_values import read_token, string_of, unescaped_token
from sfdl.values import ATTRIB, HERE, Part, PartKind, Reference, Tbd, Vector

C: TypeAlias = "list[Any]"


class Include:
    """Stands in an attribute list for the attributes of another file."""

    __slots__ = ("name", "optional", "source", "start")

    def __init__(self, name: str, source: Source, start: int, *, optional: bool) -> None:
        self.name = name
        self.source = source
        self.start = start
        self.optional = optional


Items: TypeAlias = "list[tuple[Name, Cell] | Include]"


class Parsing(Source):
    """A text while it is parsed: what was wrong with it, and the bodies that wait for includes."""

    __slots__ = ("pending", "problems")

    def __init__(
        self,
        text: str,
        name: str = "<text>",
        path: Path | None = None,
        parent: Source | None = None,
        included_from: Span | None = None,
    ) -> None:
        super().__init__(text, name, path, parent, included_from)
        self.problems: list[Diagnostic] = []
        self.pending: list[tuple[Scope, Attributes, Items]] = []

    def problem(
        self, token: Lexeme, message: str, *, code: str = "SF-PARSE-002", warning: bool = False
    ) -> None:
        """Note something wrong with a token."""
        start = token.start_pos or 0
        span = self.span(start, start + len(token))
        if warning:
            self.problems.append(Diagnostic("lint", code, message, span, severity="warning"))
        else:
            self.problems.append(Diagnostic("parse", code, message, span))


class Body:
    """A brace-enclosed attribute list, not yet part of a component."""

    __slots__ = ("items", "source", "start")

    def __init__(self, items: Items, source: Parsing, start: int) -> None:
        self.items = items
        self.source = source
        self.start = start


def fill(scope: Scope, target: Attributes, items: Items) -> bool:
    """Put attributes into `target`, whose components `scope` owns from now on.

    Where a name occurs twice the last value stands at the first place, and keeps the earlier tags
    if it brings none.

    Returns:
        False if there is an include among the items; nothing has been put anywhere then.
    """
    if any(item.__class__ is Include for item in items):
        return False
    for name, cell in items:  # type: ignore[misc]
        earlier = target.get(name)
        if earlier is not None:
            _note_duplicate(name, earlier, cell)
            if earlier.tags and not cell.tags:
                cell = cell.tagged(earlier.tags)  # noqa: PLW2901 - the name goes on meaning this attribute
        target[name] = cell
        if cell.value.__class__ is Scope:
            cell.value.parent = scope
    return True


def _note_duplicate(name: Name, earlier: Cell, cell: Cell) -> None:
    """Warn of a name that stands twice in one body; a library's may well be given again."""
    source = cell.source
    if isinstance(source, Parsing) and earlier.source is source:
        message = f"`{name_text(name)}` is given twice in this body; only the later value counts"
        notes = (f"it is given first at {span_of(earlier)}",)
        source.problems.append(
            Diagnostic("lint", "SF-LINT-004", message, span_of(cell), notes, "warning")
        )


def fill_or_wait(scope: Scope, target: Attributes, body: Body) -> None:
    """Fill `target`, at once or when the included files have been read."""
    if not fill(scope, target, body.items):
        body.source.pending.append((scope, target, body.items))


_FUNCTION_CELL = Cell("ConstructFunction", NO_TAGS, None, 0)
_CLASS_CELLS = {
    sign: Cell(name, NO_TAGS, None, 0)
    for sign, name in {
        "+": "Sum", "*": "Product", "-": "Minus", "/": "Divide", "%": "Mod", "++": "Concatenate",
        "<>": "Append", "==": "EQ", "!=": "NE", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE",
        "&&": "And", "||": "Or", "x|": "Xor", "->": "Implies", "!": "Not", "IF": "IfThenElse",
        "SWITCH": "Switch", "[": "Vector",
    }.items()
}  # fmt: skip


def sugar(token: Lexeme, slots: list[tuple[Name, Any]]) -> Scope:
    """Return a function application for an operator token and its operands."""
    source = token.source
    start = token.start_pos or 0
    scope = Scope(None, source, start)
    scope.sugar = True
    attributes = scope.attributes
    attributes[FUNCTION] = _FUNCTION_CELL
    attributes[CLASS] = _CLASS_CELLS[token]
    for name, value in slots:
        attributes[name] = Cell(value, NO_TAGS, source, start)
        if value.__class__ is Scope:
            value.parent = scope
    return scope


_PART_KINDS = {kind.value: kind for kind in PartKind}
_LONE_PARTS = {kind.value: Part(kind) for kind in PartKind}


class Builder:
    """The rules of the grammar as methods. None of them is meant to be called by hand."""

    # ---- files and attributes

    def wrapped_file(self, c: C) -> Items:
        items: Items = c[2]
        return items

    def plain_file(self, c: C) -> Items:
        items: Items = c[0]
        return items

    def no_attributes(self, c: C) -> Items:
        return []

    def add_attribute(self, c: C) -> Items:
        items: Items = c[0]
        items.append(c[1])
        return items

    def skip_semicolon(self, c: C) -> Items:
        items: Items = c[0]
        return items

    def include(self, c: C) -> Include:
        token = c[0]
        return Include(string_of(c[1]), token.source, token.start_pos, optional=token.endswith("?"))

    def include_codebase(self, c: C) -> Include:
        c[0].source.problem(
            c[0],
            "`#codebase` has no effect: code is installed, not fetched",
            code="SF-LINT-001",
            warning=True,
        )
        return self.include(c[2:])

    def attribute(self, c: C) -> tuple[Name, Cell]:
        name, first = c[0]
        return name, Cell(c[1], NO_TAGS, first.source, first.start_pos)

    def tagged_attribute(self, c: C) -> tuple[Name, Cell]:
        name, token = c[3]
        return name, Cell(c[4], frozenset(c[1]), token.source, token.start_pos)

    def no_tags(self, c: C) -> list[str]:
        return []

    def add_tag(self, c: C) -> list[str]:
        tags: list[str] = c[0]
        tags.append(c[1][0])
        return tags

    # A name is a pair of itself and its first token.

    def fresh_name(self, c: C) -> tuple[Name, Lexeme]:
        return Anonymous(), c[0]

    def dash_name(self, c: C) -> tuple[Name, Lexeme]:
        c[0].source.problem(
            c[0], "a lone `-` makes an anonymous name; write `--`", code="SF-LINT-002", warning=True
        )
        return Anonymous(), c[0]

    def quoted_name(self, c: C) -> tuple[Name, Lexeme]:
        return string_of(c[0]), c[0]

    def word(self, c: C) -> tuple[Name, Lexeme]:
        return str.__str__(c[0]), c[0]

    def placement_name(self, c: C) -> tuple[Name, Lexeme]:
        rest = c[2][0]
        first = str.__str__(c[0])
        return (first, *rest) if isinstance(rest, tuple) else (first, rest), c[0]

    # ---- components

    def component(self, c: C) -> Scope:
        opening, data, prototypes = c
        scope = Scope(None, opening.source, opening.start_pos)
        scope.data = data
        if len(prototypes) == 1 and prototypes[0].__class__ is Body:
            fill_or_wait(scope, scope.attributes, prototypes[0])
            return scope
        steps: list[Link | Attributes] = []
        for prototype in prototypes:
            if prototype.__class__ is Body:
                body: Attributes = {}
                fill_or_wait(scope, body, prototype)
                steps.append(body)
            elif prototype is not None:
                steps.append(prototype)
        if steps:
            scope.prototypes = steps
            scope.state = NEW
        return scope

    def no_flag(self, c: C) -> bool:
        return False

    def data_flag(self, c: C) -> bool:
        return True

    def first_prototype(self, c: C) -> list[Any]:
        return c

    def add_prototype(self, c: C) -> list[Any]:
        prototypes: list[Any] = c[0]
        prototypes.append(c[2])
        return prototypes

    def add_last_body(self, c: C) -> list[Any]:
        prototypes: list[Any] = c[0]
        prototypes.append(c[1])
        return prototypes

    def null_prototype(self, c: C) -> None:
        return None

    def path_prototype(self, c: C) -> Link:
        parts, token = c[0]
        return Link(Reference(tuple(parts)), token.source, token.start_pos)

    def body(self, c: C) -> Body:
        return Body(c[1], c[0].source, c[0].start_pos)

    # ---- values

    def same(self, c: C) -> Any:
        return c[0]

    def null(self, c: C) -> None:
        return None

    def true(self, c: C) -> bool:
        return True

    def false(self, c: C) -> bool:
        return False

    def tbd(self, c: C) -> Tbd:
        return Tbd()

    def string(self, c: C) -> str:
        return string_of(c[0])

    def multiline(self, c: C) -> str:
        return unescaped_token(c[0], c[0][2:-1], "#")

    def int(self, c: C) -> Any:
        return read_token(read_int, c[0])

    def long(self, c: C) -> Any:
        return read_token(read_long, c[0])

    def double(self, c: C) -> Any:
        return read_token(read_double, c[0])

    def float(self, c: C) -> Any:
        return read_token(read_float, c[0])

    def bytes(self, c: C) -> Any:
        return read_token(read_bytes, c[0])

    def empty_literal_vector(self, c: C) -> Vector:
        return Vector(())

    def literal_vector(self, c: C) -> Vector:
        return Vector(tuple(item.reference if item.__class__ is Link else item for item in c[1]))

    def first_item(self, c: C) -> list[Any]:
        return c

    def add_item(self, c: C) -> list[Any]:
        items: list[Any] = c[0]
        items.append(c[2])
        return items

    def parenthesised(self, c: C) -> Any:
        return c[1]

    def empty_vector(self, c: C) -> Scope:
        return sugar(c[0], [])

    def vector(self, c: C) -> Scope:
        return sugar(c[0], [(Anonymous(), item) for item in c[1]])

    # ---- references

    def reference(self, c: C) -> Any:
        target = c[0]
        if target.__class__ is Scope:
            return target
        return _link(target)

    def lazy_reference(self, c: C) -> Any:
        target = c[1]
        if target.__class__ is Scope:
            target.application = Application(assertion=_is_assertion(target), lazy=True)
            return target
        return _link(target, lazy=True)

    def data_reference(self, c: C) -> Any:
        target = c[1]
        if target.__class__ is Scope:
            target.application = Application(assertion=_is_assertion(target), data=True)
            return target
        return _link(target, data=True)

    # A target is a list of parts with their first token and, if it is optional, a default.

    def optional_path(self, c: C) -> tuple[list[Part], Lexeme, Any]:
        parts, token = c[1]
        return parts, token, None

    def optional_path_with_default(self, c: C) -> tuple[list[Part], Lexeme, Any]:
        parts, token = c[4]
        default = c[2]
        return parts, token, default.reference if default.__class__ is Link else default

    def apply(self, c: C) -> Scope:
        return _raw(c[0], c[1], assertion=False)

    def assertion(self, c: C) -> Scope:
        return _raw(c[0], c[1], assertion=True)

    def first_part(self, c: C) -> tuple[list[Part], Lexeme]:
        part, token = c[0]
        if token.type == "WORD":
            part = Part(ATTRIB, part.name)
        return [part], token

    def add_part(self, c: C) -> tuple[list[Part], Lexeme]:
        path: tuple[list[Part], Lexeme] = c[0]
        path[0].append(c[2][0])
        return path

    def bare_part(self, c: C) -> tuple[Part, Lexeme]:
        return Part(HERE, str.__str__(c[0])), c[0]

    def lone_part(self, c: C) -> tuple[Part, Lexeme]:
        return _LONE_PARTS[c[0]], c[0]

    def named_part(self, c: C) -> tuple[Part, Lexeme]:
        return Part(_PART_KINDS[c[0]], c[1][0]), c[0]

    # ---- operators

    def negation(self, c: C) -> Scope:
        return sugar(c[0], [("data", c[1])])

    def binary(self, c: C) -> Scope:
        return sugar(c[1], [("left", c[0]), ("right", c[2])])

    def nary_start(self, c: C) -> C:
        return [c[1], c[0], c[2]]

    def nary_more(self, c: C) -> C:
        c[0].append(c[2])
        operands: C = c[0]
        return operands

    def nary_end(self, c: C) -> Scope:
        token, *operands = c[0]
        return sugar(token, [(Anonymous(), operand) for operand in operands])

    def if_then_else(self, c: C) -> Scope:
        return sugar(c[0], [("if", c[1]), ("then", c[3]), ("else", c[5])])

    def first_case(self, c: C) -> list[tuple[Any, Any]]:
        return [(c[1], c[3])]

    def add_case(self, c: C) -> list[tuple[Any, Any]]:
        cases: list[tuple[Any, Any]] = c[0]
        cases.append((c[2], c[4]))
        return cases

    def switch(self, c: C) -> Scope:
        return sugar(c[0], _case_slots(c[1]))

    def switch_with_locals(self, c: C) -> Scope:
        scope = sugar(c[0], [])
        body: Body = c[1]
        scope.prototypes = [{}, {}]
        fill_or_wait(scope, scope.prototypes[0], body)  # type: ignore[arg-type]
        slots = sugar(c[0], _case_slots(c[2]))
        for name, cell in slots.attributes.items():
            if cell.value.__class__ is Scope:
                cell.value.parent = scope
            scope.prototypes[1][name] = cell  # type: ignore[index]
        scope.state = NEW
        return scope


def _case_slots(cases: list[tuple[Any, Any]]) -> list[tuple[Name, Any]]:
    slots: list[tuple[Name, Any]] = []
    for number, (condition, value) in enumerate(cases):
        slots.append((f"IF{number}", condition))
        slots.append((f"THEN{number}", value))
    return slots


def _raw(token: Lexeme, body: Body, *, assertion: bool) -> Scope:
    scope = Scope(None, token.source, token.start_pos or 0)
    scope.sugar = True
    scope.application = Application(assertion=assertion)
    scope.attributes[FUNCTION] = _FUNCTION_CELL
    fill_or_wait(scope, scope.attributes, body)
    return scope


def _is_assertion(scope: Scope) -> bool:
    return scope.application is not None and scope.application.assertion


def _link(target: Any, *, lazy: bool = False, data: bool = False) -> Link:
    parts, token, *default = target
    if default:
        reference = Reference(tuple(parts), lazy, data, True, default[0])
    else:
        reference = Reference(tuple(parts), lazy, data)
    return Link(reference, token.source, token.start_pos)
