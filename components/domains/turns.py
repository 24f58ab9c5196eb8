"""Whose turn it is with a machine: one act at a time, and those that wish to wait in line, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.core.faults import BadDescription, Busy, Ended

MOST = 8
"""So many acts of one machine may wait at a time."""
LONGEST_S = 3600.0
"""Most seconds one may wait."""


class Turns:
    """The turns of one machine."""

    def __init__(self, where: Callable[[], str]) -> None:
        """Have nobody in line.

        Args:
            where: Gives the name of the machine, for errors.
        """
        self._where = where
        self._name = ""
        self._began_s = 0.0
        self._line: list[asyncio.Future[None]] = []

    @property
    def name(self) -> str:
        """Return who has the turn; empty: nobody."""
        return self._name

    def refuse_second(self) -> None:
        """Refuse while somebody has the turn, or waits for it.

        Raises:
            Busy: Somebody does; the text says what, and since when.
        """
        if self._name or self._line:
            raise self._busy("wait until it is done, cancel it, or say how long this one may wait")

    def _busy(self, hint: str, more: str = "") -> Busy:
        age_s = asyncio.get_running_loop().time() - self._began_s
        text = f"{self._name} has been under way for {age_s:.0f} s{more}" if self._name else (
            f"{len(self._line)} acts are about to have their turn{more}"
        )  # fmt: skip
        return Busy(text, code="SF-DOM-021", where=self._where(), hint=hint)

    async def take(self, name: str, limit_s: float, tell: Callable[[str], None]) -> None:
        """Have the turn, at once or after those who came before; who has it gives it back.

        Args:
            name: Of the act.
            limit_s: Most seconds to wait; 0: be refused if somebody has it.
            tell: Is told what it waits for.

        Raises:
            Busy: Somebody has it, and goes on having it; or too many wait.
            Ended: The machine ended meanwhile.
            BadDescription: One cannot wait so long.
        """
        if not 0 <= limit_s <= LONGEST_S:
            raise BadDescription(
                f"wait must be from 0 to {LONGEST_S:g} s (got {limit_s:g})", code="SF-ATTR-001",
                where=self._where(),
            )  # fmt: skip
        if self._name or self._line:
            if not limit_s:
                self.refuse_second()
            if len(self._line) >= MOST:
                raise self._busy("try again later", f", and {MOST} others wait already")
            await self._stand_in_line(limit_s, tell)
        self._name, self._began_s = name, asyncio.get_running_loop().time()

    async def _stand_in_line(self, limit_s: float, tell: Callable[[str], None]) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        before = len(self._line) - 1
        tell(f"waits for its turn after {self._name or 'others'}" + (
            f" and {before} more" if before else ""
        ))  # fmt: skip
        try:
            async with asyncio.timeout(limit_s):
                await turn
        except BaseException as error:
            self._line.remove(turn)
            self._call_next()
            if isinstance(error, TimeoutError):
                more = f"; {limit_s:g} s were waited"
                raise self._busy("wait longer, or cancel it", more) from None
            raise
        self._line.remove(turn)

    def give_back(self) -> None:
        """Have the next one in line go on."""
        self._name = ""
        self._call_next()

    def _call_next(self) -> None:
        if not self._name and self._line and not self._line[0].done():
            self._line[0].set_result(None)

    def end(self) -> None:
        """Tell all in line that the machine ends."""
        for turn in self._line:
            if not turn.done():
                turn.set_exception(Ended("it ended before its turn came", where=self._where()))
