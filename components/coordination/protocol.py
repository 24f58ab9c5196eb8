"""What coordination offers: a session with others, and what one has by it.

Everything one holds (a claim, a presence) belongs to a session, and is gone for all when the session
is. A session lives as long as its side is heard of. Whether one still has it is answered by one's own
clock: a side that was not answered for the length of the session must take it for lost, because the
others may. So no two ever hold the same claim, as long as a holder asks `held` before it acts, or has
whom it commands compare the `fence`.

Taking the lead is a claim like any other: the contenders queue, the first leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol, TypeAlias

from engine.core.faults import EngineError, Kind

Members: TypeAlias = Mapping[str, bytes]


class Standing(Enum):
    """How a session stands: answered lately, not answered just now, or over for good."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


class SessionLost(EngineError):
    """The session is over, and everything held by it; only a new one helps."""

    kind = Kind.ENDED


class Taken(EngineError):
    """Somebody else holds the claim; the message says who."""

    kind = Kind.REFUSED


class Claim(Protocol):
    """Something that at most one session holds at a time: a lock, or the lead.

    Attributes:
        path: What is held.
        fence: Greater for each later holder; who is commanded refuses a lower one than it has seen.
    """

    @property
    def path(self) -> str:
        """Return what is held."""
        ...

    @property
    def fence(self) -> int:
        """Return a number that is greater for each later holder."""
        ...

    @property
    def held(self) -> bool:
        """Say whether it is held at this moment, by the holder's own clock."""
        ...

    async def lost(self) -> str:
        """Wait until it is lost without having been given back; return why."""
        ...

    async def release(self) -> None:
        """Give it back; success if it is not held any more."""
        ...


class Session(Protocol):
    """One's standing with the others; made by `ZooKeeperSession.open`, or in memory for tests.

    Every operation raises `SessionLost` when the session is over, and is bounded by its length.
    """

    @property
    def standing(self) -> Standing:
        """Return how the session stands, by one's own clock."""
        ...

    @property
    def length_s(self) -> float:
        """Return after how many seconds of silence it is over, as agreed with the other side."""
        ...

    def told(self, listener: Callable[[Standing], None]) -> None:
        """Call this, on the loop, whenever the standing changes."""
        ...

    async def lost(self) -> str:
        """Wait until the session is lost; return why. One that is closed is not lost."""
        ...

    async def claim(self, path: str, who: str, wait_s: float | None = None) -> Claim:
        """Queue for a claim and return once it is held.

        Args:
            path: What is claimed, such as `/locks/x` or `/election`.
            who: Shown to those who contend for it too.
            wait_s: Seconds to wait; 0: do not; nothing: for ever.

        Raises:
            Taken: Another still held it when the time was over.
        """
        ...

    async def contenders(self, path: str) -> tuple[str, ...]:
        """Return who queues for a claim, the holder first."""
        ...

    async def announce(self, path: str, data: bytes) -> None:
        """Be present under a path as long as the session lives, or say something else there.

        Raises:
            Taken: Another session is present there.
        """
        ...

    async def withdraw(self, path: str) -> None:
        """Be present there no longer."""
        ...

    async def members(self, path: str) -> Members:
        """Return who is present directly below a path, by name, and what they say."""
        ...

    async def follow(self, path: str, told: Callable[[Members], None]) -> None:
        """Call this, on the loop, with who is present below a path: now, and after each change."""
        ...

    async def raised(self, path: str) -> int:
        """Raise a lasting counter by one and return it; no two callers get the same number."""
        ...

    async def close(self) -> None:
        """End the session in order: what is held is free for others at once."""
        ...
