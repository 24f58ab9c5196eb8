"""The ways to find out whether a guest is well, as descriptions name them; pure."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct
from typing_extensions import override

from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value, Vector

Way = Literal["state", "agent", "ping", "console", "tcp"]
WAYS = ("state", "agent", "ping", "console", "tcp:PORT")

_TCP = re.compile(r"tcp:(\d{1,5})")


class Method(Struct, frozen=True):
    """One way to find out.

    Attributes:
        way: What is looked at.
        port: The port, for `tcp`.
    """

    way: Way
    port: int = 0

    @override
    def __str__(self) -> str:
        """Spell it as descriptions do."""
        return f"tcp:{self.port}" if self.way == "tcp" else self.way


def method(text: str) -> Method:
    """Read one.

    Raises:
        BadValueError: It is none; the text lists those there are.

    Example:
        >>> method("tcp:22"), str(method("agent"))
        (Method(way='tcp', port=22), 'agent')
    """
    match text:
        case "state" | "agent" | "ping" | "console":
            return Method(text)
        case _:
            found = _TCP.fullmatch(text)
            if found is None or not 1 <= int(found[1]) <= 65535:
                raise BadValueError(f'must be {", ".join(WAYS)} (got "{text}")')
            return Method("tcp", int(found[1]))


def _methods(value: Value) -> tuple[Method, ...]:
    if isinstance(value, Vector) and all(isinstance(item, str) for item in value.items):
        return tuple(method(str(item)) for item in value.items)
    raise BadValueError(f"must be a list of {', '.join(WAYS)} (got {shown(value)})")


def _cpus(value: Value) -> tuple[int, ...]:
    if isinstance(value, Vector) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 4096
        for item in value.items
    ):
        return tuple(sorted({int(str(item)) for item in value.items}))
    raise BadValueError(f"must be a list of processor numbers, from 0 (got {shown(value)})")


cpus = Kind("list of processors", "Vector", _cpus)
methods = Kind("list of ways to look at a guest", "Vector", _methods)
