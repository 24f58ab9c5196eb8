"""Is the guest there? By event at once, and by looking every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import (
    DomainEvent,
    DomainState,
    EventKind,
    Happenings,
    Hypervisor,
)
from engine.core.records import Record

GOOD = {DomainState.RUNNING, DomainState.BLOCKED, DomainState.PAUSED, DomainState.PMSUSPENDED}
ENDS = {EventKind.STOPPED, EventKind.CRASHED, EventKind.UNDEFINED}
WISHED = {"shutdown", "guest", "host"}
LOST = {"Unreachable", "Timeout"}


class GuestWatch:
    """Watches one guest until it has ended, and says why it did."""

    def __init__(
        self, *, name: str, uuid: str, delay_s: float, factor: int, grace_s: float, polling: bool
    ) -> None:
        """Take whom to watch, seconds between looks, and how many must fail in a row."""
        self._name = name
        self._uuid = uuid
        self._delay_s = delay_s
        self._factor = factor
        self._grace_s = grace_s
        self._polling = polling
        self._failed = 0
        self._last_good_s = 0.0
        self._unreachable_since_s: float | None = None

    async def run(self, hypervisor: Hypervisor, seen: Callable[[str], None]) -> Record:
        """Watch until the guest has ended; return the record to end with."""
        self._last_good_s = asyncio.get_running_loop().time()
        happenings = hypervisor.happenings()
        try:
            first = await self._look(hypervisor, seen)
            if first is not None and self._failed >= self._factor:
                return first
            event = asyncio.ensure_future(self._by_event(hypervisor, happenings, seen))
            looks = asyncio.ensure_future(self._by_looking(hypervisor, seen))
            try:
                done, _ = await asyncio.wait({event, looks}, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()
            finally:
                for task in (event, looks):
                    task.cancel()
                await asyncio.gather(event, looks, return_exceptions=True)
        finally:
            await happenings.aclose()

    def trouble(self, now_s: float) -> str:
        """Say what is wrong, in constant time; empty when all is well or cannot be told."""
        limit_s = self._delay_s * self._factor + 1.0
        if not self._polling or now_s - self._last_good_s <= limit_s:
            return ""
        since = self._unreachable_since_s
        if since is not None and now_s - since <= self._grace_s:
            return ""
        return f"domain {self._name} was last seen well {now_s - self._last_good_s:.0f} s ago"

    async def _by_event(
        self, hypervisor: Hypervisor, happenings: Happenings, seen: Callable[[str], None]
    ) -> Record:
        async for event in happenings:
            if event.kind is EventKind.MISSED:
                record = await self._look(hypervisor, seen)
                if record is not None:
                    return record
            elif event.uuid == self._uuid and event.kind in ENDS:
                return self._record(event)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def _record(self, event: DomainEvent) -> Record:
        text = f"domain {self._name} ({self._uuid}) {event.kind.value}: {event.detail}"
        if event.kind is EventKind.STOPPED and event.detail in WISHED:
            return Record.normal(text)
        return Record.abnormal(text)

    async def _by_looking(self, hypervisor: Hypervisor, seen: Callable[[str], None]) -> Record:
        while True:
            await asyncio.sleep(self._delay_s if self._polling else 3600.0)
            if not self._polling:
                continue
            record = await self._look(hypervisor, seen)
            if record is not None and self._failed >= self._factor:
                return record

    async def _look(self, hypervisor: Hypervisor, seen: Callable[[str], None]) -> Record | None:
        """Look once; return why the guest counts as gone, or nothing."""
        now = asyncio.get_running_loop().time()
        try:
            facts = await hypervisor.fact(self._uuid)
        except HypervisorError as error:
            if self._unreachable_since_s is None:
                self._unreachable_since_s = now
            if error.kind in LOST and now - self._unreachable_since_s <= self._grace_s:
                return None
            self._failed += 1
            return Record.abnormal(
                f"domain {self._name}: the hypervisor does not answer: {error.message}"
            )
        self._unreachable_since_s = None
        if facts is None:
            self._failed = self._factor
            return Record.abnormal(f"domain {self._name} ({self._uuid}) is not there any more")
        seen(facts.state.value)
        if facts.state in GOOD:
            self._failed = 0
            self._last_good_s = now
            return None
        self._failed += 1
        text = f"domain {self._name} ({self._uuid}) is {facts.state.value}: {facts.reason}"
        return Record.abnormal(text)
