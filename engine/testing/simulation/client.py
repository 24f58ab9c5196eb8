"""What users send: requests under ids of their own, some of them twice, and what was answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from engine.core.faults import EngineError, Fault, Kind
from engine.core.records import Record
from engine.runtime.peers import Peers
from engine.testing.simulation.schedule import Node, describe
from engine.wire.codec import flatten
from engine.wire.messages import Answer, Create, Gone, Grown, Op, Ping, Request, Terminate

if TYPE_CHECKING:
    from engine.runtime.process import Process
    from engine.testing.simulation.network import Network
    from engine.testing.simulation.rules import Rules
    from engine.testing.simulation.world import World

BUDGET_S = 40.0
PASSING = {"SF-OP-001", "SF-OP-004"}
"""Codes of answers that only say that a daemon went down in the middle."""


class Sent:
    """One request, and every answer it got."""

    def __init__(self, id_: str, address: str, op: Op) -> None:
        """Take what is asked of whom."""
        self.id = id_
        self.address = address
        self.op = op
        self.answers: list[Answer] = []


class Client(Peers):
    """Sends requests as commands do, over the shipped retry, and checks what comes back."""

    def __init__(self, network: Network, rules: Rules, world: World, hosts: int) -> None:
        """Take the network and who watches."""
        super().__init__(
            cast("Process", None), lambda to, _: network.link("client", to), {}
        )  # it never says hello
        self.requests: list[Sent] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self._rules = rules
        self._world = world
        self._hosts = hosts
        self._last: dict[str, Answer] = {}

    # -- asking

    def deploy(self, address: str, name: str, tree: Node) -> Sent:
        """Have an application started."""
        number = len(self.requests)
        flat = flatten(describe(tree, self._hosts))
        return self.send(
            address, Create(f"segment-{number}", name, name, name, flat, upto="started")
        )

    def terminate(self, address: str, ref: str) -> Sent:
        """Have an application or component ended."""
        return self.send(address, Terminate(Record.normal("asked for"), ref=ref))

    def end_part(self, address: str, segment: str) -> Sent:
        """Have a part of an application ended by its id."""
        return self.send(address, Terminate(Record.normal("asked for"), segment=segment))

    def ping(self, address: str, ref: str) -> Sent:
        """Ask how a component is."""
        return self.send(address, Ping(ref))

    def send(self, address: str, op: Op) -> Sent:
        """Send a request in the background."""
        sent = Sent(f"request-{len(self.requests)}", address, op)
        self.requests.append(sent)
        self.again(sent)
        return sent

    def again(self, sent: Sent, after_s: float = 0.0) -> None:
        """Send a request once more under its id."""
        task = asyncio.get_running_loop().create_task(self._ask(sent, after_s))
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._rules.complain(0, f"a request failed oddly: {task.exception()!r}")

    async def _ask(self, sent: Sent, after_s: float) -> None:
        await asyncio.sleep(after_s)
        what = f"{type(sent.op).__name__} {sent.id} at {sent.address}"
        self._rules.note(f"{what} is asked")
        try:
            await self.submit(sent.address, sent.op, request_id=sent.id, budget_s=BUDGET_S)
        except EngineError as error:
            self._rules.note(f"{what}: {error.fault.kind.value}: {error}")
        else:
            self._rules.note(f"{what}: done")
        answer = self._last.pop(sent.id, None)
        if answer is not None and answer.status in {"done", "failed"}:
            self._check(sent, answer)

    @override
    async def _once(self, address: str, request: Request, wait_s: float) -> Answer:
        self._last.pop(request.id, None)
        answer = await super()._once(address, request, wait_s)
        self._last[request.id] = answer
        return answer

    # -- what comes back

    def _check(self, sent: Sent, answer: Answer) -> None:
        fault = answer.fault
        if fault is not None and fault.kind is Kind.INTERNAL:
            self._rules.complain(0, f"{sent.id} is answered: {fault.message}")
        if fault is not None and (fault.kind is Kind.BUSY or fault.code in PASSING):
            return
        if isinstance(sent.op, Ping):
            return
        self._same_as_before(sent, answer)
        sent.answers.append(answer)
        if isinstance(sent.op, Create) and len(sent.answers) == 1:
            if isinstance(answer.result, Grown):
                self._rules.deployed(sent.op.segment)
            elif fault is not None and not fault.leftovers:
                self._rolled_back(sent.op.segment, fault)

    def _same_as_before(self, sent: Sent, answer: Answer) -> None:
        for before in sent.answers:
            if (before.status, before.result, before.fault) != (
                answer.status, answer.result, answer.fault,
            ):  # fmt: skip
                self._rules.complain(
                    9, f"{sent.id} is answered {_short(answer)}, before it was {_short(before)}"
                )

    def _rolled_back(self, segment: str, fault: Fault) -> None:
        self._rules.rolled_back(segment)
        births = {
            (seen.path, seen.incarnation)
            for seen in self._rules.made_by(segment)
            if not (seen.record is not None and self._rules.own_end(seen, segment))
        }
        for (host, name), thing in self._world.things.items():
            if (thing.owner.path, thing.owner.incarnation) in births and self._rules.reported(host):
                text = f"{name} is left at {host} after the rollback for {fault.message!r}"
                self._rules.complain(1, text)


def _short(answer: Answer) -> str:
    if answer.fault is not None:
        return f"{answer.status}: {answer.fault.message}"
    gone = answer.result.record.sentence() if isinstance(answer.result, Gone) else ""
    return f"{answer.status} {type(answer.result).__name__} {gone}"
