"""What can go wrong, as data and as exceptions.

A `Fault` is plain data: it crosses the wire, is kept in the ledger and is shown to people. Each kind
has one exception class, so that a caller in another process raises what the callee raised::

    SmartDomainsError
    └── EngineError            carries a Fault
        ├── NotFound           no such component, attribute or application
        ├── Ended              the component has ended
        ├── WrongState         the request does not fit the state
        ├── NameInUse          a name is taken
        ├── Refused            the request was understood and declined
        ├── NotAllowed         the caller lacks the right
        ├── Unreachable        a process cannot be reached
        ├── TimedOut           no answer in time
        ├── BadDescription     the description is wrong
        ├── HookFailed         a component's own code failed
        ├── Draining           the daemon takes no new work
        ├── Busy               something unfinished is in the way
        └── Internal           a defect of ours
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from msgspec import Struct
from typing_extensions import override

from sfdl.errors import SmartDomainsError


class Kind(Enum):
    """The closed set of reasons a request can fail for."""

    NOT_FOUND = "NotFound"
    ENDED = "Ended"
    WRONG_STATE = "WrongState"
    NAME_IN_USE = "NameInUse"
    REFUSED = "Refused"
    NOT_ALLOWED = "NotAllowed"
    UNREACHABLE = "Unreachable"
    TIMEOUT = "Timeout"
    BAD_DESCRIPTION = "BadDescription"
    HOOK_FAILED = "HookFailed"
    DRAINING = "Draining"
    BUSY = "Busy"
    INTERNAL = "Internal"


class Fault(Struct, frozen=True):
    """One failure, readable where the classes involved are not installed.

    Attributes:
        kind: Which of the closed set; decides the exit code of a command.
        message: One sentence: what failed.
        code: Stable code for documentation and scripts, such as `SF-NAME-001`.
        where: Complete name of the component or address concerned.
        hint: What to do about it.
        phase: `create`, `deploy` or `start` when a deployment failed.
        causes: Nested failures, outermost first.
        undone: Components that were ended again.
        leftovers: What could not be undone and is with the reaper, one line each.
    """

    kind: Kind
    message: str
    code: str = ""
    where: str = ""
    hint: str = ""
    phase: str = ""
    causes: tuple[Fault, ...] = ()
    undone: int = 0
    leftovers: tuple[str, ...] = ()

    def chain(self) -> tuple[Fault, ...]:
        """Return this fault and its causes, outermost first, depth first."""
        found: list[Fault] = [self]
        for cause in self.causes:
            found.extend(cause.chain())
        return tuple(found)


MOST_TEXT = 6000
"""Characters of a message at most: the end of a console fits in, a mebibyte of a description not."""


def _bounded(text: str) -> str:
    if len(text) <= MOST_TEXT:
        return text
    part = MOST_TEXT // 2 - 50
    return f"{text[:part]} [... {len(text)} characters ...] {text[-part:]}"


class EngineError(SmartDomainsError):
    """A failure of the engine; `fault` has everything about it."""

    kind: ClassVar[Kind] = Kind.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        where: str = "",
        hint: str = "",
        phase: str = "",
        causes: tuple[Fault, ...] = (),
    ) -> None:
        """Make the exception from the fields of its fault; what is too long loses its middle."""
        message = _bounded(message)
        super().__init__(message, code=code, hint=hint, where=where)
        self.fault = Fault(self.kind, message, code, where, hint, phase, causes)

    @override
    def __str__(self) -> str:
        where = f"{self.fault.where}: " if self.fault.where else ""
        return f"{where}{self.fault.message}"


class NotFound(EngineError):
    """There is no such component, attribute or application."""

    kind = Kind.NOT_FOUND


class Ended(EngineError):
    """The component has ended."""

    kind = Kind.ENDED


class WrongState(EngineError):
    """The request does not fit the state of the component."""

    kind = Kind.WRONG_STATE


class NameInUse(EngineError):
    """The name is taken, by the holder named in the message."""

    kind = Kind.NAME_IN_USE


class Refused(EngineError):
    """The request was understood and declined."""

    kind = Kind.REFUSED


class NotAllowed(EngineError):
    """The caller lacks the right to do this."""

    kind = Kind.NOT_ALLOWED


class Unreachable(EngineError):
    """A process cannot be reached."""

    kind = Kind.UNREACHABLE


class TimedOut(EngineError):
    """No answer came in time; the outcome may be unknown."""

    kind = Kind.TIMEOUT


class BadDescription(EngineError):
    """The description is wrong: type, attribute or reference."""

    kind = Kind.BAD_DESCRIPTION


class HookFailed(EngineError):
    """A component's own code failed in a phase."""

    kind = Kind.HOOK_FAILED


class Draining(EngineError):
    """The daemon takes no new work."""

    kind = Kind.DRAINING


class Busy(EngineError):
    """Something unfinished is in the way."""

    kind = Kind.BUSY


class Internal(EngineError):
    """A defect of the engine or a component type."""

    kind = Kind.INTERNAL


_CLASSES: dict[Kind, type[EngineError]] = {
    cls.kind: cls
    for cls in (
        NotFound, Ended, WrongState, NameInUse, Refused, NotAllowed, Unreachable, TimedOut,
        BadDescription, HookFailed, Draining, Busy, Internal,
    )
}  # fmt: skip


def raised(fault: Fault) -> EngineError:
    """Return the exception of the fault's kind, carrying just that fault.

    Example:
        >>> raised(Fault(Kind.BUSY, "an undo is pending")).fault.kind
        <Kind.BUSY: 'Busy'>
    """
    error = _CLASSES[fault.kind](fault.message)
    error.fault = fault
    return error


def fault_of(error: BaseException) -> Fault:
    """Describe any exception as a fault; unexpected ones become `Internal`."""
    if isinstance(error, EngineError):
        return error.fault
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    causes = (fault_of(cause),) if cause is not None and cause is not error else ()
    if isinstance(error, TimeoutError):
        return Fault(Kind.TIMEOUT, str(error) or "time ran out", causes=causes)
    text = str(error) or type(error).__name__
    if isinstance(error, SmartDomainsError):
        return Fault(Kind.REFUSED, text, code=error.code, hint=error.hint, causes=causes)
    return Fault(Kind.INTERNAL, f"{type(error).__name__}: {text}", causes=causes)
