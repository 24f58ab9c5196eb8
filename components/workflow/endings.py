"""What is to happen at an end: `Finally`, `OnTermination`, `CounterAction`."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from components.workflow.base import Workflow, matches
from components.workflow.serial import (
    At,
    Begun,
    Close,
    Idle,
    Outcome,
    Serial,
    Standing,
    Start,
    Step,
)
from engine.core.faults import BadDescription
from engine.core.flows import Flow
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import link
from engine.wire.messages import Ping, Pong


class _AtTheEnd(Workflow):
    """Keeps children deployed, and starts one of them when it is itself being ended.

    A rollback starts none: what it undoes counts as never having been.
    """

    def chosen(self, record: Record) -> str:
        """Return the child to start for an end like this, or nothing."""
        raise NotImplementedError

    @override
    async def on_ending(self, record: Record) -> None:
        name = self.chosen(record)
        began = self.live.flow is not None and self.live.flow.begun
        if name and began and record.type != DEPLOYMENT_FAILURE:
            await self.live.nursery.wake(name)


class Finally(_AtTheEnd, type="flow.finally"):
    """Deploys its action now, and starts it when the Finally itself is being ended.

    The end waits for the action, up to `sfTerminateTimeout`.

    Example:
        last extends Finally { action extends Process { cmd [|"true"|]; terminate true; } }
    """

    needs_action = True

    @override
    def dormant(self) -> frozenset[str]:
        return frozenset({self.action()})

    @override
    def make_flow(self) -> Flow[Any]:
        return Standing()

    @override
    def chosen(self, record: Record) -> str:
        return self.action()


class OnTermination(_AtTheEnd, type="flow.ontermination"):
    """As `Finally`, choosing among its children by the type of the record that ends it.

    `otherwise` stands for types without a child of their own.

    Example:
        last extends OnTermination {
            normal extends Process { cmd [|"true"|]; terminate true; }
            otherwise extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    @override
    def dormant(self) -> frozenset[str]:
        return frozenset(self.several())

    @override
    def make_flow(self) -> Flow[Any]:
        return Standing()

    @override
    def chosen(self, record: Record) -> str:
        names = self.several()
        if record.type in names:
            return record.type
        if "abnormal" in names and matches(record, ("abnormal",)):
            return "abnormal"
        return "otherwise" if "otherwise" in names else ""


class Countering(Serial):
    """Runs a child and then stays."""

    def __init__(self, child: str) -> None:
        """Take the child."""
        self._child = child

    @override
    def next(self, at: At, outcome: Outcome, now_s: float) -> tuple[At, Step]:
        if isinstance(outcome, Record):
            return at, Idle() if outcome.is_normal else Close(outcome)
        return at, Start(self._child) if isinstance(outcome, Begun) else Idle()


class CounterAction(_AtTheEnd, type="flow.counteraction"):
    """Runs its action and stays; when it is ended it runs `counterAction`, and waits for that.

    It is as well as `liveness` says, a child or a reference, where that is given.

    Example:
        held extends CounterAction {
            action extends Process { cmd [|"true"|]; terminate true; }
            counterAction extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    apart = frozenset({"condition", "counterAction", "liveness"})
    needs_action = True
    liveness = link(Prim, doc="What says how it is.", required=False)

    @override
    async def on_deploy(self) -> None:
        await super().on_deploy()
        if not self.described("counterAction"):
            text = "counterAction must be a component description"
            raise BadDescription(text, code="SF-FLOW-001", where=self.path)

    @override
    def made_with(self) -> frozenset[str]:
        return frozenset({"liveness"})

    @override
    def dormant(self) -> frozenset[str]:
        return frozenset({"counterAction"})

    @override
    def make_flow(self) -> Flow[Any]:
        return Countering(self.action())

    @override
    def chosen(self, record: Record) -> str:
        return "counterAction"

    @override
    async def check(self) -> None:
        if not self.liveness.given:
            return
        target = await self.liveness.handle()
        pong = await self.request(target.address, Ping(ident=target.ident), budget_s=10.0)
        if isinstance(pong, Pong) and (pong.good is False or pong.state != "started"):
            raise Unwell(f"{pong.name}: {pong.text or pong.state}")
