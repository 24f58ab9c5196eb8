"""What becomes of a component whose job is done, and of trees that are let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.events import Restarted
from engine.core.flows import CutOff
from engine.core.records import Record
from engine.runtime.live import Live, RemotePart
from engine.wire.messages import Detach

if TYPE_CHECKING:
    from engine.runtime.process import Process

CUT_S = 60.0


async def settle(process: Process, live: Live, record: Record) -> None:
    """Do what the `sfShould...` attributes say once a job is done; a failure always ends.

    Args:
        process: Where the component is held.
        live: The component.
        record: How the job ended.
    """
    if not record.is_normal:
        process.finish(live, record)
        return
    quietly = live.flag("sfShouldTerminateQuietly")
    if live.flag("sfShouldDetach"):
        await _cut(process, live)
    if quietly:
        await _end_quietly(process, live, record)
    elif live.flag("sfShouldTerminate"):
        process.finish(live, record)
    else:
        process.events.publish(live, Restarted(f"its job is done: {record.sentence()}"))


async def cut_off(process: Process, live: Live, do: CutOff) -> None:
    """Carry out `CutOff`, one after the other."""
    for child in list(live.children.values()) if do.children else ():
        if isinstance(child, RemotePart):
            if child.root is not None:
                await process.peers.submit(
                    child.address, Detach(ident=child.root.ident), request_id=process.new_id(),
                    budget_s=CUT_S,
                )  # fmt: skip
        else:
            await process.detaching.cut(child)
    if do.itself:
        await _cut(process, live)
    if do.record is not None:
        process.finish(live, do.record)


async def _cut(process: Process, live: Live) -> None:
    if live.parent is not None or live.segment.parent is not None:
        await process.detaching.cut(live)


async def _end_quietly(process: Process, live: Live, record: Record) -> None:
    if live.parent is None:
        await _cut(process, live)
        process.finish(live, record)
        return
    parent, name = live.parent, live.name
    ending = process.ending.end(live, record)

    async def leave() -> None:
        await asyncio.shield(ending)
        process.detaching.leave(parent, name)
        process.write_fate(parent, name, "dropped", None)

    process.spawn(leave())
