"""Children of a compound that come and go by themselves, outside the phases of the whole tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.core.faults import EngineError, Fault, Kind, fault_of, raised
from engine.core.lifecycle import Phase
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.ledger import put_change
from engine.runtime.live import Live, RemotePart
from engine.wire.codec import encode_value
from engine.wire.messages import Handle
from sfdl.values import Description

BY_REQUEST = "SF-OP-002"
"""Code of what was stopped because somebody asked for that."""

if TYPE_CHECKING:
    from engine.runtime.process import Process


class Nursery:
    """Brings single children of one compound to life, and ends them."""

    def __init__(self, process: Process, live: Live) -> None:
        """Serve one compound."""
        self._process = process
        self._live = live
        self._growing: dict[str, _Growing] = {}
        self._held: dict[str, list[Callable[[], None]]] = {}
        self._settling: set[str] = set()
        self._awaited: dict[str, asyncio.Event] = {}
        self._restarts: dict[str, int] = {}

    # -- what waits for a child to have come up

    def growing(self, name: str) -> bool:
        """Say whether a child is being brought up, and has not started yet."""
        return name in self._growing and name not in self._settling

    def hold(self, name: str, work: Callable[[], None]) -> None:
        """Do something once a child that is being brought up has started; nothing if it fails."""
        self._held.setdefault(name, []).append(work)

    def _release(self, name: str) -> None:
        held = self._held.pop(name, [])
        child = self._live.children.get(name)
        if isinstance(child, Live):
            asyncio.get_running_loop().call_soon(self._process.grown, child, held)
            return
        for work in held:
            asyncio.get_running_loop().call_soon(work)

    # -- bringing up

    async def start(
        self,
        name: str,
        description: Description,
        *,
        upto: Phase = Phase.START,
        settle_s: float = 0.0,
        fresh: bool = False,
    ) -> Handle:
        """Bring a child to life, an earlier one of its name fully gone first.

        Args:
            name: Its name.
            description: What it is made from; kept as a change where the parent has another.
            upto: How far to bring it.
            settle_s: Seconds it must have been ready before it counts as started.
            fresh: It never was there before: were the process to end now, it would never have been.

        Returns:
            What others need to reach it.

        Raises:
            EngineError: As it failed; nothing of it is left.
        """
        live, process = self._live, self._process
        self._process.tally.restarts += name in self._live.children
        await self.gone(name)
        if live.value(name) is not description:
            live.changes[name] = description
            change = put_change(live.segment.id, live.place, name, encode_value(description))
            await process.ledger.durable(change)
        process.write_fate(live, name, "fresh" if fresh else "growing", None)
        try:
            await self._try(name, self._grow(name, description, upto, settle_s))
        except EngineError as error:
            process.write_fate(live, name, "failed", self._failure(name, error.fault))
            raise
        process.write_fate(live, name, "", None)
        self._put_in_order(name)
        child = live.children[name]
        process.readiness.child(live, name, ready=child.ready)
        self._release(name)
        if isinstance(child, Live):
            return child.handle
        if child.root is None:
            raise EngineError("its process gave no handle", where=child.path)
        return child.root

    def _failure(self, name: str, fault: Fault) -> Record:
        text = f"deployment failed at {fault.where or self._live.path}"
        return Record(DEPLOYMENT_FAILURE, text, f"{self._live.path}:{name}", cause=fault)

    async def step(self, name: str, description: Description, phase: Phase) -> None:
        """Bring a child through one phase, several of them in turn; see `start`."""
        process, live = self._process, self._live
        if phase is Phase.CREATE:
            process.write_fate(live, name, "growing", None)
            await self._try(name, self._create(name, description))
            return
        await self._try(name, self._enter(name, phase))
        if phase is Phase.START:
            process.write_fate(live, name, "", None)
            self._put_in_order(name)
            process.readiness.child(live, name, ready=live.children[name].ready)
            self._release(name)

    async def wake(self, name: str) -> None:
        """Start a child that was left deployed, and wait until it has ended.

        Raises:
            EngineError: It could not be started.
        """
        process, child = self._process, self._live.children[name]
        ended = self._awaited.setdefault(name, asyncio.Event())
        if isinstance(child, RemotePart):
            await process.parts.enter(child, Phase.START)
            if child.state.ended:
                return
        else:
            await process.phases.enter(child, Phase.START)
            process.grown(child, [])
        await ended.wait()

    def ended(self, name: str) -> None:
        """Take in that a child that was woken has ended."""
        if name in self._awaited:
            self._awaited[name].set()

    async def _try(self, name: str, work: Coroutine[object, object, None]) -> None:
        growth: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        growing = self._growing[name] = _Growing(growth)
        try:
            await growth
            _refuse_stopped(growing)
        except asyncio.CancelledError:
            if growing.why is None:
                growth.cancel()
                await self._undo(name, Record(DEPLOYMENT_FAILURE, "its parent is ending"))
                raise
            fault = growing.why
        except Exception as error:  # noqa: BLE001 - whatever failed, the parent must hear of it
            fault = fault_of(error)
        else:
            return
        finally:
            del self._growing[name]
        self._held.pop(name, None)
        undone, left = await self._undo(name, self._failure(name, fault))
        leftovers = tuple(dict.fromkeys((*fault.leftovers, *left)))
        raise raised(replace(fault, undone=fault.undone + undone, leftovers=leftovers))

    async def _grow(
        self, name: str, description: Description, upto: Phase, settle_s: float
    ) -> None:
        await self._create(name, description)
        for phase in [Phase.DEPLOY] if upto is Phase.DEPLOY else [Phase.DEPLOY, Phase.START]:
            await self._enter(name, phase)
        if settle_s > 0:
            self._settling.add(name)
            self._release(name)
            try:
                await self._process.readiness.settled(self._live, name, settle_s)
            finally:
                self._settling.discard(name)

    async def _create(self, name: str, description: Description) -> None:
        process, live = self._process, self._live
        incarnation = await process.born(live.segment, f"{live.place}:{name}")
        address = await process.subprocesses.locate(live, description)
        if address is not None:
            part = RemotePart(live, name, process.new_id(), address)
            live.children[name] = part
            await process.parts.create(part, description)
            return
        child = await process.phases.create(live.segment, live, name, description, incarnation)
        child.restarts = self._restarts.get(name, 0)

    async def _enter(self, name: str, phase: Phase) -> None:
        child = self._live.children[name]
        if isinstance(child, RemotePart):
            await self._process.parts.enter(child, phase)
        else:
            await self._process.phases.enter(child, phase)

    async def _undo(self, name: str, record: Record) -> tuple[int, list[str]]:
        """End what has come up of a child; its parent's own end waits for that, too.

        Returns:
            How many components that were, and what is left.
        """
        child = self._live.children.pop(name, None)
        if child is None:
            return 0, []
        undoing = asyncio.ensure_future(self._undone(child, record))
        try:
            return await asyncio.shield(undoing)
        except asyncio.CancelledError:
            await asyncio.wait({undoing})
            raise

    async def _undone(self, child: Live | RemotePart, record: Record) -> tuple[int, list[str]]:
        owed = self._live.segment.leftovers
        if isinstance(child, Live):
            count = sum(1 for _ in child.walk()) + sum(part.components for part in child.parts())
            before = len(owed)
            await asyncio.shield(self._process.ending.end(child, record, orderly=True))
            return count, owed[before:]
        left = await self._process.parts.end(child, record, [])
        if self._live.state.ended:
            owed.extend(left)
        return child.components, left

    def _put_in_order(self, name: str) -> None:
        """Put a child where its description stands among the others'."""
        children = self._live.children
        if next(reversed(children)) != name:
            return
        place = {each: index for index, each in enumerate(self._live.context())}
        if all(place.get(each, 0) < place.get(name, 0) for each in children if each != name):
            return
        items = sorted(children.items(), key=lambda item: place.get(item[0], len(place)))
        children.clear()
        children.update(items)

    def fail(self, name: str, record: Record) -> bool:
        """Stop bringing a child up because something below it has ended; say whether one was."""
        text = f"{record.component} ended before it had started: {record.description}"
        return self._stop(name, Fault(Kind.HOOK_FAILED, text, "SF-HOOK-003", record.component))

    def cancel(self, name: str) -> bool:
        """Stop bringing a child up because somebody asked for that; say whether one was."""
        path = f"{self._live.path}:{name}"
        return self._stop(name, Fault(Kind.REFUSED, "ended by request", BY_REQUEST, path))

    def _stop(self, name: str, why: Fault) -> bool:
        growing = self._growing.get(name)
        if growing is None:
            return False
        if growing.why is None:
            growing.why = why
        growing.task.cancel()
        return True

    # -- ending

    async def gone(self, name: str) -> None:
        """Wait until an ended child is fully TERMINATED, then unlink it."""
        child = self._live.children.get(name)
        if child is None:
            return
        if isinstance(child, Live):
            self._restarts[name] = child.restarts + 1
            if child.ending is not None:
                await asyncio.shield(child.ending)
        else:
            self._restarts[name] = self._restarts.get(name, 0) + 1
            await self._process.parts.end(child, child.record or Record.normal(), [])
        self._live.children.pop(name, None)

    async def end(self, name: str, record: Record, *, again: bool) -> None:
        """End a child and unlink it; `again`: it is to be started anew."""
        self._process.write_fate(self._live, name, "growing" if again else "dropped", None)
        child = self._live.children.get(name)
        if isinstance(child, Live):
            await asyncio.shield(self._process.ending.end(child, record))
        elif isinstance(child, RemotePart):
            await self._process.parts.end(child, record, [])
        await self.gone(name)
        if not again:
            self._process.readiness.without(self._live, name)

    async def drop(self, name: str) -> None:
        """Forget an ended child."""
        self._process.write_fate(self._live, name, "dropped", None)
        await self.gone(name)
        self._process.readiness.without(self._live, name)


class _Growing:
    """A child that is being brought up, and why that is to stop, if it is."""

    __slots__ = ("task", "why")

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.why: Fault | None = None


def _refuse_stopped(growing: _Growing) -> None:
    if growing.why is not None:
        raise raised(growing.why)
