"""Which part of the process carries out which operation: one table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from engine.core.faults import Refused
from engine.core.lifecycle import Phase
from engine.runtime.grafting import Grafting
from engine.wire.messages import (
    Call,
    Cancel,
    Cancelled,
    Create,
    Deploy,
    Detach,
    Drain,
    Forget,
    Graft,
    Ping,
    Rename,
    Result,
    Returned,
    Set,
    SetLevel,
    Spawn,
    Start,
    Stop,
    Terminate,
    Update,
    UpdatePart,
)

if TYPE_CHECKING:
    from engine.runtime.operations import Operation
    from engine.runtime.process import Process


class Dispatch:
    """Carries out the operations of one process."""

    def __init__(self, process: Process) -> None:
        """Put the table together."""
        self._process = process
        self._table: dict[type, Callable[[Any, Operation], Awaitable[Result | None]]] = {
            Create: process.growth.create,
            Deploy: lambda op, operation: process.growth.enter(op.segment, Phase.DEPLOY, operation),
            Start: lambda op, operation: process.growth.enter(op.segment, Phase.START, operation),
            Terminate: process.termination.terminate,
            Call: self._call,
            Cancel: self._cancel,
            Detach: lambda op, operation: process.detaching.carry_out(op, operation.id),
            Drain: lambda op, _: process.termination.drain(op),
            Forget: lambda op, _: process.detaching.forget(op),
            Graft: Grafting(process).carry_out,
            Ping: lambda op, _: process.liveness.ping(op),
            Rename: lambda op, _: process.detaching.rename(op),
            SetLevel: lambda op, _: process.logbook.set_level(op),
            Spawn: lambda op, _: process.subprocesses.spawn(op),
            Set: lambda op, _: process.changer.carry_out(op),
            Update: process.updating.carry_out,
            UpdatePart: process.updating.part,
            Stop: lambda op, _: process.termination.stop(op),
        }

    async def carry_out(self, operation: Operation) -> Result | None:
        """Do what an operation asks for.

        Raises:
            EngineError: As it failed.
        """
        return await self._table[type(operation.op)](operation.op, operation)

    async def _call(self, op: Call, operation: Operation) -> Returned:
        """Carry a call out as work of its own, so that somebody can have it stopped."""
        calling = self._process.calls.invoke(op.target, op.method, op.arguments, op.named)
        work = asyncio.ensure_future(calling)
        operation.stop = work.cancel
        try:
            return Returned(await work)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the process stops
            raise Refused(f"{op.method} was cancelled by request", code="SF-OP-005") from None

    async def _cancel(self, op: Cancel, operation: Operation) -> Cancelled:
        del operation
        return Cancelled(self._process.operations.cancel(op.request))
