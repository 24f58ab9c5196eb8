"""Exit codes, the same for all commands."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.core.faults import Fault


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    """Done."""
    FAILED = 1
    """Refused or failed by the engine; nothing is left behind."""
    USAGE = 2
    """Bad arguments."""
    DESCRIPTION = 3
    """The description is wrong."""
    UNREACHABLE = 4
    """The daemon addressed cannot be reached."""
    NOT_ALLOWED = 5
    """Not allowed."""
    TIMEOUT = 6
    """Time-out, outcome unknown."""
    NO_SUCH = 7
    """No such component."""
    NAME_IN_USE = 8
    """The name is in use already."""
    LEFTOVERS = 9
    """Done, but something is still with the reaper."""
    DIFFERENCES = 10
    """Differences were found."""
    INTERRUPTED = 130
    """Interrupted."""


_BY_KIND = {
    "BadDescription": Exit.DESCRIPTION,
    "NotAllowed": Exit.NOT_ALLOWED,
    "Timeout": Exit.TIMEOUT,
    "NotFound": Exit.NO_SUCH,
    "Ended": Exit.NO_SUCH,
    "NameInUse": Exit.NAME_IN_USE,
}


def exit_of(fault: Fault) -> Exit:
    """Return the exit code of a fault.

    A failed deployment that left something behind is 9, one of a component's own is 1 whatever its
    cause; a wrong description found while deploying is 3.

    Example:
        >>> from engine.core.faults import Fault, Kind
        >>> exit_of(Fault(Kind.NAME_IN_USE, "taken"))
        <Exit.NAME_IN_USE: 8>
    """
    kind = fault.kind.value
    if fault.leftovers:
        return Exit.LEFTOVERS
    if fault.phase and kind in {"NotFound", "Ended", "Timeout"}:
        return Exit.FAILED
    return _BY_KIND.get(kind, Exit.FAILED)
