"""The numbers of a daemon at one moment, taken on its loop."""

from __future__ import annotations

import time

from msgspec import Struct

from engine.core.faults import EngineError
from engine.runtime.census import Counts, whole_census
from engine.runtime.process import Process
from engine.runtime.tally import Durations
from engine.runtime.workers import PoolUse


class Snapshot(Struct, frozen=True):
    """What metrics show; see `engine.upkeep.metrics` for the meaning of each.

    Attributes:
        expiries_s: Seconds left of each certificate, by what it is for.
    """

    node: str
    version: str
    state: str
    up_s: float
    components: Counts
    applications: int
    segments: int
    subprocesses: int
    operations: dict[tuple[str, str], int]
    running: int
    phases: dict[str, tuple[list[tuple[float, int]], int, float]]
    lag: tuple[list[tuple[float, int]], int, float]
    misses: int
    restarts: int
    denied: int
    reaper: int
    pools: list[PoolUse]
    ledger_waiting: int
    expiries_s: dict[str, float]


async def snapshot(process: Process) -> Snapshot:
    """Take the numbers; called on the loop."""
    tally = process.tally
    return Snapshot(
        node=process.node_name,
        version=process.version,
        state=process.state,
        up_s=time.monotonic() - process.began_s,
        components=await whole_census(process),
        applications=len(process.apps),
        segments=len(process.segments),
        subprocesses=len(process.subprocesses.addresses),
        operations=dict(tally.operations),
        running=process.operations.running,
        phases={name: _seen(durations) for name, durations in tally.phases.items()},
        lag=_seen(tally.lag),
        misses=tally.misses,
        restarts=tally.restarts,
        denied=tally.denied,
        reaper=len(process.reaper.items),
        pools=[process.workers.usage(), *process.services.usage()],
        ledger_waiting=process.ledger.waiting,
        expiries_s=_expiries(process),
    )


def _seen(durations: Durations) -> tuple[list[tuple[float, int]], int, float]:
    return durations.cumulative(), durations.count, durations.total_s


def _expiries(process: Process) -> dict[str, float]:
    try:
        return {each.what: each.expires_s - time.time() for each in process.certificates()}
    except EngineError:
        return {}
