"""Bringing segments to life and taking them down: what the operations of a process do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from engine.core.faults import (
    Busy,
    Ended,
    EngineError,
    Fault,
    Kind,
    NameInUse,
    NotFound,
    Refused,
    WrongState,
    fault_of,
    raised,
)
from engine.core.leases import Lease, Watch
from engine.core.lifecycle import Phase, State
from engine.core.records import DEPLOYMENT_FAILURE, NORMAL, SHUTDOWN, Record
from engine.runtime.ledger import SegmentRow, put_segment, set_segment_state
from engine.runtime.live import Live, Segment
from engine.wire.codec import encode, encode_tree, unflatten
from engine.wire.messages import (
    Call,
    Create,
    Deploy,
    Gone,
    Grown,
    Handle,
    Ping,
    Pong,
    ReadPlan,
    Result,
    Returned,
    Set,
    Start,
    Stop,
    Terminate,
)

if TYPE_CHECKING:
    from engine.runtime.operations import Operation
    from engine.runtime.process import Process

ORPHANS_KEEP = "keep"


class Growth:
    """Carries out operations on the segments of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def carry_out(self, operation: Operation) -> Result | None:
        """Do what an operation asks for.

        Raises:
            EngineError: As it failed.
        """
        match operation.op:
            case Create() as op:
                return await self._create(op, operation)
            case Deploy(segment):
                return await self._enter(segment, Phase.DEPLOY, operation)
            case Start(segment):
                return await self._enter(segment, Phase.START, operation)
            case Terminate() as op:
                return await self._terminate(op, operation)
            case Call(target, method, arguments):
                return Returned(await self._process.invoke(target, method, arguments))
            case Ping() as op:
                return await self._ping(op)
            case Set() as op:
                return await self._process.changer.carry_out(op)
            case Stop() as op:
                return await self._stop(op)

    # -- growing

    async def _create(self, op: Create, operation: Operation) -> Grown:
        process = self._process
        known = process.segments.get(op.segment)
        if known is not None and known.growth is None:
            return self._grown(known)
        if known is not None:
            raise Busy("this part is being made already", where=op.path)
        ended = process.ended_part(op.segment)
        if ended is not None:
            raise Ended(f"this part was ended already: {ended.sentence()}", where=op.path)
        if process.state != "running":
            raise Refused(f"the daemon is {process.state}", where=process.address)
        if op.parent is None:
            self.check_name(op.application)
        if op.expect:
            await self._check_expected(op)
        segment = Segment(
            process,
            id_=op.segment,
            application=op.application,
            path=op.path,
            name=op.name,
            parent=op.parent,
            description=unflatten(op.tree),
            incarnation=process.next_incarnation(),
            inherited=dict(op.inherited),
        )
        process.segments[segment.id] = segment
        if op.parent is None:
            process.apps[op.application] = segment
        upto = {"created": [], "deployed": [Phase.DEPLOY]}.get(op.upto, [Phase.DEPLOY, Phase.START])
        await self._grow(segment, operation, [Phase.CREATE, *upto])
        return self._grown(segment)

    async def _check_expected(self, op: Create) -> None:
        plan = await self._process.planner.plan(ReadPlan(op.application, op.tree))
        if plan.digest != op.expect:
            raise Refused(
                f"the plan is now {plan.digest}, not {op.expect}: something has changed",
                code="SF-PLAN-001", where=op.path, hint="look at it again: sfstart ... --plan",
            )  # fmt: skip

    def check_name(self, name: str) -> None:
        """Refuse a name no application can have here now.

        Raises:
            Refused: It is no name.
            NameInUse: It is taken; the message says by whom.
        """
        holder = self._process.apps.get(name)
        if not name or ":" in name:
            raise Refused(f"{name!r} is no name for an application", code="SF-NAME-002")
        if name in self._process.names:
            raise NameInUse(
                f"{name} is in use by {self._process.names[name].path}", code="SF-NAME-005",
                where=f"{self._process.address} {name}", hint="choose another name",
            )  # fmt: skip
        if holder is not None:
            state = holder.root.state.value if hasattr(holder, "root") else "being created"
            raise NameInUse(
                f"{name} is in use: an application of that name is {state}", code="SF-NAME-005",
                where=f"{self._process.address} {name}",
                hint=f"choose another name, or end it first: sfterminate HOST {name}",
            )  # fmt: skip

    def _row(self, segment: Segment, state: str) -> SegmentRow:
        recovery = segment.description.get("sfRecovery")
        return SegmentRow(
            id=segment.id,
            application=segment.application,
            path=segment.path,
            name=segment.name,
            parent=encode(segment.parent) if segment.parent is not None else None,
            description=encode_tree(segment.description),
            incarnation=segment.incarnation,
            state=state,
            recovery="clean" if recovery == "clean" else "adopt",
            record=None,
            created_ms=int(time.time() * 1000),
            inherited=encode(segment.inherited),
        )

    async def _enter(self, segment_id: str, phase: Phase, operation: Operation) -> Grown:
        segment = self._segment(segment_id)
        if segment.growth is not None:
            raise WrongState("another phase is under way", where=segment.path)
        await self._grow(segment, operation, [phase])
        return self._grown(segment)

    async def _grow(self, segment: Segment, operation: Operation, phases: list[Phase]) -> None:
        """Walk a segment through phases; on any failure nothing of it is left."""
        loop = asyncio.get_running_loop()
        segment.growth = asyncio.current_task()
        segment.report = operation.step
        try:
            async with asyncio.timeout(operation.budget_s):
                for phase in phases:
                    began = loop.time()
                    operation.progress(f"{phase.value} {segment.path}", 0, segment.total)
                    segment.done = 0
                    await self._phase(segment, phase)
                    segment.times_ms.append((phase.value, round((loop.time() - began) * 1000)))
        except TimeoutError as error:
            segment.growth = None
            fault = Fault(
                Kind.TIMEOUT, f"not done within {operation.budget_s:g} s", where=segment.path
            )
            raise await self._roll_back(segment, fault) from error
        except asyncio.CancelledError as error:
            segment.growth = None
            if segment.aborted is None:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr] # we are in a task
            raise await self._roll_back(segment, _aborted(segment)) from error
        except Exception as error:
            segment.growth = None
            raise await self._roll_back(segment, fault_of(error)) from error
        segment.growth = segment.report = None

    async def _phase(self, segment: Segment, phase: Phase) -> None:
        process = self._process
        if phase is Phase.CREATE:
            await process.ledger.durable(put_segment(self._row(segment, "created")))
            await process.phases.create(
                segment, None, segment.name, segment.description, segment.incarnation
            )
            self.lease(segment)
            segment.total = self._grown(segment).components
            return
        await process.phases.enter(segment.root, phase)
        segment.state = phase.after.value
        if phase is Phase.START:
            await process.ledger.durable(set_segment_state(segment.id, "started"))
            process.liveness.attend(segment)
        else:
            process.ledger.lazy(set_segment_state(segment.id, segment.state))

    def lease(self, segment: Segment) -> None:
        """Give a segment with a remote parent the time it goes on without hearing from it."""
        if segment.parent is None:
            return
        settings = self._process.settings
        delay, factor = (
            segment.root.inherited(name) for name in ("sfLivenessDelay", "sfLivenessFactor")
        )
        delay_s = (
            float(delay) if isinstance(delay, int | float) and delay else settings.liveness_delay_s
        )
        rounds = factor if isinstance(factor, int) and factor > 0 else settings.liveness_factor
        ttl_s = Watch(delay_s, rounds).lease_s
        segment.lease = Lease(ttl_s, asyncio.get_running_loop().time())

    def held(self, segment_id: str) -> Grown | None:
        """Return what is known of a segment that runs here, if it does."""
        segment = self._process.segments.get(segment_id)
        return self._grown(segment) if segment is not None and segment.state == "started" else None

    def _grown(self, segment: Segment) -> Grown:
        hosts = {self._process.address}
        count = sum(1 for _ in segment.root.walk())
        for part in segment.root.parts():
            hosts.add(part.address)
            count += part.components
            hosts.update(part.hosts)
        times_ms, ready = tuple(segment.times_ms), segment.root.ready
        return Grown(segment.root.handle, count, tuple(sorted(hosts)), times_ms, ready)

    # -- failing

    def abort(self, segment: Segment, record: Record, *, requested: bool = False) -> bool:
        """Stop a growth under way, if there is one; whoever runs it rolls back."""
        if segment.growth is None:
            return False
        if segment.aborted is None:
            segment.aborted = record
            segment.aborted_by_request = requested
            segment.growth.cancel()
        return True

    async def _roll_back(self, segment: Segment, fault: Fault) -> EngineError:
        """End everything of a segment that failed to grow; return the error to raise."""
        where = fault.where or segment.path
        text = f"deployment failed at {where}"
        record = Record(DEPLOYMENT_FAILURE, text, where, self._process.wall_s(), fault)
        count = 0
        if hasattr(segment, "root"):
            count = sum(1 for _ in segment.root.walk())
            self._process.mark_ending(segment, record)
            ending = self._process.ending.end(segment.root, record, orderly=True)
            limit_s = self._process.settings.rollback_timeout_s
            await asyncio.wait({ending}, timeout=limit_s)
            if not ending.done():
                segment.leftovers.append(f"{segment.path}: still being undone after {limit_s:g} s")
                ending.add_done_callback(lambda _: self._process.close_segment(segment, record))
        if not hasattr(segment, "root") or segment.root.state is State.TERMINATED:
            self._process.close_segment(segment, record)
        leftovers = tuple(dict.fromkeys((*fault.leftovers, *segment.leftovers)))
        complete = Fault(
            fault.kind, fault.message, fault.code, where, fault.hint, fault.phase, fault.causes,
            fault.undone + count, leftovers,
        )  # fmt: skip
        return raised(complete)

    # -- ending

    def end_segment(self, segment: Segment, record: Record, *, tell: bool = True) -> None:
        """Begin to end a segment; its parent, if elsewhere, is told unless it was the one to ask."""
        if segment.root.state.ended:
            return
        self._process.mark_ending(segment, record)
        ending = self._process.ending.end(segment.root, record)
        final = segment.root.record or record
        if tell:
            self._process.liveness.notify(segment, final)
        ending.add_done_callback(lambda _: self._process.close_segment(segment, final))

    async def _terminate(self, op: Terminate, operation: Operation) -> Gone:
        loop = asyncio.get_running_loop()
        began = loop.time()
        target = await self._target(op)
        if target is None:
            if self._process.ended_part(op.segment) is None:
                self._process.never_here(op.segment, op.record)
            return Gone(op.segment, 0, 0, op.record)
        if isinstance(target, Handle):
            return await self._pass_on(target, op, operation)
        if isinstance(target, Segment):
            segment, live = target, None
        else:
            segment, live = target.segment, target
        operation.progress(f"ending {op.ref or segment.path}")
        if segment.growth is not None:
            self.abort(segment, op.record, requested=True)
            await segment.finished.wait()
            return self._gone(segment, op, began, 0)
        if live is not None and live is not segment.root:
            return await self._end_inner(live, op, began)
        count = sum(1 for _ in segment.root.walk())
        self.end_segment(segment, op.record, tell=not op.quietly)
        await segment.finished.wait()
        return self._gone(segment, op, began, count)

    def _gone(self, segment: Segment, op: Terminate, began: float, count: int) -> Gone:
        took = round((asyncio.get_running_loop().time() - began) * 1000)
        root = getattr(segment, "root", None)
        record = (root.record if root is not None else None) or op.record
        return Gone(
            segment.path, count + segment.ended_elsewhere, took, record,
            tuple(segment.errors), tuple(dict.fromkeys(segment.leftovers)),
        )  # fmt: skip

    async def _end_inner(self, live: Live, op: Terminate, began: float) -> Gone:
        segment = live.segment
        count = sum(1 for _ in live.walk())
        self._process.finish(live, op.record)
        if live.ending is not None:
            await asyncio.shield(live.ending)
        if segment.root.state.ended:
            await segment.finished.wait()
        took = round((asyncio.get_running_loop().time() - began) * 1000)
        leftovers = tuple(dict.fromkeys(segment.leftovers))
        return Gone(
            live.path, count, took, live.record or op.record, tuple(segment.errors), leftovers
        )

    async def _target(self, op: Terminate) -> Segment | Live | Handle | None:
        process = self._process
        if op.segment:
            return process.segments.get(op.segment)
        if op.ident is not None:
            return process.live(op.ident)
        segment = process.apps.get(op.ref)
        if segment is not None:
            return segment
        return await process.reader.find(op.ref)

    async def _pass_on(self, target: Handle, op: Terminate, operation: Operation) -> Gone:
        result = await self._process.peers.submit(
            target.address,
            Terminate(op.record, ident=target.ident),
            request_id=f"{operation.id}-on",
            budget_s=operation.budget_s,
        )
        if not isinstance(result, Gone):
            raise EngineError(f"{target.address} gave another answer than asked for")
        return result

    # -- orphans

    def orphan(self, segment: Segment, record: Record) -> None:
        """Act by the orphan policy of each component once its parent's process is silent."""
        if segment.growth is not None:
            self.abort(segment, record)
            return
        keeping = self._keeping(segment) if segment.state == "started" else set()
        if segment.root.id not in keeping:
            self.end_segment(segment, record)
            return
        self._process.events.note(segment.root, "warning", f"orphan: {record.description}")
        for live in list(segment.root.walk()):
            if live.id not in keeping and not live.state.ended:
                self._process.ending.end(live, record)

    def _keeping(self, segment: Segment) -> set[str]:
        keeping: set[str] = set()
        for live in segment.root.walk():
            policy = live.value("sfOrphanPolicy") or type(live.prim).reserved.get("sfOrphanPolicy")
            policy = policy or segment.inherited.get("sfOrphanPolicy")
            if policy == ORPHANS_KEEP:
                at: Live | None = live
                while at is not None:
                    keeping.add(at.id)
                    at = at.parent
        return keeping

    # -- the rest

    def _segment(self, segment_id: str) -> Segment:
        segment = self._process.segments.get(segment_id)
        if segment is None:
            if self._process.ended_part(segment_id) is not None:
                raise Ended("this part has ended", where=segment_id)
            raise NotFound("no such part here", where=segment_id)
        if segment.root.state.ended:
            raise Ended("component has ended", where=segment.path)
        return segment

    async def _ping(self, op: Ping) -> Pong:
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
            verdict = await self._process.liveness.check(found)
        good = verdict.good if "check" in type(found.prim).hooks else True
        return Pong(found.path, found.state.value, found.ready, good, verdict.text, found.record)

    async def _stop(self, op: Stop) -> Gone:
        process = self._process
        loop = asyncio.get_running_loop()
        began = loop.time()
        process.state = "stopping"
        record = Record(
            SHUTDOWN if op.force else NORMAL, "its daemon is stopping", "", process.wall_s()
        )
        count = len(process.lives)
        errors: list[str] = []
        leftovers: list[str] = []
        roots = [segment for segment in process.segments.values() if segment.parent is None]
        others = [segment for segment in process.segments.values() if segment.parent is not None]
        for segment in [*reversed(roots), *others]:
            if segment.growth is not None:
                self.abort(segment, record, requested=True)
            else:
                self.end_segment(segment, record)
            await segment.finished.wait()
            errors.extend(segment.errors)
            leftovers.extend(segment.leftovers)
        asyncio.get_running_loop().call_later(0.2, process.stopping.set)
        took = round((loop.time() - began) * 1000)
        return Gone(process.address, count, took, record, tuple(errors), tuple(leftovers))


def _aborted(segment: Segment) -> Fault:
    record = segment.aborted or Record.normal()
    if segment.aborted_by_request:
        return Fault(
            Kind.REFUSED,
            "ended by request",
            code="SF-OP-002",
            where=record.component or segment.path,
        )
    causes = (record.cause,) if record.cause is not None else ()
    return Fault(
        Kind.HOOK_FAILED, f"ended before everything had started: {record.sentence()}",
        code="SF-HOOK-003", where=record.component, causes=causes,
    )  # fmt: skip
