"""Is the guest there and well? By event at once, and by looking every few seconds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from components.domains.methods import Method
from components.domains.prober import Prober
from components.domains.reactions import Happened, Reactions, exhausted, happened
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import (
    DomainEvent,
    DomainState,
    EventKind,
    Happenings,
    Hypervisor,
    Status,
)
from engine.core.faults import EngineError, fault_of
from engine.core.records import Record

GOOD = {DomainState.RUNNING, DomainState.BLOCKED, DomainState.PAUSED, DomainState.PMSUSPENDED}
BAD_PAUSES = {"io-error", "watchdog", "crashed", "postcopy-failed", "api-error"}
"""Why a guest is paused, in the hypervisor's words, when nobody wanted that."""
LOST = {"Unreachable", "Timeout"}


class Looks(Struct, frozen=True):
    """How a guest is looked at.

    Attributes:
        methods: In which ways, apart from events.
        delay_s: Seconds between two looks.
        factor: How many must fail in a row.
        grace_s: Seconds an unreachable hypervisor is not held against the guest.
        polling: Whether to look at all; else only events count.
    """

    methods: tuple[Method, ...]
    delay_s: float
    factor: int
    grace_s: float
    polling: bool


class Guest(Protocol):
    """What the watch needs of whose guest it watches."""

    def seen(self, state: str, reason: str) -> None:
        """Take in the run state, and why it is that."""

    def say(self, text: str) -> None:
        """Take in what people should know."""

    async def dump(self) -> str:
        """Write the memory of a guest that has crashed to a file; return which."""

    async def restart(self) -> None:
        """Stop the guest if it runs, and start it again."""

    def rebooted(self) -> None:
        """Take in that the guest boots anew by itself, and goes on."""


class Finding(Struct, frozen=True):
    """Something found out about a guest.

    Attributes:
        record: What the component would end with.
        happened: What it is, if there is a choice of what to do about it.
        round: How often the guest had been restarted then.
    """

    record: Record
    happened: Happened | None
    round: int


