"""Who holds what, who leads, who is there: sessions with ZooKeeper or in memory, and locks."""

from components.coordination.lock import Lock
from components.coordination.protocol import Claim, Session, SessionLost, Standing, Taken

__all__ = ["Claim", "Lock", "Session", "SessionLost", "Standing", "Taken"]
