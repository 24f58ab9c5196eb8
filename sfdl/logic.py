"""Booleans, equality and choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sfdl.arithmetic import plain
from sfdl.functions import Call, Function, FunctionError, Simple
from sfdl.values import Description, Float, Kept, Long, Value, Vector

_NUMBERS = (int, float, Long, Float)


def same(left: Value, right: Value) -> bool:
    """Tell whether two values are equal: numbers by value whatever their kinds, vectors by element.

    Components are equal if they have the same attributes in the same order, tags aside.
    """
    pending: list[tuple[Value, Value]] = [(left, right)]
    compared: set[tuple[int, int]] = set()  # what links repeat is compared once
    while pending:
        a, b = pending.pop()
        if isinstance(a, Vector | Description | Kept):
            if a is b or (id(a), id(b)) in compared:
                continue
            compared.add((id(a), id(b)))
            if _shape(a) != _shape(b):
                return False
            pending.extend(zip(_held(a), _held(b), strict=True))
        elif not _same_scalar(a, b):
            return False
    return True


def _shape(value: Value) -> tuple[object, ...]:
    """Return what two compound values have to share before their parts are compared."""
    if isinstance(value, Vector):
        return Vector, len(value.items)
    if isinstance(value, Description):
        return Description, value.names()
    if isinstance(value, Kept):
        names = tuple(name for name, _ in value.arguments)
        return Kept, value.function, value.lazy, value.data, value.assertion, names
    return (type(value),)


def _held(value: Value) -> Sequence[Value]:
    if isinstance(value, Vector):
        return value.items
    pairs = value.attributes if isinstance(value, Description) else ()
    pairs = value.arguments if isinstance(value, Kept) else pairs
    return [held for _, held in pairs]


def _same_scalar(left: Value, right: Value) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS):
        return plain(left) == plain(right)
    return type(left) is type(right) and left == right


def _equal(call: Call) -> bool:
    return same(call.need("left"), call.need("right"))


def _fold(combine: Callable[[bool, bool], bool]) -> Function:
    def evaluate(call: Call) -> Value:
        if not call.values:
            raise FunctionError(f"`{call.shown}` takes at least one boolean")
        result = call.boolean(call.values[0])
        for value in call.values[1:]:
            result = combine(result, call.boolean(value))
        return result

    return Simple(evaluate)


def _if(call: Call) -> Value:
    condition = call.boolean(call.need("if"), "if")
    branches = call.need("then"), call.need("else")
    return branches[0] if condition else branches[1]


def _switch(call: Call) -> Value:
    number = 0
    while f"IF{number}" in call.named:
        if call.boolean(call.named[f"IF{number}"], f"IF{number}"):
            return call.need(f"THEN{number}")
        number += 1
    return None


def _all_different(call: Call) -> bool:
    seen: list[Value] = []
    for value in call.values:
        if any(same(value, earlier) for earlier in seen):
            return False
        seen.append(value)
    return True


FUNCTIONS: dict[str, Function] = {
    "EQ": Simple(_equal),
    "NE": Simple(lambda call: not _equal(call)),
    "And": _fold(lambda a, b: a and b),
    "Or": _fold(lambda a, b: a or b),
    "Xor": _fold(lambda a, b: a is not b),
    "Implies": _fold(lambda a, b: not a or b),
    "Not": Simple(lambda call: not call.boolean(call.need("data"), "data")),
    "IfThenElse": Simple(_if, transparent=True),
    "Switch": Simple(_switch, transparent=True),
    "AllDifferent": Simple(_all_different),
}
"""The functions of this module by class name."""
