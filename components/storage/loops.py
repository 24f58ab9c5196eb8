"""Loop devices: a host may have few of them, so those who mount volumes take turns."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from components.hosts.reservations import Gate
from engine.runtime.effects import Site


class Loops:
    """Turns at a loop device, of one process."""

    def __init__(self) -> None:
        """Let the first ones in."""
        self.gate = Gate()


@contextlib.asynccontextmanager
async def a_loop(at: Site, most: int) -> AsyncIterator[None]:
    """Wait until a loop device may be taken.

    Args:
        at: Where.
        most: How many of them volumes have at a time; 0: as many as the kernel gives.
    """
    if not most:
        yield
        return
    async with at.service(Loops).gate.turn(most):
        yield
