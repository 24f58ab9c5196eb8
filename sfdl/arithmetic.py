"""Numbers: sums, products, differences, quotients, comparisons.

Two integers give an integer, a long among whole numbers gives a long, a float gives a float unless
a double is there too, which gives a double. An integer result that does not fit becomes a long.
Division of whole numbers truncates toward zero and `%` has the sign of its left operand.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import isnan
from typing import TypeAlias

from sfdl.functions import Call, Function, FunctionError, Simple
from sfdl.literals import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, single
from sfdl.values import Float, Long, Value

Number: TypeAlias = int | float | Long | Float

_INT, _LONG, _FLOAT, _DOUBLE = range(4)
_RANKS: dict[type, int] = {int: _INT, Long: _LONG, Float: _FLOAT, float: _DOUBLE}


def number(call: Call, value: Value, name: str = "") -> Number:
    """Return a numeric argument as such.

    Raises:
        FunctionError: It is of another kind.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Long | Float):
        raise call.wrong(value, "numbers", name)
    return value


def plain(value: Number) -> int | float:
    """Return the Python number."""
    return value.value if isinstance(value, Long | Float) else value


def _result(call: Call, rank: int, value: float) -> Number:
    if rank == _DOUBLE:
        return float(value)
    if rank == _FLOAT:
        return Float(single(float(value)))
    whole = int(value)
    if rank == _INT and INT_MIN <= whole <= INT_MAX:
        return whole
    if not LONG_MIN <= whole <= LONG_MAX:
        raise FunctionError(f"`{call.shown}` gives {whole}, which does not fit into 64 bits")
    return Long(whole)


def combine(
    call: Call,
    compute: Callable[[int | float, int | float], int | float],
    left: Number,
    right: Number,
) -> Number:
    """Apply an operation to two numbers, in the wider of their kinds.

    Raises:
        FunctionError: The result is a whole number of more than 64 bits.
    """
    rank = max(_RANKS[left.__class__], _RANKS[right.__class__])
    try:
        value = compute(plain(left), plain(right))
    except OverflowError:
        value = float("inf")
    return _result(call, rank, value)


def _fold(compute: Callable[[int | float, int | float], int | float]) -> Function:
    def evaluate(call: Call) -> Value:
        if not call.values:
            raise FunctionError(f"`{call.shown}` takes at least one number")
        total = number(call, call.values[0])
        for value in call.values[1:]:
            total = combine(call, compute, total, number(call, value))
        return total

    return Simple(evaluate)


def operands(call: Call) -> tuple[Number, Number]:
    """Return the two numbers of a binary operator.

    Raises:
        FunctionError: One is missing or not a number.
    """
    left, right = call.need("left"), call.need("right")
    return number(call, left, "left"), number(call, right, "right")


def _minus(call: Call) -> Value:
    left, right = operands(call)
    return combine(call, operator.sub, left, right)


def _divide(call: Call) -> Value:
    left, right = operands(call)
    return combine(call, lambda a, b: _quotient(call, a, b), left, right)


def _quotient(call: Call, left: float, right: float) -> int | float:
    if isinstance(left, int) and isinstance(right, int):
        if right == 0:
            raise FunctionError(f"`{call.shown}`: {left} cannot be divided by zero")
        whole = abs(left) // abs(right)
        return whole if (left < 0) == (right < 0) else -whole
    if right == 0:
        return float("nan") if left == 0 or isnan(left) else float("inf") * (1 if left > 0 else -1)
    return left / right


def _mod(call: Call) -> Value:
    left, right = operands(call)
    for name, value in (("left", left), ("right", right)):
        if isinstance(value, float | Float):
            raise call.wrong(value, "whole numbers", name)
    return combine(call, lambda a, b: _remainder(call, int(a), int(b)), left, right)


def _remainder(call: Call, left: int, right: int) -> int:
    if right == 0:
        raise FunctionError(f"`{call.shown}`: {left} cannot be divided by zero")
    rest = abs(left) % abs(right)
    return rest if left >= 0 else -rest


def _compare(test: Callable[[int | float, int | float], bool]) -> Function:
    def evaluate(call: Call) -> Value:
        left, right = operands(call)
        return test(plain(left), plain(right))

    return Simple(evaluate)


_SUM = _fold(operator.add)
_PRODUCT = _fold(operator.mul)


def _nsumproduct(call: Call) -> Value:
    """Add all arguments, or multiply them if the option `sfProduct` is true."""
    return (_PRODUCT if call.options.get("sfProduct") is True else _SUM).evaluate(call)


FUNCTIONS: dict[str, Function] = {
    "Sum": _SUM,
    "Product": _PRODUCT,
    "NSumProduct": Simple(_nsumproduct),
    "Minus": Simple(_minus),
    "Divide": Simple(_divide),
    "Mod": Simple(_mod),
    "LT": _compare(operator.lt),
    "LE": _compare(operator.le),
    "GT": _compare(operator.gt),
    "GE": _compare(operator.ge),
}
"""The functions of this module by class name."""
