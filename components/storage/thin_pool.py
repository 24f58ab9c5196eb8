"""How full a thin pool of logical volumes is, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from engine.core.decoding import from_json
from engine.runtime.effects import Executor

FULL_PERCENT, ALARM_PERCENT = 90, 95
"""With more of its data or metadata in use it takes no further volume; with more, it is told of."""
WATCH_S = 60.0
"""Seconds between two looks."""


class ThinPool(Struct, frozen=True):
    """What LVM says of a thin pool, in percent as text; empty where it says nothing."""

    data_percent: str = ""
    metadata_percent: str = ""

    @property
    def full_percent(self) -> float:
        """Return how much of it is in use: of its data or its metadata, whichever is more."""
        return max(float(self.data_percent or 0), float(self.metadata_percent or 0))


class _Listing(Struct, frozen=True):
    lv: tuple[ThinPool, ...] = ()


class _Report(Struct, frozen=True):
    report: tuple[_Listing, ...] = ()


def question(group: str, name: str) -> tuple[str, ...]:
    """Return the command that asks how full a thin pool is."""
    what = ("-o", "data_percent,metadata_percent", "-S", f"vg_name={group} && lv_name={name}")
    return ("lvs", "--reportformat", "json", "--units", "b", "--nosuffix", *what)


async def thin_pools(executor: Executor, group: str, name: str) -> tuple[ThinPool, ...]:
    """Ask how full a thin pool is; nothing if there is none."""
    output = await executor.run(question(group, name), input_=b"", timeout_s=60)
    if output.status != 0:
        return ()
    report = from_json(output.stdout, _Report).report
    return tuple(pool for listing in report for pool in listing.lv)


def trouble_with_pool(pools: Sequence[ThinPool], name: str) -> str:
    """Say why a thin pool takes no further volume; nothing if it does.

    Example:
        >>> trouble_with_pool([ThinPool("91.00", "3.00")], "vg1/thin")
        'thin pool vg1/thin is 91 % full'
    """
    if not pools:
        return f"there is no thin pool {name}"
    full = pools[0].full_percent
    return f"thin pool {name} is {full:g} % full" if full > FULL_PERCENT else ""


def alarm_about(pools: Sequence[ThinPool], name: str) -> str:
    """Say what will happen to the volumes of a thin pool if nobody acts; nothing if all is well.

    Example:
        >>> alarm_about([ThinPool("94.99", "95.01")], "vg1/thin")[:34]
        'thin pool vg1/thin is 95.01 % full'
        >>> alarm_about([ThinPool("95.00")], "vg1/thin")
        ''
    """
    if pools and pools[0].full_percent > ALARM_PERCENT:
        full = f"{pools[0].full_percent:g} % full"
        return f"thin pool {name} is {full}: writes will fail when it is; extend it: lvextend"
    return ""
