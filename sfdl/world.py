"""What a description may take from outside: properties, environment, constants, Python classes.

Everything comes in as a parameter; nothing here reads the process's own state by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from sfdl.diagnostics import suggest
from sfdl.graph import Link, Scope
from sfdl.limits import Budget
from sfdl.literals import INT_MAX, INT_MIN
from sfdl.primitives import parse_primitive
from sfdl.values import (
    Bytes,
    Description,
    Float,
    Kept,
    Long,
    PartKind,
    Reference,
    Tbd,
    Value,
    Vector,
)


@dataclass(slots=True)
class World:
    """The surroundings of one compilation.

    Attributes:
        properties: Values of `PROPERTY` and `IPROPERTY`.
        environment: Values of `ENVPROPERTY` and `IENVPROPERTY`.
        allowed: Python packages from which constants, functions and phases may be imported.
        ask: Reads an answer of the user for the function `UserInput`; None refuses it.
        counter: What `Next` gave last, or -1; belongs to one compilation.
        budget: What this compilation has copied so far.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    allowed: tuple[str, ...] = ()
    ask: Callable[[str], str] | None = None
    counter: int = -1
    budget: Budget = field(default_factory=Budget)

    def value(self, kind: PartKind, name: str) -> Value:
        """Return a property, environment variable or constant.

        Raises:
            LookupError: There is none, or it is not of a kind a description can hold.
        """
        if kind is PartKind.CONSTANT:
            return self._constant(name)
        from_environment = kind in (PartKind.ENVPROPERTY, PartKind.IENVPROPERTY)
        source = self.environment if from_environment else self.properties
        text = source.get(name)
        if text is None:
            what = "environment variable" if from_environment else "property"
            near = "".join(f"; did you mean `{other}`?" for other in suggest(name, source, most=1))
            raise LookupError(f"the {what} `{name}` is not set{near}")
        if kind in (PartKind.PROPERTY, PartKind.ENVPROPERTY):
            return text
        try:
            return parse_primitive(text)
        except ValueError as error:
            raise LookupError(
                f"`{name}` is `{text}`, which is no number, string or other literal"
            ) from error

    def _constant(self, path: str) -> Value:
        found = self.imported(path)
        if found is None or isinstance(found, bool | str | float):
            return found
        if isinstance(found, int):
            return found if INT_MIN <= found <= INT_MAX else Long(found)
        raise LookupError(
            f"the constant `{path}` is a {type(found).__name__}, not a number, string or boolean"
        )

    def imported(self, path: str) -> object:
        """Return what a dotted Python path means: a module, then names in it.

        Raises:
            LookupError: The path is not below an allowed package, or leads nowhere.
        """
        if not is_allowed(path, self.allowed):
            listed = ", ".join(self.allowed) or "none"
            raise LookupError(f"`{path}` may not be imported; allowed packages: {listed}")
        module_name, _, name = path.rpartition(".")
        try:
            return getattr(import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise LookupError(f"`{path}` cannot be imported: {error}") from error

    @staticmethod
    def kind(value: object) -> str:
        """Return what kind of value this is, in words for a message."""
        return kind_of(value)


def is_allowed(path: str, allowed: Iterable[str]) -> bool:
    """Tell whether a dotted path is inside one of the packages."""
    return any(path.startswith(f"{package}.") for package in allowed)


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (str, "a string"),
    (float, "a double"),
    (Long, "a long"),
    (Float, "a float"),
    (Bytes, "a byte array"),
    (Vector, "a vector"),
    (Tbd, "TBD"),
    (Reference, "a reference"),
    (Kept, "a function"),
    (Description, "a component"),
)


def kind_of(value: object) -> str:
    """Return the kind of a value with its article, as messages name it.

    Example:
        >>> kind_of(1), kind_of(Long(1)), kind_of(None)
        ('an integer', 'a long', 'NULL')
    """
    if value is None:
        return "NULL"
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    if isinstance(value, Scope):
        return "a component" if value.application is None else "an expression"
    return "a reference" if isinstance(value, Link) else type(value).__name__
