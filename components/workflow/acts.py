"""One deed each: `Terminator`, `Attribute`."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from components.workflow.base import Workflow, word
from components.workflow.serial import Acting
from engine.core.faults import Refused
from engine.core.flows import Flow
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, link
from engine.runtime.kinds import bool_, str_
from engine.wire.messages import Change, Detach, Handle, Set, Terminate, as_tree
from sfdl.values import Tbd


class Terminator(Workflow, type="flow.terminator"):
    """Ends another component with a record of one type, and then itself with one of another.

    Example:
        end extends Terminator { kill LAZY ATTRIB other; description "no longer needed"; }
    """

    kill = link(Prim, doc="What to end; nothing but itself if not given.", required=False)
    ends = attr(word, "normal", doc="Type of the record for the target.", called="type")
    self_ends = attr(word, "normal", doc="Type of its own record.", called="selftype")
    description = attr(str_, "ended by a terminator", doc="What the record for the target says.")
    first = attr(
        bool_, False, doc="Cut the target off from its parent first, which then goes on.",
        called="detachFirst",
    )  # fmt: skip

    @override
    def make_flow(self) -> Flow[Any]:
        return Acting()

    @override
    async def perform(self, step: str) -> Record:
        if self.kill.given:
            target = await self.kill.handle()
            record = Record(self.ends, self.description)
            op = (
                Detach(ident=target.ident, then=record)
                if self.first
                else Terminate(record, ident=target.ident)
            )
            await self.request(target.address, op, budget_s=120.0)
        return Record(self.self_ends, "its target has ended" if self.kill.given else "")


class Attribute(Workflow, type="flow.attribute"):
    """Replaces an attribute of another component by `value` when it starts; removes it without one.

    Example:
        set extends Attribute { ofComponent LAZY ATTRIB other; attributeName "size"; value 3; }
    """

    component = link(Prim, doc="Whose attribute.", called="ofComponent")
    attribute = attr(word, doc="Its name.", called="attributeName")

    @override
    def make_flow(self) -> Flow[Any]:
        return Acting()

    @override
    async def perform(self, step: str) -> Record:
        target = await self.component.handle()
        value = self.live.value("value")
        if value is None or isinstance(value, Tbd):
            change = Change(self.attribute, "remove", None)
        else:
            settled = await self.live.process.resolver.settle(self.live, value)
            if isinstance(settled, Handle):
                raise Refused("value leads to a component, not to a value", where=self.path)
            change = Change(self.attribute, "replace", as_tree(settled))
        await self.request(target.address, Set((change,), ident=target.ident))
        return Record.normal(f"{self.attribute} of {target.name} was set")
