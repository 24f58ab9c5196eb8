"""How a guest ends, and what stays of it: decided from a record and a description; pure."""

from __future__ import annotations

from enum import Enum

from engine.core import records
from engine.core.records import Record


class End(Enum):
    """What becomes of a guest."""

    DESTROY = "destroy"
    GRACEFUL = "graceful"
    SAVE = "save"
    SUSPEND = "suspend"
    LEAVE = "leave"

    @property
    def sets_aside(self) -> bool:
        """Say whether the guest is to go on some day from where it was."""
        return self in {End.SAVE, End.SUSPEND, End.LEAVE}


def end_of(record: Record, *, stop_mode: str, on_daemon_stop: str, was: End | None = None) -> End:
    """Decide how a guest ends.

    Args:
        record: Why its domain ends.
        stop_mode: What is wanted at a wished end.
        on_daemon_stop: What is wanted when its daemon stops.
        was: How it had been set aside before this start; a start that fails leaves it so again.

    Example:
        >>> end_of(Record.normal(), stop_mode="save", on_daemon_stop="leave")
        <End.SAVE: 'save'>
        >>> end_of(Record.abnormal("lost"), stop_mode="save", on_daemon_stop="leave")
        <End.DESTROY: 'destroy'>
    """
    match record.type:
        case records.NORMAL:
            return End(stop_mode)
        case records.SHUTDOWN:
            return End(on_daemon_stop)
        case records.DEPLOYMENT_FAILURE if was is not None:
            return was
        case _:
            return End.DESTROY


def all_stays(record: Record, end: End) -> bool:
    """Say whether definition, disks and networks stay for a later start.

    The end of a daemon is nobody's wish: whatever becomes of the guest, nothing of it is lost.

    Example:
        >>> all_stays(Record("shutdown"), End.GRACEFUL), all_stays(Record("normal"), End.GRACEFUL)
        (True, False)
    """
    return record.type == records.SHUTDOWN or end.sets_aside
