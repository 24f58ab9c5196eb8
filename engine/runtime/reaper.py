"""The reaper: goes on undoing what could not be undone in time, until it is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.runtime.ledger import drop_effect
from engine.runtime.live import Made

if TYPE_CHECKING:
    from engine.runtime.process import Process

KEPT = "kept for a while"
"""Why something is to be undone that nothing is wrong with."""
FIRST_S, MOST_S = 1.0, 300.0
"""Seconds before the second attempt, and at most between two; doubled each time."""


class Item:
    """One effect the reaper works on."""

    __slots__ = ("attempts", "due_s", "error", "made", "since_s")

    def __init__(self, made: Made, now_s: float, due_s: float) -> None:
        """Take the effect, since when it is pending, and when to try it next."""
        self.made = made
        self.since_s = now_s
        self.attempts = 0
        self.due_s = due_s
        self.error = made.row.error


class Reaper:
    """Retries undos with back-off; an effect in doubt is tried as soon as its thread returns."""

    def __init__(self, process: Process) -> None:
        """Serve one process; `run` does the work."""
        self._process = process
        self._items: dict[int, Item] = {}
        self._wake = asyncio.Event()
        self._busy: dict[int, asyncio.Lock] = {}

    def add(self, made: Made, after_s: float = FIRST_S) -> None:
        """Take over an effect whose undo failed, or that is to be undone after a while."""
        loop = asyncio.get_running_loop()
        self._items[made.row.id] = Item(made, loop.time(), loop.time() + after_s)
        for future in list(made.site.pending):
            future.add_done_callback(lambda _: self._at_once(made.row.id))
        self._wake.set()

    def forget(self, made: Made) -> None:
        """Leave an effect in place after all."""
        self._items.pop(made.row.id, None)
        self._busy.pop(made.row.id, None)

    def _at_once(self, row_id: int) -> None:
        item = self._items.get(row_id)
        if item is not None:
            item.due_s = asyncio.get_running_loop().time()
            self._wake.set()

    def pending(self, application: str, path: str = "") -> list[Item]:
        """Return what is still to be undone of an application, or at just this path."""
        return [
            item
            for item in self._items.values()
            if item.made.row.application == application and path in {"", item.made.row.path}
        ]

    def owed(self, segment: str) -> list[str]:
        """Describe what a part that has ended has left behind and ought not to, one line each."""
        return [
            f"{item.made.row.path}: {item.made.effect.label()}: {item.error}"
            for item in self._items.values()
            if item.made.row.segment == segment and not item.made.row.due_ms
        ]

    @property
    def items(self) -> tuple[Item, ...]:
        """Return everything that is still to be undone."""
        return tuple(self._items.values())

    def lines(self) -> list[str]:
        """Describe everything pending, one line each."""
        return [
            f"{item.made.row.path}: {item.made.effect.label()}: {item.error}"
            for item in self._items.values()
        ]

    async def retry(self, item: Item) -> bool:
        """Try one undo now; say whether the thing is gone."""
        row_id = item.made.row.id
        lock = self._busy.setdefault(row_id, asyncio.Lock())
        async with lock:
            if row_id not in self._items:
                return True
            text = await self._process.keeper.attempt(
                item.made, 0.5 if item.made.site.pending else 30.0
            )
            if text is None:
                del self._items[row_id]
                self._busy.pop(row_id, None)
                self._process.ledger.lazy(drop_effect(row_id))
                self._process.events.note(
                    None, "info", f"undone after all: {item.made.effect.label()}"
                )
                return True
            item.error = text
            item.attempts += 1
            wait = min(MOST_S, FIRST_S * 2 ** min(item.attempts, 16))
            item.due_s = asyncio.get_running_loop().time() + wait
            return False

    async def run(self) -> None:
        """Work for ever; cancelled when the process stops."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = loop.time()
            due = [item for item in self._items.values() if item.due_s <= now]
            for item in due:
                await self.retry(item)
            if due:
                continue
            waits = [item.due_s - now for item in self._items.values()]
            try:
                async with asyncio.timeout(max(0.01, min(waits)) if waits else None):
                    await self._wake.wait()
            except TimeoutError:
                continue