class GuestWatch:
    """Watches one guest until it has ended, and says why it did."""

    def __init__(
        self, *, name: str, uuid: str, looks: Looks, reactions: Reactions, prober: Prober,
        guest: Guest,
    ) -> None:  # fmt: skip
        """Take whom to watch, how, and what to do about what happens."""
        self._name = name
        self._uuid = uuid
        self._looks = looks
        self._reactions = reactions
        self._prober = prober
        self._guest = guest
        self._failed = 0
        self._last_good_s = math.inf  # not begun: nothing can be told
        self._looked_s = 0.0
        self._asked_s: float | None = None
        self._changed_s: Callable[[], float] = lambda: -math.inf
        self._last_trouble = ""
        self._unreachable_since_s: float | None = None
        self._resting = False
        self._restarts_s: list[float] = []
        self._findings: asyncio.Queue[Finding] = asyncio.Queue()

    async def run(self, hypervisor: Hypervisor) -> Record:
        """Watch until the guest has ended; return the record to end with."""
        self._last_good_s = asyncio.get_running_loop().time()
        self._changed_s = lambda: hypervisor.changed_s(self._uuid)
        happenings = hypervisor.happenings(self._uuid)
        tasks: list[asyncio.Task[Record]] = []
        try:
            await self._look(hypervisor)
            works = (
                self._by_event(hypervisor, happenings), self._by_looking(hypervisor),
                self._decide(hypervisor),
            )  # fmt: skip
            tasks = [asyncio.ensure_future(work) for work in works]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await happenings.aclose()

    def trouble(self, now_s: float) -> str:
        """Say what is wrong, in constant time; empty when all is well or cannot be told."""
        looks = self._looks
        limit_s = looks.delay_s * looks.factor + 1.0
        if not looks.polling or self._resting or now_s - self._last_good_s <= limit_s:
            return ""
        if self._changed_s() >= now_s:
            return ""
        since = self._asked_s if self._unreachable_since_s is None else self._unreachable_since_s
        if since is not None and now_s - since <= looks.grace_s:
            return ""
        why = f": {self._last_trouble}" if self._last_trouble else ""
        return f"domain {self._name} was last seen well {now_s - self._last_good_s:.0f} s ago{why}"

    # -- finding out

    async def _by_event(self, hypervisor: Hypervisor, happenings: Happenings) -> Record:
        async for event in happenings:
            if event.kind is EventKind.MISSED:
                await self._look(hypervisor)
            elif event.uuid == self._uuid:
                self._take(event)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def _take(self, event: DomainEvent) -> None:
        what = happened(event.kind, event.detail)
        text = f"domain {self._name} ({self._uuid}) {event.kind.value}: {event.detail}"
        if what is Happened.SHUTDOWN and event.detail != "destroyed":
            self._find(Record.normal(text), what)
        elif what is not None or event.kind is EventKind.UNDEFINED:
            self._find(Record.abnormal(text), what)

    def _find(self, record: Record, what: Happened | None) -> None:
        self._findings.put_nowait(Finding(record, what, len(self._restarts_s)))

    async def _by_looking(self, hypervisor: Hypervisor) -> Record:
        while True:
            await asyncio.sleep(self._looks.delay_s if self._looks.polling else 3600.0)
            if self._looks.polling:
                await self._look(hypervisor)

    async def _look(self, hypervisor: Hypervisor) -> None:
        """Look once; what has failed often enough is a finding."""
        self._looked_s = self._asked_s = now = asyncio.get_running_loop().time()
        try:
            status = await hypervisor.status(self._uuid)
        except HypervisorError as error:
            self._no_answer(error, now)
            return
        finally:
            self._asked_s = None
        self._unreachable_since_s = None
        if status is None:
            self._find(
                Record.abnormal(f"domain {self._name} ({self._uuid}) is not there any more"), None
            )
            return
        self._guest.seen(status.state.value, status.reason)
        if self._is_well(status):
            self._resting = False
            troubles = await self._prober.troubles(hypervisor, self._looks.methods)
            self._last_trouble = "; ".join(troubles)
            if troubles:
                self._fail(f"domain {self._name} does not do well: {'; '.join(troubles)}", None)
            else:
                self._failed, self._last_good_s = 0, self._unknown_s() or now
        elif not self._resting:
            text = f"domain {self._name} ({self._uuid}) is {status.state.value}: {status.reason}"
            self._fail(text, _meaning(status))
            if status.reason == "io-error" and status.active:
                await self._go_on(hypervisor)

    def _is_well(self, status: Status) -> bool:
        return status.state in GOOD and not (
            status.state is DomainState.PAUSED and status.reason in BAD_PAUSES
        )

    async def _go_on(self, hypervisor: Hypervisor) -> None:
        """Let a guest that stopped for want of space go on; it stops again if there is none yet."""
        self._guest.say("the guest is paused: its disk cannot be written, is it full?")
        try:
            await hypervisor.resume(self._uuid)
        except HypervisorError as error:
            self._guest.say(f"the guest cannot go on: {error.message}")

    def _no_answer(self, error: HypervisorError, now_s: float) -> None:
        if self._unreachable_since_s is None:
            self._unreachable_since_s = now_s
        if error.kind in LOST and now_s - self._unreachable_since_s <= self._looks.grace_s:
            return
        self._fail(f"domain {self._name}: the hypervisor does not answer: {error.message}", None)

    def _unknown_s(self) -> float:
        """Return the time if the guest was being changed since the present look began; else 0.

        A hypervisor answers nothing about a guest it plugs something into: that is no sign of death.
        """
        return asyncio.get_running_loop().time() if self._changed_s() >= self._looked_s else 0.0

    def _fail(self, text: str, what: Happened | None) -> None:
        if unknown_s := self._unknown_s():
            self._last_good_s = unknown_s
            return
        self._failed += 1
        if self._failed >= self._looks.factor:
            self._find(Record.abnormal(text), what)

    # -- deciding

    async def _decide(self, hypervisor: Hypervisor) -> Record:
        while True:
            finding = await self._findings.get()
            if finding.round == len(self._restarts_s):
                record = await self._react(hypervisor, finding)
                if record is not None:
                    return record

    async def _react(self, hypervisor: Hypervisor, finding: Finding) -> Record | None:
        """Do what is wanted; return the record to end with, if it is to end."""
        what = finding.happened
        if what is None:
            return finding.record
        if what is not Happened.REBOOT and await self._runs(hypervisor):
            return None  # news of before it was started again
        match self._reactions.to(what):
            case "terminate":
                return finding.record
            case "restart" | "recreate":
                return await self._restart(finding)
            case "dump":
                return await self._dumped(finding.record)
            case "ignore":
                self._resting = True
                self._guest.say(f"{finding.record.description}: it stays as it is")
            case "continue":
                self._guest.rebooted()
            case _:
                pass
        return None

    async def _dumped(self, record: Record) -> Record:
        try:
            where = f"its memory is in {await self._guest.dump()}"
        except (EngineError, HypervisorError) as error:
            where = f"its memory could not be kept: {fault_of(error).message}"
        self._guest.say(where)
        return Record.abnormal(f"{record.description}; {where}")

    async def _runs(self, hypervisor: Hypervisor) -> bool:
        try:
            status = await hypervisor.status(self._uuid)
        except HypervisorError:
            return False
        return status is not None and status.active and self._is_well(status)

    async def _restart(self, finding: Finding) -> Record | None:
        now = asyncio.get_running_loop().time()
        limits, cause = self._reactions, finding.record.description
        if exhausted(limits, self._restarts_s, now):
            return Record.abnormal(
                f"{cause}; it was restarted {limits.limit} times within {limits.window_s:g} s already"
            )
        self._guest.say(f"{cause}: it is started again")
        self._restarts_s.append(now)
        try:
            await self._guest.restart()
        except (EngineError, HypervisorError) as error:
            return Record.abnormal(f"{cause}; it could not be restarted: {fault_of(error).message}")
        self._failed, self._last_good_s = 0, asyncio.get_running_loop().time()
        return None


def _meaning(status: Status) -> Happened | None:
    """Return what the state of a guest that does not run says of how it came about."""
    if status.state is DomainState.CRASHED:
        return Happened.CRASH
    if status.state is DomainState.SHUTOFF:
        return happened(EventKind.STOPPED, status.reason)
    return None


def wanted(methods: Sequence[Method]) -> tuple[Method, ...]:
    """Return the ways to look apart from the run state, which is looked at always."""
    return tuple(method for method in methods if method.way != "state")
