"""Bringing segments to life: all of it, or nothing is left."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec import structs

from engine.core.faults import (
    Busy,
    Draining,
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
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.duplicates import duplicates
from engine.runtime.ledger import SegmentRow, put_segment, set_heard, set_segment_state
from engine.runtime.live import RemotePart, Segment
from engine.runtime.machine import BOOT
from engine.runtime.nursery import BY_REQUEST
from engine.runtime.signing import check_signed
from engine.runtime.spelling import Undeclared, undeclared
from engine.wire.codec import encode, encode_tree, unflatten
from engine.wire.messages import (
    SIGNATURE,
    Create,
    Grown,
    ReadPlan,
)
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.operations import Operation
    from engine.runtime.process import Process


class Growth:
    """Brings the segments of one process to life."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def create(self, op: Create, operation: Operation) -> Grown:
        """Make a part of an application here, as far as asked for.

        Raises:
            EngineError: As it failed; nothing of it is left but what the fault names.
        """
        process = self._process
        known = process.segments.get(op.segment)
        if known is not None and known.growth is None:
            return self._grown(known)
        self._admit(op)
        tree = unflatten(op.tree)
        await asyncio.sleep(0)  # each look at a large tree is a turn of its own
        odd: list[Undeclared] = []
        signature = str(dict(op.inherited).get(SIGNATURE, ""))
        check_signed(process.settings, signature, tree if op.parent is None else None)
        if op.expect:
            await self._check_expected(op)
        if op.parent is None:
            self._refuse_duplicates(tree, op.application)
            await asyncio.sleep(0)
            odd = self._look_at_names(tree, op.application)
            await asyncio.sleep(0)
        self._admit(op)
        segment = Segment(
            process,
            id_=op.segment,
            application=op.application,
            path=op.path,
            name=op.name,
            parent=op.parent,
            description=tree,
            incarnation=process.next_incarnation(),
            inherited=dict(op.inherited),
        )
        process.segments[segment.id] = segment
        if op.parent is None:
            process.apps[op.application] = segment
        upto = {"created": [], "deployed": [Phase.DEPLOY]}.get(op.upto, [Phase.DEPLOY, Phase.START])
        encoded = encode(op.tree)  # as it came: making the table anew takes far longer
        await self._grow(segment, operation, [Phase.CREATE, *upto], encoded)
        for each in odd:
            process.events.note(segment.root, "warning", f"{each.path}: {each.text}")
        await asyncio.sleep(0)
        return self._grown(segment)

    def _admit(self, op: Create) -> None:
        """Refuse what is there, or cannot be made here now."""
        process = self._process
        if op.segment in process.segments:
            raise Busy("this part is being made already", where=op.path)
        ended = process.ended_part(op.segment)
        if ended is not None:
            raise Ended(f"this part was ended already: {ended.sentence()}", where=op.path)
        if process.state != "running":
            raise Draining(
                f"the daemon is {process.state} and takes no new work", code="SF-DRAIN-001",
                where=process.address,
            )  # fmt: skip
        if op.parent is None:
            self.check_name(op.application)

    def _refuse_duplicates(self, tree: Description, application: str) -> None:
        found = duplicates(tree, application, self._process.types)
        if found:
            raise raised(structs.replace(found[0], causes=tuple(found[1:])))

    def _look_at_names(self, tree: Description, application: str) -> list[Undeclared]:
        """Return attributes that look misspelt; refuse them where only declared ones are wanted."""
        odd = undeclared(tree, application, self._process.types)
        faults = [each.fault for each in odd if each.refused]
        if faults:
            raise raised(structs.replace(faults[0], causes=tuple(faults[1:])))
        return odd

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

    def row(self, segment: Segment, state: str, encoded: bytes = b"") -> SegmentRow:
        """Describe a segment as the ledger keeps it; `encoded`: its description, if at hand."""
        recovery = segment.description.get("sfRecovery")
        return SegmentRow(
            id=segment.id,
            application=segment.application,
            path=segment.path,
            name=segment.name,
            parent=encode(segment.parent) if segment.parent is not None else None,
            description=encoded or encode_tree(segment.description),
            incarnation=segment.incarnation,
            state=state,
            recovery="clean" if recovery == "clean" else "adopt",
            record=None,
            created_ms=int(time.time() * 1000),
            inherited=encode(segment.inherited),
            origin=encode(segment.origin) if segment.origin.segment != segment.id else None,
        )

    async def enter(self, segment_id: str, phase: Phase, operation: Operation) -> Grown:
        """Have a part enter deploy or start; see `create`."""
        segment = self.segment(segment_id)
        if segment.growth is not None:
            raise WrongState("another phase is under way", where=segment.path)
        await self._grow(segment, operation, [phase])
        return self._grown(segment)

    async def _grow(
        self, segment: Segment, operation: Operation, phases: list[Phase], encoded: bytes = b""
    ) -> None:
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
                    await self._phase(segment, phase, encoded)
                    took_s = loop.time() - began
                    segment.times_ms.append((phase.value, round(took_s * 1000)))
                    self._process.tally.phase(phase.value, took_s)
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
        if phases[-1] is Phase.START:
            held, segment.held = segment.held, []
            self._process.grown(segment.root, held)

    async def _phase(self, segment: Segment, phase: Phase, encoded: bytes) -> None:
        process = self._process
        if phase is Phase.CREATE:
            await process.ledger.durable(put_segment(self.row(segment, "created", encoded)))
            await process.phases.create(
                segment, None, segment.name, segment.description, segment.incarnation
            )
            self.lease(segment)
            await asyncio.sleep(0)
            segment.total = self._grown(segment).components
            await asyncio.sleep(0)
            return
        await process.phases.enter(segment.root, phase)
        segment.state = phase.after.value
        if phase is Phase.START:
            statements = [set_segment_state(segment.id, "started")]
            if segment.lease is not None:
                statements.append(set_heard(segment.id, BOOT, segment.lease.renewed_s))
            await process.ledger.durable(*statements)
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
        count = 0
        for live in segment.root.walk():
            count += 1
            for part in live.children.values():
                if isinstance(part, RemotePart):
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

    def segment(self, segment_id: str) -> Segment:
        """Return a part that is held here and has not ended.

        Raises:
            NotFound: It is not here.
            Ended: It has ended.
        """
        segment = self._process.segments.get(segment_id)
        if segment is None:
            if self._process.ended_part(segment_id) is not None:
                raise Ended("this part has ended", where=segment_id)
            raise NotFound("no such part here", where=segment_id)
        if segment.root.state.ended:
            raise Ended("component has ended", where=segment.path)
        return segment


def _aborted(segment: Segment) -> Fault:
    record = segment.aborted or Record.normal()
    if segment.aborted_by_request:
        return Fault(
            Kind.REFUSED,
            "ended by request",
            code=BY_REQUEST,
            where=record.component or segment.path,
        )
    causes = (record.cause,) if record.cause is not None else ()
    return Fault(
        Kind.HOOK_FAILED, f"ended before everything had started: {record.sentence()}",
        code="SF-HOOK-003", where=record.component, causes=causes,
    )  # fmt: skip
