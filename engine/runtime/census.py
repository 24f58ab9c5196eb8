"""How many components of which type are in which state, here and in the sub-processes of this host."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from engine.core.faults import EngineError
from engine.wire.messages import Census, ReadCensus

if TYPE_CHECKING:
    from engine.runtime.process import Process

MOST_TYPES, MOST_PROCESSES = 200, 64
OTHER = "other"
ASK_S = 1.0
"""Seconds a sub-process gets to answer."""

Counts = dict[tuple[str, str, str], int]
"""Components by process, type and state."""


def census(process: Process) -> Census:
    """Count the components held here by type and state; types beyond a bound are counted together."""
    found: Counter[tuple[str, str]] = Counter()
    names: set[str] = set()
    for live in process.lives.values():
        kind = type(live.prim)
        name = kind.type_name or f"{kind.__module__}.{kind.__qualname__}"
        if name not in names and len(names) >= MOST_TYPES:
            name = OTHER
        names.add(name)
        found[name, live.state.value] += 1
    return Census(tuple((*key, count) for key, count in sorted(found.items())))


async def whole_census(process: Process) -> Counts:
    """Count here and in all sub-processes; one that does not answer at once is left out.

    Processes beyond a bound are counted together, since their names are users'.
    """
    addresses = process.subprocesses.addresses
    asked = await asyncio.gather(*(_of(process, address) for address in addresses.values()))
    lists = [(process.settings.process, census(process)), *zip(addresses, asked, strict=True)]
    found: Counter[tuple[str, str, str]] = Counter()
    for number, (name, counted) in enumerate(lists):
        label = name if number < MOST_PROCESSES else OTHER
        for kind, state, count in counted.components if counted is not None else ():
            found[label, kind, state] += count
    return dict(found)


async def _of(process: Process, address: str) -> Census | None:
    try:
        answer = await process.peers.read(address, ReadCensus(), ASK_S)
    except EngineError:
        return None
    return answer if isinstance(answer, Census) else None
