"""Operations: long requests under an id their caller chose, done once however often they are sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from engine.core import tracing
from engine.core.events import Progressed
from engine.core.faults import Busy, EngineError, Fault, Kind, fault_of
from engine.core.records import Record
from engine.core.tracing import NONE, Trace
from engine.runtime.ledger import (
    LedgerError,
    RequestRow,
    forget_request,
    forget_requests,
    put_request,
)
from engine.wire.codec import decode, encode
from engine.wire.messages import (
    Answer,
    Call,
    Cancel,
    Create,
    Deploy,
    Drain,
    Forget,
    Gone,
    Op,
    Ping,
    Progress,
    Rename,
    Request,
    Result,
    SetLevel,
    Spawn,
    Start,
)

if TYPE_CHECKING:
    from engine.runtime.process import Process

REMEMBER_CALL_S = 60.0
LONGEST_WAIT_MS = 20_000

STOPPING = Fault(
    Kind.TIMEOUT,
    "the daemon is stopping in the middle of this; at its next start it undoes what was half made",
    code="SF-OP-004",
    hint="ask again with the same request id once it runs again",
)

log = logging.getLogger("sf.operations")


class Operation:
    """One request being carried out.

    Attributes:
        stop: Has what is under way rolled back, and says whether there was something; set by those
            who carry out what can be stopped.
        task: Carries it out.
        trace: Id of the request it all began with; empty: this one.
    """

    def __init__(self, process: Process, request: Request) -> None:
        """Take the request; `Operations` runs it."""
        self.id = request.id
        self.op = request.op
        self.budget_s = request.budget_ms / 1000
        self.answer: Answer | None = None
        self.finished = asyncio.Event()
        self.stop: Callable[[], bool] | None = None
        self.task: asyncio.Task[None] | None = None
        self.trace = request.trace
        self.began_s = asyncio.get_running_loop().time()
        self._process = process
        self._progress = Progress("accepted")

    def progress(self, text: str, done: int = 0, total: int = 0) -> None:
        """Say how far it has come."""
        self._progress = Progress(text, done, total)
        self._process.events.publish(None, Progressed(self.id, text, done, total))

    def step(self, text: str, done: int, total: int) -> None:
        """Say how far it has come without leaving an event: called for every component."""
        self._progress = Progress(text, done, total)

    def stands(self) -> Answer:
        """Return how it stands now."""
        return self.answer or Answer("running", self._progress)


class Operations:
    """The operations of one process."""

    def __init__(
        self, process: Process, carry_out: Callable[[Operation], Awaitable[Result | None]]
    ) -> None:
        """Take what carries operations out; answers of an earlier life are read from the ledger."""
        self._process = process
        self._carry_out = carry_out
        self._running: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[str, tuple[float, Answer]] = {}

    def settle(self) -> None:
        """Take up the requests of an earlier life, once it is known what became of them."""
        for row in self._process.ledger.requests():
            self._remember_row(row)

    def _remember_row(self, row: RequestRow) -> None:
        if row.answer is not None:
            try:
                self._answers[row.id] = (row.at_ms / 1000, decode(row.answer, Answer))
            except msgspec.DecodeError:
                log.warning("an answer in the ledger cannot be read: %s", row.id)
            return
        answer = self._found_out(row)
        if answer is None:
            self._process.ledger.lazy(forget_request(row.id))
            return
        self._answers[row.id] = (row.at_ms / 1000, answer)
        self._process.ledger.lazy(put_request(msgspec.structs.replace(row, answer=encode(answer))))

    def _found_out(self, row: RequestRow) -> Answer | None:
        """Say how a request ended whose answer was never written; nothing if it may be done again."""
        if row.op == "Terminate":
            record = self._process.ended_application(row.segment)
            return Answer("done", result=Gone(row.segment, 0, 0, record)) if record else None
        grown = self._process.growth.held(row.segment)
        if grown is not None:
            return Answer("done", result=grown)
        fault = Fault(
            Kind.REFUSED,
            f"the daemon was restarted during this {row.op}; what it had made is undone",
            code="SF-OP-001",
        )
        return Answer("failed", fault=fault)

    @property
    def under_way_now(self) -> tuple[Operation, ...]:
        """Return what is being carried out."""
        return tuple(self._running.values())

    @property
    def running(self) -> int:
        """Return how many operations are under way."""
        return len(self._running)

    def cancel(self, request_id: str) -> bool:
        """Stop a deployment under way, which is then rolled back; say whether there was one."""
        operation = self._running.get(request_id)
        if operation is not None and operation.stop is not None:
            return operation.stop()
        if operation is None or not isinstance(operation.op, Create | Deploy | Start):
            return False
        segment = self._process.segments.get(operation.op.segment)
        record = Record.normal("cancelled by request")
        return segment is not None and self._process.growth.abort(segment, record, requested=True)

    def under_way(self, request_id: str) -> Op | None:
        """Return what is being carried out under an id."""
        operation = self._running.get(request_id)
        return operation.op if operation is not None else None

    def traced(self) -> Trace:
        """Return which operation of this process the present work belongs to, while that goes on."""
        now = tracing.current()
        return now if now.operation in self._running else NONE

    def report(self, fraction: float, text: str) -> None:
        """Show how far the operation is that the present work belongs to, if it is one of a user."""
        operation = self._running.get(tracing.current().operation)
        if operation is not None and isinstance(operation.op, Call):
            operation.step(text, round(fraction * 100), 100)

    async def submit(self, request: Request) -> Answer:
        """Start an operation, or say how a known one stands, waiting a while for its end."""
        operation = self._running.get(request.id)
        if operation is None:
            known = self._answers.get(request.id)
            if known is not None:
                return known[1]
            most = self._process.settings.most_operations
            if len(self._running) >= most:
                raise Busy(
                    f"{most} operations are under way", code="SF-LIMIT-002", hint="try again later"
                )
            operation = self._start(request)
        wait_s = min(request.wait_ms, LONGEST_WAIT_MS) / 1000
        try:
            async with asyncio.timeout(wait_s):
                await operation.finished.wait()
        except TimeoutError:
            pass
        return operation.stands()

    def _start(self, request: Request) -> Operation:
        operation = Operation(self._process, request)
        self._running[request.id] = operation
        task = asyncio.get_running_loop().create_task(
            self._run(operation), name=f"{type(request.op).__name__} {request.id}"
        )
        operation.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation

    async def _run(self, operation: Operation) -> None:
        tracing.enter(operation.id, operation.trace)
        durable = not isinstance(
            operation.op, Call | Ping | Cancel | Forget | Rename | Drain | Spawn | SetLevel
        )
        about = getattr(operation.op, "segment", "") or getattr(operation.op, "ref", "")
        now_ms = int(time.time() * 1000)
        row = RequestRow(operation.id, type(operation.op).__name__, about, None, now_ms)
        lasting = durable
        try:
            if durable:
                await self._process.ledger.durable(put_request(row))
            answer = Answer("done", result=await self._carry_out(operation))
        except asyncio.CancelledError:
            lasting = False  # found out at the next start
            answer = Answer("failed", fault=STOPPING)
        except EngineError as error:
            answer = Answer("failed", fault=error.fault)
        except msgspec.DecodeError as error:
            fault = Fault(Kind.REFUSED, f"message not understood: {error}", code="SF-WIRE-001")
            answer = Answer("failed", fault=fault)
        except Exception as error:
            log.exception("operation %s failed", operation.id)
            answer = Answer("failed", fault=fault_of(error))
        try:
            if lasting:
                done = msgspec.structs.replace(row, answer=encode(answer))
                await self._process.ledger.durable(put_request(done))
        except LedgerError:
            log.exception("the answer to %s could not be written", operation.id)
        finally:
            self._finish(operation, answer, durable=durable)

    def _finish(self, operation: Operation, answer: Answer, *, durable: bool) -> None:
        remember_s = self._process.settings.remember_s
        age_s = 0.0 if durable else remember_s - min(REMEMBER_CALL_S, remember_s)
        self._answers[operation.id] = (time.time() - age_s, answer)
        operation.answer = answer
        kind = type(operation.op).__struct_config__.tag
        result = answer.fault.kind.value if answer.fault is not None else answer.status
        self._process.tally.operations[str(kind), result] += 1
        del self._running[operation.id]
        operation.finished.set()

    def forget_old(self) -> None:
        """Forget old answers: those of calls after a minute, others after the set time."""
        now, remember_s = time.time(), self._process.settings.remember_s
        old = [key for key, (at, _) in self._answers.items() if now - at > remember_s]
        for key in old:
            del self._answers[key]
        self._process.ledger.lazy(forget_requests(int((now - remember_s) * 1000)))

    async def stop(self) -> None:
        """Cancel what is under way and wait for its undoing."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=60)
