"""Operations that components of this process ask for, here or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.faults import EngineError, raised
from engine.wire.messages import Op, Request, Result

if TYPE_CHECKING:
    from engine.runtime.process import Process

WAIT_MS = 20_000


async def carry(
    process: Process, address: str, op: Op, *, budget_s: float, request_id: str = ""
) -> Result:
    """Have an operation carried out by the process at an address, which may be this one.

    Args:
        process: Who asks.
        address: Where.
        op: What.
        budget_s: Seconds it may take.
        request_id: Under which it is asked for again after a restart; a new one if empty.

    Raises:
        EngineError: As it failed, or nobody answers.
    """
    id_ = request_id or process.new_id()
    if address != process.address:
        result = await process.peers.submit(address, op, request_id=id_, budget_s=budget_s)
        if result is None:
            raise EngineError(f"{address} gave no answer")
        return result
    request = Request(id_, op, int(budget_s * 1000), WAIT_MS)
    while True:
        answer = await process.operations.submit(request)
        if answer.fault is not None:
            raise raised(answer.fault)
        if answer.status == "done" and answer.result is not None:
            return answer.result
