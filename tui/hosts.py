"""What the console knows of each daemon."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reach(Enum):
    """How a daemon stands to the console."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    SAME = "same"  # another name for a daemon that is followed already


@dataclass
class HostView:
    """One daemon.

    Attributes:
        address: `host:port` as it was asked for.
        listed: Asked for by the user; others are followed because components live there.
        heard_s: When it answered last, on the console's clock; nothing if it never did.
        why: Why it is lost, or whose other name it is.
        insecure: It runs without TLS.
    """

    address: str
    listed: bool
    reach: Reach = Reach.CONNECTING
    name: str = ""
    daemon: str = ""
    heard_s: float | None = None
    why: str = ""
    insecure: bool = False
    components: int = 0

    @property
    def label(self) -> str:
        """Return what to call it in little space."""
        return self.name or self.address

    def age_s(self, now_s: float) -> float | None:
        """Return the age of what is known of it, or nothing if nothing is known."""
        return None if self.heard_s is None else max(0.0, now_s - self.heard_s)
