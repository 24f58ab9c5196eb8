"""The one liveness driver of a process: remote parts, leases from above, and health checks."""

from __future__ import annotations

import asyncio
import random
from math import inf
from typing import TYPE_CHECKING

from engine.core.faults import EngineError, Unreachable, fault_of
from engine.core.leases import Sign, Verdict, heard
from engine.core.lifecycle import State
from engine.core.records import LIVENESS_FAILURE, Record
from engine.runtime.ledger import set_heard
from engine.runtime.live import Live, RemotePart, Segment
from engine.runtime.machine import BOOT
from engine.runtime.readiness import ready_rule
from engine.wire.messages import (
    Beat,
    BeatAnswer,
    Handle,
    Heard,
    Notice,
    Ping,
    Pong,
    Readied,
)

if TYPE_CHECKING:
    from engine.runtime.process import Process

CHECK_TIMEOUT_S = 5.0
"""Seconds a check may take where `sfCheckTimeout` is not set."""
ANNOUNCE_S = 2.0
HEARD_PER_LEASE = 6
"""How often within the length of a lease its renewal is written down, at most."""
COALESCE_S = 0.01
STALE_ROUNDS = 3
MOST_GRACE_S = 600.0
"""Most seconds a peer is waited for that says it is being restarted."""
LEAST_ROUND_S = 0.05


