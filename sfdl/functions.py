"""The functions of the language, and how more are made.

A function gets its arguments as finished values and returns a value. The predefined ones have short
names; others are subclasses of `Function` named by their dotted Python path, from packages that the
caller of the compiler allows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from typing_extensions import override

from sfdl.values import Bytes, Float, Long, Reference, Value
from sfdl.world import World, kind_of


class FunctionError(Exception):
    """A function refuses its arguments; the text names the argument and its kind.

    Attributes:
        missing: Names of arguments that are not there.
    """

    def __init__(self, message: str, *missing: str) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Call:
    """One application of a function.

    Attributes:
        values: All arguments in order; those that begin with `sf` or `phase.` are none.
        named: The arguments that have a name, in order.
        options: The attributes that begin with `sf`.
        world: Counter, allowed packages, the user's terminal.
        shown: How messages call the function: its operator or its name.
    """

    values: tuple[Value, ...]
    named: Mapping[str, Value]
    options: Mapping[str, Value]
    world: World
    shown: str

    def need(self, name: str) -> Value:
        """Return a named argument.

        Raises:
            FunctionError: It is missing.
        """
        if name not in self.named:
            raise FunctionError(f"`{self.shown}` lacks its argument `{name}`", name)
        return self.named[name]

    def wrong(self, value: Value, wanted: str, name: str = "") -> FunctionError:
        """Return the error for an argument of the wrong kind."""
        which = f" for `{name}`" if name else ""
        return FunctionError(
            f"`{self.shown}` takes {wanted}{which}, not {kind_of(value)}{_shown(value)}"
        )

    def boolean(self, value: Value, name: str = "") -> bool:
        """Return a boolean argument as such.

        Raises:
            FunctionError: It is of another kind.
        """
        if not isinstance(value, bool):
            raise self.wrong(value, "a boolean", name)
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a named whole number, or the default if there is none.

        Raises:
            FunctionError: It is of another kind, or missing without a default.
        """
        if default is not None and name not in self.named:
            return default
        value = self.need(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(value, "an integer", name)
        return value


def _shown(value: Value) -> str:
    """Return a value that is written in one word, in parentheses, for the end of a sentence."""
    if not isinstance(value, _SHOWN):
        return ""
    from sfdl.printer import print_value  # noqa: PLC0415 - only for messages

    text = print_value(value)
    return f" ({text})" if len(text) <= 40 else f" ({text[:37]}...)"


_SHOWN = str | int | float | Long | Float | Bytes | Reference


class Function(ABC):
    """A function that descriptions may apply. Instances have no state."""

    transparent: bool = False
    """Components among the arguments are handed through unseen rather than finished first."""

    @abstractmethod
    def evaluate(self, call: Call) -> Value:
        """Return the result.

        Raises:
            FunctionError: The arguments do not fit.
        """


class Simple(Function):
    """A function that is a Python callable over a `Call`."""

    def __init__(self, compute: Callable[[Call], Value], *, transparent: bool = False) -> None:
        self._compute = compute
        self.transparent = transparent

    @override
    def evaluate(self, call: Call) -> Value:
        """Return what the callable returns."""
        return self._compute(call)


@lru_cache(maxsize=1)
def predefined() -> Mapping[str, Function]:
    """Return the predefined functions by their class names."""
    from sfdl import arithmetic, logic, outside, sequences  # noqa: PLC0415 - they import this module

    return {**arithmetic.FUNCTIONS, **logic.FUNCTIONS, **sequences.FUNCTIONS, **outside.FUNCTIONS}


def function_for(name: object, world: World) -> Function:
    """Return the function a class name means.

    Raises:
        FunctionError: There is none, or it may not be imported.
    """
    if not isinstance(name, str):
        raise FunctionError(f"`sfFunctionClass` has to be a string, not {kind_of(name)}")
    known = predefined().get(name)
    if known is not None:
        return known
    if "." not in name:
        raise FunctionError(f"there is no function `{name}`")
    try:
        found = world.imported(name)
    except LookupError as error:
        raise FunctionError(str(error.args[0])) from error
    if not (isinstance(found, type) and issubclass(found, Function)):
        raise FunctionError(f"`{name}` is no subclass of sfdl.functions.Function")
    return found()


SIGNS = {
    "Sum": "+",
    "Product": "*",
    "Minus": "-",
    "Divide": "/",
    "Mod": "%",
    "EQ": "==",
    "NE": "!=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "And": "&&",
    "Or": "||",
    "Xor": "x|",
    "Implies": "->",
    "Not": "!",
    "Concatenate": "++",
    "Append": "<>",
    "Vector": "[ ]",
    "IfThenElse": "IF",
    "Switch": "SWITCH",
}
"""How the operators are written, by class name."""
