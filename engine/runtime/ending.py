"""Ending components: children first, hooks bounded, everything made undone, told once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.core.faults import fault_of
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.runtime.live import Live, RemotePart

if TYPE_CHECKING:
    from engine.runtime.process import Process

HOOK_GRACE_S = 2.0
Late: TypeAlias = list[asyncio.Future[None]]
"""Ends of parts on hosts that do not answer, awaited last of all."""

log = logging.getLogger("sf.ending")


class Ending:
    """Takes trees down in one process, and has the parts of others ended too."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    def end(
        self, live: Live, record: Record, *, orderly: bool = False, late: Late | None = None
    ) -> asyncio.Task[None]:
        """Begin to end a component and all below it; a later call gives the same task.

        Args:
            live: What ends; the first record stands.
            record: Why.
            orderly: One after the other, last created first, as a rollback wants it.
            late: Takes the ends of parts on hosts that do not answer, if the caller awaits those.

        Returns:
            The task that is done once everything is TERMINATED; it never fails.
        """
        if live.ending is not None:
            return live.ending
        live.record = record.begun_at(live.path, self._process.wall_s())
        live.state = State.TERMINATING
        live.ready = False
        live.since_s = asyncio.get_running_loop().time()
        self._process.events.state(live)
        self._process.readiness.wake(live)
        live.ending = asyncio.get_running_loop().create_task(
            self._end(live, live.record, orderly, late), name=f"end {live.path}"
        )
        return live.ending

    async def _end(self, live: Live, record: Record, orderly: bool, above: Late | None) -> None:  # noqa: FBT001 - passed on
        late: Late = [] if above is None else above
        if live is live.segment.root:
            await self._process.ledger.durable()  # that it is ending, before anything is undone
        await self._stop_work(live)
        if "on_ending" in type(live.prim).hooks:
            await self._hook(live, record, live.prim.on_ending)
        if live.children:
            await self._end_children(live, record, orderly, late)
        if "on_terminate" in type(live.prim).hooks:
            await self._hook(live, record, live.prim.on_terminate)
        await self._stop_tasks(live)
        if live.effects:
            await self._process.keeper.undo_all(live, record)
        if above is None:
            await self._all(late)
        live.state = State.TERMINATED
        live.since_s = asyncio.get_running_loop().time()
        self._process.events.state(live)
        self._process.unregister(live)

    async def _stop_work(self, live: Live) -> None:
        if live.flow is None:
            return
        works = live.flow.stop()
        if works:
            await asyncio.wait(works, timeout=120.0)

    async def _stop_tasks(self, live: Live) -> None:
        tasks = list(live.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=HOOK_GRACE_S)
        if live.threads:
            limit_s = live.seconds("sfTerminateTimeout", 30.0)
            await asyncio.wait(set(live.threads), timeout=limit_s)
            if live.threads:
                text = "work in a thread has not returned and was left behind"
                live.segment.leftovers.append(f"{live.path}: {text}")
                self._process.events.note(live, "error", text)

    async def _end_children(self, live: Live, record: Record, orderly: bool, late: Late) -> None:  # noqa: FBT001 - passed on
        """End the children in order; those on hosts that do not answer hold up nobody."""
        waves = self._waves(live, orderly=orderly)
        lost = [
            child
            for child in live.children.values()
            if isinstance(child, RemotePart) and self._process.parts.out_of_reach(child)
        ]
        late += [asyncio.ensure_future(self._end_part(part, record)) for part in lost]
        if waves is not None:
            for wave in waves:
                there = [live.children[name] for name in wave]
                await self._all(
                    [self._begin(child, record, late) for child in there if child not in lost]
                )
            return
        children = [child for child in reversed(live.children.values()) if child not in lost]
        if orderly:
            parts = [child for child in children if isinstance(child, RemotePart)]
            away = [asyncio.ensure_future(self._end_part(part, record)) for part in parts]
            for child in children:
                if isinstance(child, Live):
                    await self.end(child, record, orderly=True, late=late)
            await self._all(away)
        else:
            endings: list[asyncio.Future[None]] = []
            for index, child in enumerate(children):
                endings.append(self._begin(child, record, late))
                if index % 256 == 255:
                    await asyncio.sleep(0)
            await self._all(endings)

    def _waves(self, live: Live, *, orderly: bool) -> list[list[str]] | None:
        """Return the children in the waves they are ended in; nothing: all at once."""
        word = live.value("sfTerminateOrder")
        if word is None:
            word = "dependency" if live.order is not None and live.order.firm else "reverse"
        if word == "dependency":
            if live.order is None:
                self._process.phases.put_in_order(live)
            if live.order is not None:
                return [
                    [name for name in reversed(wave) if name in live.children]
                    for wave in reversed(live.order.waves)
                ]
        if orderly or not live.flag("sfSyncTerminate"):
            return None
        names = list(live.children)
        return [[name] for name in (names if word == "declared" else reversed(names))]

    def _begin(self, child: Live | RemotePart, record: Record, late: Late) -> asyncio.Future[None]:
        if isinstance(child, Live):
            return self.end(child, record, late=late)
        return asyncio.ensure_future(self._end_part(child, record))

    async def _all(self, endings: Sequence[asyncio.Future[None]]) -> None:
        for ending in endings:
            await asyncio.shield(ending)

    async def _end_part(self, part: RemotePart, record: Record) -> None:
        segment = part.parent.segment
        segment.leftovers.extend(await self._process.parts.end(part, record, segment.errors))

    async def _hook(
        self, live: Live, record: Record, function: Callable[[Record], Coroutine[Any, Any, None]]
    ) -> None:
        limit_s = live.seconds("sfTerminateTimeout", 30.0)
        name = function.__name__
        hook = asyncio.ensure_future(_enclosed(live, function, record))
        with self._process.tally.hook(
            live.path, type(live.prim).__name__, name.removeprefix("on_")
        ):
            done, _ = await asyncio.wait({hook}, timeout=limit_s)
        if not done:
            hook.cancel()
            await asyncio.wait({hook}, timeout=HOOK_GRACE_S)
            self._trouble(live, f"{name} did not end within {limit_s:g} s")
            return
        with contextlib.suppress(asyncio.CancelledError):
            error = hook.exception()
            if error is not None:
                log.warning("%s: %s failed", live.path, name, exc_info=error)
                self._trouble(live, f"{name} failed: {fault_of(error).message}")

    def _trouble(self, live: Live, text: str) -> None:
        live.segment.errors.append(f"{live.path}: {text}")
        self._process.events.note(live, "warning", text)


async def _enclosed(
    live: Live, function: Callable[[Record], Coroutine[Any, Any, None]], record: Record
) -> None:
    with live.prim.during(function.__name__.removeprefix("on_")):
        await function(record)
