"""Creating things that live on elsewhere: `Run`, `Deployer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from typing_extensions import override

from components.workflow.base import Workflow, failed
from components.workflow.serial import Acting
from engine.compound import Compound
from engine.core.faults import BadDescription
from engine.core.flows import (
    ChildEnded,
    ChildGone,
    ChildStarted,
    CutOff,
    Do,
    Done,
    Flow,
    Happening,
    StartChild,
    StartFailed,
)
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, link
from engine.runtime.kinds import str_
from engine.wire.codec import flatten
from engine.wire.messages import Graft
from sfdl.values import Description, Value

BUDGET_S = 600.0
"""Seconds that something created elsewhere has to start."""


class Launch(Struct, frozen=True):
    """How far a launch has come: `starting`, `leaving` or `done`."""

    stage: str


class Launching:
    """Starts one child, makes an application of it, and is done."""

    state_type: type[Launch] = Launch

    def __init__(self, child: str, name: str) -> None:
        """Take the child, and the name of the application, or an empty string."""
        pairs: tuple[tuple[str, Value], ...] = (("sfProcessComponentName", name),) if name else ()
        self._start = StartChild(child, child, pairs)

    def begin(self, children: Mapping[str, State]) -> tuple[Launch, Sequence[Do]]:
        """Start it."""
        del children
        return Launch("starting"), (self._start,)

    def resume(self, state: Launch, children: Mapping[str, State]) -> tuple[Launch, Sequence[Do]]:
        """Start it again, or let it go again; once it has gone, be done."""
        if self._start.child in children:
            return Launch("leaving"), (CutOff(children=True),)
        if state.stage == "starting":
            return state, (self._start,)
        return self._done()

    def on(self, state: Launch, what: Happening, now_s: float) -> tuple[Launch, Sequence[Do]]:
        """Let it go once it has started."""
        del now_s
        match what:
            case ChildStarted():
                return Launch("leaving"), (CutOff(children=True),)
            case ChildGone():
                return self._done()
            case ChildEnded(_, record) | StartFailed(_, record):
                return Launch("done"), (Done(failed(record)),)
            case _:
                return state, ()

    @staticmethod
    def _done() -> tuple[Launch, Sequence[Do]]:
        return Launch("done"), (Done(Record.normal("it is an application of its own")),)


class _Creating(Workflow):
    asName = attr(
        str_, "", doc="Name of what is created; its sfProcessComponentName, or a new one, if empty."
    )
    parent = link(
        Compound, doc="Below which component; an application of its own if not given.",
        required=False,
    )  # fmt: skip
    deployer = link(
        Prim, required=False,
        doc="Without a parent: a component in whose process the application is to be.",
    )  # fmt: skip

    @override
    async def on_deploy(self) -> None:
        await super().on_deploy()
        if self.parent.given and not self.asName:
            text = "asName must say what it is called below its parent"
            raise BadDescription(text, code="SF-FLOW-002", where=self.path)

    async def what(self) -> Description:
        """Return what to create."""
        raise NotImplementedError

    def launching(self, child: str) -> Flow[Any]:
        """Return the flow that creates it: below its parent, or here first and then let go."""
        return Acting() if self.parent.given else Launching(child, self.asName)

    @override
    async def place_child(self, name: str, description: Description) -> Mapping[str, Value]:
        if not self.deployer.given:
            return {}
        host, _, process = (await self.deployer.handle()).address.partition("/")
        return {"sfProcessHost": host, **({"sfProcessName": process} if process else {})}

    @override
    async def perform(self, step: str) -> Record:
        found = await self.what()
        target = await self.parent.handle()
        op = Graft(
            self.asName, flatten(Description(found.attributes, found.tags)), ident=target.ident
        )
        # under an id of its own life, so that a restart does not do it twice
        id_ = f"run-{self.live.id}"
        await self.request(target.address, op, budget_s=BUDGET_S, request_id=id_)
        return Record.normal(f"{self.asName} was created below another component")


class Run(_Creating, type="flow.run"):
    """Creates its action elsewhere and ends; the action lives on.

    It becomes a child of `parent`, any compound, or an application of its own: here, or in the process
    of the component that `deployer` leads to.

    Example:
        helper extends Run {
            asName "watchdog";
            action extends Process { cmd [|"sleep", "1000"|]; }
        }
    """

    needs_action = True

    @override
    def make_flow(self) -> Flow[Any]:
        return self.launching(self.action())

    @override
    async def what(self) -> Description:
        found = self.live.value(self.action())
        if not isinstance(found, Description):
            raise BadDescription("action must be a component description", where=self.path)
        return found


class Deployer(_Creating, type="flow.deployer"):
    """Creates something elsewhere, as `Run`, from a description it is led to, and ends.

    That is `description`, a LAZY reference to one, or DATA, or else the `sfConfig` of a file.

    Example:
        launch extends Deployer { file "hello.sf"; asName "hello"; }
    """

    apart = frozenset({"condition", "description", "found"})
    file = attr(str_, None, doc="File with the description, found as sfstart finds it.")

    @override
    async def on_deploy(self) -> None:
        await super().on_deploy()
        if self.file is None and self.live.value("description") is None:
            text = "one of description and file must be given"
            raise BadDescription(text, code="SF-FLOW-002", where=self.path)

    @override
    async def on_start(self) -> None:
        self.live.process.keep_attribute(self.live, "found", await self.what())

    @override
    def make_flow(self) -> Flow[Any]:
        return self.launching("found")

    @override
    async def what(self) -> Description:
        if self.file is not None:
            return await self.run_blocking(_compiled, self.file)
        process = self.live.process
        found = await process.resolver.settle(self.live, self.live.value("description"))
        if not isinstance(found, Description):
            raise BadDescription("description leads to no component description", where=self.path)
        return found


def _compiled(file: str) -> Description:
    import sfdl  # noqa: PLC0415 - the compiler is slow to import

    return sfdl.compile(Path(file)).root
