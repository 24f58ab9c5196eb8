"""What follows when a component has done its job: it stays, goes, or leaves its parent first."""

from __future__ import annotations

import asyncio

from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.settling import settle

_FLAGS = ("sfShouldDetach", "sfShouldTerminate", "sfShouldTerminateQuietly")


async def grown(prim: Prim) -> None:
    """Wait until the tree the component is in has started."""
    hold = prim.live.process.growth_of(prim.live)
    if hold is not None:
        started = asyncio.Event()
        hold(started.set)
        await started.wait()


async def leave_parent(prim: Prim) -> None:
    """Make an application of a component that is none yet, once its tree has started."""
    await grown(prim)
    live = prim.live
    if live.parent is not None or live.segment.parent is not None:
        await live.process.detaching.cut(live)


async def job_done(prim: Prim, record: Record) -> None:
    """Do what the `sfShould...` attributes say, once the tree has started; a failure always ends."""
    if record.is_normal:
        await grown(prim)
    await settle(prim.live.process, prim.live, record)


def done_with(prim: Prim, text: str) -> None:
    """Say at the end of `on_start` that the job is done; without a flag nothing follows."""
    if any(prim.live.flag(name) for name in _FLAGS):
        prim.spawn(job_done(prim, Record.normal(text)))
