"""Phase `function`: components that carry `phase.function` become function applications.

Nothing is evaluated here. A component that extends a function template is turned into the same form
as an operator; `ConstructAssertions` and `ConstructSchema` make assertions. Names that begin with
the package of the original implementation are aliases of the predefined ones.
"""

from __future__ import annotations

from sfdl.diagnostics import Diagnostic
from sfdl.graph import (
    CLASS,
    FUNCTION,
    NO_TAGS,
    Application,
    Attributes,
    Cell,
    Scope,
    scopes,
    span_of,
)

LEGACY_PREFIX = "org.smartfrog.sfcore.languages.sf.functions."
CHECK = "CheckAssertions"
ELEMENT = "CheckSchemaElement"


def short_class(name: str) -> str:
    """Return the neutral name of a function class."""
    return name.removeprefix(LEGACY_PREFIX)


def mark_functions(root: Scope) -> list[Diagnostic]:
    """Turn all function components below `root` into applications; return what is wrong."""
    problems: list[Diagnostic] = []
    schemas: list[Scope] = []
    for scope in scopes(root):
        cell = scope.attributes.pop(FUNCTION, None)
        if cell is None:
            continue
        scope.forget_layout()
        constructor = short_class(cell.value) if isinstance(cell.value, str) else ""
        if constructor not in ("ConstructFunction", "ConstructAssertions", "ConstructSchema"):
            message = f"`{FUNCTION}` names no way to construct a function: `{cell.value}`"
            problems.append(
                Diagnostic("function", "SF-FUNCTION-003", message, span_of(cell) or span_of(scope))
            )
            continue
        assertion = constructor != "ConstructFunction"
        if scope.application is None:
            scope.application = Application(assertion=assertion, lazy=_asks_to_be_lazy(scope))
        if assertion:
            scope.attributes[CLASS] = Cell(CHECK, NO_TAGS, None, 0)
        elif (named := scope.attributes.get(CLASS)) is not None and isinstance(named.value, str):
            scope.attributes[CLASS] = named.holding(short_class(named.value))
        if constructor == "ConstructSchema":
            schemas.append(scope)
    for schema in schemas:
        _name_elements(schema)
    return problems


def _asks_to_be_lazy(scope: Scope) -> bool:
    cell = scope.attributes.get("sfFunctionLazy")
    return cell is not None and cell.value is True


def _name_elements(schema: Scope) -> None:
    """Tell each element of a schema which attribute it is about, in a first argument `name`."""
    for name, cell in schema.attributes.items():
        element = cell.value
        if (
            element.__class__ is not Scope
            or element.application is None
            or not isinstance(name, str)
        ):
            continue
        named = element.attributes.get(CLASS)
        if named is not None and named.value == ELEMENT and "name" not in element.attributes:
            first: Attributes = {"name": Cell(name, NO_TAGS, cell.source, cell.start)}
            element.attributes = {**first, **element.attributes}
