"""Taking segments and single components down on request, draining, and the end of the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.faults import EngineError, fault_of
from engine.core.lifecycle import State
from engine.core.records import NORMAL, SHUTDOWN, Record
from engine.runtime.live import Live, Segment
from engine.wire.messages import Drain, Drained, Gone, Handle, Stop, Terminate

if TYPE_CHECKING:
    from engine.runtime.operations import Operation
    from engine.runtime.process import Process


class Termination:
    """Ends what one process holds."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    def end_segment(self, segment: Segment, record: Record, *, tell: bool = True) -> None:
        """Begin to end a segment; its parent, if elsewhere, is told unless it was the one to ask."""
        if segment.root.state.ended or self._process.letting_go:
            return
        self._process.mark_ending(segment, record)
        ending = self._process.ending.end(segment.root, record)
        final = segment.root.record or record
        if tell:
            self._process.liveness.notify(segment, final)
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        def ended(_: object) -> None:
            self._process.tally.phase("terminate", loop.time() - began_s)
            self._process.close_segment(segment, final)

        ending.add_done_callback(ended)

    async def terminate(self, op: Terminate, operation: Operation) -> Gone:
        """End a component or a segment; what follows from it, its parents decide."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        target = await self._target(op)
        if target is None:
            known = op.segment in self._process.segments
            if not known and self._process.ended_part(op.segment) is None:
                self._process.never_here(op.segment, op.record)
            owed = tuple(self._process.reaper.owed(op.segment))
            return Gone(op.segment, 0, 0, op.record, leftovers=owed)
        if isinstance(target, Handle):
            return await self._pass_on(target, op, operation)
        if isinstance(target, Segment):
            segment, live = target, None
        else:
            segment, live = target.segment, target
        operation.progress(f"ending {op.ref or segment.path}")
        if segment.growth is not None:
            self._process.growth.abort(segment, op.record, requested=True)
            await segment.finished.wait()
            return self._gone(segment, op.record, began, 0)
        if live is not None and live is not segment.root:
            return await self._end_inner(live, op, began)
        return await self.terminate_segment(segment, op.record, tell=not op.quietly)

    async def terminate_segment(
        self, segment: Segment, record: Record, *, tell: bool = True
    ) -> Gone:
        """End a segment and wait until nothing of it is left, or is with the reaper."""
        began = asyncio.get_running_loop().time()
        count = sum(1 for _ in segment.root.walk())
        self.end_segment(segment, record, tell=tell)
        await segment.finished.wait()
        return self._gone(segment, record, began, count)

    def _gone(self, segment: Segment, record: Record, began: float, count: int) -> Gone:
        took = round((asyncio.get_running_loop().time() - began) * 1000)
        root = getattr(segment, "root", None)
        record = (root.record if root is not None else None) or record
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
            segment = process.segments.get(op.segment)
            cut_off = segment is not None and segment.parent is None and op.quietly
            return None if cut_off else segment
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

    async def stop(self, op: Stop) -> Gone:
        """End everything, newest applications first, then the process.

        Raises:
            EngineError: The process is stopping already.
        """
        process = self._process
        loop = asyncio.get_running_loop()
        began = loop.time()
        if op.drain_s > 0:
            await self.drain(Drain(on=True, limit_s=op.drain_s))
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
                self._process.growth.abort(segment, record, requested=True)
            else:
                self.end_segment(segment, record)
            await segment.finished.wait()
            errors.extend(segment.errors)
            leftovers.extend(segment.leftovers)
        await process.subprocesses.stop()
        asyncio.get_running_loop().call_later(0.2, process.stopping.set)
        took = round((loop.time() - began) * 1000)
        return Gone(process.address, count, took, record, tuple(errors), tuple(leftovers))

    async def drain(self, op: Drain) -> Drained:
        """Take no new work from now on, and ask components to move away; or take work again."""
        process = self._process
        if not op.on:
            process.state = "running" if process.state == "draining" else process.state
            return Drained(process.state, 0, ())
        process.state = "draining"
        asked = [
            live
            for live in process.lives.values()
            if "drain" in type(live.prim).hooks and live.state is State.STARTED
        ]
        moves = [asyncio.ensure_future(live.prim.drain()) for live in asked]
        if moves:
            await asyncio.wait(moves, timeout=op.limit_s)
        stayed: list[str] = []
        for live, move in zip(asked, moves, strict=True):
            move.cancel()
            if not move.done():
                stayed.append(f"{live.path}: had not moved within {op.limit_s:g} s")
            elif not move.cancelled() and (error := move.exception()) is not None:
                stayed.append(f"{live.path}: {fault_of(error).message}")
        for line in stayed:
            process.events.note(None, "warning", f"draining: {line}")
        return Drained(process.state, len(asked) - len(stayed), tuple(stayed))
