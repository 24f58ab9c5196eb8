"""Long things that components offer to other processes, piece by piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from engine.core.faults import NotFound, Refused
from engine.wire.messages import Piece, PullPiece

MOST_BYTES = 2**20
"""Greatest piece."""
LONGEST_NAME = 200

Offer: TypeAlias = Callable[[PullPiece], Awaitable[Piece | None]]
"""Gives a piece, or nothing if it does not have what is wanted."""


class Pieces:
    """What the components of one process offer."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._offers: dict[str, Offer] = {}

    def offer(self, name: str, offer: Offer) -> None:
        """Offer something from now on, under a name by which it can be withdrawn."""
        self._offers[name] = offer

    def withdraw(self, name: str) -> None:
        """Offer it no more."""
        self._offers.pop(name, None)

    async def answer(self, wanted: PullPiece) -> Piece:
        """Give a piece.

        Raises:
            Refused: The request is out of range.
            NotFound: Nobody here offers it.
        """
        if not (0 <= wanted.offset < 2**62 and 0 <= wanted.limit <= MOST_BYTES):
            raise Refused(f"a piece has at most {MOST_BYTES} bytes", code="SF-WIRE-002")
        if len(wanted.name) > LONGEST_NAME or len(wanted.reader) > LONGEST_NAME:
            raise Refused("the name of what is wanted is too long", code="SF-WIRE-002")
        for offer in list(self._offers.values()):
            found = await offer(wanted)
            if found is not None:
                return found
        raise NotFound(f"nobody here offers {wanted.name}", code="SF-WIRE-003")
