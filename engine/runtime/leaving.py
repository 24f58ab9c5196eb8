"""Going down: what is held is let go of, for the ledger brings it back; ends begun are ended first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.wire.messages import Detach, Stop, Terminate

if TYPE_CHECKING:
    from engine.runtime.process import Process

ANSWER_S = 2.0
"""Seconds in which operations write down what came of ends that are over."""


async def let_go(process: Process, tasks: Iterable[asyncio.Task[object]]) -> None:
    """Let go of everything a process holds, without ending components.

    Ends that have begun are waited for, as long as the settings say: their hooks and undoings find
    everything as it was, and nothing is left half ended but what takes longer.

    Args:
        process: Takes no messages any more.
        tasks: What it does for itself.
    """
    await _finish_endings(process)
    process.letting_go = True
    await process.subprocesses.close()
    await process.operations.stop()
    await process.liveness.announce_restart()
    under_way: list[asyncio.Task[object]] = list(tasks)
    for live in process.lives.values():
        under_way.extend(live.tasks)
        if live.flow is not None:
            under_way.extend(live.flow.stop())
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    await process.finishing.stop()
    await process.relays.stop()
    process.peers.hang_up()
    await process.services.close()
    process.workers.close()
    process.ledger.close()


async def _finish_endings(process: Process) -> None:
    """Wait for the ends under way, those they lead to, and the operations that asked for them."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + process.settings.leave_timeout_s
    while ending := _ending(process):
        left_s = until_s - loop.time()
        if left_s <= 0:
            process.log.warning("%d components are still ending and left so", len(ending))
            return
        await asyncio.wait(ending, timeout=left_s)
    asked = _asked(process, Terminate, Detach)
    if asked:
        await asyncio.wait(asked, timeout=ANSWER_S)


def _ending(process: Process) -> set[asyncio.Task[None]]:
    endings = {
        live.ending
        for live in process.lives.values()
        if live.ending is not None and not live.ending.done()
    }
    return endings | _asked(process, Stop)


def _asked(process: Process, *kinds: type[Struct]) -> set[asyncio.Task[None]]:
    return {
        operation.task
        for operation in process.operations.under_way_now
        if isinstance(operation.op, kinds) and operation.task is not None
    }
