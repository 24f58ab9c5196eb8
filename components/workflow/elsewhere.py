"""Creating things that live on elsewhere: `Run`, `Deployer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from typing_extensions import override

from components.workflow.base import Workflow, failed
from components.workflow.groups import Container
from components.workflow.serial import Acting
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
from engine.runtime.attributes import attr, link
from engine.runtime.kinds import str_
from engine.wire.codec import encode_value
from sfdl.values import Description, Value


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
        Container, doc="Below which component; an application of its own if not given.",
        required=False,
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

    @override
    async def perform(self, step: str) -> Record:
        found = await self.what()
        await self.parent.api.create(self.asName, encode_value(found))
        return Record.normal(f"{self.asName} was created below another component")


class Run(_Creating, type="flow.run"):
    """Creates its action elsewhere and ends; the action lives on.

    It becomes a child of `parent`, which must be a Container, or an application of its own.
    """

    needs_action = True

    @override
    def make_flow(self) -> Flow[Any]:
        return Acting() if self.parent.given else Launching(self.action(), self.asName)

    @override
    async def what(self) -> Description:
        found = self.live.value(self.action())
        if not isinstance(found, Description):
            raise BadDescription("action must be a component description", where=self.path)
        return found


class Deployer(_Creating, type="flow.deployer"):
    """Creates something elsewhere, as `Run`, from a description it is led to, and ends.

    That is `description`, a LAZY reference to one, or DATA, or else the `sfConfig` of a file.
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
        return Acting() if self.parent.given else Launching("found", self.asName)

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
