"""What becomes of a guest that stops, crashes or reboots by itself; pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from components.hypervisor.protocol import EventKind

WISHED = {"shutdown", "guest", "host"}
"""Why a guest has stopped, in the hypervisor's words, when it did so in order."""
BY_HAND = {"destroyed", "saved"}
"""The same when somebody else has stopped it."""


class Happened(Enum):
    """What a guest did by itself, or somebody else with it."""

    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    CRASH = "crash"


class Reactions(Struct, frozen=True):
    """What a description wants done.

    Attributes:
        on_shutdown: `terminate`, `restart` or `ignore`.
        on_reboot: `continue` or `recreate`.
        on_crash: `terminate`, `restart` or `dump`.
        limit: Restarts allowed within the window.
        window_s: Seconds.
    """

    on_shutdown: str = "terminate"
    on_reboot: str = "continue"
    on_crash: str = "terminate"
    limit: int = 3
    window_s: float = 600.0

    def to(self, happened: Happened) -> str:
        """Return what is wanted at something, however often it was done before."""
        match happened:
            case Happened.SHUTDOWN:
                return self.on_shutdown
            case Happened.REBOOT:
                return self.on_reboot
            case Happened.CRASH:
                return self.on_crash


def happened(kind: EventKind, detail: str) -> Happened | None:
    """Return what an event of a guest means, if it is one to react to.

    Example:
        >>> happened(EventKind.STOPPED, "shutdown"), happened(EventKind.STOPPED, "failed")
        (<Happened.SHUTDOWN: 'shutdown'>, <Happened.CRASH: 'crash'>)
        >>> happened(EventKind.SUSPENDED, "paused") is None
        True
    """
    match kind:
        case EventKind.STOPPED if detail in WISHED | BY_HAND:
            return Happened.SHUTDOWN
        case EventKind.STOPPED | EventKind.CRASHED | EventKind.WATCHDOG:
            return Happened.CRASH
        case EventKind.REBOOTED:
            return Happened.REBOOT
        case _:
            return None


def exhausted(reactions: Reactions, restarts_s: Sequence[float], now_s: float) -> bool:
    """Say whether there have been as many restarts within the window as are allowed.

    Example:
        >>> exhausted(Reactions(limit=2, window_s=60), [10, 50], 65)
        True
        >>> exhausted(Reactions(limit=2, window_s=60), [10, 50], 75)
        False
    """
    return sum(now_s - at < reactions.window_s for at in restarts_s) >= reactions.limit
