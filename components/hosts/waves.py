"""In which order the members of a cluster are started. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value

_WAVES = re.compile(r"waves:([1-9]\d{0,5})")


class Waves(Struct, frozen=True):
    """How many are started together; 0: all."""

    size: int = 0

    def of(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return who is started together, one wave after the other.

        Example:
            >>> Waves(2).of(("a", "b", "c")), Waves().of(())
            ((('a', 'b'), ('c',)), ())
        """
        size = self.size or max(1, len(names))
        return tuple(names[first : first + size] for first in range(0, len(names), size))


def _read(value: Value) -> Waves:
    match value:
        case "parallel":
            return Waves()
        case "sequential":
            return Waves(1)
        case str():
            found = _WAVES.fullmatch(value)
            if found is not None:
                return Waves(int(found[1]))
        case _:
            pass
    raise BadValueError(f"must be parallel, sequential or waves:N (got {shown(value)})")


waves_kind = Kind("parallel, sequential or waves:N", "String", _read)
"""An order in which members are started."""
