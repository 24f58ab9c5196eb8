"""Cutting a tree off from its parent: it goes on as an application of its own, in its own process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.core.faults import EngineError, WrongState, fault_of
from engine.core.flows import ChildGone
from engine.runtime.ledger import move_rows, put_segment
from engine.runtime.live import Live, RemotePart, Segment
from engine.runtime.parts import PASSED_DOWN
from engine.wire.messages import Cut, Detach, Forget, Gone, Handle, ParentLink, Rename

if TYPE_CHECKING:
    from engine.runtime.process import Process

TELL_S = 10.0


class Detaching:
    """Carries out `Detach` and what it asks of other processes."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def carry_out(self, op: Detach, operation_id: str) -> Cut | Gone:
        """Cut a component off, and end it if that was asked for.

        Raises:
            NotFound: There is no such component.
            WrongState: It is an application already, or has not started.
            Unreachable: Its parent's process does not answer: it would take the cut for a death.
        """
        found: Live | Handle
        if op.ident is not None:
            found = self._process.live(op.ident)
        else:
            found = await self._process.reader.find(op.ref)
        if isinstance(found, Handle):
            onward = Detach(ident=found.ident, then=op.then)
            result = await self._process.peers.submit(
                found.address, onward, request_id=f"{operation_id}-on", budget_s=60.0
            )
            if not isinstance(result, Cut | Gone):
                raise EngineError(f"{found.address} gave another answer than asked for")
            return result
        before = found.path
        await self.cut(found)
        if op.then is None:
            return Cut(before, found.segment.application, self._process.address)
        return await self._process.termination.terminate_segment(found.segment, op.then)

    async def cut(self, live: Live, *, tell: bool = True) -> None:
        """Make a component the root of an application of its own.

        Args:
            live: Any component that is no application yet.
            tell: Have its parent's process forget it first; not when that is silent anyway.
        """
        segment = live.segment
        if live.parent is None and segment.parent is None:
            raise WrongState(f"{live.path} is an application already", where=live.path)
        if segment.state != "started" or segment.growth is not None or live.state.ended:
            raise WrongState("only what has started can be cut off", where=live.path)
        name = self._name(live)
        if live.parent is None and segment.parent is not None:
            if tell:
                forget = Forget(segment.id, segment.parent.ident)
                await self._process.peers.submit(
                    segment.parent.address, forget, request_id=f"{segment.id}-forget",
                    budget_s=TELL_S,
                )  # fmt: skip
            segment.parent = segment.lease = None
            self._process.orphanage.heard_again(segment)
            segment.rename(name, name, name)
        else:
            segment = self._split(live, name)
        self._process.take_up(segment)
        await self._process.ledger.durable(
            put_segment(self._process.growth.row(segment, "started"))
        )
        self._process.liveness.attend(segment)
        self._process.events.note(live, "info", "cut off; an application of its own from now on")
        await self._rename_parts(segment)

    def _name(self, live: Live) -> str:
        given = live.value("sfProcessComponentName")
        if isinstance(given, str) and given not in self._process.apps:
            return given
        wanted = f"unnamed_{int(time.time())}"
        taken = (*self._process.apps, *self._process.names)
        return next(f"{wanted}_{n}" for n in range(1, 10_000) if f"{wanted}_{n}" not in taken)

    def _split(self, live: Live, name: str) -> Segment:
        """Take a component and all below it out of its segment, into one of its own."""
        process, old, parent = self._process, live.segment, live.parent
        if parent is None:
            raise WrongState("a segment's root is not split off", where=live.path)
        place, new_id = live.place, process.new_id()
        inherited = {key: live.inherited(key) for key in PASSED_DOWN}
        segment = old.split(live, new_id, name, inherited)
        self.leave(parent, live.name)
        process.ledger.lazy(
            put_segment(process.growth.row(segment, "started")),
            *move_rows(old.id, place, new_id),
        )
        process.write_fate(parent, live.name, "dropped", None)
        live.parent = None
        live.name = name
        segment.rename(name, name, name)
        return segment

    def leave(self, parent: Live, name: str) -> None:
        """Have a parent forget a child that is no longer its own."""
        parent.children.pop(name, None)
        self._process.readiness.without(parent, name)
        if parent.flow is not None and parent.flow.begun:
            parent.flow.tell(ChildGone(name))

    # -- in the parent's process

    async def forget(self, op: Forget) -> Cut:
        """Let a part go that is being cut off over there."""
        parent = self._process.lives.get(op.parent.component)
        for name, child in list(parent.children.items()) if parent is not None else ():
            if isinstance(child, RemotePart) and child.segment == op.segment:
                self._process.liveness.unwatch(child)
                self._process.parts.forget(child)
                if parent is not None:
                    self.leave(parent, name)
                    self._process.write_fate(parent, name, "dropped", None)
        await self._process.ledger.durable()
        return Cut("", "", self._process.address)

    # -- in the processes of its parts

    async def _rename_parts(self, segment: Segment) -> None:
        for part in segment.root.parts():
            parent = part.parent
            link = ParentLink(parent.ident, self._process.address, parent.path)
            op = Rename(part.segment, segment.application, part.path, link)
            try:
                await self._process.peers.submit(
                    part.address, op, request_id=self._process.new_id(), budget_s=TELL_S
                )
            except EngineError as error:
                text = f"{part.path} keeps its old name over there: {fault_of(error).message}"
                self._process.events.note(parent, "warning", text)

    async def rename(self, op: Rename) -> Cut:
        """Take the new complete name of a part whose tree was cut off above it."""
        segment = self._process.growth.segment(op.segment)
        before = segment.path
        segment.parent = op.parent
        segment.rename(op.application, op.path, segment.name)
        await self._process.ledger.durable(
            put_segment(self._process.growth.row(segment, segment.state))
        )
        await self._rename_parts(segment)
        return Cut(before, segment.path, self._process.address)
