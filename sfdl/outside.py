"""Functions that are not pure: the counter, chance, the clock, the user."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from sfdl.arithmetic import number, plain
from sfdl.functions import Call, Function, FunctionError, Simple
from sfdl.literals import INT_MAX
from sfdl.values import Value


def _next(call: Call) -> int:
    """Count 0, 1, 2 ... within one compilation; with `base`, at least from there."""
    value = max(call.world.counter + 1, call.integer("base", 0))
    if value > INT_MAX:
        raise FunctionError(f"`{call.shown}` has no more numbers")
    call.world.counter = value
    return value


def _random(call: Call) -> Value:
    """Draw from `min` to `max`, both included if `integer` is true; `seed` fixes the number."""
    low = plain(number(call, call.named.get("min", 0), "min"))
    high = plain(number(call, call.named.get("max", 1), "max"))
    seed = call.named.get("seed")
    source = Random(plain(number(call, seed, "seed"))) if seed is not None else Random()  # noqa: S311 - no secret
    if low > high:
        raise FunctionError(f"`{call.shown}`: `min` is above `max`")
    if call.boolean(call.named.get("integer", False), "integer"):
        return source.randint(int(low), int(high))
    return source.uniform(low, high)


def _date(_call: Call) -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _ask(call: Call) -> str:
    if call.world.ask is None:
        raise FunctionError(f"`{call.shown}` asks the user, which was not allowed for this run")
    prompt = call.named.get("prompt", "")
    return call.world.ask(prompt if isinstance(prompt, str) else "")


FUNCTIONS: dict[str, Function] = {
    "Next": Simple(_next),
    "Random": Simple(_random),
    "Date": Simple(_date),
    "UserInput": Simple(_ask),
}
"""The functions of this module by class name."""
