"""Which request is being carried out, for whatever is logged meanwhile.

A request has an id on each process that carries out some of it, and one trace id on all of them: the
id of the request it all began with. Both follow the work by themselves, since tasks inherit them.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import NamedTuple

from typing_extensions import override


class Trace(NamedTuple):
    """The work that is under way.

    Attributes:
        operation: Id of the operation in this process; empty outside of any.
        trace: Id of the request it all began with.
    """

    operation: str = ""
    trace: str = ""


NONE = Trace()
_current: ContextVar[Trace] = ContextVar("trace", default=NONE)


def current() -> Trace:
    """Return what is under way here.

    Example:
        >>> current()
        Trace(operation='', trace='')
    """
    return _current.get()


def enter(operation: str, trace: str) -> None:
    """Count what the present task does, and every task it makes, to an operation.

    Args:
        operation: Its id.
        trace: As it came with the request; empty: it begins here.
    """
    _current.set(Trace(operation, trace or operation))


class Stamp(logging.Filter):
    """Gives log records the fields `operation` and `trace`, and both as `traced`, for a format."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp a record; it is always let through."""
        now = current()
        record.operation, record.trace = now
        record.traced = f" [{now.operation} of {now.trace}]" if now.operation else ""
        return True
