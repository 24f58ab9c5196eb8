"""Finishing after a restart what a component was making in its last moments.

Most of what is half made when a process dies is undone. Some things are made at a component's end, out
of what it made before, such as an image saved from a volume: undoing those, and then what they are made
of, would lose what was to be kept. They are made again, in the background; what else the component had
made waits for that, and stays if it fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.core.faults import EngineError, Refused, fault_of
from engine.runtime.effects import NameTaken, Presence
from engine.runtime.keeper import seconds_of
from engine.runtime.ledger import EffectRow, drop_effect
from engine.runtime.live import Made

if TYPE_CHECKING:
    from engine.runtime.process import Process

LIMIT_S = 3600.0
"""Seconds one effect has to be finished."""
Place = tuple[str, int]


class Finishing:
    """Finishes effects of components that are gone, each component by itself."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, rows: Sequence[EffectRow]) -> tuple[list[EffectRow], set[Place]]:
        """Take over all rows of every component that has something to finish.

        Args:
            rows: What the ledger holds, in the order it was made.

        Returns:
            The other rows, and the path and incarnation of the components taken over.
        """
        places = {(row.path, row.incarnation) for row in rows if self._is_to_finish(row)}
        for place in places:
            try:
                self._begin([row for row in rows if (row.path, row.incarnation) == place])
            except (EngineError, ValueError) as error:
                text = f"{place[0]}: effects cannot be read and are left: {fault_of(error).message}"
                self._process.events.note(None, "error", text)
        return [row for row in rows if (row.path, row.incarnation) not in places], places

    def _is_to_finish(self, row: EffectRow) -> bool:
        if row.state not in {"intent", "made"}:
            return False
        try:
            return self._process.types.effect(row.class_).finishes
        except EngineError:
            return False

    def _begin(self, rows: list[EffectRow]) -> None:
        process = self._process
        restored = [process.keeper.restore(row) for row in rows if row.survival == "host"]
        last = [made for made in restored if made.effect.finishes]
        others = [made for made in restored if not made.effect.finishes]
        for row in rows:
            if row.survival == "process":
                process.ledger.lazy(drop_effect(row.id))
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        for made in others:
            made.row = replace(made.row, error=f"waits for {last[-1].effect.label()}")
            made.site.watch(done)
            process.reaper.add(made)
        task = asyncio.get_running_loop().create_task(
            self._finish(last, others, done), name=f"finish {rows[0].path}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, last: list[Made], others: list[Made], done: asyncio.Future[object]
    ) -> None:
        process = self._process
        for made in last:
            label, path = made.effect.label(), made.row.path
            try:
                async with asyncio.timeout(LIMIT_S):
                    await self._make(made)
            except Exception as error:
                process.log.exception("%s of %s could not be finished", label, path)
                await process.keeper.undo(made, 30.0)
                for other in others:
                    if _stays(other):  # and is watched: an attempt under way must not go on
                        process.reaper.forget(other)
                        process.ledger.lazy(drop_effect(other.row.id))
                    else:
                        other.site.pending.discard(done)
                why = fault_of(error).message
                text = f"{path}: {label} could not be finished, the rest stays: {why}"
                process.events.note(None, "error", text)
                return
            process.events.note(None, "info", f"{path}: {label} finished after the restart")
        self._settle(last[-1].effect.keep_others, others)
        for made in last:
            process.ledger.lazy(drop_effect(made.row.id))
        done.set_result(None)

    async def _make(self, made: Made) -> None:
        presence = await made.effect.look(made.site)
        if presence is Presence.FOREIGN:
            raise NameTaken(f"{made.effect.label()} exists already and is not ours")
        if presence is Presence.UNKNOWN:
            raise Refused(f"cannot tell whether {made.effect.label()} is there already")
        if presence is Presence.ABSENT:
            await made.effect.make(made.site)

    def _settle(self, keep: str, others: list[Made]) -> None:
        """Leave what is to stay; what is to go is undone by the reaper as soon as all is done."""
        after_s = seconds_of(keep)
        for made in filter(_stays, others):
            if keep == "always":
                self._process.reaper.forget(made)
                self._process.ledger.lazy(drop_effect(made.row.id))
            elif after_s is not None:
                self._process.reaper.forget(made)
                self._process.keeper.undo_later(made, after_s)

    async def stop(self) -> None:
        """Stop; the ledger brings back what is not finished."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _stays(made: Made) -> bool:
    """Say whether an effect was to be left, before it was known what becomes of it."""
    return made.row.keep == "always"
