"""Strings and vectors."""

from __future__ import annotations

import re

from sfdl.functions import Call, Function, Simple
from sfdl.literals import double_text, float_text
from sfdl.values import Float, Long, Value, Vector


def text_of(call: Call, value: Value, name: str = "") -> str:
    """Return a scalar as text: strings as they are, longs and floats without suffix.

    Raises:
        FunctionError: It is no scalar.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, Long):
        return str(value.value)
    if isinstance(value, Float):
        return float_text(value.value)
    raise call.wrong(value, "strings, numbers and booleans", name)


def _concatenate(call: Call) -> str:
    return "".join(text_of(call, value) for value in call.values)


def _append(call: Call) -> Vector:
    items: list[Value] = []
    for value in call.values:
        if isinstance(value, Vector):
            items.extend(value.items)
    return Vector(tuple(items))


_SLOT = re.compile(r"\$([0-9])")


def _format(call: Call) -> str:
    pattern = call.need("format")
    if not isinstance(pattern, str):
        raise call.wrong(pattern, "a string", "format")

    def filled(match: re.Match[str]) -> str:
        name = f"s{match[1]}"
        return text_of(call, call.need(name), name)

    return _SLOT.sub(filled, pattern)


FUNCTIONS: dict[str, Function] = {
    "Concatenate": Simple(_concatenate),
    "Append": Simple(_append, transparent=True),
    "Vector": Simple(lambda call: Vector(call.values), transparent=True),
    "Format": Simple(_format),
}
"""The functions of this module by class name."""
