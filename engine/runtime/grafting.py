"""Adding a child to a running component on request: it lives, or nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from engine.core.faults import (
    BadDescription,
    Draining,
    Ended,
    EngineError,
    NameInUse,
    Refused,
    WrongState,
)
from engine.core.lifecycle import State
from engine.runtime.live import Live, RemotePart
from engine.runtime.nursery import BY_REQUEST
from engine.runtime.signing import check_signed
from engine.wire.codec import unflatten
from engine.wire.messages import Cancel, Graft, Grown, Handle
from sfdl.values import Description

CANCEL_S = 30.0
"""Seconds another process gets to take in that a start is to be stopped."""

if TYPE_CHECKING:
    from engine.runtime.operations import Operation
    from engine.runtime.process import Process


class Grafting:
    """Carries out `Graft` on the components of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def carry_out(self, op: Graft, operation: Operation) -> Grown:
        """Bring one more child of a component to life.

        Raises:
            NotFound: There is no such parent.
            BadDescription: Its type has no children.
            NotAllowed: A signature is missing or wrong.
            NameInUse: It has an attribute or child of that name.
            EngineError: As the child failed; nothing of it is left.
        """
        found: Live | Handle
        if op.ident is not None:
            found = self._process.live(op.ident)
        else:
            found = await self._process.reader.find(op.ref)
        if isinstance(found, Handle):
            return await self._pass_on(found, op, operation)
        self._check(found, op.name)
        tree = unflatten(op.tree)
        check_signed(self._process.settings, op.signature, tree)
        operation.progress(f"starting {found.path}:{op.name}")
        began = asyncio.get_running_loop().time()
        await self._grow(found, op.name, tree, operation)
        took_ms = round((asyncio.get_running_loop().time() - began) * 1000)
        return self._grown(found.children[op.name], took_ms)

    async def _pass_on(self, parent: Handle, op: Graft, operation: Operation) -> Grown:
        onward = Graft(op.name, op.tree, ident=parent.ident, signature=op.signature)
        id_ = f"{operation.id}-on"

        async def cancel() -> None:
            with contextlib.suppress(EngineError):  # the answer to `onward` says how it stands
                await self._process.peers.submit(
                    parent.address,
                    Cancel(id_),
                    request_id=self._process.new_id(),
                    budget_s=CANCEL_S,
                )

        def stop() -> bool:
            self._process.spawn(cancel())
            return True

        operation.stop = stop
        result = await self._process.peers.submit(
            parent.address, onward, request_id=id_, budget_s=operation.budget_s
        )
        if not isinstance(result, Grown):
            raise EngineError(f"{parent.address} gave another answer than asked for")
        return result

    def _check(self, parent: Live, name: str) -> None:
        process = self._process
        if process.state != "running":
            raise Draining(
                f"the daemon is {process.state} and takes no new work", code="SF-DRAIN-001",
                where=process.address,
            )  # fmt: skip
        if parent.flow is None:
            raise BadDescription(
                f"{type(parent.prim).__name__} has no children", code="SF-TYPE-102",
                where=parent.path,
            )  # fmt: skip
        if not name or ":" in name:
            raise Refused(f"{name!r} is no name for a component", code="SF-NAME-002")
        if parent.state is not State.STARTED or parent.segment.growth is not None:
            raise WrongState(f"is {parent.state.value}, not started", where=parent.path)
        if parent.segment.updating:
            raise WrongState("an update is under way", where=parent.path)
        if name in parent.children or parent.has(name):
            raise NameInUse(
                f"{name} is in use in {parent.path}", code="SF-NAME-005", where=parent.path,
                hint="choose another name",
            )  # fmt: skip

    async def _grow(self, parent: Live, name: str, tree: Description, operation: Operation) -> None:
        if parent.flow is None:
            raise WrongState("has no children", where=parent.path)
        growth = parent.flow.work(self._bring(parent, name, tree))
        stopped = False

        def stop() -> bool:
            nonlocal stopped
            if stopped or growth.done():
                return stopped
            stopped = True
            if not parent.nursery.cancel(name):
                growth.cancel()  # nothing of it was made yet
            return True

        operation.stop = stop
        try:
            async with asyncio.timeout(operation.budget_s):
                await asyncio.shield(growth)
        except asyncio.CancelledError as error:
            if not growth.cancelled():
                raise  # the process is stopping; what was half made is undone at its next start
            if stopped:
                raise Refused(
                    "ended by request", code=BY_REQUEST, where=f"{parent.path}:{name}"
                ) from error
            raise Ended(f"ended while {name} was being started", where=parent.path) from error
        except TimeoutError:
            growth.cancel()
            await asyncio.wait({growth})
            raise

    async def _bring(self, parent: Live, name: str, tree: Description) -> None:
        try:
            placed = await self._process.phases.placed(parent, name, tree)
            await parent.nursery.start(name, placed, fresh=True)
        except BaseException:
            self._process.write_fate(parent, name, "dropped", None)
            raise
        if parent.flow is not None:
            parent.flow.renew()
        self._process.phases.put_in_order(parent)

    def _grown(self, child: Live | RemotePart, took_ms: int) -> Grown:
        times_ms = (("start", took_ms),)
        if isinstance(child, Live):
            hosts, count = {self._process.address}, sum(1 for _ in child.walk())
            for part in child.parts():
                hosts |= {part.address, *part.hosts}
                count += part.components
            return Grown(child.handle, count, tuple(sorted(hosts)), times_ms, child.ready)
        if child.root is None:
            raise EngineError("its process gave no handle", where=child.path)
        hosts = {child.address, *child.hosts}
        return Grown(child.root, child.components, tuple(sorted(hosts)), times_ms, child.ready)