class Liveness:
    """Asks and answers "is the other side still there?" and "is it well?", and nothing else."""

    def __init__(self, process: Process) -> None:
        """Serve one process; `run` does the work."""
        self._process = process
        self._watched: dict[str, RemotePart] = {}
        self._due: dict[str, float] = {}
        self._asking: set[str] = set()
        self._checks_due: dict[str, float] = {}
        self._checking: set[str] = set()
        self._unwell: dict[str, int] = {}
        self._excused: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._gate = asyncio.Semaphore(max(1, process.settings.checks_at_once))
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._notices: dict[str, list[Notice | Readied]] = {}

    # -- what is watched

    def watch(self, part: RemotePart) -> None:
        """Ping a remote part from now on, first at a random point of its period."""
        if part.watch is None:
            return
        self._watched[part.segment] = part
        now = asyncio.get_running_loop().time()
        self._due[part.segment] = now + part.watch.delay_s * random.uniform(0.2, 1.0)  # noqa: S311
        self._wake.set()

    def unwatch(self, part: RemotePart) -> None:
        """Stop pinging a part."""
        self._watched.pop(part.segment, None)
        self._due.pop(part.segment, None)

    def attend(self, segment: Segment) -> None:
        """Check the components of a started segment from now on."""
        if segment.id in self._checks_due:
            return
        delay = self._delay(segment)
        if delay > 0 and any("check" in type(live.prim).hooks for live in segment.root.walk()):
            now = asyncio.get_running_loop().time()
            self._checks_due[segment.id] = now + delay * random.uniform(0.2, 1.0)  # noqa: S311
            self._wake.set()

    def _delay(self, segment: Segment) -> float:
        value = segment.root.inherited("sfLivenessDelay")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return self._process.settings.liveness_delay_s

    # -- the driver

    async def run(self) -> None:
        """Work for ever; cancelled when the process stops."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                now = loop.time()
                self._ask_due(now)
                self._check_due(now)
                self._expire(now)
                try:
                    async with asyncio.timeout(self._sleep_s(now)):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks:
                task.cancel()

    def _sleep_s(self, now: float) -> float | None:
        times = [*self._due.values(), *self._checks_due.values()]
        leases = [segment.lease for segment in self._process.segments.values()]
        times.extend(lease.renewed_s + lease.ttl_s + 0.01 for lease in leases if lease is not None)
        return max(LEAST_ROUND_S, min(times) - now) if times else None

    def _start(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type] # coroutines of ours
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- asking remote parts

    def _ask_due(self, now: float) -> None:
        by_peer: dict[str, list[RemotePart]] = {}
        for segment, due in self._due.items():
            part = self._watched[segment]
            if due <= now and part.address not in self._asking:
                by_peer.setdefault(part.address, []).append(part)
        for address, parts in by_peer.items():
            for part in parts:
                if part.watch is not None:
                    self._due[part.segment] = now + part.watch.delay_s
            self._asking.add(address)
            self._start(self._ask(address, parts))

    async def _ask(self, address: str, parts: list[RemotePart]) -> None:
        delay = min(part.watch.delay_s for part in parts if part.watch is not None)
        budget = min(delay, self._process.settings.ping_timeout_s)
        beat = Beat(self._process.daemon_id, tuple(part.segment for part in parts))
        try:
            answer = await self._beat_twice(address, beat, budget)
            signs = {sign.segment: sign for sign in answer.signs}
        except EngineError as error:
            silent = fault_of(error).message
            signs = {part.segment: Heard(part.segment, Sign.SILENT, silent) for part in parts}
        finally:
            self._asking.discard(address)
        for part in parts:
            if part.segment in self._watched:
                self._take(part, signs.get(part.segment, Heard(part.segment, Sign.UNKNOWN)))

    async def _beat_twice(self, address: str, beat: Beat, budget_s: float) -> BeatAnswer:
        """Ask; a connection that is refused or broken is tried once more at once."""
        try:
            return await self._process.peers.beat(address, beat, budget_s)
        except Unreachable:
            return await self._process.peers.beat(address, beat, budget_s)

    def _take(self, part: RemotePart, sign: Heard) -> None:
        if part.watch is None:
            return
        if sign.sign is Sign.SILENT and self._is_excused(part):
            return
        self._process.tally.misses += sign.sign is Sign.SILENT
        part.watch, dead = heard(part.watch, sign.sign)
        if sign.sign is Sign.OK and part.state is State.STARTED:
            self._process.readiness.part(part, ready=sign.ready)
        if not dead:
            return
        if sign.sign is Sign.ENDED and sign.record is not None:
            record = sign.record
        else:
            words = {
                Sign.UNKNOWN: "its process does not know it any more",
                Sign.UNWELL: sign.text,
                Sign.SILENT: f"no answer {part.watch.misses} times in a row: {sign.text}",
            }
            text = words.get(sign.sign, "presumed dead")
            record = Record(LIVENESS_FAILURE, text, part.path, self._process.wall_s())
        self._process.part_ended(part, record)

    def _is_excused(self, part: RemotePart) -> bool:
        until_s = self.excused_until_s(part.root) if part.root is not None else 0.0
        return asyncio.get_running_loop().time() < until_s

    def excused_until_s(self, root: Handle | None) -> float:
        """Return until when the daemon of a part may be away as it said; of any, if not known whose."""
        if root is None:
            return max(self._excused.values(), default=0.0)
        return self._excused.get(root.ident.daemon, 0.0)

    # -- planned restarts

    async def announce_restart(self) -> None:
        """Tell everybody who holds parts of ours, or whose parts we hold, that we mean to be back."""
        segments = self._process.segments.values()
        addresses = {part.address for segment in segments for part in segment.parts()}
        addresses |= {segment.parent.address for segment in segments if segment.parent is not None}
        grace_s = self._process.settings.restart_grace_s
        until_s = asyncio.get_running_loop().time() + grace_s
        beat = Beat(self._process.daemon_id, restarting_s=grace_s)
        to = sorted(addresses)
        told = [self._process.peers.beat(address, beat, ANNOUNCE_S) for address in to]
        answers = await asyncio.gather(*told, return_exceptions=True)
        patient = {
            address
            for address, answer in zip(to, answers, strict=True)
            if not isinstance(answer, BaseException)
        }
        for segment in segments:  # who has not heard it may fill their places sooner
            parent = segment.parent
            if segment.lease is not None and parent is not None and parent.address in patient:
                self._process.ledger.lazy(set_heard(segment.id, BOOT, until_s))

    def _excuse(self, daemon: str, seconds: float, now: float) -> None:
        """Count no misses of a daemon that is being restarted, and none for its parts here."""
        self._excused[daemon] = now + seconds
        for segment in self._process.segments.values():
            theirs = segment.parent is not None and segment.parent.ident.daemon == daemon
            if segment.lease is not None and theirs:
                segment.lease = segment.lease.renewed(now + seconds)

    # -- answering

    async def answer(self, beat: Beat) -> BeatAnswer:
        """Renew the leases asked for, and take in notices."""
        now = asyncio.get_running_loop().time()
        signs = tuple(self._sign(segment, now) for segment in beat.renew)
        taken = tuple(notice.segment for notice in beat.notices if self._process.noticed(notice))
        if beat.restarting_s > 0:
            self._excuse(beat.daemon, min(beat.restarting_s, MOST_GRACE_S), now)
        for readied in beat.readied:
            self._process.part_readied(readied)
        return BeatAnswer(signs, taken)

    def _sign(self, segment_id: str, now: float) -> Heard:
        segment = self._process.segments.get(segment_id)
        if segment is None:
            record = self._process.ended_part(segment_id)
            if record is not None:
                return Heard(segment_id, Sign.ENDED, record=record)
            return Heard(segment_id, Sign.UNKNOWN)
        if segment.root.state.ended:
            return Heard(segment_id, Sign.ENDED, record=segment.root.record)
        if segment.parent is None:
            return Heard(segment_id, Sign.UNKNOWN)  # it was cut off, and is nobody's part any more
        if segment.orphan_since_s is not None:
            self._process.orphanage.heard_again(segment)
            self._process.growth.lease(segment)
            self._process.events.note(segment.root, "info", "its parent is heard of again")
        elif segment.lease is not None:
            segment.lease = segment.lease.renewed(now)
        if segment.lease is not None:
            self._write_heard(segment, segment.lease.ttl_s, now)
        return Heard(segment_id, Sign.OK, ready=segment.root.ready)

    def _write_heard(self, segment: Segment, ttl_s: float, now: float) -> None:
        """Write the renewal down, some times within each lease: a restart asks whether it ran out."""
        if now - self._written.get(segment.id, -inf) >= ttl_s / HEARD_PER_LEASE:
            self._written[segment.id] = now
            self._process.ledger.lazy(set_heard(segment.id, BOOT, now))

    # -- leases from above

    def _expire(self, now: float) -> None:
        for segment in list(self._process.segments.values()):
            if segment.lease is not None and segment.lease.expired(now):
                segment.lease = None
                self._process.orphaned(segment)

    # -- health

    def _check_due(self, now: float) -> None:
        for segment_id, due in list(self._checks_due.items()):
            segment = self._process.segments.get(segment_id)
            if segment is None or segment.root.state.ended:
                del self._checks_due[segment_id]
                continue
            if due > now:
                continue
            self._checks_due[segment_id] = now + self._delay(segment)
            for live in segment.root.walk():
                checked = "check" in type(live.prim).hooks and live.state is State.STARTED
                if checked and live.id not in self._checking:
                    self._checking.add(live.id)
                    self._start(self._check_one(live))

    async def _check_one(self, live: Live) -> None:
        try:
            verdict = await self.check(live)
        finally:
            self._checking.discard(live.id)
        if verdict.good is not False:
            self._unwell.pop(live.id, None)
            return
        rounds = self._unwell.get(live.id, 0) + 1
        if rounds < live.number("sfUnwellFactor", 1):
            self._unwell[live.id] = rounds
            return
        self._unwell.pop(live.id, None)
        if live.state is State.STARTED and not self._in_grace(live):
            record = Record(LIVENESS_FAILURE, verdict.text, live.path, self._process.wall_s())
            self._process.finish(live, record)

    async def ping(self, op: Ping) -> Pong:
        """Say how a component is, running its check if it has one."""
        found: Live | Handle
        if op.ident is not None:
            found = self._process.live(op.ident)
        else:
            found = await self._process.reader.find(op.ref)
        if isinstance(found, Handle):
            onward = Ping(ident=found.ident)
            result = await self._process.peers.submit(
                found.address, onward, request_id=self._process.new_id(), budget_s=15.0
            )
            if not isinstance(result, Pong):
                raise EngineError(f"{found.address} gave another answer than asked for")
            return result
        verdict = found.health
        if "check" in type(found.prim).hooks and found.state is State.STARTED:
            verdict = await self.check(found)
        good = verdict.good if "check" in type(found.prim).hooks else True
        return Pong(found.path, found.state.value, found.ready, good, verdict.text, found.record)

    def _in_grace(self, live: Live) -> bool:
        """Say whether a component is still coming up: until it was well once, or its grace is over."""
        became_ready = live.ready and ready_rule(live) not in {None, "started"}
        if became_ready or live.checked_s > live.since_s:
            return False
        grace_s = live.number("sfStartGrace", 0.0)
        return asyncio.get_running_loop().time() - live.since_s < grace_s

    async def check(self, live: Live) -> Verdict:
        """Run a component's check once, bounded, and remember the verdict."""
        async with self._gate:
            try:
                kind = type(live.prim).__name__
                with self._process.tally.hook(live.path, kind, "check"):
                    async with asyncio.timeout(live.number("sfCheckTimeout", CHECK_TIMEOUT_S)):
                        await live.prim.check()
                verdict = Verdict(good=True)
                live.checked_s = asyncio.get_running_loop().time()
            except TimeoutError:
                verdict = self._late(live)
            except Exception as error:  # noqa: BLE001 - boundary: an author's code
                verdict = Verdict(good=False, text=fault_of(error).message)
        changed = verdict != live.health
        live.health = verdict
        if changed:
            self._process.events.health(live)
        return verdict

    def _late(self, live: Live) -> Verdict:
        """Judge a check that did not end in time: its last good verdict holds for three rounds."""
        age_s = asyncio.get_running_loop().time() - max(live.checked_s, live.since_s)
        limit_s = live.number("sfCheckTimeout", CHECK_TIMEOUT_S)
        text = f"check did not end within {limit_s:g} s"
        stale = age_s > STALE_ROUNDS * max(self._delay(live.segment), limit_s)
        return Verdict(good=False if stale else None, text=text)

    # -- telling the parent's process

    def notify(self, segment: Segment, record: Record) -> None:
        """Tell a segment's parent, at once, that the segment has ended by itself."""
        if segment.parent is None:
            return
        self.tell(segment.parent.address, Notice(segment.id, segment.parent.ident, record))

    def tell_ready(self, segment: Segment, *, ready: bool) -> None:
        """Tell a segment's parent, at once, that the segment became ready or stopped being so."""
        if segment.parent is not None and segment.state == "started":
            self.tell(segment.parent.address, Readied(segment.id, segment.parent.ident, ready))

    def tell(self, address: str, what: Notice | Readied) -> None:
        """Send a notice to a process soon, with others that come in the same moment."""
        waiting = self._notices.setdefault(address, [])
        waiting.append(what)
        if len(waiting) == 1:
            self._start(self._deliver(address))

    async def _deliver(self, address: str) -> None:
        await asyncio.sleep(COALESCE_S)
        waiting = self._notices.pop(address, ())
        beat = Beat(
            self._process.daemon_id,
            notices=tuple(each for each in waiting if isinstance(each, Notice)),
            readied=tuple(each for each in waiting if isinstance(each, Readied)),
        )
        try:
            await self._process.peers.beat(address, beat, self._process.settings.ping_timeout_s)
        except EngineError as error:
            if not beat.notices:
                return  # the next round brings it
            text = f"{address} could not be told of an end and will ask: {fault_of(error).message}"
            self._process.events.note(None, "warning", text)
