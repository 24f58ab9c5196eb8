"""When assertions are checked, and what their answers mean.

`sfAssertionPhase` decides. `dynamic`, which is the default: checked while compiling if nothing in
it is lazy, and kept for run time in any case. `static`: checked while compiling and removed;
something lazy in it is an error. `staticLazy`: as static, but dropped if something in it is lazy.
"""

from __future__ import annotations

from enum import Enum

from sfdl.functions import Call, FunctionError
from sfdl.values import Value
from sfdl.world import kind_of

CHECK = "CheckAssertions"


class Moment(Enum):
    """The values of `sfAssertionPhase`."""

    DYNAMIC = "dynamic"
    STATIC = "static"
    STATIC_LAZY = "staticLazy"


def moment(value: Value) -> Moment:
    """Return when to check, for a value of `sfAssertionPhase`.

    Raises:
        FunctionError: There is no such moment.
    """
    for known in Moment:
        if known.value == value:
            return known
    choices = ", ".join(known.value for known in Moment)
    raise FunctionError(f"`sfAssertionPhase` is `{value}`; it has to be one of {choices}")


def untrue(call: Call) -> list[str]:
    """Return a sentence for each assertion of a group that does not give `true`."""
    found: list[str] = []
    for name, value in call.named.items():
        if value is False:
            found.append(f"`{name}` does not hold")
        elif value is not True:
            found.append(f"`{name}` gives {kind_of(value)}, not a boolean")
    anonymous = len(call.values) - len(call.named)
    if anonymous and not all(value is True for value in call.values):
        found = found or ["an assertion without a name does not hold"]
    return found
